// The fixed-point samples that motion, the output filter, the floor and the lossless layer compute with, and the
// squares that they stand in. CUDA kernels include this file too: it includes nothing.
#pragma once

namespace dcvc {

constexpr int kSampleBits = 13;
constexpr int kMaxSample = 1 << kSampleBits;  // 1.0; 16 bits hold it and what the interpolation filters add
constexpr int kSquare = 8;                    // side of the squares that have a vector each
constexpr int kMaxSide = 1 << 14;             // largest height and largest width of a picture
constexpr int kCell = kSquare;                // side of the cells in which the exact engine stores a picture

}  // namespace dcvc
