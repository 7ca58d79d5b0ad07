// The inner loops of the output filter and its fit that exist once per instruction set, as function pointers. Every
// form of a function gives the same bits; kernels/tests/filter_parity_test.cpp holds each to the scalar one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/base/isa.hpp"
#include "kernels/filter/filters.hpp"

namespace dcvc::filter {

constexpr int kClip = 128;  // of limited differences: four grey levels
constexpr int kChunk = 16;  // samples whose products are summed at once

// A filter's coefficients by pairs of terms, (2k, 2k + 1), each pair four times: once for each sample of a block's row.
struct Coefficients {
  explicit Coefficients(const Filter& filter);

  alignas(16) int16_t pairs[kChromaTerms / 2][4][2];
};

// Sums of second differences of a 4x4 block's samples.
struct Activity {
  int32_t vertical, horizontal;
};

struct KernelTable {
  const char* name;

  // Of `width` samples: after = here[x + offset] - here[x] and before = here[x - offset] - here[x]; `plain` is their
  // sum, `limited` the sum of both limited to -kClip..kClip. Samples are 0..8192.
  void (*pair_terms)(const int16_t* here, ptrdiff_t offset, size_t width, int16_t* plain, int16_t* limited);

  // Adds |2 here - above - below| and |2 here - left - right| of a row's samples to its blocks. Samples are 0..8192.
  void (*add_activity)(const int16_t* here, ptrdiff_t stride, size_t num_blocks, Activity* blocks);

  // Filters a row of blocks of 4 samples: block i by filters[of_block[i]]. Row k of `terms` lies k * width samples
  // behind the first. Samples are 0..8192, in and out.
  void (*filter_row)(const int16_t* samples, const int16_t* terms, size_t width, int num_terms,
                     const Coefficients* filters, const uint8_t* of_block, int16_t* out);

  // sums[i][j] += the sum over a chunk of samples[i] * samples[j], for i = 0..num_terms and j = 0..min(i, num_terms -
  // 1); other sums change to anything. Each sum over a chunk fits 32 bits; num_terms is a multiple of 4.
  void (*add_products)(const int16_t (*samples)[kChunk], int num_terms, int64_t (*sums)[kChromaTerms]);
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

}  // namespace dcvc::filter
