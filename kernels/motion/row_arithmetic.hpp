// Rows of 8 samples: filters, blending and limits of motion compensation, in SSE2 (which every x86-64 has) or plain
// C++; the same numbers.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__) && !defined(DCVC_PLAIN_ROWS)
#include <emmintrin.h>
#endif

namespace dcvc::motion {

constexpr int kRow = 8;
constexpr int kTaps = 8;        // length of the interpolation filters
constexpr int kFilterBits = 6;  // their taps sum to 64

// Weights in eighths, by row and column of a square.
using Weights = int16_t[kRow][kRow];

#if defined(__SSE2__) && !defined(DCVC_PLAIN_ROWS)

using Row = __m128i;

inline Row load(const int16_t* samples) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(samples)); }
inline void store(int16_t* samples, Row row) { _mm_storeu_si128(reinterpret_cast<__m128i*>(samples), row); }
inline Row load_bytes(const uint8_t* samples) {
  return _mm_unpacklo_epi8(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(samples)), _mm_setzero_si128());
}
inline void store_bytes(uint8_t* samples, Row row) {
  _mm_storel_epi64(reinterpret_cast<__m128i*>(samples), _mm_packus_epi16(row, row));
}
inline Row limited(Row row, int16_t max_value) {
  return _mm_min_epi16(_mm_max_epi16(row, _mm_setzero_si128()), _mm_set1_epi16(max_value));
}
inline Row mean(Row a, Row b) { return _mm_avg_epu16(a, b); }  // of samples that are not negative, rounded up
inline Row joined(Row left, Row right) { return _mm_unpacklo_epi64(left, _mm_unpackhi_epi64(right, right)); }

// 8-tap filter; sums stay inside 32 bits, results inside 16: 8192 * 88 / 64 squared is less than 16384.
class Filter {
 public:
  explicit Filter(const int16_t* taps) {
    for (int i = 0; i < kTaps / 2; ++i) {
      int32_t pair;
      std::memcpy(&pair, taps + 2 * i, sizeof pair);
      pairs_[i] = _mm_set1_epi32(pair);
    }
  }
  // Along 15 samples.
  Row along(const int16_t* samples) const {
    const __m128i even = rounded(sum(load(samples), load(samples + 2), load(samples + 4), load(samples + 6)));
    const __m128i odd = rounded(sum(load(samples + 1), load(samples + 3), load(samples + 5), load(samples + 7)));
    return _mm_packs_epi32(_mm_unpacklo_epi32(even, odd), _mm_unpackhi_epi32(even, odd));
  }
  // Down 8 rows.
  Row down(const Row* r) const {
    __m128i low[kTaps / 2], high[kTaps / 2];
    for (int i = 0; i < kTaps / 2; ++i) {
      low[i] = _mm_unpacklo_epi16(r[2 * i], r[2 * i + 1]);
      high[i] = _mm_unpackhi_epi16(r[2 * i], r[2 * i + 1]);
    }
    return _mm_packs_epi32(rounded(sum(low[0], low[1], low[2], low[3])),
                           rounded(sum(high[0], high[1], high[2], high[3])));
  }

 private:
  static __m128i rounded(__m128i sums) {
    return _mm_srai_epi32(_mm_add_epi32(sums, _mm_set1_epi32(1 << (kFilterBits - 1))), kFilterBits);
  }
  __m128i sum(__m128i a, __m128i b, __m128i c, __m128i d) const {
    return _mm_add_epi32(_mm_add_epi32(_mm_madd_epi16(a, pairs_[0]), _mm_madd_epi16(b, pairs_[1])),
                         _mm_add_epi32(_mm_madd_epi16(c, pairs_[2]), _mm_madd_epi16(d, pairs_[3])));
  }

  __m128i pairs_[kTaps / 2];
};

// Sums three predictions by their weights, which add up to 8.
inline Row blended(Row own, const int16_t* own_weights, Row second, const int16_t* second_weights, Row third) {
  const __m128i a = load(own_weights), b = load(second_weights),
                c = _mm_sub_epi16(_mm_set1_epi16(8), _mm_add_epi16(a, b));
  const __m128i one = _mm_set1_epi16(1), half = _mm_set1_epi16(4);
  const __m128i first = _mm_add_epi32(_mm_madd_epi16(_mm_unpacklo_epi16(own, second), _mm_unpacklo_epi16(a, b)),
                                      _mm_madd_epi16(_mm_unpacklo_epi16(third, one), _mm_unpacklo_epi16(c, half)));
  const __m128i last = _mm_add_epi32(_mm_madd_epi16(_mm_unpackhi_epi16(own, second), _mm_unpackhi_epi16(a, b)),
                                     _mm_madd_epi16(_mm_unpackhi_epi16(third, one), _mm_unpackhi_epi16(c, half)));
  return _mm_packs_epi32(_mm_srai_epi32(first, 3), _mm_srai_epi32(last, 3));
}

#else

using Row = std::array<int16_t, kRow>;

inline Row load(const int16_t* samples) {
  Row row;
  std::memcpy(row.data(), samples, sizeof row);
  return row;
}
inline void store(int16_t* samples, const Row& row) { std::memcpy(samples, row.data(), sizeof row); }
inline Row load_bytes(const uint8_t* samples) {
  Row row;
  for (int i = 0; i < kRow; ++i) row[i] = samples[i];
  return row;
}
inline void store_bytes(uint8_t* samples, const Row& row) {  // of samples that are 0..255
  for (int i = 0; i < kRow; ++i) samples[i] = static_cast<uint8_t>(row[i]);
}
inline Row limited(Row row, int16_t max_value) {
  for (int16_t& sample : row) sample = sample < 0 ? int16_t{0} : sample > max_value ? max_value : sample;
  return row;
}
inline Row mean(Row a, const Row& b) {
  for (int i = 0; i < kRow; ++i) a[i] = static_cast<int16_t>((a[i] + b[i] + 1) >> 1);
  return a;
}
inline Row joined(Row left, const Row& right) {
  for (int i = kRow / 2; i < kRow; ++i) left[i] = right[i];
  return left;
}

class Filter {
 public:
  explicit Filter(const int16_t* taps) : taps_(taps) {}
  Row along(const int16_t* samples) const {
    Row out;
    for (int i = 0; i < kRow; ++i) {
      int sum = 1 << (kFilterBits - 1);
      for (int tap = 0; tap < kTaps; ++tap) sum += taps_[tap] * samples[i + tap];
      out[i] = static_cast<int16_t>(sum >> kFilterBits);
    }
    return out;
  }
  Row down(const Row* rows) const {
    Row out;
    for (int i = 0; i < kRow; ++i) {
      int sum = 1 << (kFilterBits - 1);
      for (int tap = 0; tap < kTaps; ++tap) sum += taps_[tap] * rows[tap][i];
      out[i] = static_cast<int16_t>(sum >> kFilterBits);
    }
    return out;
  }

 private:
  const int16_t* taps_;
};

inline Row blended(const Row& own, const int16_t* own_weights, const Row& second, const int16_t* second_weights,
                   const Row& third) {
  Row out;
  for (int i = 0; i < kRow; ++i) {
    const int a = own_weights[i], b = second_weights[i];
    out[i] = static_cast<int16_t>((a * own[i] + b * second[i] + (8 - a - b) * third[i] + 4) >> 3);
  }
  return out;
}

#endif

}  // namespace dcvc::motion
