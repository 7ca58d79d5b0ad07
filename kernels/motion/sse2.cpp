// The kernels in SSE2, which every x86-64 has.
#include <emmintrin.h>

#include <cstring>

#include "kernels/motion/kernel_table.hpp"
#include "kernels/motion/overlap.hpp"

namespace dcvc::motion {
namespace {

__m128i load_8(const uint8_t* samples) { return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(samples)); }
__m128i load_16(const uint8_t* samples) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(samples)); }
__m128i load(const int16_t* samples) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(samples)); }
void store_8(uint8_t* samples, __m128i v) { _mm_storel_epi64(reinterpret_cast<__m128i*>(samples), v); }
void store_16(uint8_t* samples, __m128i v) { _mm_storeu_si128(reinterpret_cast<__m128i*>(samples), v); }
void store(int16_t* samples, __m128i v) { _mm_storeu_si128(reinterpret_cast<__m128i*>(samples), v); }

int sum_of_halves(__m128i sum) { return _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_unpackhi_epi64(sum, sum))); }

int sad_8(const uint8_t* a, ptrdiff_t stride_a, const uint8_t* b, ptrdiff_t stride_b) {
  __m128i sum = _mm_setzero_si128();
  for (int y = 0; y < 8; y += 2) {  // two rows at a time
    const __m128i of_a = _mm_unpacklo_epi64(load_8(a + y * stride_a), load_8(a + (y + 1) * stride_a));
    const __m128i of_b = _mm_unpacklo_epi64(load_8(b + y * stride_b), load_8(b + (y + 1) * stride_b));
    sum = _mm_add_epi32(sum, _mm_sad_epu8(of_a, of_b));
  }
  return sum_of_halves(sum);
}

int sad_16(const uint8_t* a, ptrdiff_t stride_a, const uint8_t* b, ptrdiff_t stride_b) {
  __m128i sum = _mm_setzero_si128();
  for (int y = 0; y < 16; ++y) {
    sum = _mm_add_epi32(sum, _mm_sad_epu8(load_16(a + y * stride_a), load_16(b + y * stride_b)));
  }
  return sum_of_halves(sum);
}

void butterfly(__m128i& a, __m128i& b) {
  const __m128i sum = _mm_add_epi16(a, b);
  b = _mm_sub_epi16(a, b);
  a = sum;
}

// Of rows that lie `half` apart; the distance is known to the compiler, which else takes d[y + half] for out of bounds
// (GCC 13).
template <int half>
void butterflies(__m128i d[8]) {
  for (int first = 0; first < 8; first += 2 * half) {
    for (int y = first; y < first + half; ++y) butterfly(d[y], d[y + half]);
  }
}

void transpose(__m128i d[8]) {
  __m128i e[8], f[8];
  for (int i = 0; i < 4; ++i) {
    e[2 * i] = _mm_unpacklo_epi16(d[i], d[i + 4]);
    e[2 * i + 1] = _mm_unpackhi_epi16(d[i], d[i + 4]);
  }
  for (int i = 0; i < 4; ++i) {
    f[2 * i] = _mm_unpacklo_epi16(e[i], e[i + 4]);
    f[2 * i + 1] = _mm_unpackhi_epi16(e[i], e[i + 4]);
  }
  for (int i = 0; i < 4; ++i) {
    d[2 * i] = _mm_unpacklo_epi16(f[i], f[i + 4]);
    d[2 * i + 1] = _mm_unpackhi_epi16(f[i], f[i + 4]);
  }
}

__m128i magnitude(__m128i v) { return _mm_max_epi16(v, _mm_sub_epi16(_mm_setzero_si128(), v)); }

int hadamard_8x8(const uint8_t* a, ptrdiff_t stride_a, const uint8_t* b, ptrdiff_t stride_b) {
  const __m128i zero = _mm_setzero_si128();
  __m128i d[8];
  for (int y = 0; y < 8; ++y) {
    d[y] = _mm_sub_epi16(_mm_unpacklo_epi8(load_8(a + y * stride_a), zero),
                         _mm_unpacklo_epi8(load_8(b + y * stride_b), zero));
  }
  butterflies<4>(d);
  butterflies<2>(d);
  butterflies<1>(d);
  transpose(d);
  butterflies<4>(d);
  butterflies<2>(d);
  // The last step: |p + q| + |p - q| is twice the larger of |p| and |q|; four of them stay below 4 * 32 * 255.
  __m128i sum = zero;
  for (int y = 0; y < 8; y += 2) sum = _mm_add_epi16(sum, _mm_max_epi16(magnitude(d[y]), magnitude(d[y + 1])));
  __m128i wide = _mm_madd_epi16(sum, _mm_set1_epi16(1));
  wide = _mm_add_epi32(wide, _mm_unpackhi_epi64(wide, wide));
  wide = _mm_add_epi32(wide, _mm_shuffle_epi32(wide, 1));
  return (2 * _mm_cvtsi128_si32(wide) + 2) >> 2;
}

