// What runs on several threads, for ThreadSanitizer: the pool, wavefronts and the search that walks in them.
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "kernels/base/thread_pool.hpp"
#include "kernels/motion/search.hpp"
#include "kernels/motion/wavefront.hpp"

namespace mo = dcvc::motion;

namespace {

void check(bool condition, const char* what) {
  if (condition) return;
  std::printf("%s\n", what);
  std::exit(1);
}

// Each chunk once, loop after loop; what one loop wrote the next one reads without locks.
void test_pool(int num_threads) {
  dcvc::ThreadPool pool(num_threads);
  std::vector<int> values(100);
  for (int loop = 1; loop <= 200; ++loop) {
    const int num_chunks = 1 + loop % static_cast<int>(values.size());
    for (int& value : values) value = loop;
    pool.run(num_chunks, [&](int chunk, int) { values[static_cast<size_t>(chunk)] += 1; });
    for (size_t i = 0; i < values.size(); ++i) {
      check(values[i] == loop + (i < static_cast<size_t>(num_chunks) ? 1 : 0), "a chunk ran twice, or not at all");
    }
  }
}

// A block reads what lies up to two blocks beside it in the row above.
void test_wavefront(int num_threads) {
  const int rows = 20, columns = 40;
  const auto walked = [&](int threads) {
    std::vector<int> depth(static_cast<size_t>(rows / 2) * (columns / 2));
    const auto at = [&](int row, int column) -> int& {
      return depth[static_cast<size_t>(row / 2) * (columns / 2) + static_cast<size_t>(column / 2)];
    };
    mo::in_wavefront(rows, columns, threads, [&](int row, int column) {
      int deepest = column > 0 ? at(row, column - 2) : 0;
      for (int x = std::max(column - 4, 0); row > 0 && x <= std::min(column + 4, columns - 2); x += 2) {
        deepest = std::max(deepest, at(row - 2, x));
      }
      at(row, column) = deepest + 1;
    });
    return depth;
  };
  check(walked(1) == walked(num_threads), "threads change the order in which blocks see each other");
}

void test_search(uint32_t seed) {
  const int height = 64, width = 224;
  std::mt19937 random(seed);
  std::vector<uint8_t> current(static_cast<size_t>(height) * width), reference(current.size()),
      long_term(current.size());
  for (auto* plane : {&current, &reference, &long_term}) {
    for (auto& sample : *plane) sample = static_cast<uint8_t>(random());
  }
  mo::VectorCoder coder;
  coder.encode(mo::search(current.data(), reference.data(), nullptr, height, width, 20.0, coder, 3));
  const auto with = [&](int num_threads) {
    return mo::search(current.data(), reference.data(), long_term.data(), height, width, 20.0, coder, num_threads);
  };
  const mo::Motion one = with(1), many = with(3);
  check(one.vectors == many.vectors && one.tracks == many.tracks && one.blends == many.blends,
        "threads change what is found");
}

}  // namespace

int main(int argc, char** argv) {
  const int num_rounds = argc > 1 ? std::atoi(argv[1]) : 2;
  for (int round = 0; round < num_rounds; ++round) {
    for (const int num_threads : {2, 3, 5}) {
      test_pool(num_threads);
      test_wavefront(num_threads);
    }
    test_search(static_cast<uint32_t>(round));
  }
  std::printf("%d rounds: no races\n", num_rounds);
}
