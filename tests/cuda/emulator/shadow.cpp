#include "shadow.hpp"

#include <algorithm>
#include <cstring>
#include <set>

namespace emulator {

void SharedShadow::begin_block(size_t bytes) {
  count_conflicts();
  cells_.assign((bytes + 1) / 2, Cell{});
}

SharedShadow& shared_shadow() {
  static SharedShadow shadow;
  return shadow;
}

GlobalShadow& global_shadow() {
  static GlobalShadow shadow;
  return shadow;
}

bool SharedShadow::access(bool write, int offset, int size, int alignment, Place place) {
  Machine& machine = Machine::get();
  if (offset % alignment != 0) {
    machine.fault("alignment", place, "shared memory");
    return false;
  }
  if (offset < 0 || offset + size > machine.shared_bytes()) {
    machine.fault("bounds", place, "shared memory");
    return false;
  }
  if (machine.order.count_conflicts) note(offset, size, place);
  const int me = machine.thread();
  const uint32_t now = machine.barriers();
  for (int i = offset / 2; i < (offset + size + 1) / 2; ++i) {
    Cell& cell = cells_[static_cast<size_t>(i)];
    if (cell.pending) {
      machine.fault("unfinished copy", place,
                    write ? "written before its copy was waited for" : "read before its copy was waited for");
      continue;
    }
    if (cell.writer >= 0 && cell.writer != me && cell.written_at == now) {
      machine.fault("race", place,
                    write ? "two threads write, no barrier between" : "another thread wrote, no barrier between");
    }
    if (write && cell.read_at == now && cell.reader != -1 && cell.reader != me) {
      machine.fault("race", place, "another thread reads, no barrier between");
    }
    if (!write && !cell.written) machine.fault("uninitialised", place, "shared memory that nobody wrote");
    if (write) {
      cell.writer = static_cast<int16_t>(me);
      cell.written_at = now;
      cell.written = true;
    } else {
      cell.reader = cell.read_at != now || cell.reader == me ? static_cast<int16_t>(me) : static_cast<int16_t>(-2);
      cell.read_at = now;
    }
  }
  return true;
}

void SharedShadow::note(int offset, int size, Place place) {
  const Machine& machine = Machine::get();
  const char* slash = std::strrchr(place.file, '/');
  const std::string line = std::string(slash ? slash + 1 : place.file) + ":" + std::to_string(place.line);
  log_[machine.warp()][{line, visits_[{machine.thread(), line}]++}][machine.thread() % kLanes] = {offset, size};
}

void SharedShadow::count_conflicts() {
  for (const auto& [warp, log] : log_) {
    for (const auto& [key, lanes] : log) {
      std::map<int, std::map<int, std::set<int>>> words;  // of each group of lanes and bank
      for (const auto& [lane, access] : lanes) {
        const int together = access.size <= 4 ? kLanes : 4 * kLanes / access.size;
        for (int byte = 0; byte < access.size; byte += 4) {
          const int word = (access.offset + byte) / 4;
          words[lane / together][word % 32].insert(word);
        }
      }
      for (const auto& [group, banks] : words) {
        size_t most = 1;
        for (const auto& [bank, wanted] : banks) most = std::max(most, wanted.size());
        conflicts_[key.first] += static_cast<int>(most) - 1;
      }
    }
  }
  log_.clear();
  visits_.clear();
}

std::map<std::string, int> SharedShadow::take_conflicts() {
  count_conflicts();
  std::map<std::string, int> found;
  found.swap(conflicts_);
  return found;
}

void SharedShadow::begin_copy(int offset) {
  for (int i = offset / 2; i < offset / 2 + 8; ++i) cells_[static_cast<size_t>(i)].pending = true;
}

void SharedShadow::end_copy(int offset) {
  Machine& machine = Machine::get();
  for (int i = offset / 2; i < offset / 2 + 8; ++i) {
    Cell& cell = cells_[static_cast<size_t>(i)];
    cell.pending = false;
    cell.written = true;
    cell.writer = static_cast<int16_t>(machine.thread());
    cell.written_at = machine.barriers();
  }
}

void GlobalShadow::add(const void* begin, size_t bytes, size_t cell_bytes) {
  ranges_[reinterpret_cast<uintptr_t>(begin)] = {bytes, cell_bytes,
                                                 std::vector<Cell>((bytes + cell_bytes - 1) / cell_bytes)};
}

void GlobalShadow::remove(const void* begin) { ranges_.erase(reinterpret_cast<uintptr_t>(begin)); }

GlobalShadow::Range* GlobalShadow::find(const void* begin, size_t bytes, size_t& offset) {
  auto after = ranges_.upper_bound(reinterpret_cast<uintptr_t>(begin));
  if (after == ranges_.begin()) return nullptr;
  auto& [start, range] = *--after;
  offset = reinterpret_cast<uintptr_t>(begin) - start;
  return offset + bytes <= range.bytes ? &range : nullptr;
}

void GlobalShadow::mark_written(const void* begin, size_t bytes) {
  size_t offset = 0;
  if (Range* range = find(begin, bytes, offset)) {
    for (size_t i = offset / range->cell_bytes; i < (offset + bytes + range->cell_bytes - 1) / range->cell_bytes; ++i) {
      range->cells[i].written = true;
    }
  }
}

bool GlobalShadow::access(bool write, const void* begin, size_t bytes, size_t alignment, Place place) {
  Machine& machine = Machine::get();
  if (reinterpret_cast<uintptr_t>(begin) % alignment != 0) {
    machine.fault("alignment", place, "global memory");
    return false;
  }
  size_t offset = 0;
  Range* range = find(begin, bytes, offset);
  if (!range) {
    machine.fault("bounds", place, "global memory");
    return false;
  }
  // Nothing orders two threads of one launch, so any write of one that the other touches is a race.
  const int me = machine.block_number() * kMaxThreads + machine.thread();
  const uint32_t now = machine.launch_number();
  for (size_t i = offset / range->cell_bytes; i < (offset + bytes + range->cell_bytes - 1) / range->cell_bytes; ++i) {
    Cell& cell = range->cells[i];
    if (cell.written_in == now && cell.writer != me)
      machine.fault("race", place, "global memory, another thread wrote");
    if (write && cell.read_in == now && cell.reader != me)
      machine.fault("race", place, "global memory, another thread reads");
    if (!write && !cell.written) machine.fault("uninitialised", place, "global memory that nobody wrote");
    if (write) {
      cell.writer = me;
      cell.written_in = now;
      cell.written = true;
    } else {
      cell.reader = cell.read_in != now || cell.reader == me ? me : -2;
      cell.read_in = now;
    }
  }
  return true;
}

}  // namespace emulator
