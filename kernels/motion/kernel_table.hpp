// The inner loops of search and compensation that exist once per instruction set, as function pointers. Every form of a
// function gives the same bits; kernels/tests/motion_parity_test.cpp holds each to the scalar one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "kernels/base/isa.hpp"

namespace dcvc::motion {

constexpr int kTaps = 8;        // length of the interpolation filters
constexpr int kFilterBits = 6;  // their taps sum to 64

// The 8-tap quarter-sample filters of H.265 (clause 8.5.3.3.3), rows: fraction 0, 1/4, 1/2, 3/4.
constexpr int16_t kSubpelFilters[4][kTaps] = {{0, 0, 0, 64, 0, 0, 0, 0},
                                              {-1, 4, -10, 58, 17, -5, 1, 0},
                                              {-1, 4, -11, 40, 40, -11, 4, -1},
                                              {0, 1, -5, 17, 58, -10, 4, -1}};

// An 8x8 square of 8-bit samples: those that `first` points to or, where there is a `second`, the rounded means of
// both.
struct ByteSquare {
  const uint8_t *first, *second;
};

// A square of 8x8 samples of 16 bits, row by row.
using SampleSquare = int16_t[8 * 8];

struct KernelTable {
  const char* name;

  // Sum of absolute differences of squares of side 8 or 16.
  int (*sad_8)(const uint8_t* a, ptrdiff_t stride_a, const uint8_t* b, ptrdiff_t stride_b);
  int (*sad_16)(const uint8_t* a, ptrdiff_t stride_a, const uint8_t* b, ptrdiff_t stride_b);

  // Sum of absolute 8x8 Hadamard coefficients of the difference, scaled to be comparable with a sum of absolute
  // differences; and the sum of that of two squares side by side.
  int (*hadamard_8x8)(const uint8_t* a, ptrdiff_t stride_a, const uint8_t* b, ptrdiff_t stride_b);
  int (*hadamard_16x8)(const uint8_t* a, ptrdiff_t stride_a, const uint8_t* b, ptrdiff_t stride_b);

  // The rounded means of two squares of side 8 or 16, 16 samples from one row of `out` to the next.
  void (*average)(const uint8_t* a, ptrdiff_t stride_a, const uint8_t* b, ptrdiff_t stride_b, int side, uint8_t* out);

  // `count` samples halfway between source[i] and source[i + step].
  void (*half_samples)(const uint8_t* source, ptrdiff_t step, uint8_t* target, int count);

  // The 64 samples of a square whose rows lie `stride` apart.
  void (*copy_square)(const ByteSquare& square, ptrdiff_t stride, uint8_t* out);

  // The overlapping prediction (overlap.hpp) of a square, from what its own vector and those of the squares above,
  // below, left and right predict of it.
  void (*overlap_bytes)(const ByteSquare (&squares)[5], ptrdiff_t stride, uint8_t* out);

  // Rows first..last - 1 of a square, interpolated: along rows by kSubpelFilters[fraction_x], rounded, then down. The
  // window begins 3 rows and 3 columns before the square, and 15 x 15 samples are readable. Samples are 0..8192.
  void (*interpolate)(const int16_t* window, ptrdiff_t stride, int fraction_x, int fraction_y, int first, int last,
                      SampleSquare& out);

  // overlap_bytes for samples of 16 bits, into `own`. Rows 0..3 of `above` and 4..7 of `below` are read.
  void (*overlap_samples)(SampleSquare& own, const SampleSquare& above, const SampleSquare& below,
                          const SampleSquare& left, const SampleSquare& right);

  // Limits samples to 0..max_value, then takes their rounded means with `second`, limited too, unless that is null.
  void (*limit)(const SampleSquare& square, const SampleSquare* second, int16_t max_value, int16_t* out,
                ptrdiff_t stride);
};

extern const KernelTable kScalarKernels;
#if defined(__x86_64__)
extern const KernelTable kSse2Kernels, kAvx2Kernels;
#elif defined(__aarch64__)
extern const KernelTable kNeonKernels;
#endif

// The tables that this machine can run, and the one in use.
Dispatch<KernelTable>& dispatch();
inline const KernelTable& kernels() { return dispatch().current(); }

}  // namespace dcvc::motion
