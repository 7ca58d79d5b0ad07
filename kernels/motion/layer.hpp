// What one of a picture's two references predicts with overlapping squares, in 8 bits, for the search: close to what
// compensation makes.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/motion/overlap.hpp"
#include "kernels/motion/search_planes.hpp"

namespace dcvc::motion {

constexpr int kSamples = kBlock * kBlock;

// field: rows x columns vectors of squares, which may change.
class Layer {
 public:
  Layer(const SampledPlane& plane, const std::vector<Vector>& field, int rows, int columns)
      : plane_(plane), field_{field.data(), rows, columns}, samples_(field.size() * kSamples) {}

  // As it was when last kept.
  const uint8_t* kept(int row, int column) const { return samples_.data() + index(row, column); }
  void keep(int row, int column) { predict(row, column, samples_.data() + index(row, column)); }

  // As the field is now.
  void predict(int row, int column, uint8_t* out) const {
    const Vector own = field_.at(row, column);
    const Vector above = field_.at(std::max(row - 1, 0), column),
                 below = field_.at(std::min(row + 1, field_.rows - 1), column);
    const Vector left = field_.at(row, std::max(column - 1, 0)),
                 right = field_.at(row, std::min(column + 1, field_.columns - 1));
    const Source source(*this, row, column, own);
    if (own == above && own == below && own == left && own == right) {
      for (int y = 0; y < kBlock; ++y) store_bytes(out + y * kBlock, source.line(y));
      return;
    }
    const Source upper(*this, row, column, above), lower(*this, row, column, below), before(*this, row, column, left),
        after(*this, row, column, right);
    for (int y = 0; y < kBlock; ++y) {
      const Row vertical = y < kBlock / 2 ? upper.line(y) : lower.line(y);
      store_bytes(out + y * kBlock,
                  blended(source.line(y), kOwn[y], vertical, kVertical[y], joined(before.line(y), after.line(y))));
    }
  }

  bool reaches(int row, int column, int side, Vector vector) const {
    return plane_.limited(vector, row, column, side) == vector;
  }

 private:
  // A square as a vector finds it.
  class Source {
   public:
    Source(const Layer& layer, int row, int column, Vector vector) : stride_(layer.plane_.stride()) {
      const Vector within = layer.plane_.limited(vector, row, column, kBlock);
      samples_ = layer.plane_.samples(row * kBlock * kSubpel + within.y, column * kBlock * kSubpel + within.x);
    }
    Row line(int y) const {
      const Row row = load_bytes(samples_.first + y * stride_);
      return samples_.second ? mean(row, load_bytes(samples_.second + y * stride_)) : row;
    }

   private:
    ptrdiff_t stride_;
    SampledPlane::Samples samples_;
  };

  size_t index(int row, int column) const { return (static_cast<size_t>(row) * field_.columns + column) * kSamples; }

  const SampledPlane& plane_;
  Field field_;
  std::vector<uint8_t> samples_;
};

}  // namespace dcvc::motion
