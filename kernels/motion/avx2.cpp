// The kernels in AVX2: mostly two rows, or two squares, in the halves of a register.
#include <immintrin.h>

#include <cstring>

#include "kernels/motion/kernel_table.hpp"
#include "kernels/motion/overlap.hpp"

namespace dcvc::motion {
namespace {

__m128i load_8(const uint8_t* samples) { return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(samples)); }
__m128i load_16(const uint8_t* samples) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(samples)); }
__m128i load_128(const int16_t* samples) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(samples)); }
__m256i load_256(const void* memory) { return _mm256_loadu_si256(static_cast<const __m256i*>(memory)); }
void store_256(void* memory, __m256i v) { _mm256_storeu_si256(static_cast<__m256i*>(memory), v); }
__m256i both(__m128i low, __m128i high) { return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1); }

// Two rows of 8 samples, four of them, and two of 16.
__m128i two_rows(const uint8_t* a, ptrdiff_t stride) { return _mm_unpacklo_epi64(load_8(a), load_8(a + stride)); }
__m256i four_rows(const uint8_t* a, ptrdiff_t stride) {
  return both(two_rows(a, stride), two_rows(a + 2 * stride, stride));
}
__m256i two_rows_of_16(const uint8_t* a, ptrdiff_t stride) { return both(load_16(a), load_16(a + stride)); }

int sum_of_quarters(__m256i sum) {
  const __m128i half = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
  return _mm_cvtsi128_si32(_mm_add_epi32(half, _mm_unpackhi_epi64(half, half)));
}

int sad_8(const uint8_t* a, ptrdiff_t stride_a, const uint8_t* b, ptrdiff_t stride_b) {
  const __m256i upper = _mm256_sad_epu8(four_rows(a, stride_a), four_rows(b, stride_b));
  const __m256i lower = _mm256_sad_epu8(four_rows(a + 4 * stride_a, stride_a), four_rows(b + 4 * stride_b, stride_b));
  return sum_of_quarters(_mm256_add_epi32(upper, lower));
}

int sad_16(const uint8_t* a, ptrdiff_t stride_a, const uint8_t* b, ptrdiff_t stride_b) {
  __m256i sum = _mm256_setzero_si256();
  for (int y = 0; y < 16; y += 2) {
    const __m256i rows_a = two_rows_of_16(a + y * stride_a, stride_a);
    const __m256i rows_b = two_rows_of_16(b + y * stride_b, stride_b);
    sum = _mm256_add_epi32(sum, _mm256_sad_epu8(rows_a, rows_b));
  }
  return sum_of_quarters(sum);
}

void butterfly(__m256i& a, __m256i& b) {
  const __m256i sum = _mm256_add_epi16(a, b);
  b = _mm256_sub_epi16(a, b);
  a = sum;
}

// Of rows that lie `half` apart, both squares at once.
template <int half>
void butterflies(__m256i d[8]) {
  for (int first = 0; first < 8; first += 2 * half) {
    for (int y = first; y < first + half; ++y) butterfly(d[y], d[y + half]);
  }
}

void transpose(__m256i d[8]) {
  __m256i e[8], f[8];
  for (int i = 0; i < 4; ++i) {
    e[2 * i] = _mm256_unpacklo_epi16(d[i], d[i + 4]);
    e[2 * i + 1] = _mm256_unpackhi_epi16(d[i], d[i + 4]);
  }
  for (int i = 0; i < 4; ++i) {
    f[2 * i] = _mm256_unpacklo_epi16(e[i], e[i + 4]);
    f[2 * i + 1] = _mm256_unpackhi_epi16(e[i], e[i + 4]);
  }
  for (int i = 0; i < 4; ++i) {
    d[2 * i] = _mm256_unpacklo_epi16(f[i], f[i + 4]);
    d[2 * i + 1] = _mm256_unpackhi_epi16(f[i], f[i + 4]);
  }
}

