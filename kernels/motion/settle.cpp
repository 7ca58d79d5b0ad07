#include "kernels/motion/settle.hpp"

#include <algorithm>
#include <array>

#include "kernels/motion/kernel_table.hpp"
#include "kernels/motion/layer.hpp"
#include "kernels/motion/wavefront.hpp"

namespace dcvc::motion {
namespace {

// Other vectors nearly always leave at least this share of a square's cost.
constexpr double kLeast = 0.7;
// A square whose cost is that of fewer bits gets no vector of its own.
constexpr double kWorthBits = 2.0;

struct Place {
  int row, column;
};

// A block's vectors change the samples of its own squares and of the squares that share a side with it.
constexpr std::array<Place, 12> kAroundBlock{
    {{0, 0}, {0, 1}, {1, 0}, {1, 1}, {0, -1}, {1, -1}, {-1, 0}, {-1, 1}, {0, 2}, {1, 2}, {2, 0}, {2, 1}}};
constexpr std::array<Place, 5> kAroundSquare{{{0, 0}, {0, -1}, {-1, 0}, {0, 1}, {1, 0}}};
constexpr std::array<Place, 4> kQuarters{{{0, 0}, {0, 1}, {1, 0}, {1, 1}}};
constexpr std::array<Place, 4> kSteps{{{0, 1}, {0, -1}, {1, 0}, {-1, 0}}};

using Quarters = std::array<Vector, 4>;  // the vectors of a block's squares in coding order

// The vectors to try; none stands here twice.
class Tries {
 public:
  explicit Tries(Vector own) : own_(own) {}
  void add(Vector vector) {
    if (vector == own_ || std::find(begin(), end(), vector) != end() || size_ == tries_.size()) return;
    tries_[size_++] = vector;
  }
  void add(const Situation& around) {
    add(around.predicted);
    for (int k = 0; k < around.num_candidates; ++k) add(around.candidates[k]);
  }
  const Vector* begin() const { return tries_.data(); }
  const Vector* end() const { return tries_.data() + size_; }

 private:
  Vector own_;
  std::array<Vector, 16> tries_;
  size_t size_ = 0;
};

class Settler {
 public:
  Settler(const Plane& current, const SampledPlane& reference, const SampledPlane* long_term, double lambda,
          const VectorCoder& coder, const Motion& found)
      : kernels_(kernels()),
        lambda_(lambda),
        rows_(found.rows),
        columns_(found.columns),
        prices_(coder.contexts()),
        vectors_(rows_, columns_, coder.previous(rows_, columns_)),
        tracks_(rows_, columns_, vectors_.vectors(), coder.kept(rows_, columns_)),
        has_long_term_(long_term != nullptr),
        has_tracks_(long_term && std::any_of(found.blends.begin(), found.blends.end(),
                                             [](uint8_t blend) { return blend != kReference; })),
        current_(current),
        first_(reference, vectors_.vectors(), rows_, columns_),
        second_(long_term ? *long_term : reference, tracks_.tracks(), rows_, columns_),
        costs_(static_cast<size_t>(rows_) * columns_),
        changed_(costs_.size() / 4, -1),
        vector_bits_(changed_.size()),
        track_bits_(changed_.size()) {
    take_over(found);
  }

  void run(int first, int last, int num_threads) {
    for (round_ = first; round_ <= last; ++round_) {
      in_wavefront(rows_, columns_, num_threads, [&](int row, int column) {
        if ((round_ == first || is_due(row, column)) && settle_block(row, column))
          changed_[block(row, column)] = round_;
      });
    }
  }

  void give_back(Motion& motion) {
    if (has_long_term_) {
      motion.tracks = tracks_.take_tracks();
      motion.blends = tracks_.take_blends();
    }
    motion.vectors = vectors_.take();
  }

 private:
  const KernelTable& kernels_;
  double lambda_;
  int rows_, columns_;
  VectorPrices prices_;
  VectorState vectors_;
  TrackState tracks_;
  bool has_long_term_, has_tracks_;
  int round_ = 0;
  const Plane& current_;
  Layer first_, second_;
  std::vector<int> costs_;                        // of the squares' predictions
  std::vector<int> changed_;                      // the last round in which a block changed, -1 for none
  std::vector<double> vector_bits_, track_bits_;  // of the blocks