int hadamard_16x8(const uint8_t* a, ptrdiff_t stride_a, const uint8_t* b, ptrdiff_t stride_b) {
  return hadamard_8x8(a, stride_a, b, stride_b) + hadamard_8x8(a + 8, stride_a, b + 8, stride_b);
}

void average(const uint8_t* a, ptrdiff_t stride_a, const uint8_t* b, ptrdiff_t stride_b, int side, uint8_t* out) {
  for (int y = 0; y < side; ++y) {
    const uint8_t *row_a = a + y * stride_a, *row_b = b + y * stride_b;
    if (side == 16) {
      store_16(out + 16 * y, _mm_avg_epu8(load_16(row_a), load_16(row_b)));
    } else {
      store_8(out + 16 * y, _mm_avg_epu8(load_8(row_a), load_8(row_b)));
    }
  }
}

void half_samples(const uint8_t* source, ptrdiff_t step, uint8_t* target, int count) {
  const __m128i zero = _mm_setzero_si128();
  // The filter is symmetric: two samples have each tap. Sums stay within -6120..22472.
  const auto pair = [&](const uint8_t* at, int k) {
    return _mm_add_epi16(_mm_unpacklo_epi8(load_8(at - k * step), zero),
                         _mm_unpacklo_epi8(load_8(at + (k + 1) * step), zero));
  };
  int i = 0;
  for (; i + 8 <= count; i += 8) {
    const uint8_t* at = source + i;
    const __m128i inner = _mm_sub_epi16(_mm_mullo_epi16(pair(at, 0), _mm_set1_epi16(40)),
                                        _mm_mullo_epi16(pair(at, 1), _mm_set1_epi16(11)));
    const __m128i outer = _mm_sub_epi16(_mm_slli_epi16(pair(at, 2), 2), pair(at, 3));
    const __m128i sum = _mm_add_epi16(_mm_add_epi16(inner, outer), _mm_set1_epi16(32));
    store_8(target + i, _mm_packus_epi16(_mm_srai_epi16(sum, kFilterBits), zero));
  }
  if (i < count) kScalarKernels.half_samples(source + i, step, target + i, count - i);
}

// A row of a square, 8 samples.
__m128i row_of(const ByteSquare& square, ptrdiff_t offset) {
  const __m128i row = load_8(square.first + offset);
  return square.second ? _mm_avg_epu8(row, load_8(square.second + offset)) : row;
}

void copy_square(const ByteSquare& square, ptrdiff_t stride, uint8_t* out) {
  for (int y = 0; y < 8; ++y) store_8(out + 8 * y, row_of(square, y * stride));
}

__m128i weights(const int8_t* row) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(row));
  return _mm_unpacklo_epi8(bytes, _mm_setzero_si128());  // none is negative
}

void overlap_bytes(const ByteSquare (&squares)[5], ptrdiff_t stride, uint8_t* out) {
  const __m128i zero = _mm_setzero_si128();
  const auto& [own, above, below, left, right] = squares;
  for (int y = 0; y < 8; ++y) {
    const ptrdiff_t offset = y * stride;
    const __m128i vertical = row_of(y < 4 ? above : below, offset);
    const __m128i sides = _mm_unpacklo_epi32(row_of(left, offset), _mm_srli_si128(row_of(right, offset), 4));
    const __m128i a = weights(kOwn[y]), b = weights(kVertical[y]),
                  c = _mm_sub_epi16(_mm_set1_epi16(8), _mm_add_epi16(a, b));
    __m128i sum = _mm_mullo_epi16(_mm_unpacklo_epi8(row_of(own, offset), zero), a);
    sum = _mm_add_epi16(sum, _mm_mullo_epi16(_mm_unpacklo_epi8(vertical, zero), b));
    sum = _mm_add_epi16(sum, _mm_mullo_epi16(_mm_unpacklo_epi8(sides, zero), c));
    store_8(out + 8 * y, _mm_packus_epi16(_mm_srli_epi16(_mm_add_epi16(sum, _mm_set1_epi16(4)), 3), zero));
  }
}