int hadamard_16x8(const uint8_t* a, ptrdiff_t stride_a, const uint8_t* b, ptrdiff_t stride_b) {
  __m256i d[8];
  for (int y = 0; y < 8; ++y) {
    d[y] = _mm256_sub_epi16(_mm256_cvtepu8_epi16(load_16(a + y * stride_a)),
                            _mm256_cvtepu8_epi16(load_16(b + y * stride_b)));
  }
  butterflies<4>(d);
  butterflies<2>(d);
  butterflies<1>(d);
  transpose(d);
  butterflies<4>(d);
  butterflies<2>(d);
  // The last step: |p + q| + |p - q| is twice the larger of |p| and |q|; four of them stay below 4 * 32 * 255.
  __m256i sum = _mm256_setzero_si256();
  for (int y = 0; y < 8; y += 2) {
    sum = _mm256_add_epi16(sum, _mm256_max_epi16(_mm256_abs_epi16(d[y]), _mm256_abs_epi16(d[y + 1])));
  }
  __m256i wide = _mm256_madd_epi16(sum, _mm256_set1_epi16(1));
  wide = _mm256_add_epi32(wide, _mm256_unpackhi_epi64(wide, wide));
  wide = _mm256_add_epi32(wide, _mm256_shuffle_epi32(wide, 1));
  const int left = _mm256_cvtsi256_si32(wide), right = _mm256_extract_epi32(wide, 4);
  return ((2 * left + 2) >> 2) + ((2 * right + 2) >> 2);
}

// Rows y and y + 4 of one square in the halves of a register: four registers.
int hadamard_8x8(const uint8_t* a, ptrdiff_t stride_a, const uint8_t* b, ptrdiff_t stride_b) {
  __m256i d[4];
  for (int y = 0; y < 4; ++y) {
    const __m128i rows_a = _mm_unpacklo_epi64(load_8(a + y * stride_a), load_8(a + (y + 4) * stride_a));
    const __m128i rows_b = _mm_unpacklo_epi64(load_8(b + y * stride_b), load_8(b + (y + 4) * stride_b));
    d[y] = _mm256_sub_epi16(_mm256_cvtepu8_epi16(rows_a), _mm256_cvtepu8_epi16(rows_b));
  }
  butterfly(d[0], d[2]);
  butterfly(d[1], d[3]);
  butterfly(d[0], d[1]);
  butterfly(d[2], d[3]);
  // Rows y of the upper half with rows y of the lower one, so that the step across halves is one between registers.
  for (int y = 0; y < 4; y += 2) {
    const __m256i low = _mm256_permute2x128_si256(d[y], d[y + 1], 0x20);
    const __m256i high = _mm256_permute2x128_si256(d[y], d[y + 1], 0x31);
    d[y] = _mm256_add_epi16(low, high);
    d[y + 1] = _mm256_sub_epi16(low, high);
  }
  // Along rows, whose order does not matter: transpose the two 4x8 halves into columns. Each half of a register then
  // holds two columns of four rows.
  const __m256i e0 = _mm256_unpacklo_epi16(d[0], d[1]), e1 = _mm256_unpackhi_epi16(d[0], d[1]);
  const __m256i e2 = _mm256_unpacklo_epi16(d[2], d[3]), e3 = _mm256_unpackhi_epi16(d[2], d[3]);
  d[0] = _mm256_unpacklo_epi32(e0, e2);  // columns 0, 1
  d[1] = _mm256_unpackhi_epi32(e0, e2);  // columns 2, 3
  d[2] = _mm256_unpacklo_epi32(e1, e3);  // columns 4, 5
  d[3] = _mm256_unpackhi_epi32(e1, e3);  // columns 6, 7
  butterfly(d[0], d[2]);
  butterfly(d[1], d[3]);
  butterfly(d[0], d[1]);
  butterfly(d[2], d[3]);
  // The last step, between the columns of a register: as in hadamard_16x8, the larger magnitude of the two.
  __m256i sum = _mm256_setzero_si256();
  for (int y = 0; y < 4; ++y) {
    const __m256i magnitude = _mm256_abs_epi16(d[y]);
    sum = _mm256_add_epi16(sum, _mm256_max_epi16(magnitude, _mm256_shuffle_epi32(magnitude, 0x4E)));
  }
  // Every sum stands there twice.
  const __m256i wide = _mm256_madd_epi16(sum, _mm256_set1_epi16(1));
  __m128i half = _mm_add_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
  half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 1));
  return (2 * _mm_cvtsi128_si32(half) + 2) >> 2;
}

