// AVX-512 with VNNI: 32 multiply-accumulates of 16-bit values an instruction.
#include "avx512.hpp"

namespace dcvc::kernels {
namespace {

// Six pixels times 64 outputs: 24 accumulators, 4 weight registers, one broadcast of two inputs.
template <int kPixels>
void accumulate_tile(const int16_t* x, ptrdiff_t stride, const int16_t* weights, int num_pairs, int32_t* sums) {
  __m512i sum[kPixels][4];
  for (int p = 0; p < kPixels; ++p) {
    for (int n = 0; n < 4; ++n) sum[p][n] = _mm512_setzero_si512();
  }
  for (int pair = 0; pair < num_pairs; ++pair, weights += 2 * kBlockOutputs) {
    __m512i w[4];
    for (int n = 0; n < 4; ++n) w[n] = _mm512_load_si512(weights + 32 * n);
    for (int p = 0; p < kPixels; ++p) {
      int32_t two;
      __builtin_memcpy(&two, x + p * stride + 2 * pair, sizeof two);
      const __m512i inputs = _mm512_set1_epi32(two);
      for (int n = 0; n < 4; ++n) sum[p][n] = _mm512_dpwssd_epi32(sum[p][n], inputs, w[n]);
    }
  }
  for (int p = 0; p < kPixels; ++p) {
    for (int n = 0; n < 4; ++n) _mm512_storeu_si512(sums + p * kBlockOutputs + 16 * n, sum[p][n]);
  }
}

void accumulate(const Rows& rows, int num_pixels, const MatrixView& matrix, int block, int32_t* sums) {
  const int16_t* weights = matrix.pairs + static_cast<ptrdiff_t>(block) * matrix.num_pairs * 2 * kBlockOutputs;
  int pixel = 0;
  for (; pixel + 6 <= num_pixels; pixel += 6) {
    accumulate_tile<6>(rows.values + pixel * rows.stride, rows.stride, weights, matrix.num_pairs, sums + pixel * kBlockOutputs);
  }
  const int16_t* x = rows.values + pixel * rows.stride;
  int32_t* rest = sums + pixel * kBlockOutputs;
  switch (num_pixels - pixel) {
    case 5: accumulate_tile<5>(x, rows.stride, weights, matrix.num_pairs, rest); break;
    case 4: accumulate_tile<4>(x, rows.stride, weights, matrix.num_pairs, rest); break;
    case 3: accumulate_tile<3>(x, rows.stride, weights, matrix.num_pairs, rest); break;
    case 2: accumulate_tile<2>(x, rows.stride, weights, matrix.num_pairs, rest); break;
    case 1: accumulate_tile<1>(x, rows.stride, weights, matrix.num_pairs, rest); break;
    default: break;
  }
}

}  // namespace

const KernelTable& avx512_kernels() {
  static const KernelTable table{"avx512", nullptr, accumulate, finish, depthwise, activate, add_all, scale_all};
  return table;
}

}  // namespace dcvc::kernels
