#include "kernels/motion/compensate.hpp"

#include <algorithm>
#include <memory>
#include <optional>

#include "kernels/motion/overlap.hpp"
#include "kernels/motion/row_arithmetic.hpp"

namespace dcvc::motion {
namespace {

static_assert(kRow == kBlock);
constexpr int kBefore = kTaps / 2 - 1;       // samples that a filter needs ahead of the first one
constexpr int kWindow = kBlock + kTaps - 1;  // samples that a filtered square needs
constexpr int kMargin = 32;  // replicated samples around the reference; squares beyond it are gathered one by one

// The 8-tap quarter-sample filters of H.265 (clause 8.5.3.3.3), rows: fraction 0, 1/4, 1/2, 3/4.
constexpr int16_t kFilters[kSubpel][kTaps] = {{0, 0, 0, 64, 0, 0, 0, 0},
                                              {-1, 4, -10, 58, 17, -5, 1, 0},
                                              {-1, 4, -11, 40, 40, -11, 4, -1},
                                              {0, 1, -5, 17, 58, -10, 4, -1}};

// The reference plane line by line with replicated edges, so that most squares read straight from memory.
class PaddedPlane {
 public:
  PaddedPlane(const Squares<const int16_t>& plane, int rows, int columns)
      : height_(rows * kBlock),
        width_(columns * kBlock),
        stride_(width_ + 2 * kMargin),
        samples_(new int16_t[static_cast<size_t>(stride_) * (height_ + 2 * kMargin)]) {
    for (int row = 0; row < rows; ++row) {
      for (int column = 0; column < columns; ++column) {
        for (int y = 0; y < kBlock; ++y) store(at(row * kBlock + y, column * kBlock), load(plane.at(row, y, column)));
      }
      for (int y = row * kBlock; y < (row + 1) * kBlock; ++y) {
        std::fill_n(at(y, -kMargin), kMargin, *at(y, 0));
        std::fill_n(at(y, width_), kMargin, *at(y, width_ - 1));
      }
    }
    for (int i = 1; i <= kMargin; ++i) {
      std::copy_n(at(0, -kMargin), stride_, at(-i, -kMargin));
      std::copy_n(at(height_ - 1, -kMargin), stride_, at(height_ - 1 + i, -kMargin));
    }
  }

  int stride() const { return stride_; }
  const int16_t* at(int row, int column) const { return samples_.get() + offset(row, column); }
  bool holds(int row, int column) const {
    return row >= -kMargin && column >= -kMargin && row + kWindow <= height_ + kMargin &&
           column + kWindow <= width_ + kMargin;
  }
  int16_t clamped(int row, int column) const {
    return *at(std::clamp(row, 0, height_ - 1), std::clamp(column, 0, width_ - 1));
  }

 private:
  int16_t* at(int row, int column) { return samples_.get() + offset(row, column); }
  size_t offset(int row, int column) const { return static_cast<size_t>(row + kMargin) * stride_ + (column + kMargin); }

  int height_, width_, stride_;
  std::unique_ptr<int16_t[]> samples_;  // all of it is written: no need for zeros first
};

class Predictor {
 public:
  Predictor(const Squares<const int16_t>& reference, const Field& field)
      : plane_(reference, field.rows, field.columns), field_(field) {}

  // The blended prediction of a square, not limited.
  void predict(int row, int column, Row out[kBlock]) const {
    const Vector own = field_.at(row, column);
    const Vector above = field_.at(std::max(row - 1, 0), column),
                 below = field_.at(std::min(row + 1, field_.rows - 1), column);
    const Vector left = field_.at(row, std::max(column - 1, 0)),
                 right = field_.at(row, std::min(column + 1, field_.columns - 1));
    read(row, column, own, 0, kBlock, out);
    if (own == above && own == below && own == left && own == right) return;
    Row by_left[kBlock], by_right[kBlock], by_above[kBlock], by_below[kBlock];
    // Where a neighbour's vector has been read already, what it gave.
    const auto by = [&](Vector vector, int first, int last, Row* target) -> const Row* {
      if (vector == own) return out;
      if (target != by_left && vector == left) return by_left;
      if (target != by_left && target != by_right && vector == right) return by_right;
      read(row, column, vector, first, last, target);
      return target;
    };
    const Row *lefts = by(left, 0, kBlock, by_left), *rights = by(right, 0, kBlock, by_right);
    const Row *aboves = by(above, 0, kBlock / 2, by_above), *belows = by(below, kBlock / 2, kBlock, by_below);
    for (int y = 0; y < kBlock; ++y) {
      out[y] =
          blended(out[y], kOwn[y], (y < kBlock / 2 ? aboves : belows)[y], kVertical[y], joined(lefts[y], rights[y]));
    }
  }

 private:
  // Rows first..last - 1 of the square as its vector, or a neighbour's, finds them.
  void read(int row, int column, Vector vector, int first, int last, Row* out) const {
    const int top = row * kBlock + (vector.y >> 2) - kBefore, left = column * kBlock + (vector.x >> 2) - kBefore;
    const int fraction_x = vector.x & (kSubpel - 1), fraction_y = vector.y & (kSubpel - 1);
    if (plane_.holds(top, left))
      return interpolate(plane_.at(top, left), plane_.stride(), fraction_x, fraction_y, first, last, out);
    int16_t window[kWindow * kWindow];
    for (int y = 0; y < kWindow; ++y) {
      for (int x = 0; x < kWindow; ++x) window[y * kWindow + x] = plane_.clamped(top + y, left + x);
    }
    interpolate(window, kWindow, fraction_x, fraction_y, first, last, out);
  }

  // Rounded between the passes.
  static void interpolate(const int16_t* window, ptrdiff_t stride, int fraction_x, int fraction_y, int first, int last,
                          Row* out) {
    Row lines[kWindow];
    const int before = fraction_y ? 0 : kBefore, after = fraction_y ? kTaps - 1 : kBefore;
    const Filter along(kFilters[fraction_x]), down(kFilters[fraction_y]);
    for (int y = first + before; y < last + after; ++y) {
      const int16_t* line = window + y * stride;
      lines[y] = fraction_x ? along.along(line) : load(line + kBefore);
    }
    for (int y = first; y < last; ++y) out[y] = fraction_y ? down.down(lines + y) : lines[y + kBefore];
  }

  PaddedPlane plane_;
  Field field_;
};

}  // namespace

void compensate_plane(const Squares<const int16_t>& reference, const Squares<const int16_t>* long_term,
                      const Squares<int16_t>& predicted, const Motion& motion, int16_t max_value) {
  const Predictor predictor(reference, motion.field());
  std::optional<Predictor> long_term_predictor;
  if (long_term &&
      std::any_of(motion.blends.begin(), motion.blends.end(), [](uint8_t blend) { return blend != kReference; })) {
    long_term_predictor.emplace(*long_term, motion.track_field());
  }
  Row square[kBlock], second[kBlock];
  for (int row = 0; row < motion.rows; ++row) {
    for (int column = 0; column < motion.columns; ++column) {
      const uint8_t blend = long_term_predictor ? motion.blend(row, column) : uint8_t{kReference};
      if (blend != kReference) long_term_predictor->predict(row, column, blend == kMean ? second : square);
      if (blend != kLongTerm) predictor.predict(row, column, square);
      for (int y = 0; y < kBlock; ++y) {
        Row samples = limited(square[y], max_value);
        if (blend == kMean) samples = mean(samples, limited(second[y], max_value));
        store(predicted.at(row, y, column), samples);
      }
    }
  }
}

}  // namespace dcvc::motion
