// AVX2: a multiplication sums products of 16-bit pairs to 32 bits, which with an addition makes 16
// multiply-accumulates.
#include <immintrin.h>

#include "kernels/cpu/elementwise.hpp"
#include "kernels/cpu/pixel_tiles.hpp"

namespace dcvc::kernels {
namespace {

// So many pairs of inputs that their weights for 64 outputs fit half of the first-level cache.
constexpr int kPairsAtOnce = 64;

// The sums of one pixel for 16 outputs. Members have names for the same reason as in avx512.cpp.
struct PixelSums {
  __m256i a, b;

  [[gnu::always_inline]] void start(const int32_t* sums, bool more) {
    a = b = _mm256_setzero_si256();
    if (!more) return;
    a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(sums));
    b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(sums + 8));
  }

  [[gnu::always_inline]] void add(const int16_t* x, const __m256i& wa, const __m256i& wb) {
    int32_t two;
    __builtin_memcpy(&two, x, sizeof two);
    const __m256i inputs = _mm256_set1_epi32(two);
    // No pair overflows: |weight| <= 32767, so the products sum to less than 2^31.
    a = _mm256_add_epi32(a, _mm256_madd_epi16(inputs, wa));
    b = _mm256_add_epi32(b, _mm256_madd_epi16(inputs, wb));
  }

  [[gnu::always_inline]] void store(int32_t* sums) const {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums), a);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + 8), b);
  }
};

constexpr int kTilePixels = 4;

// The products of four pixels (or one) and 16 outputs: 8 accumulators, 2 weight registers, one broadcast of two inputs
// and a register for a product. more: adds to the sums instead of replacing them.
template <int kPixels>
void accumulate_tile(const int16_t* x, ptrdiff_t stride, const int16_t* weights, int num_pairs, bool more,
                     int32_t* sums) {
  for (int n = 0; n < kBlockOutputs; n += 16, sums += 16) {
    PixelSums p0, p1, p2, p3;
    p0.start(sums, more);
    if constexpr (kPixels > 1) {
      p1.start(sums + kBlockOutputs, more);
      p2.start(sums + 2 * kBlockOutputs, more);
      p3.start(sums + 3 * kBlockOutputs, more);
    }
    const int16_t* w = weights + 2 * n;
    const int16_t* two = x;
    for (int pair = 0; pair < num_pairs; ++pair, w += 2 * kBlockOutputs, two += 2) {
      const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w));
      const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + 16));
      p0.add(two, a, b);
      if constexpr (kPixels > 1) {
        p1.add(two + stride, a, b);
        p2.add(two + 2 * stride, a, b);
        p3.add(two + 3 * stride, a, b);
      }
    }
    p0.store(sums);
    if constexpr (kPixels > 1) {
      p1.store(sums + kBlockOutputs);
      p2.store(sums + 2 * kBlockOutputs);
      p3.store(sums + 3 * kBlockOutputs);
    }
  }
}

constexpr auto accumulate =
    accumulate_by_tiles<kTilePixels, kPairsAtOnce, accumulate_tile<kTilePixels>, accumulate_tile<1>>;

struct Rescale8 {
  __m256i even_multiplier, odd_multiplier, even_addend, odd_addend;

  // place: 0 for positions 0..7 of a group of 16, 4 for positions 8..15.
  Rescale8(const int32_t* multiplier, const int64_t* addend, int place)
      : even_multiplier(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(multiplier + 2 * place))),
        odd_multiplier(_mm256_srli_epi64(even_multiplier, 32)),
        even_addend(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(addend + place))),
        odd_addend(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(addend + 8 + place))) {}

  __m256i operator()(__m256i sums) const {
    const __m256i even = _mm256_add_epi64(_mm256_mul_epi32(sums, even_multiplier), even_addend);
    const __m256i odd = _mm256_add_epi64(_mm256_mul_epi32(_mm256_srli_epi64(sums, 32), odd_multiplier), odd_addend);
    return _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
  }
};

inline __m256i load8(const int32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }

// Computes outputs 0..31 of a group from its 32 sums in position order.
inline void rescale32(const int32_t* sum, const int32_t* multiplier, const int64_t* addend, int16_t* out) {
  for (int half = 0; half < 2; ++half) {
    const Rescale8 first(multiplier, addend, 4 * half), second(multiplier + 16, addend + 16, 4 * half);
    const __m256i y = _mm256_packs_epi32(first(load8(sum + 8 * half)), second(load8(sum + 16 + 8 * half)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 16 * half), y);
  }
}

struct Activation16 {
  const int32_t* table;
  __m256i limit, piece_mask, final_half, low_mask;
  __m128i piece_shift, within_shift, final_shift;

  Activation16(const ActivationTable& activation, int exponent)
      : table(activation.node_and_rise),
        limit(_mm256_set1_epi16(static_cast<int16_t>((2 << exponent) - 1))),
        piece_mask(_mm256_set1_epi16(static_cast<int16_t>((1 << (exponent - 5)) - 1))),
        final_half(_mm256_set1_epi16(static_cast<int16_t>(1 << (17 - exponent)))),
        low_mask(_mm256_set1_epi32(0xFFFF)),
        piece_shift(_mm_cvtsi32_si128(exponent - 5)),
        within_shift(_mm_cvtsi32_si128(20 - exponent)),
        final_shift(_mm_cvtsi32_si128(18 - exponent)) {}

  __m256i operator()(__m256i x) const {
    const __m256i magnitude = _mm256_min_epu16(_mm256_abs_epi16(x), limit);
    const __m256i piece = _mm256_srl_epi16(magnitude, piece_shift);
    const __m256i within = _mm256_sll_epi16(_mm256_and_si256(magnitude, piece_mask), within_shift);
    // Even and odd lanes are gathered apart, because each gather brings a node and its rise.
    const __m256i even = _mm256_i32gather_epi32(table, _mm256_and_si256(piece, low_mask), 4);
    const __m256i odd = _mm256_i32gather_epi32(table, _mm256_srli_epi32(piece, 16), 4);
    const __m256i node = _mm256_blend_epi16(even, _mm256_slli_epi32(odd, 16), 0xAA);
    const __m256i rise = _mm256_blend_epi16(_mm256_srli_epi32(even, 16), odd, 0xAA);
    const __m256i g = _mm256_add_epi16(node, _mm256_mulhrs_epi16(rise, within));
    const __m256i rounded = _mm256_sra_epi16(_mm256_add_epi16(g, final_half), final_shift);
    return _mm256_sub_epi16(_mm256_max_epi16(x, _mm256_setzero_si256()), rounded);
  }
};

inline __m256i load16(const int16_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
inline void store16(int16_t* p, __m256i v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }

void activate(const int16_t* x, size_t count, const ActivationTable& table, int exponent, int16_t* out) {
  const Activation16 activate_lanes(table, exponent);
  size_t i = 0;
  for (; i + 16 <= count; i += 16) store16(out + i, activate_lanes(load16(x + i)));
  activate_all(x + i, count - i, table, exponent, out + i);
}

// The sums of each four neighbouring values of 32: 8 values, saturated.
inline __m128i add_fours(const int16_t* y) {
  const __m256i ones = _mm256_set1_epi16(1);
  const __m256i sums = _mm256_hadd_epi32(_mm256_madd_epi16(load16(y), ones), _mm256_madd_epi16(load16(y + 16), ones));
  const __m256i ordered = _mm256_permute4x64_epi64(sums, 0xD8);
  return _mm_packs_epi32(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1));
}