void average(const uint8_t* a, ptrdiff_t stride_a, const uint8_t* b, ptrdiff_t stride_b, int side, uint8_t* out) {
  for (int y = 0; y < side; y += 2) {
    const uint8_t *row_a = a + y * stride_a, *row_b = b + y * stride_b;
    if (side == 16) {
      store_256(out + 16 * y, _mm256_avg_epu8(two_rows_of_16(row_a, stride_a), two_rows_of_16(row_b, stride_b)));
    } else {
      const __m128i rows = _mm_avg_epu8(two_rows(row_a, stride_a), two_rows(row_b, stride_b));
      _mm_storel_epi64(reinterpret_cast<__m128i*>(out + 16 * y), rows);
      _mm_storel_epi64(reinterpret_cast<__m128i*>(out + 16 * y + 16), _mm_unpackhi_epi64(rows, rows));
    }
  }
}

// Sums of `samples[tap]` in the order of the taps; they stay within -6120..22472.
__m256i half_sum(const __m256i samples[kTaps / 2]) {
  const auto taps = [](int first, int second) {
    return _mm256_set1_epi16(static_cast<int16_t>((first & 255) | second * 256));
  };
  const __m256i left =
      _mm256_add_epi16(_mm256_maddubs_epi16(samples[0], taps(-1, 4)), _mm256_maddubs_epi16(samples[1], taps(-11, 40)));
  const __m256i right =
      _mm256_add_epi16(_mm256_maddubs_epi16(samples[2], taps(40, -11)), _mm256_maddubs_epi16(samples[3], taps(4, -1)));
  const __m256i sum = _mm256_add_epi16(_mm256_add_epi16(left, right), _mm256_set1_epi16(1 << (kFilterBits - 1)));
  return _mm256_srai_epi16(sum, kFilterBits);
}

void half_samples(const uint8_t* source, ptrdiff_t step, uint8_t* target, int count) {
  int i = 0;
  for (; i + 32 <= count; i += 32) {
    __m256i low[kTaps / 2], high[kTaps / 2];
    for (int k = 0; k < kTaps / 2; ++k) {
      const uint8_t* at = source + i + (2 * k - 3) * step;
      const __m256i first = load_256(at), second = load_256(at + step);
      low[k] = _mm256_unpacklo_epi8(first, second);
      high[k] = _mm256_unpackhi_epi8(first, second);
    }
    store_256(target + i, _mm256_packus_epi16(half_sum(low), half_sum(high)));
  }
  if (i < count) kSse2Kernels.half_samples(source + i, step, target + i, count - i);
}

__m256i four_rows_of(const ByteSquare& square, ptrdiff_t y, ptrdiff_t stride) {
  const __m256i rows = four_rows(square.first + y * stride, stride);
  return square.second ? _mm256_avg_epu8(rows, four_rows(square.second + y * stride, stride)) : rows;
}

void copy_square(const ByteSquare& square, ptrdiff_t stride, uint8_t* out) {
  store_256(out, four_rows_of(square, 0, stride));
  store_256(out + 32, four_rows_of(square, 4, stride));
}

