// Each 16x16 square is searched in three steps: candidates from its neighbours, from the picture before and from a
// coarse full search; a diamond descent on whole samples; half and quarter samples by the Hadamard cost. Its four 8x8
// squares are searched the same way. The cheaper of both wins.
#include "kernels/motion/search.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "kernels/motion/kernel_table.hpp"
#include "kernels/motion/search_planes.hpp"
#include "kernels/motion/settle.hpp"
#include "kernels/motion/track_search.hpp"
#include "kernels/motion/wavefront.hpp"

namespace dcvc::motion {
namespace {

constexpr int kCoarse = 4;       // reduction of the coarse search
constexpr int kCoarseRange = 7;  // of its vectors, in reduced samples
constexpr int kMaxDescent = 24;

std::vector<uint8_t> reduced(const uint8_t* plane, int height, int width) {
  const int h = height / kCoarse, w = width / kCoarse;
  std::vector<uint8_t> out(static_cast<size_t>(h) * w);
  for (int row = 0; row < h; ++row) {
    for (int column = 0; column < w; ++column) {
      int sum = kCoarse * kCoarse / 2;
      for (int y = 0; y < kCoarse; ++y) {
        for (int x = 0; x < kCoarse; ++x)
          sum += plane[static_cast<size_t>(row * kCoarse + y) * width + column * kCoarse + x];
      }
      out[static_cast<size_t>(row) * w + column] = static_cast<uint8_t>(sum / (kCoarse * kCoarse));
    }
  }
  return out;
}

class Searcher {
 public:
  Searcher(const uint8_t* current, const uint8_t* reference, const Plane& padded_current, const SampledPlane& sampled,
           double lambda, const VectorCoder& coder)
      : kernels_(kernels()),
        lambda_(lambda),
        rows_(padded_current.height() / kSquare),
        columns_(padded_current.width() / kSquare),
        prices_(coder.contexts()),
        state_(rows_, columns_, coder.previous(rows_, columns_)),
        current_(padded_current),
        reference_(sampled),
        coarse_current_(coarse_plane(current)),
        coarse_reference_(coarse_plane(reference)) {}

  std::vector<Vector> run(int num_threads) {
    in_wavefront(rows_, columns_, num_threads, [&](int row, int column) { search_square(row, column); });
    return state_.take();
  }

 private:
  const KernelTable& kernels_;
  double lambda_;
  int rows_, columns_;
  VectorPrices prices_;
  VectorState state_;
  const Plane& current_;
  const SampledPlane& reference_;
  Plane coarse_current_, coarse_reference_;

  Plane coarse_plane(const uint8_t* plane) const {
    const int height = current_.height(), width = current_.width();
    return {reduced(plane, height, width).data(), height / kCoarse, width / kCoarse, kSearchMargin};
  }

  // A cost that is not below `limit` may be less than the true one.
  double whole_cost(int row, int column, int side, Vector vector, const Situation& around, double limit) const {
    const double price = lambda_ * prices_.vector(around, part_of(side), vector);
    if (price >= limit) return price;
    const int y = row * kSquare, x = column * kSquare;
    const Plane& whole = reference_.whole();
    const auto sad = side == kSquare ? kernels_.sad_8 : kernels_.sad_16;
    return sad(current_.at(y, x), current_.stride(), whole.at(y + (vector.y >> 2), x + (vector.x >> 2)),
               whole.stride()) +
           price;
  }

  static Part part_of(int side) { return side == kSquare ? kQuarter : kBlockPart; }

  // Hadamard cost at a vector in quarter samples.
  double fine_cost(int row, int column, int side, Vector vector, const Situation& around, double limit) const {
    const double price = lambda_ * prices_.vector(around, part_of(side), vector);
    if (price >= limit) return price;
    uint8_t room[16 * 16];
    int stride, cost = 0;
    const uint8_t* source =
        reference_.square(row * kSquare * 4 + vector.y, column * kSquare * 4 + vector.x, side, room, stride);
    const auto hadamard = side == kSquare ? kernels_.hadamard_8x8 : kernels_.hadamard_16x8;
    for (int y = 0; y < side && cost + price < limit; y += kSquare) {
      cost +=
          hadamard(current_.at(row * kSquare + y, column * kSquare), current_.stride(), source + y * stride, stride);
    }
    return cost + price;
  }

  static Vector whole(Vector vector) {
    return {static_cast<int16_t>((vector.x + 2) & ~3), static_cast<int16_t>((vector.y + 2) & ~3)};
  }

  // Takes `vector` if it is better; it must be within reach.
  template <class Cost>
  void try_vector(Found& best, Vector vector, Cost cost) const {
    if (vector == best.vector) return;
    const double found = cost(vector, best.cost);
    if (found < best.cost) best = {vector, found};
  }

