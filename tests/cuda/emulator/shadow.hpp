// What is known of every piece of memory: who wrote and read it last, and when. Finds races, copies that were not
// waited for, reads of what nobody wrote, places outside their memory and bad alignment. A race is found in whatever
// order the threads happen to run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "machine.hpp"

namespace emulator {

// Shared memory, in cells of two bytes: kernels write nothing smaller there. Only a barrier of the block orders two
// threads, so the shuffles and products of a warp do not.
class SharedShadow {
 public:
  void begin_block(size_t bytes);
  // Whether the access may be made.
  bool access(bool write, int offset, int size, int alignment, Place place);
  void begin_copy(int offset);  // 16 bytes are on their way
  void end_copy(int offset);    // their copy was waited for by the thread that issued it
  // Extra cycles that the lanes of a warp cost each other at the banks, by source line, since the last call: when lanes
  // that access together want different words of one bank. Accesses of 16 bytes go in quarters of a warp, of 8 in
  // halves.
  std::map<std::string, int> take_conflicts();

 private:
  struct Cell {
    int16_t writer = -1, reader = -1;  // thread; reader -2: several
    uint32_t written_at = 0, read_at = 0;
    bool pending = false, written = false;
  };
  struct Access {
    int offset, size;
  };
  // Accesses of each warp by source line and by how often the lane was there; lanes in order.
  using Log = std::map<std::pair<std::string, int>, std::map<int, Access>>;

  void note(int offset, int size, Place place);
  void count_conflicts();

  std::vector<Cell> cells_;
  std::map<int, Log> log_;                             // by warp
  std::map<std::pair<int, std::string>, int> visits_;  // by thread and line
  std::map<std::string, int> conflicts_;
};

// Global memory: every allocation is a range of its own, in cells of the size of its elements.
class GlobalShadow {
 public:
  void add(const void* begin, size_t bytes, size_t cell_bytes);
  void remove(const void* begin);
  void mark_written(const void* begin, size_t bytes);
  bool access(bool write, const void* begin, size_t bytes, size_t alignment, Place place);

 private:
  struct Cell {
    int32_t writer = -1, reader = -1;      // thread of the grid; reader -2: several
    uint32_t written_in = 0, read_in = 0;  // number of the launch
    bool written = false;
  };
  struct Range {
    size_t bytes, cell_bytes;
    std::vector<Cell> cells;
  };
  Range* find(const void* begin, size_t bytes, size_t& offset);

  std::map<uintptr_t, Range> ranges_;
};

SharedShadow& shared_shadow();
GlobalShadow& global_shadow();

}  // namespace emulator
