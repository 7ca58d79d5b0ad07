// Per 16x16 square: candidates from neighbours, the picture before and a coarse full search; a diamond descent on whole samples; half and
// quarter samples by the Hadamard cost; then the same for its four 8x8 squares, and whichever costs less. With a long-term reference, block by
// block: the mean of both pictures, or the long-term reference alone, where that costs less.
#include "search.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "block_costs.hpp"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define DCVC_MANY_TARGETS __attribute__((target_clones("avx2", "default")))
#else
#define DCVC_MANY_TARGETS
#endif

namespace dcvc::motion {
namespace {

constexpr int kMargin = 80;        // samples that a square may reach beyond the picture, filters included
constexpr int kReach = 64;         // of a vector beyond the picture's edge, in samples
constexpr int kCoarse = 4;         // reduction of the coarse search
constexpr int kCoarseRange = 7;    // of its vectors, in reduced samples
constexpr int kMaxDescent = 24;

struct Plane {
  int height, width, stride;
  std::vector<uint8_t> samples;

  Plane(int h, int w) : height(h), width(w), stride(w + 2 * kMargin), samples(static_cast<size_t>(stride) * (h + 2 * kMargin)) {}
  uint8_t* at(int row, int column) { return samples.data() + static_cast<size_t>(row + kMargin) * stride + (column + kMargin); }
  const uint8_t* at(int row, int column) const { return samples.data() + static_cast<size_t>(row + kMargin) * stride + (column + kMargin); }
};

Plane padded(const uint8_t* source, int height, int width) {
  Plane plane(height, width);
  for (int row = -kMargin; row < height + kMargin; ++row) {
    const uint8_t* line = source + static_cast<size_t>(std::clamp(row, 0, height - 1)) * width;
    uint8_t* target = plane.at(row, -kMargin);
    std::memset(target, line[0], kMargin);
    std::memcpy(target + kMargin, line, static_cast<size_t>(width));
    std::memset(target + kMargin + width, line[width - 1], kMargin);
  }
  return plane;
}

constexpr int kHalf[8] = {-1, 4, -11, 40, 40, -11, 4, -1};

DCVC_MANY_TARGETS void filter_line(const uint8_t* source, ptrdiff_t step, uint8_t* target, int count) {
  for (int i = 0; i < count; ++i) {
    int sum = 32;
    for (int tap = 0; tap < 8; ++tap) sum += kHalf[tap] * source[i + (tap - 3) * step];
    sum >>= 6;
    target[i] = static_cast<uint8_t>(sum < 0 ? 0 : sum > 255 ? 255 : sum);
  }
}

// The plane halfway to the next sample along x (step 1) or y (step = stride); a border of 4 samples keeps the source's values.
Plane halfway(const Plane& source, ptrdiff_t step) {
  Plane out = source;
  for (int row = 4 - kMargin; row < source.height + kMargin - 4; ++row) {
    filter_line(source.at(row, 4 - kMargin), step, out.at(row, 4 - kMargin), source.width + 2 * kMargin - 8);
  }
  return out;
}

std::vector<uint8_t> reduced(const uint8_t* plane, int height, int width) {
  const int h = height / kCoarse, w = width / kCoarse;
  std::vector<uint8_t> out(static_cast<size_t>(h) * w);
  for (int row = 0; row < h; ++row) {
    for (int column = 0; column < w; ++column) {
      int sum = kCoarse * kCoarse / 2;
      for (int y = 0; y < kCoarse; ++y) {
        for (int x = 0; x < kCoarse; ++x) sum += plane[static_cast<size_t>(row * kCoarse + y) * width + column * kCoarse + x];
      }
      out[static_cast<size_t>(row) * w + column] = static_cast<uint8_t>(sum / (kCoarse * kCoarse));
    }
  }
  return out;
}

// A picture at whole and half samples.
class SampledPlane {
 public:
  SampledPlane(const uint8_t* plane, int height, int width)
      : whole_(padded(plane, height, width)),
        half_x_(halfway(whole_, 1)),
        half_y_(halfway(whole_, whole_.stride)),
        half_xy_(halfway(half_x_, whole_.stride)) {}

