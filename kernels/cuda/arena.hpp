// The memory planner hands out the lowest gap that fits, so that the same requests get the same addresses. Only the
// host runs it. The backend runs its twin in Python, dcvc_cli/backend/cuda/arena.py.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>

namespace dcvc::cuda {

constexpr int64_t kArenaAlignment = 256, kFirstPieceBytes = 16 << 20;

class Arena {
 public:
  // Returns the address of memory for `bytes`. Where no gap fits, new_piece(bytes) gives the address of a piece.
  template <class NewPiece>
  int64_t allocate(int64_t bytes, const NewPiece& new_piece) {
    const int64_t size = std::max((bytes + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment, kArenaAlignment);
    auto gap = std::find_if(gaps_.begin(), gaps_.end(), [&](const auto& g) { return g.second >= size; });
    if (gap == gaps_.end()) {
      const int64_t piece_bytes = std::max({size, reserved_, kFirstPieceBytes}), piece = new_piece(piece_bytes);
      reserved_ += piece_bytes;
      pieces_[piece] = piece_bytes;
      gap = gaps_.emplace(piece, piece_bytes).first;
    }
    const auto [start, room] = *gap;
    gaps_.erase(gap);
    if (room > size) gaps_[start + size] = room - size;
    used_[start] = size;
    return start;
  }

  // Returns false for an address that is not handed out.
  bool free(int64_t address) {
    const auto part = used_.find(address);
    if (part == used_.end()) return false;
    int64_t start = address, size = part->second;
    used_.erase(part);
    const auto after = gaps_.lower_bound(start);
    if (after != gaps_.begin()) {
      const auto before = std::prev(after);
      // Gaps of two pieces stay apart even where the pieces touch.
      if (before->first + before->second == start && !pieces_.count(start)) {
        start = before->first;
        size += before->second;
        gaps_.erase(before);
      }
    }
    const auto next = gaps_.find(address + (size - (address - start)));
    if (next != gaps_.end() && !pieces_.count(next->first)) {
      size += next->second;
      gaps_.erase(next);
    }
    gaps_[start] = size;
    return true;
  }

  int64_t reserved_bytes() const { return reserved_; }
  const std::map<int64_t, int64_t>& gaps() const { return gaps_; }
  const std::map<int64_t, int64_t>& used() const { return used_; }
  const std::map<int64_t, int64_t>& pieces() const { return pieces_; }

 private:
  std::map<int64_t, int64_t> gaps_, used_, pieces_;  // size by address
  int64_t reserved_ = 0;
};

}  // namespace dcvc::cuda
