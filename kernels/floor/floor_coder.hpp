// Floors to bytes and back. Source: docs/floor.md.
#pragma once

#include <array>

#include "entropy_cpp/binary_coder.hpp"
#include "kernels/floor/frame_floor.hpp"

namespace dcvc::floor {

constexpr int kPositionClasses = 4;
constexpr int kLevelActivities = 10;
constexpr int kMaxFlatPrefix = kMaxDepth - 1;

struct FloorContexts {
  FloorContexts();

  std::array<Context, 2> used, same_step;               // by: I frame, P frame
  std::array<std::array<Context, 3>, 2> touched, flat;  // by that, and how many of the blocks to the left and above are
  std::array<Context, 3> compensated;                   // by how many of those
  std::array<Context, 2> residual;                      // by: compensated, flat
  Context same_flat;
  std::array<Context, 2> flat_zero, flat_sign;  // by: luma, chroma
  std::array<std::array<Context, kMaxFlatPrefix>, 2> flat_prefix;
  std::array<std::array<Context, 3>, 3> coded;  // by plane, and how many of the parts to the left and above are
  std::array<std::array<Context, kPartSamples>, 2> last;  // by: luma, chroma; nodes of a tree, 0 is not used
  // By: luma, chroma; place of the coefficient; magnitudes beside it; bits of the magnitude so far.
  std::array<std::array<std::array<std::array<Context, kMaxLevelBits>, kLevelActivities>, kPositionClasses>, 2> longer;
  std::array<std::array<Context, kMaxLevelBits>, 2> second_bit;  // of a magnitude with so many bits
};

// Codes the floors of frames in order. The contexts stay from frame to frame.
class FloorCoder {
 public:
  void encode(RangeEncoder& coder, FrameFloor& floor);  // which is unchanged at the end
  // `floor` comes with the picture's size alone. False if the bytes hold no floor; the coder must be reset then.
  bool decode(RangeDecoder& coder, FrameFloor& floor);

  void reset() { *this = FloorCoder(); }
  const FloorContexts& contexts() const { return contexts_; }
  bool is_first() const { return is_first_; }  // whether the next frame is an I frame
  int last_step() const { return last_step_; }

 private:
  FloorContexts contexts_;
  bool is_first_ = true;
  int last_step_ = 0;
};

}  // namespace dcvc::floor
