#include "kernels/motion/vector_coder.hpp"

#include <algorithm>
#include <cstdlib>

namespace dcvc::motion {
namespace {

// One walk serves both directions: an encoder codes `wanted`, a decoder returns the decoded value.
template <class Coder>
class Walk {
 public:
  Walk(Coder& coder, Contexts& contexts, const Motion* wanted) : coder_(coder), contexts_(contexts), wanted_(wanted) {}

  bool code_vectors(VectorState& state) {
    for (int row = 0; row < state.rows(); row += 2) {
      for (int column = 0; column < state.columns(); column += 2) {
        if (!code_block(state, row, column)) return false;
      }
    }
    return true;
  }

  bool code_tracks(TrackState& state) {
    const bool any = wanted_ && std::any_of(wanted_->blends.begin(), wanted_->blends.end(),
                                            [](uint8_t blend) { return blend != kReference; });
    if (!coder_.code(contexts_.any_blend, any)) return true;
    for (int row = 0; row < state.rows(); row += 2) {
      for (int column = 0; column < state.columns(); column += 2) {
        if (!code_blend(state, row, column)) return false;
      }
    }
    return true;
  }

 private:
  Coder& coder_;
  Contexts& contexts_;
  const Motion* wanted_;

  Vector wanted(int row, int column) const { return wanted_ ? wanted_->field().at(row, column) : Vector{0, 0}; }

  bool code_block(VectorState& state, int row, int column) {
    const Vector first = wanted(row, column);
    const bool differ =
        !(first == wanted(row, column + 1) && first == wanted(row + 1, column) && first == wanted(row + 1, column + 1));
    const bool has_candidates = state.situation(row, column, 2).num_candidates > 0;
    if (!coder_.code(contexts_.split[state.split_neighbours(row, column)][has_candidates], differ))
      return code_vector(state, row, column, 2);
    for (int k = 0; k < 4; ++k) {
      if (!code_vector(state, row + k / 2, column + k % 2, 1)) return false;
    }
    return true;
  }

  bool code_vector(VectorState& state, int row, int column, int squares) {
    const Situation situation = state.situation(row, column, squares);
    const std::optional<Vector> vector = choose(situation, squares == 1 ? kQuarter : kBlockPart, wanted(row, column));
    if (vector) state.set(row, column, squares, *vector, situation.predicted);
    return vector.has_value();
  }

  bool code_blend(TrackState& state, int row, int column) {
    const uint8_t wanted_blend = wanted_ ? wanted_->blend(row, column) : uint8_t{kReference};
    if (!coder_.code(contexts_.is_blended[state.neighbours(row, column, kMean)], wanted_blend != kReference))
      return true;
    const bool only =
        coder_.code(contexts_.is_long_term_only[state.neighbours(row, column, kLongTerm)], wanted_blend == kLongTerm);
    const Vector wanted_vector = wanted_ ? wanted_->track_field().at(row, column) : Vector{0, 0};
    const std::optional<Vector> vector = choose(state.situation(row, column), kTrackPart, wanted_vector);
    if (vector) state.set(row, column, only ? kLongTerm : kMean, *vector);
    return vector.has_value();
  }

  std::optional<Vector> choose(const Situation& situation, Part kind, Vector own) {
    Context& is_predicted = contexts_.is_predicted[kind][situation.activity][situation.num_candidates];
    if (!coder_.code(is_predicted, !(own == situation.predicted))) return situation.predicted;
    for (int k = 0; k < situation.num_candidates; ++k) {
      if (!coder_.code(contexts_.is_candidate[kind][k], !(own == situation.candidates[k])))
        return situation.candidates[k];
    }
    const bool active = situation.activity == 2;
    std::array<AxisContexts, 2>& axes = kind == kTrackPart ? contexts_.track_axes : contexts_.axes;
    const int dx = code_component(axes[0], own.x - situation.predicted.x, active, true);
    const int dy = code_component(axes[1], own.y - situation.predicted.y, active, dx != 0);
    const int x = situation.predicted.x + dx, y = situation.predicted.y + dy;
    if (std::abs(x) > kMaxVector || std::abs(y) > kMaxVector) return std::nullopt;
    return Vector{static_cast<int16_t>(x), static_cast<int16_t>(y)};
  }