  size_t block(int row, int column) const { return static_cast<size_t>(row / 2) * (columns_ / 2) + column / 2; }
  size_t square(int row, int column) const { return static_cast<size_t>(row) * columns_ + column; }
  bool is_inside(int row, int column) const { return row >= 0 && column >= 0 && row < rows_ && column < columns_; }

  void take_over(const Motion& found) {
    for (int row = 0; row < rows_; row += 2) {
      for (int column = 0; column < columns_; column += 2) {
        Quarters quarters;
        for (int k = 0; k < 4; ++k) quarters[k] = found.field().at(row + k / 2, column + k % 2);
        put(row, column, quarters);
        const Blend blend = static_cast<Blend>(found.blend(row, column));
        if (has_tracks_ && blend != kReference) tracks_.set(row, column, blend, found.track_field().at(row, column));
      }
    }
    for (int row = 0; row < rows_; ++row) {
      for (int column = 0; column < columns_; ++column) keep_square(row, column);
    }
    for (int row = 0; row < rows_; row += 2) {
      for (int column = 0; column < columns_; column += 2) keep_bits(row, column);
    }
  }

  // After the first round a block is due if it, or a block beside it, changed in the round before.
  bool is_due(int row, int column) const {
    for (int y = std::max(row - 2, 0); y <= std::min(row + 2, rows_ - 2); y += 2) {
      for (int x = std::max(column - 2, 0); x <= std::min(column + 2, columns_ - 2); x += 2) {
        if (changed_[block(y, x)] >= round_ - 1) return true;
      }
    }
    return false;
  }

  Quarters quarters_at(int row, int column) const {
    return {vectors_.at(row, column), vectors_.at(row, column + 1), vectors_.at(row + 1, column),
            vectors_.at(row + 1, column + 1)};
  }

  void put(int row, int column, const Quarters& quarters) {
    if (quarters[0] == quarters[1] && quarters[0] == quarters[2] && quarters[0] == quarters[3]) {
      vectors_.set(row, column, 2, quarters[0], vectors_.situation(row, column, 2).predicted);
    } else {
      for (int k = 0; k < 4; ++k) {
        const int y = row + k / 2, x = column + k % 2;
        vectors_.set(y, x, 1, quarters[k], vectors_.situation(y, x, 1).predicted);
      }
    }
    if (tracks_.blend(row, column) == kReference) tracks_.follow(row, column);
  }

  // ---- bits

  double vector_bits(int row, int column) const {
    const Situation around = vectors_.situation(row, column, 2);
    const bool differ = vectors_.differ(row, column);
    double bits = prices_.split(vectors_.split_neighbours(row, column), around.num_candidates > 0, differ);
    if (!differ) return bits + prices_.vector(around, kBlockPart, vectors_.at(row, column));
    for (const auto& [y, x] : kQuarters) {
      bits += prices_.vector(vectors_.situation(row + y, column + x, 1), kQuarter, vectors_.at(row + y, column + x));
    }
    return bits;
  }

  double track_bits(int row, int column) const {
    const Blend blend = tracks_.blend(row, column);
    const double bits = prices_.blended(tracks_.neighbours(row, column, kMean), blend != kReference);
    if (blend == kReference) return bits;
    return bits + prices_.long_term_only(tracks_.neighbours(row, column, kLongTerm), blend == kLongTerm) +
           prices_.vector(tracks_.situation(row, column), kTrackPart, tracks_.at(row, column));
  }

  // The change in bits of a block and of the blocks after it when the block has other vectors. quarter: the only square
  // that has another vector, or -1 for all four.
  double vector_bits_change(int row, int column, int quarter) const {
    const auto change = [&](int y, int x) {
      return is_inside(y, x) ? vector_bits(y, x) - vector_bits_[block(y, x)] : 0.0;
    };
    const bool is_whole = quarter < 0;
    double bits = change(row, column) + track_bits_change(row, column);
    if (is_whole || quarter % 2 == 1) bits += change(row, column + 2);
    if (is_whole || quarter >= 2) bits += change(row + 2, column);
    if (is_whole || quarter == 2) bits += change(row + 2, column - 2);
    return bits;
  }

