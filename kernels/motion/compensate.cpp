#include "kernels/motion/compensate.hpp"

#include <algorithm>
#include <cstring>
#include <optional>

#include "kernels/base/padded_plane.hpp"
#include "kernels/motion/kernel_table.hpp"

namespace dcvc::motion {
namespace {

constexpr int kBefore = kTaps / 2 - 1;        // samples that a filter needs ahead of the first one
constexpr int kWindow = kSquare + kTaps - 1;  // samples that a filtered square needs
constexpr int kMargin = 32;  // replicated samples around the reference; squares beyond it are gathered one by one

// The reference plane line by line, so that most squares read straight from memory.
PaddedPlane<int16_t> padded_plane(const Squares<const int16_t>& plane, int rows, int columns) {
  PaddedPlane<int16_t> out(rows * kSquare, columns * kSquare, kMargin);
  for (int row = 0; row < rows; ++row) {
    for (int column = 0; column < columns; ++column) {
      for (int y = 0; y < kSquare; ++y) {
        std::memcpy(out.at(row * kSquare + y, column * kSquare), plane.at(row, y, column), kSquare * sizeof(int16_t));
      }
    }
  }
  out.repeat_edges();
  return out;
}

class Predictor {
 public:
  Predictor(const Squares<const int16_t>& reference, const Field& field)
      : kernels_(kernels()), plane_(padded_plane(reference, field.rows, field.columns)), field_(field) {}

  // The overlapping prediction of a square, not limited.
  void predict(int row, int column, SampleSquare& out) const {
    const Vector own = field_.at(row, column);
    const Vector above = field_.at(std::max(row - 1, 0), column);
    const Vector below = field_.at(std::min(row + 1, field_.rows - 1), column);
    const Vector left = field_.at(row, std::max(column - 1, 0));
    const Vector right = field_.at(row, std::min(column + 1, field_.columns - 1));
    read(row, column, own, 0, kSquare, out);
    if (own == above && own == below && own == left && own == right) return;
    SampleSquare by_left, by_right, by_above, by_below;
    // Where a neighbour's vector has been read already, what it gave.
    const auto by = [&](Vector vector, int first, int last, SampleSquare& target) -> const SampleSquare& {
      if (vector == own) return out;
      if (&target != &by_left && vector == left) return by_left;
      if (&target != &by_left && &target != &by_right && vector == right) return by_right;
      read(row, column, vector, first, last, target);
      return target;
    };
    const SampleSquare &lefts = by(left, 0, kSquare, by_left), &rights = by(right, 0, kSquare, by_right);
    const SampleSquare& aboves = by(above, 0, kSquare / 2, by_above);
    const SampleSquare& belows = by(below, kSquare / 2, kSquare, by_below);
    kernels_.overlap_samples(out, aboves, belows, lefts, rights);
  }

 private:
  // Rows first..last - 1 of the square as its vector, or a neighbour's, finds them.
  void read(int row, int column, Vector vector, int first, int last, SampleSquare& out) const {
    const int top = row * kSquare + (vector.y >> 2) - kBefore, left = column * kSquare + (vector.x >> 2) - kBefore;
    const int fraction_x = vector.x & (kSubpel - 1), fraction_y = vector.y & (kSubpel - 1);
    if (plane_.holds(top, left, kWindow)) {
      kernels_.interpolate(plane_.at(top, left), plane_.stride(), fraction_x, fraction_y, first, last, out);
      return;
    }
    int16_t window[kWindow * kWindow];
    for (int y = 0; y < kWindow; ++y) {
      for (int x = 0; x < kWindow; ++x) window[y * kWindow + x] = plane_.clamped(top + y, left + x);
    }
    kernels_.interpolate(window, kWindow, fraction_x, fraction_y, first, last, out);
  }

  const KernelTable& kernels_;
  PaddedPlane<int16_t> plane_;
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
  const KernelTable& table = kernels();
  SampleSquare square, second;
  for (int row = 0; row < motion.rows; ++row) {
    for (int column = 0; column < motion.columns; ++column) {
      const uint8_t blend = long_term_predictor ? motion.blend(row, column) : uint8_t{kReference};
      if (blend != kReference) long_term_predictor->predict(row, column, blend == kMean ? second : square);
      if (blend != kLongTerm) predictor.predict(row, column, square);
      table.limit(square, blend == kMean ? &second : nullptr, max_value, predicted.at(row, 0, column), predicted.row);
    }
  }
}

}  // namespace dcvc::motion
