// What is known when a vector is coded: the vectors coded before it in this picture and those of the picture before. The same rules in
// the search, the encoder and the decoder. Source: docs/motion.md.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "compensate.hpp"

namespace dcvc::motion {

constexpr int kMaxCandidates = 4;

// A part is a whole 16x16 square (squares = 2) or one of its quarters (squares = 1).
struct Situation {
  Vector predicted;
  Vector candidates[kMaxCandidates];  // other likely vectors, most likely first, none twice
  int num_candidates = 0;
  int activity;  // 0..2: how far the neighbours' vectors were from what was predicted for them

  void add(Vector vector) {
    if (vector == predicted || num_candidates == kMaxCandidates) return;
    for (int k = 0; k < num_candidates; ++k) {
      if (candidates[k] == vector) return;
    }
    candidates[num_candidates++] = vector;
  }
};

class VectorState {
 public:
  // previous: the vectors of the picture before, rows x columns, or empty.
  VectorState(int rows, int columns, const std::vector<Vector>& previous)
      : rows_(rows), columns_(columns), vectors_(static_cast<size_t>(rows) * columns, Vector{0, 0}), sizes_(vectors_.size()), previous_(previous) {}

  int rows() const { return rows_; }
  int columns() const { return columns_; }
  std::vector<Vector> take() { return std::move(vectors_); }
  Vector at(int row, int column) const { return vectors_[index(row, column)]; }

  // 0..2: how many of the 16x16 squares to the left and above are split.
  int split_neighbours(int row, int column) const {
    return (column && sizes_[index(row, column - 1)] & kSplit ? 1 : 0) + (row && sizes_[index(row - 1, column)] & kSplit ? 1 : 0);
  }

  Situation situation(int row, int column, int squares) const {
    Situation s;
    const bool has_left = column > 0, has_above = row > 0;
    const Vector left = has_left ? at(row, column - 1) : Vector{0, 0}, above = has_above ? at(row - 1, column) : Vector{0, 0};
    // Above and to the right of a lower right quarter lies a square that is not coded yet.
    const bool has_right = has_above && column + squares < columns_ && !(squares == 1 && row % 2 == 1 && column % 2 == 1);
    const bool has_corner = has_right || (has_left && has_above);
    const Vector corner = !has_corner ? Vector{0, 0} : has_right ? at(row - 1, column + squares) : at(row - 1, column - 1);
    s.predicted = has_above ? Vector{median(left.x, above.x, corner.x), median(left.y, above.y, corner.y)} : left;
    if (has_left) s.add(left);
    if (has_above) s.add(above);
    if (has_corner) s.add(corner);
    if (!previous_.empty()) {
      s.add(previous_[index(row, column)]);
      s.add(previous_[index(std::min(row + squares, rows_ - 1), std::min(column + squares, columns_ - 1))]);
    }
    const int around = (has_left ? sizes_[index(row, column - 1)] & (kSplit - 1) : 0) + (has_above ? sizes_[index(row - 1, column)] & (kSplit - 1) : 0);
    s.activity = around == 0 ? 0 : around < 8 ? 1 : 2;
    return s;
  }

  void set(int row, int column, int squares, Vector vector, Vector predicted) {
    const int size = std::abs(vector.x - predicted.x) + std::abs(vector.y - predicted.y);
    for (int y = row; y < row + squares; ++y) {
      for (int x = column; x < column + squares; ++x) {
        vectors_[index(y, x)] = vector;
        sizes_[index(y, x)] = size | (squares == 1 ? kSplit : 0);
      }
    }
  }

 private:
  static constexpr int kSplit = 1 << 16;

  static int16_t median(int a, int b, int c) { return static_cast<int16_t>(std::max(std::min(a, b), std::min(std::max(a, b), c))); }
  size_t index(int row, int column) const { return static_cast<size_t>(row) * columns_ + column; }

  int rows_, columns_;
  std::vector<Vector> vectors_;
  std::vector<int> sizes_;  // distance of each vector from the predicted one, and whether its square is split
  const std::vector<Vector>& previous_;
};

}  // namespace dcvc::motion
