// The encoder's choice of a floor, by rate and distortion. Not part of the format. Source: docs/floor.md, "The
// encoder's choice".
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "kernels/floor/floor_coder.hpp"
#include "kernels/floor/reconstruct.hpp"
#include "kernels/floor/source_blocks.hpp"

namespace dcvc::floor {

struct ChoiceRule {
  int step_index = 0;
  int64_t bit_price = 0;  // of a 256th of a bit, in 1/16 of squared samples of luma
  int depth = 8;          // bits of a sample that is put out
  int chroma_weight = 1;  // what a squared sample of chroma counts beside one of luma
  bool is_alone = false;  // no block has anything of the picture
};

struct Choice {
  FrameFloor floor;
  int64_t error = 0;                      // weighted, in squared samples
  int64_t cost = 0, cost_without = 0;     // weighted error and price of the bits, in 1/16 of squared samples
  int64_t bits = 0;                       // of the floor, in 1/256
  int num_touched = 0, num_replaced = 0;  // blocks; of the latter nothing is the picture
};

// Chooses the floors of frames in order. It compares each source with the one before to find what stands still.
class FloorChooser {
 public:
  // `compensated` has samples in P frames only. The choice changes neither chooser nor coder.
  Choice choose(const Planes& picture, const Planes& compensated, const std::array<Source, 3>& source,
                const FloorCoder& coder, const ChoiceRule& rule, bool is_halved) const;
  // Remembers the source of the last coded frame. `size`: planes of its size.
  void remember(const Planes& size, const std::array<Source, 3>& source);

 private:
  std::array<std::vector<int16_t>, 3> before_;
};

}  // namespace dcvc::floor
