// Overlapping predictions: how much of a square's samples its neighbours' vectors make. Source: docs/motion.md.
#pragma once

#include <cstdint>

namespace dcvc::motion {

// Weights in eighths, by row and column of a square: of the square's own prediction, and of the one with the vector of
// the square above (rows 0..3) or below (rows 4..7). What is left to 8 is the weight of the one with the vector of the
// square to the left (columns 0..3) or right (columns 4..7). They are those of H.263's Annex F.
constexpr int8_t kOwn[8][8] = {{4, 5, 5, 5, 5, 5, 5, 4}, {5, 5, 5, 5, 5, 5, 5, 5}, {5, 5, 6, 6, 6, 6, 5, 5},
                               {5, 5, 6, 6, 6, 6, 5, 5}, {5, 5, 6, 6, 6, 6, 5, 5}, {5, 5, 6, 6, 6, 6, 5, 5},
                               {5, 5, 5, 5, 5, 5, 5, 5}, {4, 5, 5, 5, 5, 5, 5, 4}};
constexpr int8_t kVertical[8][8] = {{2, 2, 2, 2, 2, 2, 2, 2}, {1, 1, 2, 2, 2, 2, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1},
                                    {1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1},
                                    {1, 1, 2, 2, 2, 2, 1, 1}, {2, 2, 2, 2, 2, 2, 2, 2}};

}  // namespace dcvc::motion
