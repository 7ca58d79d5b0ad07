// Vectors of a picture to bytes and back. Source: docs/motion.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "binary_coder.hpp"
#include "compensate.hpp"
#include "vector_state.hpp"

namespace dcvc::motion {

constexpr int kMaxPrefix = 11;

struct AxisContexts {
  std::array<Context, 2> is_zero;  // by: the neighbours' vectors were far from predicted
  Context sign;
  std::array<Context, kMaxPrefix> prefix;
};

struct Contexts {
  Contexts();  // at their usual values, measured on the training clips

  std::array<std::array<Context, 2>, 3> split;  // by: split neighbours; whether there are candidates
  std::array<std::array<std::array<Context, kMaxCandidates + 1>, 3>, 2> is_predicted;  // by: size of the part, activity, candidates
  std::array<std::array<Context, kMaxCandidates>, 2> is_candidate;
  std::array<AxisContexts, 2> axes;
};

// Codes the pictures of a sequence in order; what it learned, and the last picture's vectors, stay from picture to picture.
class VectorCoder {
 public:
  // rows, columns: even; the squares of a 16x16 square with different vectors are coded one by one.
  std::vector<uint8_t> encode(const Field& field);
  // The same into bytes that may go on behind the vectors.
  void encode_into(RangeEncoder& coder, const Field& field);

  // Nothing if the bytes do not hold exactly such a field; then the coder must be reset.
  std::optional<std::vector<Vector>> decode(const uint8_t* data, size_t size, int rows, int columns);
  // The same from bytes that may go on behind the vectors.
  std::optional<std::vector<Vector>> decode_from(RangeDecoder& coder, int rows, int columns);

  void reset() { *this = VectorCoder(); }

  const Contexts& contexts() const { return contexts_; }
  // The last picture's vectors if it had this size, else none.
  const std::vector<Vector>& previous(int rows, int columns) const;
  Field previous() const { return {previous_.data(), rows_, columns_}; }

  // Goes on as another coder would that has these.
  void restore(const Contexts& contexts, const Field& previous) {
    contexts_ = contexts;
    previous_.assign(previous.vectors, previous.vectors + static_cast<size_t>(previous.rows) * static_cast<size_t>(previous.columns));
    rows_ = previous.rows, columns_ = previous.columns;
  }

 private:
  Contexts contexts_;
  std::vector<Vector> previous_;
  int rows_ = 0, columns_ = 0;
};

// What vectors cost in bits, from the state of the contexts. For the search.
class VectorPrices {
 public:
  explicit VectorPrices(const Contexts& contexts);

  double split(int neighbours, bool has_candidates, bool is_split) const { return split_[neighbours][has_candidates][is_split]; }
  double vector(const Situation& situation, int squares, Vector vector) const {
    const int kind = squares - 1;
    if (vector == situation.predicted) return predicted_[kind][situation.activity][situation.num_candidates][0];
    double bits = predicted_[kind][situation.activity][situation.num_candidates][1];
    for (int k = 0; k < situation.num_candidates; ++k) {
      if (vector == situation.candidates[k]) return bits + candidate_[kind][k][0];
      bits += candidate_[kind][k][1];
    }
    const int dx = vector.x - situation.predicted.x, dy = vector.y - situation.predicted.y;
    return bits + component(0, situation.activity == 2, dx, true) + component(1, situation.activity == 2, dy, dx != 0);
  }

 private:
  double component(int axis, bool active, int value, bool may_be_zero) const {
    const double flag = may_be_zero ? zero_[axis][active][value != 0] : 0.0;
    return value ? flag + magnitude_[axis][bit_length(std::abs(value))] : flag;
  }
  static int bit_length(int value) {
    int length = 0;
    while (value >> (length + 1)) ++length;
    return length;
  }

  double split_[3][2][2], predicted_[2][3][kMaxCandidates + 1][2], candidate_[2][kMaxCandidates][2], zero_[2][2][2], magnitude_[2][kMaxPrefix + 1];
};

}  // namespace dcvc::motion