  const Plane& whole() const { return whole_; }

  // A square of side 8 or 16 whose corner stands at (y4, x4) in quarter samples; quarters are means of the two nearest half samples, as in H.264.
  // The samples lie here or in `room`, 16 x 16; the stride is set.
  const uint8_t* square(int y4, int x4, int side, uint8_t* room, int& stride) const {
    const uint8_t* source = half_sample(y4 >> 1, x4 >> 1);
    stride = whole_.stride;
    if (!((y4 | x4) & 1)) return source;
    average_square(source, half_sample((y4 + 1) >> 1, (x4 + 1) >> 1), stride, room, side);
    stride = 16;
    return room;
  }

  // Keeps a square within the margin.
  Vector limited(Vector vector, int row, int column, int side) const {
    const int x_low = -(column * kBlock) - kReach, x_high = whole_.width - column * kBlock - side + kReach;
    const int y_low = -(row * kBlock) - kReach, y_high = whole_.height - row * kBlock - side + kReach;
    const auto within = [](int v, int low, int high) {
      return static_cast<int16_t>(std::clamp(v, std::max(low * kSubpel, -kMaxVector), std::min(high * kSubpel, kMaxVector)));
    };
    return {within(vector.x, x_low, x_high), within(vector.y, y_low, y_high)};
  }

 private:
  const uint8_t* half_sample(int y2, int x2) const {  // coordinates in half samples
    const Plane& plane = y2 & 1 ? (x2 & 1 ? half_xy_ : half_y_) : (x2 & 1 ? half_x_ : whole_);
    return plane.at(y2 >> 1, x2 >> 1);
  }

  Plane whole_, half_x_, half_y_, half_xy_;
};

Vector moved(Vector vector, int dx, int dy) { return {static_cast<int16_t>(vector.x + dx), static_cast<int16_t>(vector.y + dy)}; }

struct Found {
  Vector vector;
  double cost;
};

class Searcher {
 public:
  Searcher(const uint8_t* current, const uint8_t* reference, const Plane& padded_current, const SampledPlane& sampled, double lambda,
           const VectorCoder& coder)
      : lambda_(lambda),
        rows_(padded_current.height / kBlock),
        columns_(padded_current.width / kBlock),
        prices_(coder.contexts()),
        state_(rows_, columns_, coder.previous(rows_, columns_)),
        current_(padded_current),
        reference_(sampled),
        coarse_current_(coarse_plane(current)),
        coarse_reference_(coarse_plane(reference)) {}

  std::vector<Vector> run() {
    for (int row = 0; row < rows_; row += 2) {
      for (int column = 0; column < columns_; column += 2) search_square(row, column);
    }
    return state_.take();
  }

 private:
  double lambda_;
  int rows_, columns_;
  VectorPrices prices_;
  VectorState state_;
  const Plane& current_;
  const SampledPlane& reference_;
  Plane coarse_current_, coarse_reference_;

  Plane coarse_plane(const uint8_t* plane) const {
    const int height = current_.height, width = current_.width;
    return padded(reduced(plane, height, width).data(), height / kCoarse, width / kCoarse);
  }

  // Costs may stop short of the truth once they are not below `limit`.
  double whole_cost(int row, int column, int side, Vector vector, const Situation& around, double limit) const {
    const double price = lambda_ * prices_.vector(around, part_of(side), vector);
    if (price >= limit) return price;
    const int y = row * kBlock, x = column * kBlock;
    const Plane& whole = reference_.whole();
    return sad(current_.at(y, x), current_.stride, whole.at(y + (vector.y >> 2), x + (vector.x >> 2)), whole.stride, side) + price;
  }

  static Part part_of(int side) { return side == kBlock ? kQuarter : kBlockPart; }

