// A fixed set of threads that share the chunks of one loop at a time.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace dcvc {

class ThreadPool {
 public:
  // The caller of `run` is one of the `num_threads`; the others start with the first run.
  explicit ThreadPool(int num_threads) : num_threads_(num_threads) {}

  ~ThreadPool() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      generation_.fetch_add(1);
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return num_threads_; }

  // Calls body(chunk, thread) once for every chunk 0..num_chunks - 1, on any thread 0..num_threads - 1, and returns
  // when all chunks are done. The body must not throw. Calls of `run` must not overlap.
  void run(int num_chunks, const std::function<void(int, int)>& body) {
    if (num_threads_ < 2 || num_chunks < 2) {
      for (int chunk = 0; chunk < num_chunks; ++chunk) body(chunk, 0);
      return;
    }
    while (static_cast<int>(workers_.size()) + 1 < num_threads_) {
      const int k = static_cast<int>(workers_.size()) + 1;
      try {
        workers_.emplace_back([this, k, seen = generation_.load()] { work(k, seen); });
      } catch (const std::system_error&) {
        // The system gives no more threads, for instance in a container. The result is the same with fewer.
        num_threads_ = k;
      }
    }
    {
      const std::lock_guard lock(mutex_);
      body_ = &body;
      num_chunks_ = num_chunks;
      next_.store(0);
      busy_.store(static_cast<int>(workers_.size()));
      generation_.fetch_add(1);
    }
    wake_.notify_all();
    take_chunks(0);
    for (int spin = 0; busy_.load() != 0; ++spin) {
      if (spin < kSpins) {
        pause();
      } else {
        std::unique_lock lock(mutex_);
        done_.wait(lock, [this] { return busy_.load() == 0; });
      }
    }
  }

 private:
  static constexpr int kSpins = 2000;

  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
  }

  void take_chunks(int thread) {
    for (int chunk = next_.fetch_add(1); chunk < num_chunks_; chunk = next_.fetch_add(1)) (*body_)(chunk, thread);
  }

  // seen: the last generation in which this thread has no part.
  void work(int thread, unsigned seen) {
    for (;;) {
      for (int spin = 0; spin < kSpins && generation_.load() == seen; ++spin) pause();
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return generation_.load() != seen; });
        seen = generation_.load();
        if (stopping_) return;
      }
      take_chunks(thread);
      if (busy_.fetch_sub(1) == 1) {
        const std::lock_guard lock(mutex_);
        done_.notify_one();
      }
    }
  }

  int num_threads_;
  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  const std::function<void(int, int)>* body_ = nullptr;
  int num_chunks_ = 0;
  std::atomic<int> next_{0}, busy_{0};
  std::atomic<unsigned> generation_{0};
  bool stopping_ = false;
};

}  // namespace dcvc
