// Overlapping predictions: how much of a square's samples its neighbours' vectors make. Source: docs/motion.md.
#pragma once

#include "kernels/motion/row_arithmetic.hpp"

namespace dcvc::motion {

// Weights in eighths of the square's own prediction and of the one with the vector of the square above or below, and
// left or right: those of H.263's Annex F. Every position's own + vertical + horizontal weight is 8.
constexpr Weights kOwn = {{4, 5, 5, 5, 5, 5, 5, 4}, {5, 5, 5, 5, 5, 5, 5, 5}, {5, 5, 6, 6, 6, 6, 5, 5},
                          {5, 5, 6, 6, 6, 6, 5, 5}, {5, 5, 6, 6, 6, 6, 5, 5}, {5, 5, 6, 6, 6, 6, 5, 5},
                          {5, 5, 5, 5, 5, 5, 5, 5}, {4, 5, 5, 5, 5, 5, 5, 4}};
constexpr Weights kVertical = {{2, 2, 2, 2, 2, 2, 2, 2}, {1, 1, 2, 2, 2, 2, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1},
                               {1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1},
                               {1, 1, 2, 2, 2, 2, 1, 1}, {2, 2, 2, 2, 2, 2, 2, 2}};

}  // namespace dcvc::motion
