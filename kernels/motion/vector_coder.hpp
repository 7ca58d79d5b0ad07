// Vectors of a picture to bytes and back. Source: docs/motion.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "entropy_cpp/binary_coder.hpp"
#include "kernels/motion/compensate.hpp"
#include "kernels/motion/vector_state.hpp"

namespace dcvc::motion {

constexpr int kMaxVectorPrefix = 11;
// The I frame, number 0 after a reset, and pictures 8, 16, .. serve as long-term references.
constexpr int kKeptInterval = 8;

struct AxisContexts {
  std::array<Context, 2> is_zero;  // by: the neighbours' vectors were far from predicted
  Context sign;
  std::array<Context, kMaxVectorPrefix> prefix;
};

struct Contexts {
  Contexts();  // at their usual values, measured on the training clips

  std::array<std::array<Context, 2>, 3> split;  // by: split neighbours; whether there are candidates
  std::array<std::array<std::array<Context, kMaxCandidates + 1>, 3>, 3> is_predicted;  // by: part, activity, candidates
  std::array<std::array<Context, kMaxCandidates>, 3> is_candidate;
  std::array<AxisContexts, 2> axes, track_axes;
  Context any_blend;                                     // of a whole picture
  std::array<Context, 3> is_blended, is_long_term_only;  // by: such blocks to the left and above
};

// Codes the pictures of a sequence in order. The contexts and the last picture's vectors stay from picture to picture.
class VectorCoder {
 public:
  // Rows and columns are even; the squares of a block with different vectors are coded one by one. Blends count where
  // the picture has a long-term reference; of the tracks, those of blended blocks.
  std::vector<uint8_t> encode(const Motion& motion);
  // The same into bytes that may go on behind the vectors.
  void encode_into(RangeEncoder& coder, const Motion& motion);

  // Nothing if the bytes do not hold exactly such a field; then the coder must be reset.
  std::optional<Motion> decode(const uint8_t* data, size_t size, int rows, int columns);
  // The same from bytes that may go on behind the vectors.
  std::optional<Motion> decode_from(RangeDecoder& coder, int rows, int columns);

  void reset() { *this = VectorCoder(); }

  const Contexts& contexts() const { return contexts_; }
  // Whether the next picture has a long-term reference: all but the first one after a reset.
  bool has_long_term() const { return number_ > 0; }
  // The last picture's vectors if it had this size, else none; and its tracks, as the next picture follows them.
  const std::vector<Vector>& previous(int rows, int columns) const {
    return rows == rows_ && columns == columns_ ? previous_ : none();
  }
  const std::vector<Vector>& kept(int rows, int columns) const {
    return rows == rows_ && columns == columns_ ? kept_ : none();
  }

  Field previous() const { return {previous_.data(), rows_, columns_}; }
  Field kept() const { return {kept_.data(), rows_, columns_}; }
  int number() const { return number_; }

  // Takes over the state of another coder.
  void restore(const Contexts& contexts, const Field& previous, const Field& kept, int number);

 private:
  static const std::vector<Vector>& none();
  void keep(const Motion& motion);

  Contexts contexts_;
  std::vector<Vector> previous_, kept_;
  int rows_ = 0, columns_ = 0;
  int number_ = 0;  // of pictures since the last reset
};

// The prices of vectors in bits, by the state of the contexts. The search uses them.
class VectorPrices {
 public:
  explicit VectorPrices(const Contexts& contexts);

  double split(int neighbours, bool has_candidates, bool is_split) const {
    return split_[neighbours][has_candidates][is_split];
  }
  double any_blend(bool any) const { return any_blend_[any]; }
  double blended(int neighbours, bool is_blended) const { return blended_[neighbours][is_blended]; }
  double long_term_only(int neighbours, bool is_only) const { return long_term_only_[neighbours][is_only]; }
  double vector(const Situation& situation, Part kind, Vector vector) const {
    if (vector == situation.predicted) return predicted_[kind][situation.activity][situation.num_candidates][0];
    double bits = predicted_[kind][situation.activity][situation.num_candidates][1];
    for (int k = 0; k < situation.num_candidates; ++k) {
      if (vector == situation.candidates[k]) return bits + candidate_[kind][k][0];
      bits += candidate_[kind][k][1];
    }
    const int dx = vector.x - situation.predicted.x, dy = vector.y - situation.predicted.y;
    const bool active = situation.activity == 2, is_track = kind == kTrackPart;
    return bits + component(is_track, 0, active, dx, true) + component(is_track, 1, active, dy, dx != 0);
  }

 private:
  void price_axis(int is_track, int axis, const AxisContexts& contexts);
  double component(bool is_track, int axis, bool active, int value, bool may_be_zero) const {
    const double flag = may_be_zero ? zero_[is_track][axis][active][value != 0] : 0.0;
    return value ? flag + magnitude_[is_track][axis][bit_length(std::abs(value))] : flag;
  }
  static int bit_length(int value) {  // less one; value > 0
    return 31 - __builtin_clz(static_cast<unsigned>(value));
  }

  double split_[3][2][2], predicted_[3][3][kMaxCandidates + 1][2], candidate_[3][kMaxCandidates][2];
  double any_blend_[2], blended_[3][2], long_term_only_[3][2];
  double zero_[2][2][2][2], magnitude_[2][2][kMaxVectorPrefix + 1];  // by: whether into the long-term reference, axis
};

}  // namespace dcvc::motion
