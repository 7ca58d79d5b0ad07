// Visits a picture's blocks on several threads. The result is that of a visit in raster order.
#pragma once

#include <algorithm>
#include <atomic>
#include <system_error>
#include <thread>
#include <vector>

namespace dcvc::motion {

// A row of blocks stays at least so many columns behind the row above. A block reads and writes at most two columns
// beside itself.
constexpr int kLag = 3;

// Calls visit(row, column) for every 16x16 block of rows x columns squares, the upper left square of each, in raster
// order or as if: a block comes after those to the left and above it, and those of the row above are done up to kLag
// columns to its right.
template <class Visit>
void in_wavefront(int rows, int columns, int num_threads, const Visit& visit) {
  const int block_rows = rows / 2, block_columns = columns / 2;
  num_threads = std::min({num_threads, block_rows, block_columns / (kLag + 1)});
  if (num_threads <= 1) {
    for (int row = 0; row < rows; row += 2) {
      for (int column = 0; column < columns; column += 2) visit(row, column);
    }
    return;
  }
  std::vector<std::atomic<int>> done(static_cast<size_t>(block_rows));  // blocks of each row
  for (auto& count : done) count.store(0, std::memory_order_relaxed);
  std::atomic<int> next{0};
  const auto work = [&] {
    for (int row = next++; row < block_rows; row = next++) {
      for (int column = 0; column < block_columns; ++column) {
        if (row > 0) {
          const int needed = std::min(column + kLag + 1, block_columns);
          while (done[row - 1].load(std::memory_order_acquire) < needed) std::this_thread::yield();
        }
        visit(2 * row, 2 * column);
        done[row].store(column + 1, std::memory_order_release);
      }
    }
  };
  std::vector<std::thread> others;
  try {
    for (int k = 1; k < num_threads; ++k) others.emplace_back(work);
  } catch (const std::system_error&) {  // fewer will do
  }
  work();
  for (std::thread& other : others) other.join();
}

}  // namespace dcvc::motion