  // A difference: zero or not (unless it cannot be zero), sign, magnitude as an Exp-Golomb code.
  int code_component(AxisContexts& contexts, int value, bool active, bool may_be_zero) {
    if (may_be_zero && !coder_.code(contexts.is_zero[active], value != 0)) return 0;
    const bool negative = coder_.code(contexts.sign, value < 0);
    const unsigned wanted = static_cast<unsigned>(std::abs(value));
    int length = 0;
    while (length < kMaxVectorPrefix && coder_.code(contexts.prefix[length], (wanted >> (length + 1)) != 0)) ++length;
    unsigned magnitude = 1;
    for (int bit = length - 1; bit >= 0; --bit)
      magnitude = magnitude << 1 | (coder_.code_even(wanted >> bit & 1) ? 1u : 0u);
    return negative ? -static_cast<int>(magnitude) : static_cast<int>(magnitude);
  }
};

// Probabilities of zero in 1/65536, means over clips and prices of what the contexts had learned (docs/motion.md).
constexpr std::array<std::array<uint16_t, 2>, 3> kSplit{{{65313, 63511}, {43028, 40862}, {28667, 25744}}};
constexpr std::array<std::array<std::array<uint16_t, kMaxCandidates + 1>, 3>, 2> kPredicted{
    {{{{36004, 36044, 33285, 33013, 33929}, {25876, 27009, 24092, 21612, 20928}, {22683, 23825, 21430, 18565, 16664}}},
     {{{65118, 60706, 57132, 57535, 61601},
       {44104, 43898, 36513, 32390, 32128},
       {33869, 33161, 29730, 27279, 25844}}}}};
constexpr std::array<std::array<uint16_t, kMaxCandidates>, 2> kCandidate{
    {{30064, 16870, 12483, 15544}, {38152, 18323, 16059, 21036}}};
constexpr std::array<std::array<uint16_t, kMaxCandidates + 1>, 2> kTrackPredicted{
    {{58659, 35556, 29440, 32768, 32768}, {32768, 32938, 28491, 22069, 14150}}};
constexpr std::array<uint16_t, kMaxCandidates> kTrackCandidate{28551, 27874, 27975, 29976};
constexpr uint16_t kZero = 20825, kTrackZero = 17800;

constexpr std::array<uint16_t, 3> kBlended{62158, 42355, 12533}, kLongTermOnly{58368, 25526, 10000};

template <size_t N>
void start_all(std::array<Context, N>& contexts, const std::array<uint16_t, N>& zero) {
  for (size_t i = 0; i < N; ++i) contexts[i].start(zero[i]);
}

}  // namespace

Contexts::Contexts() {
  for (size_t k = 0; k < 3; ++k) start_all(split[k], kSplit[k]);
  for (size_t kind = 0; kind < 2; ++kind) {
    for (size_t activity = 0; activity < 3; ++activity)
      start_all(is_predicted[kind][activity], kPredicted[kind][activity]);
    start_all(is_candidate[kind], kCandidate[kind]);
  }
  for (size_t activity = 0; activity < 2; ++activity)
    start_all(is_predicted[kTrackPart][activity], kTrackPredicted[activity]);
  start_all(is_candidate[kTrackPart], kTrackCandidate);
  for (AxisContexts& axis : axes) start_all(axis.is_zero, {kZero, kZero});
  for (AxisContexts& axis : track_axes) start_all(axis.is_zero, {kTrackZero, kTrackZero});
  start_all(is_blended, kBlended);
  start_all(is_long_term_only, kLongTermOnly);
}

const std::vector<Vector>& VectorCoder::none() {
  static const std::vector<Vector> nothing;
  return nothing;
}

std::vector<uint8_t> VectorCoder::encode(const Motion& motion) {
  RangeEncoder coder;
  encode_into(coder, motion);
  return coder.finish();
}

void VectorCoder::encode_into(RangeEncoder& coder, const Motion& motion) {
  BinaryEncoder binary(coder);
  VectorState state(motion.rows, motion.columns, previous(motion.rows, motion.columns));
  Walk<BinaryEncoder> walk(binary, contexts_, &motion);
  walk.code_vectors(state);
  Motion coded{motion.rows, motion.columns, state.take(), {}, {}};
  if (has_long_term()) {
    TrackState tracks(motion.rows, motion.columns, coded.vectors, kept(motion.rows, motion.columns));
    walk.code_tracks(tracks);
    coded.tracks = tracks.take_tracks();
  }
  keep(coded);
}

std::optional<Motion> VectorCoder::decode(const uint8_t* data, size_t size, int rows, int columns) {
  RangeDecoder coder(data, size);
  std::optional<Motion> motion = decode_from(coder, rows, columns);
  if (!coder.is_whole()) return std::nullopt;
  return motion;
}

std::optional<Motion> VectorCoder::decode_from(RangeDecoder& coder, int rows, int columns) {
  BinaryDecoder binary(coder);
  VectorState state(rows, columns, previous(rows, columns));
  Walk<BinaryDecoder> walk(binary, contexts_, nullptr);
  if (!walk.code_vectors(state)) return std::nullopt;
  Motion motion{rows, columns, state.take(), {}, {}};
  if (has_long_term()) {
    TrackState tracks(rows, columns, motion.vectors, kept(rows, columns));
    if (!walk.code_tracks(tracks)) return std::nullopt;
    motion.tracks = tracks.take_tracks();
    motion.blends = tracks.take_blends();
  }
  keep(motion);
  return motion;
}

// The next picture follows this picture's tracks. Where this picture's reference becomes its long-term reference, it
// follows the vectors instead.
void VectorCoder::keep(const Motion& motion) {
  ++number_;
  previous_ = motion.vectors;
  kept_ = number_ % kKeptInterval == 1 ? motion.vectors : motion.tracks;
  rows_ = motion.rows, columns_ = motion.columns;
}

void VectorCoder::restore(const Contexts& contexts, const Field& previous, const Field& kept, int number) {
  contexts_ = contexts;
  const size_t count = static_cast<size_t>(previous.rows) * static_cast<size_t>(previous.columns);
  previous_.assign(previous.vectors, previous.vectors + count);
  kept_.assign(kept.vectors, kept.vectors + count);
  rows_ = previous.rows, columns_ = previous.columns;
  number_ = number;
}

VectorPrices::VectorPrices(const Contexts& contexts) {
  for (int bit = 0; bit < 2; ++bit) {
    any_blend_[bit] = price(contexts.any_blend, bit);
    for (int k = 0; k < 3; ++k) {
      for (int some = 0; some < 2; ++some) split_[k][some][bit] = price(contexts.split[k][some], bit);
    }
    for (int kind = 0; kind < 3; ++kind) {
      for (int activity = 0; activity < 3; ++activity) {
        for (int k = 0; k <= kMaxCandidates; ++k)
          predicted_[kind][activity][k][bit] = price(contexts.is_predicted[kind][activity][k], bit);
      }
      for (int k = 0; k < kMaxCandidates; ++k) candidate_[kind][k][bit] = price(contexts.is_candidate[kind][k], bit);
      blended_[kind][bit] = price(contexts.is_blended[kind], bit);
      long_term_only_[kind][bit] = price(contexts.is_long_term_only[kind], bit);
    }
  }
  for (int is_track = 0; is_track < 2; ++is_track) {
    for (int axis = 0; axis < 2; ++axis)
      price_axis(is_track, axis, (is_track ? contexts.track_axes : contexts.axes)[axis]);
  }
}

void VectorPrices::price_axis(int is_track, int axis, const AxisContexts& contexts) {
  for (int bit = 0; bit < 2; ++bit) {
    for (int k = 0; k < 2; ++k) zero_[is_track][axis][k][bit] = price(contexts.is_zero[k], bit);
  }
  double prefix = 1.0;  // the sign
  for (int length = 0; length <= kMaxVectorPrefix; ++length) {
    const bool last = length == kMaxVectorPrefix;
    magnitude_[is_track][axis][length] = prefix + length + (last ? 0.0 : price(contexts.prefix[length], false));
    if (!last) prefix += price(contexts.prefix[length], true);
  }
}

}  // namespace dcvc::motion
