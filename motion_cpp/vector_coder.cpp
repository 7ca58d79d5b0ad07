#include "vector_coder.hpp"

#include <cmath>
#include <cstdlib>

namespace dcvc::motion {
namespace {

// One walk for both directions: an encoder is told `wanted`, a decoder finds out.
template <class Coder>
class Walk {
 public:
  Walk(Coder& coder, Contexts& contexts, VectorState& state, const Field* wanted) : coder_(coder), contexts_(contexts), state_(state), wanted_(wanted) {}

  bool run() {
    for (int row = 0; row < state_.rows(); row += 2) {
      for (int column = 0; column < state_.columns(); column += 2) {
        if (!code_square(row, column)) return false;
      }
    }
    return true;
  }

 private:
  Coder& coder_;
  Contexts& contexts_;
  VectorState& state_;
  const Field* wanted_;

  Vector wanted(int row, int column) const { return wanted_ ? wanted_->at(row, column) : Vector{0, 0}; }

  bool code_square(int row, int column) {
    const Vector first = wanted(row, column);
    const bool differ = !(first == wanted(row, column + 1) && first == wanted(row + 1, column) && first == wanted(row + 1, column + 1));
    const bool has_candidates = state_.situation(row, column, 2).num_candidates > 0;
    if (!coder_.code(contexts_.split[state_.split_neighbours(row, column)][has_candidates], differ)) return code_vector(row, column, 2);
    for (int k = 0; k < 4; ++k) {
      if (!code_vector(row + k / 2, column + k % 2, 1)) return false;
    }
    return true;
  }

  bool code_vector(int row, int column, int squares) {
    const Situation situation = state_.situation(row, column, squares);
    const std::optional<Vector> vector = choose(situation, squares - 1, wanted(row, column));
    if (vector) state_.set(row, column, squares, *vector, situation.predicted);
    return vector.has_value();
  }

