// Single steps of the arithmetic and the loops over them. The file of every instruction set includes this one and
// compiles its own copy with its own flags. So all stands in an anonymous namespace, and nothing uses templates of the
// standard library: the linker would merge their copies.
#pragma once

#include "kernels/cpu/kernel_table.hpp"

namespace dcvc::kernels {
namespace {

inline int16_t saturate16(int64_t v) { return static_cast<int16_t>(v > 32767 ? 32767 : v < -32768 ? -32768 : v); }

inline int16_t saturating_sum(int16_t a, int16_t b) {
  const int sum = a + b;
  return static_cast<int16_t>(sum > 32767 ? 32767 : sum < -32768 ? -32768 : sum);
}

inline int16_t rescale(int32_t sum, int32_t multiplier, int64_t addend) {
  return saturate16((static_cast<int64_t>(sum) * multiplier + addend) >> 32);
}

inline int16_t wsilu(int16_t x, const ActivationTable& table, int exponent) {
  const int limit = (2 << exponent) - 1;
  const int absolute = x < 0 ? -x : x;
  const int magnitude = absolute < limit ? absolute : limit;
  const int piece = magnitude >> (exponent - 5);
  const int within = (magnitude - (piece << (exponent - 5))) << (20 - exponent);
  const int g = table.nodes[piece] + ((table.rises[piece] * within + (1 << 14)) >> 15);
  return static_cast<int16_t>((x > 0 ? x : 0) - ((g + (1 << (17 - exponent))) >> (18 - exponent)));
}

inline size_t addend_place(int position) {
  return static_cast<size_t>(position / 16 * 16 + position % 2 * 8 + position % 16 / 2);
}

// KernelTable::multiply in two passes. kAccumulate: computes sums[pixel][64] of an output block, in position order.
template <void (*kAccumulate)(const Rows&, int, const MatrixView&, int, int32_t*),
          void (*kFinish)(const int32_t*, int, const Epilogue&)>
void multiply_in_two(const Rows& rows, int num_pixels, const MatrixView& matrix, int block, const Epilogue& epilogue,
                     int32_t* sums) {
  kAccumulate(rows, num_pixels, matrix, block, sums);
  kFinish(sums, num_pixels, epilogue);
}

inline void add_all(const int16_t* x, const int16_t* y, size_t count, int16_t* out) {
  for (size_t i = 0; i < count; ++i) out[i] = saturating_sum(x[i], y[i]);
}

// The sums of each four neighbouring values, count / 4 of them.
inline void add_fours_all(const int16_t* x, int count, int16_t* out) {
  for (int i = 0; i < count; i += 4) out[i / 4] = saturate16(x[i] + x[i + 1] + x[i + 2] + x[i + 3]);
}

inline void activate_all(const int16_t* x, size_t count, const ActivationTable& table, int exponent, int16_t* out) {
  for (size_t i = 0; i < count; ++i) out[i] = wsilu(x[i], table, exponent);
}

inline void scale_all(const int16_t* x, size_t num_pixels, int channels, const int16_t* factors, int shift,
                      int16_t* out) {
  const int half = 1 << (shift - 1);
  for (size_t p = 0; p < num_pixels; ++p, x += channels, out += channels) {
    for (int c = 0; c < channels; ++c) {
      const int v = (x[c] * factors[c] + half) >> shift;
      out[c] = static_cast<int16_t>(v > 32767 ? 32767 : v < -32768 ? -32768 : v);
    }
  }
}

}  // namespace
}  // namespace dcvc::kernels
