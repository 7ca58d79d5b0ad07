// The lossless layer: what the networks' picture lacks of the source, sample by sample. Source: docs/lossless.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "entropy_cpp/binary_coder.hpp"

namespace dcvc::lossless {

constexpr int kUnit = 8;  // parts of a level in which predictions are computed
constexpr int kMinDepth = 8, kMaxDepth = 12;
constexpr int kPredictors = 16;    // places for predictors; those that a sample lacks have no weight
constexpr int kMaxError = 1023;    // a predictor's remembered error, in parts of an 8-bit level
constexpr int kActivities = 24;    // classes of samples by what happened beside them
constexpr int kSignClasses = 24;   // by the rounding of the prediction and the signs of the errors beside it
constexpr int kBiasClasses = 192;  // by what lies above the prediction, and activity
constexpr int kBiasShift = 5;      // how fast a bias is learned

// One plane of the picture that predicts: int16 0..8192, at least as large as the plane that is coded.
struct PictureView {
  const int16_t* data = nullptr;
  size_t stride = 0;
};

// One plane that is coded: levels of `depth` bits.
struct LevelsView {
  uint16_t* data = nullptr;
  int height = 0, width = 0;
};

struct PlaneContexts {
  std::array<std::array<Context, kMaxDepth>, kActivities> longer;  // by activity, and bits of the magnitude so far
  std::array<Context, kSignClasses> sign;
  std::array<std::array<Context, kMaxDepth + 1>, kActivities> second;                // by bits of the magnitude
  std::array<std::array<std::array<Context, 2>, kMaxDepth + 1>, kActivities> third;  // and by the bit before
  std::array<int, kBiasClasses> bias{};                                              // in 1/16 of a part
};

struct Frame {
  std::array<LevelsView, 3> levels;
  std::array<PictureView, 3> picture;
  std::array<PictureView, 3> compensated;  // of P frames; else without data
  int depth = 8;
};

// Codes the layers of frames in order. What was learned stays from frame to frame.
class LayerCoder {
 public:
  LayerCoder() : contexts_(6) {}
  void encode(RangeEncoder& coder, const Frame& frame);
  // Fills the levels; false if the bytes hold none, and then the coder must be reset.
  bool decode(RangeDecoder& coder, const Frame& frame);
  void reset() { *this = LayerCoder(); }

 private:
  std::vector<PlaneContexts> contexts_;  // of the planes of I frames, then of P frames
};

}  // namespace dcvc::lossless
