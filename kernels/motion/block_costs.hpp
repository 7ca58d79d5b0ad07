// What the search compares squares of 8-bit samples by, in SSE2 (which every x86-64 has) or plain C++; the same
// numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#if defined(__SSE2__) && !defined(DCVC_PLAIN_ROWS)
#include <emmintrin.h>
#endif

namespace dcvc::motion {

#if defined(__SSE2__) && !defined(DCVC_PLAIN_ROWS)

inline __m128i load_8(const uint8_t* samples) { return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(samples)); }
inline __m128i load_16(const uint8_t* samples) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(samples)); }

// Sum of absolute differences of squares of side 8 or 16.
inline int sad(const uint8_t* a, ptrdiff_t stride_a, const uint8_t* b, ptrdiff_t stride_b, int side) {
  __m128i sum = _mm_setzero_si128();
  if (side == 16) {
    for (int y = 0; y < 16; ++y)
      sum = _mm_add_epi32(sum, _mm_sad_epu8(load_16(a + y * stride_a), load_16(b + y * stride_b)));
  } else {
    for (int y = 0; y < 8; y += 2) {  // two rows at a time
      const __m128i of_a = _mm_unpacklo_epi64(load_8(a + y * stride_a), load_8(a + (y + 1) * stride_a));
      const __m128i of_b = _mm_unpacklo_epi64(load_8(b + y * stride_b), load_8(b + (y + 1) * stride_b));
      sum = _mm_add_epi32(sum, _mm_sad_epu8(of_a, of_b));
    }
  }
  return _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_unpackhi_epi64(sum, sum)));
}

// The rounded means of two squares of side 8 or 16, in rows of 16.
inline void average_square(const uint8_t* a, const uint8_t* b, ptrdiff_t stride, uint8_t* out, int side) {
  for (int y = 0; y < side; ++y) {
    if (side == 16) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 16 * y),
                       _mm_avg_epu8(load_16(a + y * stride), load_16(b + y * stride)));
    } else {
      _mm_storel_epi64(reinterpret_cast<__m128i*>(out + 16 * y),
                       _mm_avg_epu8(load_8(a + y * stride), load_8(b + y * stride)));
    }
  }
}

// The rounded means of two 16x16 squares, 16 samples a row.
inline void average_squares(const uint8_t* a, ptrdiff_t stride_a, const uint8_t* b, ptrdiff_t stride_b, uint8_t* out) {
  for (int y = 0; y < 16; ++y) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 16 * y),
                     _mm_avg_epu8(load_16(a + y * stride_a), load_16(b + y * stride_b)));
  }
}

inline void butterfly(__m128i& a, __m128i& b) {
  const __m128i sum = _mm_add_epi16(a, b);
  b = _mm_sub_epi16(a, b);
  a = sum;
}

// Of rows that lie `half` apart; with the distance known to the compiler, which else takes d[y + half] for out of
// bounds (GCC 13).
template <int half>
inline void butterflies(__m128i d[8]) {
  for (int first = 0; first < 8; first += 2 * half) {
    for (int y = first; y < first + half; ++y) butterfly(d[y], d[y + half]);
  }
}

inline void transpose(__m128i d[8]) {
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

inline __m128i magnitude(__m128i v) { return _mm_max_epi16(v, _mm_sub_epi16(_mm_setzero_si128(), v)); }

// Sum of absolute 8x8 Hadamard coefficients of the difference, scaled to be comparable with a sum of absolute
// differences.
inline int hadamard_8x8(const uint8_t* a, ptrdiff_t stride_a, const uint8_t* b, ptrdiff_t stride_b) {
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
  __m128i sum = zero;  // the last step: |p + q| + |p - q| is twice the larger of |p| and |q|; four of them stay below 4
                       // * 32 * 255
  for (int y = 0; y < 8; y += 2) sum = _mm_add_epi16(sum, _mm_max_epi16(magnitude(d[y]), magnitude(d[y + 1])));
  __m128i wide = _mm_madd_epi16(sum, _mm_set1_epi16(1));
  wide = _mm_add_epi32(wide, _mm_unpackhi_epi64(wide, wide));
  wide = _mm_add_epi32(wide, _mm_shuffle_epi32(wide, 1));
  return (2 * _mm_cvtsi128_si32(wide) + 2) >> 2;
}

#else

inline int sad(const uint8_t* a, ptrdiff_t stride_a, const uint8_t* b, ptrdiff_t stride_b, int side) {
  int sum = 0;
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) sum += std::abs(a[y * stride_a + x] - b[y * stride_b + x]);
  }
  return sum;
}

inline void average_square(const uint8_t* a, const uint8_t* b, ptrdiff_t stride, uint8_t* out, int side) {
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x)
      out[y * 16 + x] = static_cast<uint8_t>((a[y * stride + x] + b[y * stride + x] + 1) >> 1);
  }
}

inline void average_squares(const uint8_t* a, ptrdiff_t stride_a, const uint8_t* b, ptrdiff_t stride_b, uint8_t* out) {
  for (int y = 0; y < 16; ++y) {
    for (int x = 0; x < 16; ++x)
      out[y * 16 + x] = static_cast<uint8_t>((a[y * stride_a + x] + b[y * stride_b + x] + 1) >> 1);
  }
}

inline int hadamard_8x8(const uint8_t* a, ptrdiff_t stride_a, const uint8_t* b, ptrdiff_t stride_b) {
  int16_t d[8][8];
  for (int y = 0; y < 8; ++y) {
    for (int x = 0; x < 8; ++x) d[y][x] = static_cast<int16_t>(a[y * stride_a + x] - b[y * stride_b + x]);
  }
  for (int pass = 0; pass < 2; ++pass) {
    for (int half = 4; half; half >>= 1) {
      int16_t e[8][8];
      for (int y = 0; y < 8; ++y) {
        const int other = y ^ half;
        const int16_t sign = y & half ? -1 : 1;
        for (int x = 0; x < 8; ++x) e[y][x] = static_cast<int16_t>(d[other][x] + sign * d[y][x]);
      }
      std::memcpy(d, e, sizeof d);
    }
    int16_t t[8][8];
    for (int y = 0; y < 8; ++y) {
      for (int x = 0; x < 8; ++x) t[x][y] = d[y][x];
    }
    std::memcpy(d, t, sizeof d);
  }
  int sum = 0;
  for (int y = 0; y < 8; ++y) {
    for (int x = 0; x < 8; ++x) sum += std::abs(static_cast<int>(d[y][x]));
  }
  return (sum + 2) >> 2;
}

#endif

}  // namespace dcvc::motion