  // Candidates and a diamond descent on whole samples, then halves, quarters and the cheap vectors by the Hadamard
  // cost.
  Found best_of(int row, int column, int side, const std::vector<Vector>& starts, const Situation& around) const {
    const auto legal = [&](Vector vector) { return reference_.limited(vector, row, column, side); };
    const auto rough = [&](Vector vector, double limit) {
      return whole_cost(row, column, side, vector, around, limit);
    };
    const auto fine = [&](Vector vector, double limit) { return fine_cost(row, column, side, vector, around, limit); };
    constexpr double kNoLimit = std::numeric_limits<double>::infinity();
    Found best{{0, 0}, rough({0, 0}, kNoLimit)};
    for (const Vector start : starts) try_vector(best, legal(whole(start)), rough);
    for (int round = 0; round < kMaxDescent; ++round) {
      const Vector centre = best.vector;
      for (const auto& [dx, dy] : {std::pair{4, 0}, {-4, 0}, {0, 4}, {0, -4}})
        try_vector(best, legal(moved(centre, dx, dy)), rough);
      if (best.vector == centre) break;
    }
    best.cost = fine(best.vector, kNoLimit);
    const auto try_cheap = [&](Vector vector) {
      if (legal(vector) == vector) try_vector(best, vector, fine);
    };
    try_cheap(around.predicted);
    for (int k = 0; k < around.num_candidates; ++k) try_cheap(around.candidates[k]);
    for (const int step : {2, 1}) {
      const Vector centre = best.vector;
      for (int dy = -step; dy <= step; dy += step) {
        for (int dx = -step; dx <= step; dx += step) try_vector(best, legal(moved(centre, dx, dy)), fine);
      }
    }
    return best;
  }

  Vector coarse(int row, int column) const {
    const int y = row * kSquare / kCoarse - 2, x = column * kSquare / kCoarse - 2;
    int best = 1 << 30;
    Vector found{0, 0};
    for (int dy = -kCoarseRange; dy <= kCoarseRange; ++dy) {
      for (int dx = -kCoarseRange; dx <= kCoarseRange; ++dx) {
        const int cost = kernels_.sad_8(coarse_current_.at(y, x), coarse_current_.stride(),
                                        coarse_reference_.at(y + dy, x + dx), coarse_reference_.stride()) +
                         std::abs(dx) + std::abs(dy);
        if (cost < best) {
          best = cost;
          found = {static_cast<int16_t>(dx * kCoarse * kSubpel), static_cast<int16_t>(dy * kCoarse * kSubpel)};
        }
      }
    }
    return found;
  }

  void search_square(int row, int column) {
    const Situation around = state_.situation(row, column, 2);
    std::vector<Vector> starts{around.predicted, coarse(row, column)};
    starts.insert(starts.end(), around.candidates, around.candidates + around.num_candidates);
    const int neighbours = state_.split_neighbours(row, column);
    Found together = best_of(row, column, 16, starts, around);
    together.cost += lambda_ * prices_.split(neighbours, around.num_candidates > 0, false);
    // Splitting does not pay for a square whose prediction errs by less than one grey level a sample.
    if (together.cost >= 256 &&
        split(row, column, together, lambda_ * prices_.split(neighbours, around.num_candidates > 0, true)))
      return;
    state_.set(row, column, 2, together.vector, around.predicted);
  }

  // Searches the quarters. True if they cost less than the whole square; then the state has their vectors.
  bool split(int row, int column, const Found& together, double cost) {
    for (int k = 0; k < 4; ++k) {
      const int y = row + k / 2, x = column + k % 2;
      const Situation around = state_.situation(y, x, 1);
      std::vector<Vector> starts{together.vector, around.predicted};
      starts.insert(starts.end(), around.candidates, around.candidates + around.num_candidates);
      const Found part = best_of(y, x, 8, starts, around);
      cost += part.cost;
      if (cost >= together.cost) return false;
      state_.set(y, x, 1, part.vector, around.predicted);
    }
    return true;
  }
};

}  // namespace

Motion search(const uint8_t* current, const uint8_t* reference, const uint8_t* long_term, int height, int width,
              double lambda, const VectorCoder& coder, int num_threads) {
  const Plane padded_current(current, height, width, kSearchMargin);
  const SampledPlane sampled(reference, height, width);
  Motion motion{height / kSquare,
                width / kSquare,
                Searcher(current, reference, padded_current, sampled, lambda, coder).run(num_threads),
                {},
                {}};
  settle(padded_current, sampled, nullptr, lambda, coder, num_threads, 0, long_term ? 0 : kSettleRounds - 1, motion);
  if (!long_term) return motion;
  const SampledPlane sampled_before(long_term, height, width);
  search_tracks(padded_current, sampled, sampled_before, lambda, coder, num_threads, motion);
  settle(padded_current, sampled, &sampled_before, lambda, coder, num_threads, 1, kSettleRounds - 1, motion);
  return motion;
}

}  // namespace dcvc::motion
