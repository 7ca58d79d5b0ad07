// For each block three predictions compete: that of its vectors, that of a track into the long-term reference, and the
// mean of both. If all blocks together win less than the bits that signal blends, no block is blended.
#include "kernels/motion/track_search.hpp"

#include <cstring>
#include <limits>
#include <numeric>

#include "kernels/motion/kernel_table.hpp"
#include "kernels/motion/wavefront.hpp"

namespace dcvc::motion {
namespace {

class TrackSearcher {
 public:
  TrackSearcher(const Plane& current, const SampledPlane& reference, const SampledPlane& long_term, double lambda,
                const VectorCoder& coder, const std::vector<Vector>& vectors)
      : kernels_(kernels()),
        lambda_(lambda),
        rows_(current.height() / kSquare),
        columns_(current.width() / kSquare),
        prices_(coder.contexts()),
        state_(rows_, columns_, vectors, coder.kept(rows_, columns_)),
        vectors_{vectors.data(), rows_, columns_},
        current_(current),
        reference_(reference),
        long_term_(long_term) {}

  void run(int num_threads, Motion& motion) {
    TrackState followed = state_;
    std::vector<double> saved(motion.vectors.size() / 4);
    in_wavefront(rows_, columns_, num_threads, [&](int row, int column) {
      saved[static_cast<size_t>(row / 2) * (columns_ / 2) + column / 2] = search_block(row, column);
    });
    // The order of this sum is fixed, so that the sum does not depend on the number of threads.
    const double won =
        std::accumulate(saved.begin(), saved.end(), lambda_ * (prices_.any_blend(false) - prices_.any_blend(true)));
    TrackState& better = won > 0 ? state_ : followed;
    motion.tracks = better.take_tracks();
    motion.blends = better.take_blends();
  }

 private:
  static constexpr int kSide = 2 * kSquare;

  const KernelTable& kernels_;
  double lambda_;
  int rows_, columns_;
  VectorPrices prices_;
  TrackState state_;
  Field vectors_;
  const Plane& current_;
  const SampledPlane &reference_, &long_term_;

  double hadamard(int row, int column, const uint8_t* predicted, int stride, double limit) const {
    double cost = 0;
    for (int y = 0; y < kSide && cost < limit; y += kSquare) {
      cost += kernels_.hadamard_16x8(current_.at(row * kSquare + y, column * kSquare), current_.stride(),
                                     predicted + y * stride, stride);
    }
    return cost;
  }

  // What the block's own vectors predict, 16 x 16.
  void predict(int row, int column, uint8_t* out) const {
    for (int k = 0; k < 4; ++k) {
      const int y = row + k / 2, x = column + k % 2;
      const Vector vector = reference_.limited(vectors_.at(y, x), y, x, kSquare);
      uint8_t room[16 * 16];
      int stride;
      const uint8_t* square =
          reference_.square(y * kSquare * 4 + vector.y, x * kSquare * 4 + vector.x, kSquare, room, stride);
      for (int line = 0; line < kSquare; ++line)
        std::memcpy(out + (k / 2 * kSquare + line) * kSide + k % 2 * kSquare, square + line * stride, kSquare);
    }
  }

  // The cost that the best blend saves, with the bits that signal it. Negative where the block stays unblended, for the
  // bit that says so.
  double search_block(int row, int column) {
    uint8_t predicted[kSide * kSide];
    predict(row, column, predicted);
    const int blended = state_.neighbours(row, column, kMean), only = state_.neighbours(row, column, kLongTerm);
    const double unblended = hadamard(row, column, predicted, kSide, std::numeric_limits<double>::infinity());
    const Situation around = state_.situation(row, column);
    Found best{{0, 0}, unblended + lambda_ * prices_.blended(blended, false)};
    Blend best_blend = kReference;
    for (const Blend blend : {kMean, kLongTerm}) {
      const double price =
          lambda_ * (prices_.blended(blended, true) + prices_.long_term_only(only, blend == kLongTerm));
      const Found found = best_track(row, column, around, blend == kMean ? predicted : nullptr, price, best.cost);
      if (found.cost < best.cost) {
        best = found;
        best_blend = blend;
      }
    }
    if (best_blend != kReference) state_.set(row, column, best_blend, best.vector);
    return unblended - best.cost;
  }

  // The cheapest track of a block: for the mean with `predicted`, or alone if that is null. Its cost is below `limit`,
  // or the cost is `limit`.
  Found best_track(int row, int column, const Situation& around, const uint8_t* predicted, double price,
                   double limit) const {
    Found best{around.predicted, limit};
    const auto try_track = [&](Vector vector) {
      if (!(long_term_.limited(vector, row, column, kSide) == vector)) return;
      const double bits = price + lambda_ * prices_.vector(around, kTrackPart, vector);
      if (bits >= best.cost) return;
      uint8_t room[kSide * kSide], mean[kSide * kSide];
      int stride;
      const uint8_t* square =
          long_term_.square(row * kSquare * 4 + vector.y, column * kSquare * 4 + vector.x, kSide, room, stride);
      if (predicted) {
        kernels_.average(square, stride, predicted, kSide, kSide, mean);
        square = mean;
        stride = kSide;
      }
      const double cost = bits + hadamard(row, column, square, stride, best.cost - bits);
      if (cost < best.cost) best = {vector, cost};
    };
    try_track(around.predicted);
    for (int k = 0; k < around.num_candidates; ++k) try_track(around.candidates[k]);
    for (const int step : {4, 2, 1}) {
      const Vector centre = best.vector;
      for (int dy = -step; dy <= step; dy += step) {
        for (int dx = -step; dx <= step; dx += step) {
          if (dx || dy) try_track(moved(centre, dx, dy));
        }
      }
    }
    return best;
  }
};

}  // namespace

void search_tracks(const Plane& current, const SampledPlane& reference, const SampledPlane& long_term, double lambda,
                   const VectorCoder& coder, int num_threads, Motion& motion) {
  TrackSearcher(current, reference, long_term, lambda, coder, motion.vectors).run(num_threads, motion);
}

}  // namespace dcvc::motion