void finish(const int32_t* sums, int num_pixels, const Epilogue& e) {
  for (int n = 0; n < e.num_outputs; n += kLaneBlock) {
    const int valid = e.num_outputs - n < kLaneBlock ? e.num_outputs - n : kLaneBlock;
    for (int pixel = 0; pixel < num_pixels; ++pixel) {
      alignas(32) int16_t y[kLaneBlock];
      rescale32(sums + pixel * kBlockOutputs + n, e.multiplier + n, e.addend + n, y);
      if (e.activation) activate(y, kLaneBlock, *e.activation, e.exponent, y);
      if (e.add_fours) {
        alignas(16) int16_t fours[kLaneBlock / 4];
        _mm_store_si128(reinterpret_cast<__m128i*>(fours), add_fours(y));
        __builtin_memcpy(e.out + pixel * e.out_stride + n / 4, fours, static_cast<size_t>(valid) / 4 * sizeof(int16_t));
        continue;
      }
      if (e.first) add_all(y, e.first + pixel * e.first_stride + n, static_cast<size_t>(valid), y);
      if (e.second) add_all(y, e.second + pixel * e.second_stride + n, static_cast<size_t>(valid), y);
      __builtin_memcpy(e.out + pixel * e.out_stride + n, y, static_cast<size_t>(valid) * sizeof(int16_t));
    }
  }
}

// Loads 16 channels from offset `at` of a row that has only `valid` channels.
inline __m256i load_channels(const int16_t* row, int at, int valid) {
  if (at + 16 <= valid) return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + at));
  alignas(32) int16_t values[16] = {};
  for (int i = 0; at + i < valid; ++i) values[i] = row[at + i];
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(values));
}

inline void depthwise_pixel(const int16_t* const rows[3], int column, int width, int channels, int valid,
                            const int16_t* taps, int32_t* sums) {
  for (int half = 0; half < 2 && 16 * half < valid; ++half) {
    __m256i low = _mm256_setzero_si256(), high = _mm256_setzero_si256();
    for (int dx = 0; dx < 3; ++dx) {
      const int q = column + dx - 1;
      if (q < 0 || q >= width) continue;
      const __m256i zero = _mm256_setzero_si256();
      __m256i r[3];
      for (int k = 0; k < 3; ++k)
        r[k] = rows[k] ? load_channels(rows[k] + static_cast<ptrdiff_t>(q) * channels, 16 * half, valid) : zero;
      const int16_t* w = taps + dx * 4 * kLaneBlock + 16 * half;
      const auto tap = [w](int offset) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + offset)); };
      low = _mm256_add_epi32(low, _mm256_madd_epi16(_mm256_unpacklo_epi16(r[0], r[1]), tap(0)));
      high = _mm256_add_epi32(high, _mm256_madd_epi16(_mm256_unpackhi_epi16(r[0], r[1]), tap(kLaneBlock)));
      low = _mm256_add_epi32(low, _mm256_madd_epi16(_mm256_unpacklo_epi16(r[2], zero), tap(2 * kLaneBlock)));
      high = _mm256_add_epi32(high, _mm256_madd_epi16(_mm256_unpackhi_epi16(r[2], zero), tap(3 * kLaneBlock)));
    }
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + 8 * half), low);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + 16 + 8 * half), high);
  }
}

void depthwise(const int16_t* x, int height, int width, const DepthwiseView& layer, PixelRange range, int16_t* out,
               ptrdiff_t out_stride) {
  const int c = layer.channels;
  const ptrdiff_t row_values = static_cast<ptrdiff_t>(width) * c;
  for (int k = 0; k < range.count; ++k, out += out_stride) {
    const int row = (range.first + k) / width, column = (range.first + k) % width;
    for (int block = 0; block < c; block += kLaneBlock) {
      const int valid = c - block < kLaneBlock ? c - block : kLaneBlock;
      const int16_t* middle = x + row * row_values + block;
      const int16_t* const rows[3] = {row > 0 ? middle - row_values : nullptr, middle,
                                      row + 1 < height ? middle + row_values : nullptr};
      alignas(32) int32_t sums[kLaneBlock] = {};
      alignas(32) int16_t y[kLaneBlock];
      depthwise_pixel(rows, column, width, c, valid, layer.taps + static_cast<ptrdiff_t>(block) * 12, sums);
      rescale32(sums, layer.multiplier + block, layer.addend + block, y);
      __builtin_memcpy(out + block, y, static_cast<size_t>(valid) * sizeof(int16_t));
    }
  }
}

}  // namespace

const KernelTable& avx2_kernels() {
  static const KernelTable table{"avx2",  nullptr,  multiply_in_two<accumulate, finish>, depthwise, activate,
                                 add_all, scale_all};
  return table;
}

}  // namespace dcvc::kernels