  double track_bits_change(int row, int column) const {
    return has_tracks_ ? track_bits(row, column) - track_bits_[block(row, column)] : 0.0;
  }

  double blend_bits_change(int row, int column) const {
    double bits = track_bits_change(row, column);
    if (is_inside(row, column + 2)) bits += track_bits_change(row, column + 2);
    if (is_inside(row + 2, column)) bits += track_bits_change(row + 2, column);
    return bits;
  }

  // ---- costs of predictions

  // The predictions of a square that are made anew, from the fields on trial.
  enum Fresh { kNone = 0, kFirst = 1, kSecond = 2 };

  int square_cost(int row, int column, Fresh fresh) const {
    const Blend blend = tracks_.blend(row, column);
    uint8_t first_room[kSamples], second_room[kSamples];
    const uint8_t *first = first_.kept(row, column), *second = second_.kept(row, column);
    if (blend != kLongTerm && (fresh & kFirst)) {
      first_.predict(row, column, first_room);
      first = first_room;
    }
    if (blend != kReference && (fresh & kSecond)) {
      second_.predict(row, column, second_room);
      second = second_room;
    }
    const uint8_t* source = current_.at(row * kSquare, column * kSquare);
    if (blend != kMean)
      return kernels_.hadamard_8x8(source, current_.stride(), blend == kReference ? first : second, kSquare);
    kernels_.copy_square({first, second}, kSquare, first_room);
    return kernels_.hadamard_8x8(source, current_.stride(), first_room, kSquare);
  }

  void keep_square(int row, int column) {
    first_.keep(row, column);
    if (has_tracks_) second_.keep(row, column);
    costs_[square(row, column)] = square_cost(row, column, kNone);
  }

  // Whether the fields on trial cost less than the kept ones. bits: the change in bits. squares: the squares that the
  // fields on trial change. The comparison stops early when the squares not yet compared would have to improve more
  // than they usually do.
  template <size_t N>
  bool is_better(int row, int column, const std::array<Place, N>& squares, Fresh fresh, double bits) const {
    double saved = -lambda_ * bits;
    for (const auto& [y, x] : squares) {
      if (is_inside(row + y, column + x)) saved += (1 - kLeast) * costs_[square(row + y, column + x)];
    }
    for (const auto& [y, x] : squares) {
      if (saved <= 0) return false;
      if (is_inside(row + y, column + x))
        saved += kLeast * costs_[square(row + y, column + x)] - square_cost(row + y, column + x, fresh);
    }
    return saved > 0;
  }

  void keep_bits(int row, int column) {
    if (!is_inside(row, column)) return;
    vector_bits_[block(row, column)] = vector_bits(row, column);
    if (has_tracks_) track_bits_[block(row, column)] = track_bits(row, column);
  }

  void keep_block(int row, int column) {
    for (const auto& [y, x] : kAroundBlock) {
      if (is_inside(row + y, column + x)) keep_square(row + y, column + x);
    }
    for (const auto& [y, x] : {Place{0, 0}, {0, 2}, {2, -2}, {2, 0}, {2, 2}}) keep_bits(row + y, column + x);
  }

  // ---- one block

  bool settle_block(int row, int column) {
    bool changed = settle_whole(row, column);
    for (int k = 0; k < 4; ++k) changed |= settle_quarter(row, column, k);
    if (has_tracks_) changed |= settle_track(row, column);
    return changed;
  }

  // Tries one vector for all of a block: the vectors of its neighbours, and vectors around its own.
  bool settle_whole(int row, int column) {
    Tries tries(vectors_.at(row, column));
    tries.add(vectors_.situation(row, column, 2));
    for (const auto& [y, x] : {Place{0, 2}, {1, 2}, {2, 0}, {2, 1}}) add(tries, row + y, column + x);
    for (const Vector vector : quarters_at(row, column)) tries.add(vector);
    bool changed = vectors_.differ(row, column) && try_whole(row, column, vectors_.at(row, column));
    for (const Vector vector : tries) changed |= try_whole(row, column, vector);
    if (round_ > 0 || vectors_.differ(row, column)) return changed;
    const Vector centre = vectors_.at(row, column);
    for (const auto& [dy, dx] : kSteps) changed |= try_whole(row, column, moved(centre, dx, dy));
    return changed;
  }

