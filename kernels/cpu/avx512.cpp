// AVX-512 with VNNI: 32 multiply-accumulates of 16-bit values an instruction.
#include "kernels/cpu/avx512.hpp"

namespace dcvc::kernels {
namespace {

// So many pairs of inputs that their weights for 64 outputs fit half of the first-level cache.
constexpr int kPairsAtOnce = 128;

// _mm512_dpwssd_epi32 in place. With the intrinsic GCC 12 copies each accumulator, runs out of registers and writes the
// copies to memory.
[[gnu::always_inline]] inline void add_products(__m512i& sum, __m512i x, __m512i w) {
  __asm__("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(w));
}

// The sums of one pixel for 64 outputs. Members have names because GCC keeps arrays of vectors in memory.
struct PixelSums {
  __m512i a, b, c, d;

  [[gnu::always_inline]] void start(const int32_t* sums, bool more) {
    if (more) {
      a = _mm512_loadu_si512(sums);
      b = _mm512_loadu_si512(sums + 16);
      c = _mm512_loadu_si512(sums + 32);
      d = _mm512_loadu_si512(sums + 48);
    } else {
      a = b = c = d = _mm512_setzero_si512();
    }
  }

  [[gnu::always_inline]] void add(const int16_t* x, __m512i wa, __m512i wb, __m512i wc, __m512i wd) {
    int32_t two;
    __builtin_memcpy(&two, x, sizeof two);
    const __m512i inputs = _mm512_set1_epi32(two);
    add_products(a, inputs, wa);
    add_products(b, inputs, wb);
    add_products(c, inputs, wc);
    add_products(d, inputs, wd);
  }

  [[gnu::always_inline]] void store(int32_t* sums) const {
    _mm512_storeu_si512(sums, a);
    _mm512_storeu_si512(sums + 16, b);
    _mm512_storeu_si512(sums + 32, c);
    _mm512_storeu_si512(sums + 48, d);
  }
};

// The products of six pixels (or one) and 64 outputs: 24 accumulators, 4 weight registers, one broadcast of two inputs.
// more: adds to the sums instead of replacing them.
template <int kPixels>
void accumulate_tile(const int16_t* x, ptrdiff_t stride, const int16_t* weights, int num_pairs, bool more,
                     int32_t* sums) {
  PixelSums p0, p1, p2, p3, p4, p5;
  p0.start(sums, more);
  if constexpr (kPixels > 1) p1.start(sums + kBlockOutputs, more);
  if constexpr (kPixels > 2) p2.start(sums + 2 * kBlockOutputs, more);
  if constexpr (kPixels > 3) p3.start(sums + 3 * kBlockOutputs, more);
  if constexpr (kPixels > 4) p4.start(sums + 4 * kBlockOutputs, more);
  if constexpr (kPixels > 5) p5.start(sums + 5 * kBlockOutputs, more);
  for (int pair = 0; pair < num_pairs; ++pair, weights += 2 * kBlockOutputs, x += 2) {
    const __m512i a = _mm512_load_si512(weights), b = _mm512_load_si512(weights + 32);
    const __m512i c = _mm512_load_si512(weights + 64), d = _mm512_load_si512(weights + 96);
    p0.add(x, a, b, c, d);
    if constexpr (kPixels > 1) p1.add(x + stride, a, b, c, d);
    if constexpr (kPixels > 2) p2.add(x + 2 * stride, a, b, c, d);
    if constexpr (kPixels > 3) p3.add(x + 3 * stride, a, b, c, d);
    if constexpr (kPixels > 4) p4.add(x + 4 * stride, a, b, c, d);
    if constexpr (kPixels > 5) p5.add(x + 5 * stride, a, b, c, d);
  }
  p0.store(sums);
  if constexpr (kPixels > 1) p1.store(sums + kBlockOutputs);
  if constexpr (kPixels > 2) p2.store(sums + 2 * kBlockOutputs);
  if constexpr (kPixels > 3) p3.store(sums + 3 * kBlockOutputs);
  if constexpr (kPixels > 4) p4.store(sums + 4 * kBlockOutputs);
  if constexpr (kPixels > 5) p5.store(sums + 5 * kBlockOutputs);
}

// Asks for the inputs of six pixels, which a tile reads in six streams that are too short for the processor's own
// guess.
inline void prefetch_tile(const int16_t* x, ptrdiff_t stride, int num_pairs) {
  for (int pixel = 0; pixel < 6; ++pixel, x += stride) {
    for (int pair = 0; pair < num_pairs; pair += 16)
      _mm_prefetch(reinterpret_cast<const char*>(x + 2 * pair), _MM_HINT_T0);
  }
}

template <int kPixels>
void multiply_tile(const int16_t* x, ptrdiff_t stride, const int16_t* weights, int num_pairs, bool more, bool last,
                   const Epilogue& epilogue, int32_t* sums) {
  accumulate_tile<kPixels>(x, stride, weights, num_pairs, more, sums);
  if (last) finish(sums, kPixels, epilogue);
}

// Adds the products of one range of inputs to the sums of all pixels. last: each tile's sums are finished at once, so
// that the processor works on the next tile's products beside them. is_first_use: the inputs may be far away yet.
void multiply_pairs(const int16_t* x, ptrdiff_t stride, int num_pixels, const int16_t* weights, int num_pairs,
                    bool more, bool last, bool is_first_use, Epilogue epilogue, int32_t* sums) {
  for (; num_pixels >= 6; num_pixels -= 6, x += 6 * stride, sums += 6 * kBlockOutputs) {
    if (is_first_use && num_pixels >= 12) prefetch_tile(x + 6 * stride, stride, num_pairs);
    multiply_tile<6>(x, stride, weights, num_pairs, more, last, epilogue, sums);
    epilogue.out += 6 * epilogue.out_stride;
    if (epilogue.first) epilogue.first += 6 * epilogue.first_stride;
    if (epilogue.second) epilogue.second += 6 * epilogue.second_stride;
  }
  switch (num_pixels) {
    case 5:
      multiply_tile<5>(x, stride, weights, num_pairs, more, last, epilogue, sums);
      break;
    case 4:
      multiply_tile<4>(x, stride, weights, num_pairs, more, last, epilogue, sums);
      break;
    case 3:
      multiply_tile<3>(x, stride, weights, num_pairs, more, last, epilogue, sums);
      break;
    case 2:
      multiply_tile<2>(x, stride, weights, num_pairs, more, last, epilogue, sums);
      break;
    case 1:
      multiply_tile<1>(x, stride, weights, num_pairs, more, last, epilogue, sums);
      break;
    default:
      break;
  }
}

void multiply(const Rows& rows, int num_pixels, const MatrixView& matrix, int block, const Epilogue& epilogue,
              int32_t* sums) {
  const int16_t* weights = matrix.pairs + static_cast<ptrdiff_t>(block) * matrix.num_pairs * 2 * kBlockOutputs;
  for (int first = 0; first < matrix.num_pairs; first += kPairsAtOnce, weights += 2 * kBlockOutputs * kPairsAtOnce) {
    const bool last = first + kPairsAtOnce >= matrix.num_pairs;
    const int count = last ? matrix.num_pairs - first : kPairsAtOnce;
    multiply_pairs(rows.values + 2 * first, rows.stride, num_pixels, weights, count, first > 0,
                   last && !epilogue.activation, block == 0, epilogue, sums);
  }
  // With an activation this is faster for all pixels at once: measured on Zen 5.
  if (epilogue.activation) finish(sums, num_pixels, epilogue);
}

}  // namespace

const KernelTable& avx512_kernels() {
  static const KernelTable table{"avx512", nullptr, multiply, depthwise, activate, add_all, scale_all};
  return table;
}

}  // namespace dcvc::kernels
