// AVX-512 with VNNI: 32 multiply-accumulates of 16-bit values an instruction.
#include "avx512.hpp"

namespace dcvc::kernels {
namespace {

// Pairs of inputs whose weights, for 64 outputs, fit half of the first-level cache.
constexpr int kPairsAtOnce = 96;

// Six pixels times 64 outputs: 24 accumulators, 4 weight registers, one broadcast of two inputs. `more`: adds to the sums.
template <int kPixels>
void accumulate_tile(const int16_t* x, ptrdiff_t stride, const int16_t* weights, int num_pairs, bool more, int32_t* sums) {
  __m512i sum[kPixels][4];
  for (int p = 0; p < kPixels; ++p) {
    for (int n = 0; n < 4; ++n) sum[p][n] = more ? _mm512_loadu_si512(sums + p * kBlockOutputs + 16 * n) : _mm512_setzero_si512();
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

// One range of inputs over all pixels.
void accumulate_pairs(const int16_t* x, ptrdiff_t stride, int num_pixels, const int16_t* weights, int num_pairs, bool more, int32_t* sums) {
  int pixel = 0;
  for (; pixel + 6 <= num_pixels; pixel += 6) {
    accumulate_tile<6>(x + pixel * stride, stride, weights, num_pairs, more, sums + pixel * kBlockOutputs);
  }
  x += pixel * stride;
  sums += pixel * kBlockOutputs;
  switch (num_pixels - pixel) {
    case 5: accumulate_tile<5>(x, stride, weights, num_pairs, more, sums); break;
    case 4: accumulate_tile<4>(x, stride, weights, num_pairs, more, sums); break;
    case 3: accumulate_tile<3>(x, stride, weights, num_pairs, more, sums); break;
    case 2: accumulate_tile<2>(x, stride, weights, num_pairs, more, sums); break;
    case 1: accumulate_tile<1>(x, stride, weights, num_pairs, more, sums); break;
    default: break;
  }
}

void accumulate(const Rows& rows, int num_pixels, const MatrixView& matrix, int block, int32_t* sums) {
  const int16_t* weights = matrix.pairs + static_cast<ptrdiff_t>(block) * matrix.num_pairs * 2 * kBlockOutputs;
  for (int first = 0; first < matrix.num_pairs; first += kPairsAtOnce) {
    const int count = matrix.num_pairs - first < kPairsAtOnce ? matrix.num_pairs - first : kPairsAtOnce;
    accumulate_pairs(rows.values + 2 * first, rows.stride, num_pixels, weights + static_cast<ptrdiff_t>(first) * 2 * kBlockOutputs, count, first > 0,
                     sums);
  }
}

}  // namespace

const KernelTable& avx512_kernels() {
  static const KernelTable table{"avx512", nullptr, accumulate, finish, depthwise, activate, add_all, scale_all};
  return table;
}

}  // namespace dcvc::kernels
