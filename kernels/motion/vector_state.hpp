// The state that predicts a vector: the vectors coded before it in this picture, and those of the picture before.
// Search, encoder and decoder follow the same rules. Source: docs/motion.md.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "kernels/motion/compensate.hpp"

namespace dcvc::motion {

constexpr int kMaxCandidates = 4;

// The kinds of vectors: of a quarter of a 16x16 block, of a whole block, and of a block into the long-term reference.
enum Part : int { kQuarter = 0, kBlockPart = 1, kTrackPart = 2 };

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
      : rows_(rows),
        columns_(columns),
        vectors_(static_cast<size_t>(rows) * columns, Vector{0, 0}),
        sizes_(vectors_.size()),
        previous_(previous) {}

  int rows() const { return rows_; }
  int columns() const { return columns_; }
  std::vector<Vector> take() { return std::move(vectors_); }
  const std::vector<Vector>& vectors() const { return vectors_; }
  Vector at(int row, int column) const { return vectors_[index(row, column)]; }

  // Whether the squares of a block have different vectors.
  bool differ(int row, int column) const {
    const Vector first = at(row, column);
    return !(first == at(row, column + 1) && first == at(row + 1, column) && first == at(row + 1, column + 1));
  }

  // 0..2: how many of the 16x16 squares to the left and above are split.
  int split_neighbours(int row, int column) const {
    return (column && sizes_[index(row, column - 1)] & kSplit ? 1 : 0) +
           (row && sizes_[index(row - 1, column)] & kSplit ? 1 : 0);
  }

  Situation situation(int row, int column, int squares) const {
    Situation s;
    const bool has_left = column > 0, has_above = row > 0;
    const Vector left = has_left ? at(row, column - 1) : Vector{0, 0},
                 above = has_above ? at(row - 1, column) : Vector{0, 0};
    // Above and to the right of a lower right quarter lies a square that is not coded yet.
    const bool has_right =
        has_above && column + squares < columns_ && !(squares == 1 && row % 2 == 1 && column % 2 == 1);
    const bool has_corner = has_right || (has_left && has_above);
    const Vector corner = !has_corner ? Vector{0, 0}
                          : has_right ? at(row - 1, column + squares)
                                      : at(row - 1, column - 1);
    s.predicted = has_above ? Vector{median(left.x, above.x, corner.x), median(left.y, above.y, corner.y)} : left;
    if (has_left) s.add(left);
    if (has_above) s.add(above);
    if (has_corner) s.add(corner);
    if (!previous_.empty()) {
      s.add(previous_[index(row, column)]);
      s.add(previous_[index(std::min(row + squares, rows_ - 1), std::min(column + squares, columns_ - 1))]);
    }
    const int around = (has_left ? sizes_[index(row, column - 1)] & (kSplit - 1) : 0) +
                       (has_above ? sizes_[index(row - 1, column)] & (kSplit - 1) : 0);
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

  static int16_t median(int a, int b, int c) {
    return static_cast<int16_t>(std::max(std::min(a, b), std::min(std::max(a, b), c)));
  }
  size_t index(int row, int column) const { return static_cast<size_t>(row) * columns_ + column; }

  int rows_, columns_;
  std::vector<Vector> vectors_;
  std::vector<int> sizes_;  // distance of each vector from the predicted one, and whether its square is split
  const std::vector<Vector>& previous_;
};

// The tracks of a picture whose vectors are known. At first all tracks follow the vectors; then blocks get their own.
class TrackState {
 public:
  // vectors: the picture's, which must outlive this. kept: the tracks of the picture before, where that one had this
  // size.
  TrackState(int rows, int columns, const std::vector<Vector>& vectors, const std::vector<Vector>& kept)
      : rows_(rows),
        columns_(columns),
        vectors_(vectors),
        kept_(kept),
        tracks_(vectors.size()),
        blends_(vectors.size() / 4, uint8_t{kReference}) {
    for (int row = 0; row < rows; row += 2) {
      for (int column = 0; column < columns; column += 2) follow(row, column);
    }
  }

  int rows() const { return rows_; }
  int columns() const { return columns_; }
  std::vector<Vector> take_tracks() { return std::move(tracks_); }
  std::vector<uint8_t> take_blends() { return std::move(blends_); }
  const std::vector<Vector>& tracks() const { return tracks_; }
  Vector at(int row, int column) const { return tracks_[index(row, column)]; }
  Blend blend(int row, int column) const { return static_cast<Blend>(blends_[block(row, column)]); }

  // 0..2: how many of the blocks to the left and above have a blend of `least` or more.
  int neighbours(int row, int column, uint8_t least) const {
    return (column && blends_[block(row, column - 2)] >= least ? 1 : 0) +
           (row && blends_[block(row - 2, column)] >= least ? 1 : 0);
  }

  // The situation of a block, which does not depend on its own track. row, column: its upper left square.
  Situation situation(int row, int column) const {
    const Vector upper_right = followed(row, column + 1), lower_left = followed(row + 1, column),
                 lower_right = followed(row + 1, column + 1);
    Situation s;
    s.predicted = followed(row, column);
    s.activity = s.predicted == upper_right && s.predicted == lower_left && s.predicted == lower_right ? 0 : 1;
    s.add(upper_right);
    s.add(lower_left);
    s.add(lower_right);
    if (column) s.add(at(row, column - 1));
    if (row) s.add(at(row - 1, column));
    return s;
  }

  // A block with a track of its own.
  void set(int row, int column, Blend blend, Vector track) {
    blends_[block(row, column)] = blend;
    for (int k = 0; k < 4; ++k) tracks_[index(row + k / 2, column + k % 2)] = track;
  }

  // A block that is predicted from the reference picture alone.
  void follow(int row, int column) {
    blends_[block(row, column)] = kReference;
    for (int k = 0; k < 4; ++k) tracks_[index(row + k / 2, column + k % 2)] = followed(row + k / 2, column + k % 2);
  }

 private:
  size_t index(int row, int column) const { return static_cast<size_t>(row) * columns_ + column; }
  size_t block(int row, int column) const { return static_cast<size_t>(row / 2) * (columns_ / 2) + column / 2; }

  // The square's vector plus the kept track of the square that the vector points to.
  Vector followed(int row, int column) const {
    const Vector vector = vectors_[index(row, column)];
    if (kept_.size() != tracks_.size()) return vector;
    const int there_row = std::clamp(row + ((vector.y + 16) >> 5), 0, rows_ - 1);
    const int there_column = std::clamp(column + ((vector.x + 16) >> 5), 0, columns_ - 1);
    const Vector on = kept_[index(there_row, there_column)];
    const auto limited = [](int v) { return static_cast<int16_t>(std::clamp(v, -kMaxVector, kMaxVector)); };
    return {limited(vector.x + on.x), limited(vector.y + on.y)};
  }

  int rows_, columns_;
  const std::vector<Vector>&vectors_, &kept_;
  std::vector<Vector> tracks_;
  std::vector<uint8_t> blends_;
};

}  // namespace dcvc::motion
