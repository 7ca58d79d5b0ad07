// AVX-512 code that avx512.cpp and amx.cpp share. As with elementwise.hpp, each file compiles a private copy.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/elementwise.hpp"

namespace dcvc::kernels {
namespace {

// The rescale of 16 positions: multipliers and addends.
struct Rescale16 {
  __m512i even_multiplier, odd_multiplier, even_addend, odd_addend;

  Rescale16(const int32_t* multiplier, const int64_t* addend)
      : even_multiplier(_mm512_loadu_si512(multiplier)),
        odd_multiplier(_mm512_srli_epi64(even_multiplier, 32)),
        even_addend(_mm512_loadu_si512(addend)),
        odd_addend(_mm512_loadu_si512(addend + 8)) {}

  // (sum * M + R) >> 32 of 16 sums. Each result fits 32 bits, because the 64-bit value does not overflow.
  __m512i operator()(__m512i sums) const {
    const __m512i even = _mm512_add_epi64(_mm512_mul_epi32(sums, even_multiplier), even_addend);
    const __m512i odd = _mm512_add_epi64(_mm512_mul_epi32(_mm512_srli_epi64(sums, 32), odd_multiplier), odd_addend);
    // The high halves of the even results, merged into the low halves of the odd ones.
    return _mm512_mask_shuffle_epi32(odd, 0x5555, even, _MM_PERM_DDBB);
  }
};

struct Activation32 {
  __m512i nodes0, nodes1, rises0, rises1, limit, piece_mask, piece_shift, within_shift, final_factor;

  Activation32(const ActivationTable& table, int exponent)
      : nodes0(_mm512_load_si512(table.nodes)),
        nodes1(_mm512_load_si512(table.nodes + 32)),
        rises0(_mm512_load_si512(table.rises)),
        rises1(_mm512_load_si512(table.rises + 32)),
        limit(_mm512_set1_epi16(static_cast<int16_t>((2 << exponent) - 1))),
        piece_mask(_mm512_set1_epi16(static_cast<int16_t>((1 << (exponent - 5)) - 1))),
        piece_shift(_mm512_set1_epi16(static_cast<int16_t>(exponent - 5))),
        within_shift(_mm512_set1_epi16(static_cast<int16_t>(20 - exponent))),
        final_factor(_mm512_set1_epi16(static_cast<int16_t>(1 << (exponent - 3)))) {}

