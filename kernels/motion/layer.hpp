// The overlapping prediction from one reference, in 8 bits, for the search. Compensation makes nearly the same samples.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/motion/search_planes.hpp"

namespace dcvc::motion {

constexpr int kSamples = kSquare * kSquare;

// field: the vectors of rows x columns squares. They may change after construction.
class Layer {
 public:
  Layer(const SampledPlane& plane, const std::vector<Vector>& field, int rows, int columns)
      : kernels_(kernels()), plane_(plane), field_{field.data(), rows, columns}, samples_(field.size() * kSamples) {}

  // The prediction that `keep` stored last.
  const uint8_t* kept(int row, int column) const { return samples_.data() + index(row, column); }
  void keep(int row, int column) { predict(row, column, samples_.data() + index(row, column)); }

  // The prediction by the field's vectors as they are now.
  void predict(int row, int column, uint8_t* out) const {
    const Vector own = field_.at(row, column);
    const Vector above = field_.at(std::max(row - 1, 0), column),
                 below = field_.at(std::min(row + 1, field_.rows - 1), column);
    const Vector left = field_.at(row, std::max(column - 1, 0)),
                 right = field_.at(row, std::min(column + 1, field_.columns - 1));
    const ByteSquare square = square_at(row, column, own);
    if (own == above && own == below && own == left && own == right) {
      kernels_.copy_square(square, plane_.stride(), out);
      return;
    }
    const ByteSquare squares[5] = {square, square_at(row, column, above), square_at(row, column, below),
                                   square_at(row, column, left), square_at(row, column, right)};
    kernels_.overlap_bytes(squares, plane_.stride(), out);
  }

  bool reaches(int row, int column, int side, Vector vector) const {
    return plane_.limited(vector, row, column, side) == vector;
  }

 private:
  // The square that a vector points to.
  ByteSquare square_at(int row, int column, Vector vector) const {
    const Vector within = plane_.limited(vector, row, column, kSquare);
    return plane_.samples(row * kSquare * kSubpel + within.y, column * kSquare * kSubpel + within.x);
  }

  size_t index(int row, int column) const { return (static_cast<size_t>(row) * field_.columns + column) * kSamples; }

  const KernelTable& kernels_;
  const SampledPlane& plane_;
  Field field_;
  std::vector<uint8_t> samples_;
};

}  // namespace dcvc::motion