void overlap_bytes(const ByteSquare (&squares)[5], ptrdiff_t stride, uint8_t* out) {
  const __m256i left_columns = _mm256_set1_epi64x(0xFFFFFFFF), half = _mm256_set1_epi8(4);
  const auto& [own, above, below, left, right] = squares;
  for (int y = 0; y < 8; y += 4) {
    const __m256i self = four_rows_of(own, y, stride), vertical = four_rows_of(y ? below : above, y, stride);
    const __m256i sides =
        _mm256_blendv_epi8(four_rows_of(right, y, stride), four_rows_of(left, y, stride), left_columns);
    const __m256i a = load_256(kOwn[y]), b = load_256(kVertical[y]);
    const __m256i c = _mm256_sub_epi8(_mm256_set1_epi8(8), _mm256_add_epi8(a, b)), one = _mm256_set1_epi8(1);
    const __m256i low =
        _mm256_add_epi16(_mm256_maddubs_epi16(_mm256_unpacklo_epi8(self, vertical), _mm256_unpacklo_epi8(a, b)),
                         _mm256_maddubs_epi16(_mm256_unpacklo_epi8(sides, one), _mm256_unpacklo_epi8(c, half)));
    const __m256i high =
        _mm256_add_epi16(_mm256_maddubs_epi16(_mm256_unpackhi_epi8(self, vertical), _mm256_unpackhi_epi8(a, b)),
                         _mm256_maddubs_epi16(_mm256_unpackhi_epi8(sides, one), _mm256_unpackhi_epi8(c, half)));
    store_256(out + 8 * y, _mm256_packus_epi16(_mm256_srli_epi16(low, 3), _mm256_srli_epi16(high, 3)));
  }
}

// An 8-tap filter of two rows at once; sums stay inside 32 bits, results inside 16: 8192 * 88 / 64 squared is less than
// 16384.
class Filter {
 public:
  explicit Filter(const int16_t* taps) {
    for (int i = 0; i < kTaps / 2; ++i) {
      int32_t pair;
      std::memcpy(&pair, taps + 2 * i, sizeof pair);
      pairs_[i] = _mm256_set1_epi32(pair);
    }
  }
  // 8 samples of the 15 that follow each other, in both rows.
  __m256i along(const int16_t* first, const int16_t* second) const {
    __m256i samples[kTaps];
    for (int k = 0; k < kTaps; ++k) samples[k] = both(load_128(first + k), load_128(second + k));
    const __m256i even = rounded(samples[0], samples[2], samples[4], samples[6]);
    const __m256i odd = rounded(samples[1], samples[3], samples[5], samples[7]);
    return _mm256_packs_epi32(_mm256_unpacklo_epi32(even, odd), _mm256_unpackhi_epi32(even, odd));
  }
  // Two rows, of the 9 rows of 8 samples that follow each other.
  __m256i down(const int16_t* rows) const {
    __m256i low[kTaps / 2], high[kTaps / 2];
    for (int i = 0; i < kTaps / 2; ++i) {
      const __m256i first = load_256(rows + 16 * i), second = load_256(rows + 16 * i + 8);
      low[i] = _mm256_unpacklo_epi16(first, second);
      high[i] = _mm256_unpackhi_epi16(first, second);
    }
    return _mm256_packs_epi32(rounded(low[0], low[1], low[2], low[3]), rounded(high[0], high[1], high[2], high[3]));
  }

 private:
  __m256i rounded(__m256i a, __m256i b, __m256i c, __m256i d) const {
    const __m256i sum =
        _mm256_add_epi32(_mm256_add_epi32(_mm256_madd_epi16(a, pairs_[0]), _mm256_madd_epi16(b, pairs_[1])),
                         _mm256_add_epi32(_mm256_madd_epi16(c, pairs_[2]), _mm256_madd_epi16(d, pairs_[3])));
    return _mm256_srai_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(1 << (kFilterBits - 1))), kFilterBits);
  }

  __m256i pairs_[kTaps / 2];
};

