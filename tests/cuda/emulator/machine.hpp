// A machine that runs a kernel's blocks one after the other, each thread a fiber. A warp instruction is a meeting:
// every lane leaves its operands and waits, and the last one computes for all 32. Faults are collected as text; a clean
// run has none.
#pragma once

#include <csetjmp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ucontext.h>

namespace emulator {

constexpr int kLanes = 32, kMaxThreads = 1024;
constexpr size_t kStackBytes = size_t{256} << 10;

// How a launch is run. Correct kernels give the same values and no fault in every order.
struct Order {
  uint32_t seed = 0;             // 0: warps and blocks in order; else blocks reversed and warps switched at random
  bool late_copies = true;       // asynchronous copies land when they are waited for, else at once
  bool count_conflicts = false;  // of the banks of shared memory; slow
};

// One asynchronous copy of 16 bytes on its way.
struct Copy {
  int offset;
  const uint8_t* source;
  bool valid;
};

enum class State : uint8_t { kReady, kAtWarp, kAtBlock, kDone };

struct Fiber {
  jmp_buf jump;
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  void* fake_stack = nullptr;  // AddressSanitizer's
  bool started = false;
  State state = State::kReady;
  std::vector<Copy> open;
  std::vector<std::vector<Copy>> groups;
};

// What a lane brings to a meeting.
struct Lane {
  const void* in;
  void* out;
};

struct Place {
  const char* file;
  int line;
};

class Machine {
 public:
  static Machine& get();

  Order order;

  // Runs a grid; `body` is what each thread does.
  void launch(const int (&grid)[3], int threads, int shared_bytes, const std::function<void()>& body);
  // Adds a fault of the instruction at `place`.
  void fault(const char* kind, Place place, const std::string& detail);
  // The faults since the last call, one a line with how often it was seen.
  std::string take_faults();

  int thread() const { return current_; }
  int warp() const { return current_ / kLanes; }
  const int (&block() const)[3] { return block_; }
  int block_number() const { return block_number_; }
  uint32_t launch_number() const { return launch_number_; }
  uint32_t barriers() const { return barriers_; }  // passed by all threads, counted over blocks
  uint8_t* shared() { return shared_.data(); }
  int shared_bytes() const { return static_cast<int>(shared_.size()); }
  Fiber& fiber() { return fibers_[static_cast<size_t>(current_)]; }

  void sync_block(Place place);
  // All lanes of a warp meet at one place; `compute` gets them all, once.
  void meet(Place place, const void* in, void* out, const std::function<void(const Lane*)>& compute);

 private:
  struct Meeting {
    int count = 0;
    Place place{};
    Lane lanes[kLanes];
  };

  static void enter_fiber();
  int next_fiber();
  void switch_to(int thread);
  void yield();
  void release_block();
  void finish_thread();
  void run_block(int threads);
  void run_fibers(int first);
  uint32_t random();

  std::vector<Fiber> fibers_ = std::vector<Fiber>(kMaxThreads);
  std::vector<Meeting> meetings_ = std::vector<Meeting>(kMaxThreads / kLanes);
  std::vector<uint8_t> shared_;
  std::map<std::string, int> faults_;
  std::function<void()> body_;
  jmp_buf home_;
  const void* home_stack_ = nullptr;
  size_t home_stack_bytes_ = 0;
  void* home_fake_stack_ = nullptr;
  int num_threads_ = 0, current_ = 0, block_[3] = {}, block_number_ = 0, at_barrier_ = 0, done_ = 0;
  uint32_t barriers_ = 0, launch_number_ = 0, random_ = 1;
  Place barrier_place_{};
};

}  // namespace emulator