  // Hadamard cost at a vector in quarter samples.
  double fine_cost(int row, int column, int side, Vector vector, const Situation& around, double limit) const {
    const double price = lambda_ * prices_.vector(around, part_of(side), vector);
    if (price >= limit) return price;
    uint8_t room[16 * 16];
    int stride, cost = 0;
    const uint8_t* source = reference_.square(row * kBlock * 4 + vector.y, column * kBlock * 4 + vector.x, side, room, stride);
    for (int y = 0; y < side; y += 8) {
      for (int x = 0; x < side; x += 8) {
        cost += hadamard_8x8(current_.at(row * kBlock + y, column * kBlock + x), current_.stride, source + y * stride + x, stride);
        if (cost + price >= limit) return cost + price;
      }
    }
    return cost + price;
  }

  static Vector whole(Vector vector) { return {static_cast<int16_t>((vector.x + 2) & ~3), static_cast<int16_t>((vector.y + 2) & ~3)}; }

  // Takes `vector` if it is better; it must be within reach.
  template <class Cost>
  void try_vector(Found& best, Vector vector, Cost cost) const {
    if (vector == best.vector) return;
    const double found = cost(vector, best.cost);
    if (found < best.cost) best = {vector, found};
  }

  // Candidates and a diamond descent on whole samples, then halves, quarters and the cheap vectors by the Hadamard cost.
  Found best_of(int row, int column, int side, const std::vector<Vector>& starts, const Situation& around) const {
    const auto legal = [&](Vector vector) { return reference_.limited(vector, row, column, side); };
    const auto rough = [&](Vector vector, double limit) { return whole_cost(row, column, side, vector, around, limit); };
    const auto fine = [&](Vector vector, double limit) { return fine_cost(row, column, side, vector, around, limit); };
    constexpr double kNoLimit = std::numeric_limits<double>::infinity();
    Found best{{0, 0}, rough({0, 0}, kNoLimit)};
    for (const Vector start : starts) try_vector(best, legal(whole(start)), rough);
    for (int round = 0; round < kMaxDescent; ++round) {
      const Vector centre = best.vector;
      for (const auto& [dx, dy] : {std::pair{4, 0}, {-4, 0}, {0, 4}, {0, -4}}) try_vector(best, legal(moved(centre, dx, dy)), rough);
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
    const int y = row * kBlock / kCoarse - 2, x = column * kBlock / kCoarse - 2;
    int best = 1 << 30;
    Vector found{0, 0};
    for (int dy = -kCoarseRange; dy <= kCoarseRange; ++dy) {
      for (int dx = -kCoarseRange; dx <= kCoarseRange; ++dx) {
        const int cost = sad(coarse_current_.at(y, x), coarse_current_.stride, coarse_reference_.at(y + dy, x + dx), coarse_reference_.stride, 8) +
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
    // A square that is predicted to less than a grey level a sample is not worth splitting.
    if (together.cost >= 256 && split(row, column, together, lambda_ * prices_.split(neighbours, around.num_candidates > 0, true))) return;
    state_.set(row, column, 2, together.vector, around.predicted);
  }

  // Searches the quarters; whether they cost less than the whole square, in which case they stand in the state.
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

// Blends and tracks of a picture whose vectors are found.
class TrackSearcher {
 public:
  TrackSearcher(const Plane& current, const SampledPlane& reference, const SampledPlane& long_term, double lambda, const VectorCoder& coder,
                 const std::vector<Vector>& vectors)
      : lambda_(lambda),
        rows_(current.height / kBlock),
        columns_(current.width / kBlock),
        prices_(coder.contexts()),
        state_(rows_, columns_, vectors, coder.kept(rows_, columns_)),
        vectors_{vectors.data(), rows_, columns_},
        current_(current),
        reference_(reference),
        long_term_(long_term) {}

  void run(Motion& motion) {
    TrackState followed = state_;
    double won = lambda_ * (prices_.any_blend(false) - prices_.any_blend(true));
    for (int row = 0; row < rows_; row += 2) {
      for (int column = 0; column < columns_; column += 2) won += search_block(row, column);
    }
    TrackState& better = won > 0 ? state_ : followed;
    motion.tracks = better.take_tracks();
    motion.blends = better.take_blends();
  }

 private:
  static constexpr int kSide = 2 * kBlock;

  double lambda_;
  int rows_, columns_;
  VectorPrices prices_;
  TrackState state_;
  Field vectors_;
  const Plane& current_;
  const SampledPlane &reference_, &long_term_;

  double hadamard(int row, int column, const uint8_t* predicted, int stride, double limit) const {
    double cost = 0;
    for (int k = 0; k < 4 && cost < limit; ++k) {
      const int y = k / 2 * kBlock, x = k % 2 * kBlock;
      cost += hadamard_8x8(current_.at(row * kBlock + y, column * kBlock + x), current_.stride, predicted + y * stride + x, stride);
    }
    return cost;
  }

  // What the block's own vectors predict, 16 x 16.
  void predict(int row, int column, uint8_t* out) const {
    for (int k = 0; k < 4; ++k) {
      const int y = row + k / 2, x = column + k % 2;
      const Vector vector = reference_.limited(vectors_.at(y, x), y, x, kBlock);
      uint8_t room[16 * 16];
      int stride;
      const uint8_t* square = reference_.square(y * kBlock * 4 + vector.y, x * kBlock * 4 + vector.x, kBlock, room, stride);
      for (int line = 0; line < kBlock; ++line) std::memcpy(out + (k / 2 * kBlock + line) * kSide + k % 2 * kBlock, square + line * stride, kBlock);
    }
  }

  // What the best blend saves, the bit that tells it counted: less than nothing where the block stays as it is.
  double search_block(int row, int column) {
    uint8_t predicted[kSide * kSide];
    predict(row, column, predicted);
    const int blended = state_.neighbours(row, column, kMean), only = state_.neighbours(row, column, kLongTerm);
    const double unblended = hadamard(row, column, predicted, kSide, std::numeric_limits<double>::infinity());
    const Situation around = state_.situation(row, column);
    Found best{{0, 0}, unblended + lambda_ * prices_.blended(blended, false)};
    uint8_t best_blend = kReference;
    for (const uint8_t blend : {kMean, kLongTerm}) {
      const double price = lambda_ * (prices_.blended(blended, true) + prices_.long_term_only(only, blend == kLongTerm));
      const Found found = best_track(row, column, around, blend == kMean ? predicted : nullptr, price, best.cost);
      if (found.cost < best.cost) {
        best = found;
        best_blend = blend;
      }
    }
    if (best_blend != kReference) state_.set(row, column, best_blend, best.vector);
    return unblended - best.cost;
  }

  // The cheapest track of a block for its mean with `predicted`, or alone; nothing that costs `limit` or more.
  Found best_track(int row, int column, const Situation& around, const uint8_t* predicted, double price, double limit) const {
    Found best{around.predicted, limit};
    const auto try_track = [&](Vector vector) {
      if (!(long_term_.limited(vector, row, column, kSide) == vector)) return;
      const double bits = price + lambda_ * prices_.vector(around, kTrackPart, vector);
      if (bits >= best.cost) return;
      uint8_t room[kSide * kSide], mean[kSide * kSide];
      int stride;
      const uint8_t* square = long_term_.square(row * kBlock * 4 + vector.y, column * kBlock * 4 + vector.x, kSide, room, stride);
      if (predicted) {
        average_squares(square, stride, predicted, kSide, mean);
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

Motion search(const uint8_t* current, const uint8_t* reference, const uint8_t* long_term, int height, int width, double lambda,
              const VectorCoder& coder) {
  const Plane padded_current = padded(current, height, width);
  const SampledPlane sampled(reference, height, width);
  Motion motion{height / kBlock, width / kBlock, Searcher(current, reference, padded_current, sampled, lambda, coder).run(), {}, {}};
  if (long_term) TrackSearcher(padded_current, sampled, SampledPlane(long_term, height, width), lambda, coder, motion.vectors).run(motion);
  return motion;
}

}  // namespace dcvc::motion