  std::optional<Vector> choose(const Situation& situation, int kind, Vector own) {
    Context& is_predicted = contexts_.is_predicted[kind][situation.activity][situation.num_candidates];
    if (!coder_.code(is_predicted, !(own == situation.predicted))) return situation.predicted;
    for (int k = 0; k < situation.num_candidates; ++k) {
      if (!coder_.code(contexts_.is_candidate[kind][k], !(own == situation.candidates[k]))) return situation.candidates[k];
    }
    const bool active = situation.activity == 2;
    const int dx = code_component(contexts_.axes[0], own.x - situation.predicted.x, active, true);
    const int dy = code_component(contexts_.axes[1], own.y - situation.predicted.y, active, dx != 0);
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
    while (length < kMaxPrefix && coder_.code(contexts.prefix[length], (wanted >> (length + 1)) != 0)) ++length;
    unsigned magnitude = 1;
    for (int bit = length - 1; bit >= 0; --bit) magnitude = magnitude << 1 | (coder_.code_even(wanted >> bit & 1) ? 1u : 0u);
    return negative ? -static_cast<int>(magnitude) : static_cast<int>(magnitude);
  }
};

double price(const Context& context, bool bit) {
  const double zero = static_cast<double>(context.probability()) / (1 << kProbabilityBits);
  return -std::log2(bit ? 1.0 - zero : zero);
}

// Probabilities of zero in 1/65536, means over clips and prices of what the contexts had learned (docs/motion.md).
constexpr std::array<std::array<uint16_t, 2>, 3> kSplit{{{65313, 63511}, {43028, 40862}, {28667, 25744}}};
constexpr std::array<std::array<std::array<uint16_t, kMaxCandidates + 1>, 3>, 2> kPredicted{
    {{{{36004, 36044, 33285, 33013, 33929}, {25876, 27009, 24092, 21612, 20928}, {22683, 23825, 21430, 18565, 16664}}},
     {{{65118, 60706, 57132, 57535, 61601}, {44104, 43898, 36513, 32390, 32128}, {33869, 33161, 29730, 27279, 25844}}}}};
constexpr std::array<std::array<uint16_t, kMaxCandidates>, 2> kCandidate{{{30064, 16870, 12483, 15544}, {38152, 18323, 16059, 21036}}};
constexpr uint16_t kZero = 20825;

template <size_t N>
void start_all(std::array<Context, N>& contexts, const std::array<uint16_t, N>& zero) {
  for (size_t i = 0; i < N; ++i) contexts[i].start(zero[i]);
}

}  // namespace

Contexts::Contexts() {
  for (size_t k = 0; k < 3; ++k) start_all(split[k], kSplit[k]);
  for (size_t kind = 0; kind < 2; ++kind) {
    for (size_t activity = 0; activity < 3; ++activity) start_all(is_predicted[kind][activity], kPredicted[kind][activity]);
    start_all(is_candidate[kind], kCandidate[kind]);
  }
  for (AxisContexts& axis : axes) start_all(axis.is_zero, {kZero, kZero});
}

const std::vector<Vector>& VectorCoder::previous(int rows, int columns) const {
  static const std::vector<Vector> none;
  return rows == rows_ && columns == columns_ ? previous_ : none;
}

std::vector<uint8_t> VectorCoder::encode(const Field& field) {
  RangeEncoder coder;
  encode_into(coder, field);
  return coder.finish();
}

void VectorCoder::encode_into(RangeEncoder& coder, const Field& field) {
  BinaryEncoder binary(coder);
  VectorState state(field.rows, field.columns, previous(field.rows, field.columns));
  Walk<BinaryEncoder>(binary, contexts_, state, &field).run();
  previous_ = state.take();
  rows_ = field.rows, columns_ = field.columns;
}

std::optional<std::vector<Vector>> VectorCoder::decode(const uint8_t* data, size_t size, int rows, int columns) {
  RangeDecoder coder(data, size);
  std::optional<std::vector<Vector>> vectors = decode_from(coder, rows, columns);
  if (!coder.is_whole()) return std::nullopt;
  return vectors;
}

std::optional<std::vector<Vector>> VectorCoder::decode_from(RangeDecoder& coder, int rows, int columns) {
  BinaryDecoder binary(coder);
  VectorState state(rows, columns, previous(rows, columns));
  if (!Walk<BinaryDecoder>(binary, contexts_, state, nullptr).run()) return std::nullopt;
  previous_ = state.take();
  rows_ = rows, columns_ = columns;
  return previous_;
}

VectorPrices::VectorPrices(const Contexts& contexts) {
  for (int bit = 0; bit < 2; ++bit) {
    for (int k = 0; k < 3; ++k) {
      for (int some = 0; some < 2; ++some) split_[k][some][bit] = price(contexts.split[k][some], bit);
    }
    for (int kind = 0; kind < 2; ++kind) {
      for (int activity = 0; activity < 3; ++activity) {
        for (int k = 0; k <= kMaxCandidates; ++k) predicted_[kind][activity][k][bit] = price(contexts.is_predicted[kind][activity][k], bit);
      }
      for (int k = 0; k < kMaxCandidates; ++k) candidate_[kind][k][bit] = price(contexts.is_candidate[kind][k], bit);
    }
    for (int axis = 0; axis < 2; ++axis) {
      for (int k = 0; k < 2; ++k) zero_[axis][k][bit] = price(contexts.axes[axis].is_zero[k], bit);
    }
  }
  for (int axis = 0; axis < 2; ++axis) {
    double prefix = 1.0;  // the sign
    for (int length = 0; length <= kMaxPrefix; ++length) {
      const bool last = length == kMaxPrefix;
      magnitude_[axis][length] = prefix + length + (last ? 0.0 : price(contexts.axes[axis].prefix[length], false));
      if (!last) prefix += price(contexts.axes[axis].prefix[length], true);
    }
  }
}

}  // namespace dcvc::motion