  __m512i operator()(__m512i x) const {
    const __m512i magnitude = _mm512_min_epu16(_mm512_abs_epi16(x), limit);
    const __m512i piece = _mm512_srlv_epi16(magnitude, piece_shift);
    const __m512i within = _mm512_sllv_epi16(_mm512_and_si512(magnitude, piece_mask), within_shift);
    const __m512i node = _mm512_permutex2var_epi16(nodes0, piece, nodes1);
    const __m512i rise = _mm512_permutex2var_epi16(rises0, piece, rises1);
    const __m512i g = _mm512_add_epi16(node, _mm512_mulhrs_epi16(rise, within));
    // A rounding multiplication by 2^(exponent - 3) / 2^15 is the rounding shift by 18 - exponent.
    const __m512i rounded = _mm512_mulhrs_epi16(g, final_factor);
    return _mm512_sub_epi16(_mm512_max_epi16(x, _mm512_setzero_si512()), rounded);
  }
};

inline __mmask32 lanes(int count) { return count >= 32 ? 0xFFFFFFFFu : (1u << count) - 1; }

// The sums of each four neighbouring lanes: 8 values, saturated.
inline __m128i add_fours(__m512i y) {
  const __m512i twos = _mm512_madd_epi16(y, _mm512_set1_epi16(1));
  const __m512i sums =
      _mm512_add_epi64(_mm512_srai_epi64(twos, 32), _mm512_srai_epi64(_mm512_slli_epi64(twos, 32), 32));
  return _mm512_cvtsepi64_epi16(sums);
}

// The sums of each four neighbouring lanes of two vectors: 16 values, saturated.
inline __m256i add_fours(__m512i y, __m512i z) {
  const __m512i one = _mm512_set1_epi16(1);
  const __m512i y_twos = _mm512_madd_epi16(y, one), z_twos = _mm512_madd_epi16(z, one);
  // Sums of y in the even places, of z in the odd ones.
  const __m512i sums = _mm512_add_epi32(_mm512_mask_shuffle_epi32(y_twos, 0xAAAA, z_twos, _MM_PERM_CCAA),
                                        _mm512_mask_shuffle_epi32(z_twos, 0x5555, y_twos, _MM_PERM_DDBB));
  const __m512i order = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
  return _mm512_cvtsepi32_epi16(_mm512_permutexvar_epi32(order, sums));
}

inline void finish_fours_of_block(const int32_t* sums, int num_pixels, const Epilogue& e) {
  const Activation32 activate(*e.activation, e.exponent);
  const Rescale16 r0(e.multiplier, e.addend), r1(e.multiplier + 16, e.addend + 16),
      r2(e.multiplier + 32, e.addend + 32), r3(e.multiplier + 48, e.addend + 48);
  for (int pixel = 0; pixel < num_pixels; ++pixel, sums += kBlockOutputs) {
    const __m512i y = _mm512_packs_epi32(r0(_mm512_loadu_si512(sums)), r1(_mm512_loadu_si512(sums + 16)));
    const __m512i z = _mm512_packs_epi32(r2(_mm512_loadu_si512(sums + 32)), r3(_mm512_loadu_si512(sums + 48)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(e.out + pixel * e.out_stride), add_fours(activate(y), activate(z)));
  }
}

inline void finish_fours(const int32_t* sums, int num_pixels, const Epilogue& e) {
  if (e.num_outputs == kBlockOutputs) return finish_fours_of_block(sums, num_pixels, e);
  const Activation32 activate(*e.activation, e.exponent);
  for (int n = 0; n < e.num_outputs; n += kLaneBlock) {
    const Rescale16 low(e.multiplier + n, e.addend + n), high(e.multiplier + n + 16, e.addend + n + 16);
    const int left = (e.num_outputs - n) / 4;
    const __mmask8 mask = static_cast<__mmask8>(left >= 8 ? 0xFF : (1 << left) - 1);
    for (int pixel = 0; pixel < num_pixels; ++pixel) {
      const int32_t* sum = sums + pixel * kBlockOutputs + n;
      const __m512i y = _mm512_packs_epi32(low(_mm512_loadu_si512(sum)), high(_mm512_loadu_si512(sum + 16)));
      _mm_mask_storeu_epi16(e.out + pixel * e.out_stride + n / 4, mask, add_fours(activate(y)));
    }
  }
}

template <bool kActivate, bool kFirst, bool kSecond>
void finish_as(const int32_t* sums, int num_pixels, const Epilogue& e) {
  static const ActivationTable kNone{};
  const Activation32 activate(kActivate ? *e.activation : kNone, kActivate ? e.exponent : 5);
  for (int n = 0; n < e.num_outputs; n += kLaneBlock) {
    const Rescale16 low(e.multiplier + n, e.addend + n), high(e.multiplier + n + 16, e.addend + n + 16);
    const __mmask32 mask = lanes(e.num_outputs - n);
    for (int pixel = 0; pixel < num_pixels; ++pixel) {
      const int32_t* sum = sums + pixel * kBlockOutputs + n;
      __m512i y = _mm512_packs_epi32(low(_mm512_loadu_si512(sum)), high(_mm512_loadu_si512(sum + 16)));
      if (kActivate) y = activate(y);
      if (kFirst) y = _mm512_adds_epi16(y, _mm512_maskz_loadu_epi16(mask, e.first + pixel * e.first_stride + n));
      if (kSecond) y = _mm512_adds_epi16(y, _mm512_maskz_loadu_epi16(mask, e.second + pixel * e.second_stride + n));
      _mm512_mask_storeu_epi16(e.out + pixel * e.out_stride + n, mask, y);
    }
  }
}

inline void finish(const int32_t* sums, int num_pixels, const Epilogue& e) {
  if (e.add_fours) {
    finish_fours(sums, num_pixels, e);
  } else if (e.activation) {
    e.first ? finish_as<true, true, false>(sums, num_pixels, e) : finish_as<true, false, false>(sums, num_pixels, e);
  } else if (e.second) {
    finish_as<false, true, true>(sums, num_pixels, e);
  } else {
    e.first ? finish_as<false, true, false>(sums, num_pixels, e) : finish_as<false, false, false>(sums, num_pixels, e);
  }
}

// One column of three rows of 32 channels: pairs (row 0, row 1) and (row 2, zero) in position order.
struct Column {
  __m512i low01, high01, low2, high2;
};

inline Column load_column(const int16_t* const rows[3], ptrdiff_t offset, __mmask32 mask) {
  const __m512i zero = _mm512_setzero_si512();
  const __m512i r0 = rows[0] ? _mm512_maskz_loadu_epi16(mask, rows[0] + offset) : zero;
  const __m512i r1 = _mm512_maskz_loadu_epi16(mask, rows[1] + offset);
  const __m512i r2 = rows[2] ? _mm512_maskz_loadu_epi16(mask, rows[2] + offset) : zero;
  return {_mm512_unpacklo_epi16(r0, r1), _mm512_unpackhi_epi16(r0, r1), _mm512_unpacklo_epi16(r2, zero),
          _mm512_unpackhi_epi16(r2, zero)};
}

// Computes a run of pixels inside one row, for one block of 32 channels.
inline void depthwise_run(const int16_t* const rows[3], int width, int channels, int first, int count,
                          const int16_t* taps, const Rescale16& low, const Rescale16& high, __mmask32 mask,
                          int16_t* out, ptrdiff_t out_stride) {
  __m512i w[12];
  for (int k = 0; k < 12; ++k) w[k] = _mm512_loadu_si512(taps + 32 * k);
  const __m512i zero = _mm512_setzero_si512();
  Column left{zero, zero, zero, zero};
  if (first > 0) left = load_column(rows, static_cast<ptrdiff_t>(first - 1) * channels, mask);
  Column middle = load_column(rows, static_cast<ptrdiff_t>(first) * channels, mask);
  for (int column = first; column < first + count; ++column, out += out_stride) {
    Column right{zero, zero, zero, zero};
    if (column + 1 < width) right = load_column(rows, static_cast<ptrdiff_t>(column + 1) * channels, mask);
    __m512i a = _mm512_dpwssd_epi32(zero, left.low01, w[0]), b = _mm512_dpwssd_epi32(zero, left.high01, w[1]);
    __m512i a2 = _mm512_dpwssd_epi32(zero, left.low2, w[2]), b2 = _mm512_dpwssd_epi32(zero, left.high2, w[3]);
    a = _mm512_dpwssd_epi32(a, middle.low01, w[4]);
    b = _mm512_dpwssd_epi32(b, middle.high01, w[5]);
    a2 = _mm512_dpwssd_epi32(a2, middle.low2, w[6]);
    b2 = _mm512_dpwssd_epi32(b2, middle.high2, w[7]);
    a = _mm512_dpwssd_epi32(a, right.low01, w[8]);
    b = _mm512_dpwssd_epi32(b, right.high01, w[9]);
    a2 = _mm512_dpwssd_epi32(a2, right.low2, w[10]);
    b2 = _mm512_dpwssd_epi32(b2, right.high2, w[11]);
    const __m512i y = _mm512_packs_epi32(low(_mm512_add_epi32(a, a2)), high(_mm512_add_epi32(b, b2)));
    _mm512_mask_storeu_epi16(out, mask, y);
    left = middle;
    middle = right;
  }
}

inline void depthwise(const int16_t* x, int height, int width, const DepthwiseView& layer, PixelRange range,
                      int16_t* out, ptrdiff_t out_stride) {
  const int c = layer.channels;
  const ptrdiff_t row_values = static_cast<ptrdiff_t>(width) * c;
  for (int block = 0; block < c; block += kLaneBlock) {
    const Rescale16 low(layer.multiplier + block, layer.addend + block),
        high(layer.multiplier + block + 16, layer.addend + block + 16);
    const __mmask32 mask = lanes(c - block);
    for (int done = 0; done < range.count;) {
      const int row = (range.first + done) / width, column = (range.first + done) % width;
      const int run = width - column < range.count - done ? width - column : range.count - done;
      const int16_t* middle = x + row * row_values + block;
      const int16_t* const rows[3] = {row > 0 ? middle - row_values : nullptr, middle,
                                      row + 1 < height ? middle + row_values : nullptr};
      depthwise_run(rows, width, c, column, run, layer.taps + static_cast<ptrdiff_t>(block) * 12, low, high, mask,
                    out + done * out_stride + block, out_stride);
      done += run;
    }
  }
}

inline void activate(const int16_t* x, size_t count, const ActivationTable& table, int exponent, int16_t* out) {
  const Activation32 activate_lanes(table, exponent);
  for (size_t i = 0; i < count; i += 32) {
    const __mmask32 mask = lanes(count - i >= 32 ? 32 : static_cast<int>(count - i));
    _mm512_mask_storeu_epi16(out + i, mask, activate_lanes(_mm512_maskz_loadu_epi16(mask, x + i)));
  }
}

}  // namespace
}  // namespace dcvc::kernels