// An 8-tap filter; sums stay inside 32 bits, results inside 16: 8192 * 88 / 64 squared is less than 16384.
class Filter {
 public:
  explicit Filter(const int16_t* taps) {
    for (int i = 0; i < kTaps / 2; ++i) {
      int32_t pair;
      std::memcpy(&pair, taps + 2 * i, sizeof pair);
      pairs_[i] = _mm_set1_epi32(pair);
    }
  }
  // 8 samples of the 15 that follow each other.
  __m128i along(const int16_t* samples) const {
    const __m128i even = rounded(load(samples), load(samples + 2), load(samples + 4), load(samples + 6));
    const __m128i odd = rounded(load(samples + 1), load(samples + 3), load(samples + 5), load(samples + 7));
    return _mm_packs_epi32(_mm_unpacklo_epi32(even, odd), _mm_unpackhi_epi32(even, odd));
  }
  // A row of the 8 rows.
  __m128i down(const __m128i* rows) const {
    __m128i low[kTaps / 2], high[kTaps / 2];
    for (int i = 0; i < kTaps / 2; ++i) {
      low[i] = _mm_unpacklo_epi16(rows[2 * i], rows[2 * i + 1]);
      high[i] = _mm_unpackhi_epi16(rows[2 * i], rows[2 * i + 1]);
    }
    return _mm_packs_epi32(rounded(low[0], low[1], low[2], low[3]), rounded(high[0], high[1], high[2], high[3]));
  }

 private:
  __m128i rounded(__m128i a, __m128i b, __m128i c, __m128i d) const {
    const __m128i sum = _mm_add_epi32(_mm_add_epi32(_mm_madd_epi16(a, pairs_[0]), _mm_madd_epi16(b, pairs_[1])),
                                      _mm_add_epi32(_mm_madd_epi16(c, pairs_[2]), _mm_madd_epi16(d, pairs_[3])));
    return _mm_srai_epi32(_mm_add_epi32(sum, _mm_set1_epi32(1 << (kFilterBits - 1))), kFilterBits);
  }

  __m128i pairs_[kTaps / 2];
};

void interpolate(const int16_t* window, ptrdiff_t stride, int fraction_x, int fraction_y, int first, int last,
                 SampleSquare& out) {
  __m128i lines[15];
  const Filter along(kSubpelFilters[fraction_x]), down(kSubpelFilters[fraction_y]);
  const int begin = fraction_y ? first : first + 3, end = fraction_y ? last + 7 : last + 3;
  for (int y = begin; y < end; ++y) {
    const int16_t* line = window + y * stride;
    lines[y] = fraction_x ? along.along(line) : load(line + 3);
  }
  for (int y = first; y < last; ++y) store(out + 8 * y, fraction_y ? down.down(lines + y) : lines[y + 3]);
}

void overlap_samples(SampleSquare& own, const SampleSquare& above, const SampleSquare& below, const SampleSquare& left,
                     const SampleSquare& right) {
  const __m128i one = _mm_set1_epi16(1), half = _mm_set1_epi16(4);
  for (int y = 0; y < 8; ++y) {
    const __m128i self = load(own + 8 * y), vertical = load((y < 4 ? above : below) + 8 * y);
    const __m128i sides = _mm_unpacklo_epi64(load(left + 8 * y), _mm_srli_si128(load(right + 8 * y), 8));
    const __m128i a = weights(kOwn[y]), b = weights(kVertical[y]),
                  c = _mm_sub_epi16(_mm_set1_epi16(8), _mm_add_epi16(a, b));
    const __m128i low = _mm_add_epi32(_mm_madd_epi16(_mm_unpacklo_epi16(self, vertical), _mm_unpacklo_epi16(a, b)),
                                      _mm_madd_epi16(_mm_unpacklo_epi16(sides, one), _mm_unpacklo_epi16(c, half)));
    const __m128i high = _mm_add_epi32(_mm_madd_epi16(_mm_unpackhi_epi16(self, vertical), _mm_unpackhi_epi16(a, b)),
                                       _mm_madd_epi16(_mm_unpackhi_epi16(sides, one), _mm_unpackhi_epi16(c, half)));
    store(own + 8 * y, _mm_packs_epi32(_mm_srai_epi32(low, 3), _mm_srai_epi32(high, 3)));
  }
}

void limit(const SampleSquare& square, const SampleSquare* second, int16_t max_value, int16_t* out, ptrdiff_t stride) {
  const auto limited = [&](const int16_t* row) {
    return _mm_min_epi16(_mm_max_epi16(load(row), _mm_setzero_si128()), _mm_set1_epi16(max_value));
  };
  for (int y = 0; y < 8; ++y) {
    __m128i row = limited(square + 8 * y);
    if (second) row = _mm_avg_epu16(row, limited(*second + 8 * y));
    store(out + y * stride, row);
  }
}

}  // namespace

const KernelTable kSse2Kernels{"sse2",       sad_8,       sad_16,        hadamard_8x8, hadamard_16x8,   average,
                               half_samples, copy_square, overlap_bytes, interpolate,  overlap_samples, limit};

}  // namespace dcvc::motion
