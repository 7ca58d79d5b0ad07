// Each function is one step of the exact arithmetic on integers in registers. Source: docs/exact-arithmetic.md.
#pragma once

#include "kernels/cuda/device.hpp"

namespace dcvc::cuda {

constexpr int kUnit = 8192;  // 1.0 of a picture

GPU_FN int32_t minimum(int32_t a, int32_t b) { return a < b ? a : b; }
GPU_FN int32_t maximum(int32_t a, int32_t b) { return a > b ? a : b; }
GPU_FN int32_t limit(int32_t v, int32_t low, int32_t high) { return v < low ? low : v > high ? high : v; }
GPU_FN int32_t saturate16(int32_t v) { return limit(v, -32768, 32767); }
GPU_FN int32_t low_half(uint32_t pair) { return static_cast<int16_t>(pair & 0xffff); }
GPU_FN int32_t high_half(uint32_t pair) { return static_cast<int32_t>(pair) >> 16; }

// Returns round(v, n). The caller keeps 1 <= n <= 30 and v + 2^(n-1) inside 32 bits.
GPU_FN int32_t shift_round(int32_t v, int n) { return (v + (1 << (n - 1))) >> n; }

// Rescales a convolution's sum. Bounds that a decoder checks at load keep the shifted number inside 32 bits.
GPU_FN int32_t rescale(int32_t sum, int32_t multiplier, int64_t addend) {
  return saturate16(gpu::multiply_high(sum, multiplier, addend));
}

// Multiplies with a scale vector's factor. Both have 16 bits, so the product fits 32.
GPU_FN int32_t scaled(int32_t v, int32_t factor, int shift) { return saturate16(shift_round(v * factor, shift)); }

// Returns WSiLU by its table at a byte offset of shared memory. The exponent is 5..13.
GPU_FN int32_t wsilu(int32_t x, int table_offset, int exponent) {
  const int32_t absolute = x < 0 ? -x : x, magnitude = minimum(absolute, (2 << exponent) - 1);
  const int32_t piece = magnitude >> (exponent - 5), within = (magnitude - (piece << (exponent - 5)))
                                                              << (20 - exponent);
  const uint32_t word = gpu::load_shared<uint32_t>(table_offset + 4 * piece);
  const int32_t g = low_half(word) + ((high_half(word) * within + (1 << 14)) >> 15);
  return maximum(x, 0) - shift_round(g, 18 - exponent);
}

// Returns the picture value of a network's output. shift is exponent - 13 and lies in -13..2. lowest is 0, or -4096 for
// pictures around 0.
GPU_FN int32_t picture_value(int32_t v, int shift, int32_t lowest) {
  return limit(shift > 0 ? shift_round(v, shift) : v * (1 << -shift), lowest, lowest + kUnit);
}

}  // namespace dcvc::cuda