void interpolate(const int16_t* window, ptrdiff_t stride, int fraction_x, int fraction_y, int first, int last,
                 SampleSquare& out) {
  int16_t lines[16 * 8];  // the last one is a copy, so that lines come in pairs
  const int begin = fraction_y ? first : first + 3, end = fraction_y ? last + 7 : last + 3;
  if (fraction_x) {
    const Filter filter(kSubpelFilters[fraction_x]);
    for (int y = begin; y < end; y += 2) {
      const int16_t* line = window + y * stride;
      store_256(lines + 8 * y, filter.along(line, y + 1 < end ? line + stride : line));
    }
  } else {
    for (int y = begin; y < end; ++y) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(lines + 8 * y), load_128(window + y * stride + 3));
    }
  }
  if (!fraction_y) {
    std::memcpy(out + 8 * first, lines + 8 * (first + 3), static_cast<size_t>(last - first) * 8 * sizeof(int16_t));
    return;
  }
  const Filter filter(kSubpelFilters[fraction_y]);
  for (int y = first; y < last; y += 2) store_256(out + 8 * y, filter.down(lines + 8 * y));
}

void overlap_samples(SampleSquare& own, const SampleSquare& above, const SampleSquare& below, const SampleSquare& left,
                     const SampleSquare& right) {
  const __m256i one = _mm256_set1_epi16(1), half = _mm256_set1_epi16(4);
  for (int y = 0; y < 8; y += 2) {
    const __m256i self = load_256(own + 8 * y), vertical = load_256((y < 4 ? above : below) + 8 * y);
    const __m256i sides = _mm256_blend_epi32(load_256(left + 8 * y), load_256(right + 8 * y), 0xCC);
    const __m256i a = _mm256_cvtepi8_epi16(load_16(reinterpret_cast<const uint8_t*>(kOwn[y])));
    const __m256i b = _mm256_cvtepi8_epi16(load_16(reinterpret_cast<const uint8_t*>(kVertical[y])));
    const __m256i c = _mm256_sub_epi16(_mm256_set1_epi16(8), _mm256_add_epi16(a, b));
    const __m256i low =
        _mm256_add_epi32(_mm256_madd_epi16(_mm256_unpacklo_epi16(self, vertical), _mm256_unpacklo_epi16(a, b)),
                         _mm256_madd_epi16(_mm256_unpacklo_epi16(sides, one), _mm256_unpacklo_epi16(c, half)));
    const __m256i high =
        _mm256_add_epi32(_mm256_madd_epi16(_mm256_unpackhi_epi16(self, vertical), _mm256_unpackhi_epi16(a, b)),
                         _mm256_madd_epi16(_mm256_unpackhi_epi16(sides, one), _mm256_unpackhi_epi16(c, half)));
    store_256(own + 8 * y, _mm256_packs_epi32(_mm256_srai_epi32(low, 3), _mm256_srai_epi32(high, 3)));
  }
}

void limit(const SampleSquare& square, const SampleSquare* second, int16_t max_value, int16_t* out, ptrdiff_t stride) {
  const auto limited = [&](const int16_t* rows) {
    return _mm256_min_epi16(_mm256_max_epi16(load_256(rows), _mm256_setzero_si256()), _mm256_set1_epi16(max_value));
  };
  for (int y = 0; y < 8; y += 2) {
    __m256i rows = limited(square + 8 * y);
    if (second) rows = _mm256_avg_epu16(rows, limited(*second + 8 * y));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + y * stride), _mm256_castsi256_si128(rows));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + (y + 1) * stride), _mm256_extracti128_si256(rows, 1));
  }
}

}  // namespace

const KernelTable kAvx2Kernels{"avx2",       sad_8,       sad_16,        hadamard_8x8, hadamard_16x8,   average,
                               half_samples, copy_square, overlap_bytes, interpolate,  overlap_samples, limit};

}  // namespace dcvc::motion