  bool try_whole(int row, int column, Vector vector) {
    const Quarters quarters{vector, vector, vector, vector};
    return first_.reaches(row, column, 2 * kSquare, vector) && try_quarters(row, column, quarters, -1, kAroundBlock);
  }

  bool settle_quarter(int row, int column, int k) {
    const int y = row + k / 2, x = column + k % 2;
    const bool differ = vectors_.differ(row, column);
    if (!differ && (round_ > 0 || costs_[square(y, x)] < kWorthBits * lambda_)) return false;
    const Vector own = vectors_.at(y, x);
    Tries tries(own);
    tries.add(vectors_.situation(y, x, 1));
    for (const Vector vector : quarters_at(row, column)) tries.add(vector);
    add(tries, y, x + 1);
    add(tries, y + 1, x);
    if (differ && round_ < kSettleRounds - 1) {
      for (const auto& [dy, dx] : kSteps) tries.add(moved(own, dx, dy));
    }
    bool changed = false;
    for (const Vector vector : tries) {
      if (!first_.reaches(y, x, kSquare, vector)) continue;
      Quarters quarters = quarters_at(row, column);
      quarters[k] = vector;
      changed |= try_quarters(row, column, quarters, k, kAroundSquare);
    }
    return changed;
  }

  template <size_t N>
  bool try_quarters(int row, int column, const Quarters& quarters, int quarter, const std::array<Place, N>& squares) {
    const Quarters before = quarters_at(row, column);
    if (quarters == before) return false;
    put(row, column, quarters);
    const int k = std::max(quarter, 0);
    if (is_better(row + k / 2, column + k % 2, squares, kFirst, vector_bits_change(row, column, quarter))) {
      keep_block(row, column);
      return true;
    }
    put(row, column, before);
    return false;
  }

  bool settle_track(int row, int column) {
    const bool is_blended = tracks_.blend(row, column) != kReference;
    const Vector own = tracks_.at(row, column);
    bool changed = try_track(row, column, kReference, {0, 0});
    for (const Blend blend : {kMean, kLongTerm}) changed |= try_track(row, column, blend, own);
    if (!is_blended || round_ == kSettleRounds - 1) return changed;
    Tries tries(own);
    tries.add(tracks_.situation(row, column));
    for (const auto& [y, x] : {Place{0, 2}, {2, 0}}) {
      if (is_inside(row + y, column + x)) tries.add(tracks_.at(row + y, column + x));
    }
    for (const Vector track : tries)
      changed |= try_track(row, column, std::max(tracks_.blend(row, column), kMean), track);
    return changed;
  }

  bool try_track(int row, int column, Blend blend, Vector track) {
    const Blend before = tracks_.blend(row, column);
    const Vector track_before = tracks_.at(row, column);
    if (blend == before && (blend == kReference || track == track_before)) return false;
    if (!second_.reaches(row, column, 2 * kSquare, track)) return false;
    set_track(row, column, blend, track);
    if (is_better(row, column, kAroundBlock, kSecond, blend_bits_change(row, column))) {
      keep_block(row, column);
      return true;
    }
    set_track(row, column, before, track_before);
    return false;
  }

  void set_track(int row, int column, Blend blend, Vector track) {
    if (blend == kReference) {
      tracks_.follow(row, column);
    } else {
      tracks_.set(row, column, blend, track);
    }
  }

  void add(Tries& tries, int row, int column) const {
    if (is_inside(row, column)) tries.add(vectors_.at(row, column));
  }
};

}  // namespace

void settle(const Plane& current, const SampledPlane& reference, const SampledPlane* long_term, double lambda,
            const VectorCoder& coder, int num_threads, int first, int last, Motion& motion) {
  Settler settler(current, reference, long_term, lambda, coder, motion);
  settler.run(first, last, num_threads);
  settler.give_back(motion);
}

}  // namespace dcvc::motion
