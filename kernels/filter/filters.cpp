#include "kernels/filter/filters.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#if defined(__SSE2__) && !defined(DCVC_PLAIN_ROWS)
#include <emmintrin.h>
#endif

namespace dcvc::filter {
namespace {

constexpr int kOffset[kOffsets][2] = {{0, 1}, {1, 0}, {1, 1}, {1, -1}, {0, 2}, {2, 0}};
constexpr int kClip = 128;  // four grey levels
constexpr std::array<int, kActivities - 1> kThresholds{2697, 6967, 13740, 24430, 41400, 68000, 110560};

int16_t clipped(int difference) { return static_cast<int16_t>(std::clamp(difference, -kClip, kClip)); }

// d + d and e + e of one offset and its opposite, along a row.
void make_pair(const int16_t* here, ptrdiff_t offset, size_t width, int16_t* plain, int16_t* limited) {
  const int16_t *after = here + offset, *before = here - offset;
  for (size_t x = 0; x < width; ++x) {
    const int16_t a = static_cast<int16_t>(after[x] - here[x]), b = static_cast<int16_t>(before[x] - here[x]);
    plain[x] = static_cast<int16_t>(a + b);
    limited[x] = static_cast<int16_t>(clipped(a) + clipped(b));
  }
}

#if defined(__SSE2__) && !defined(DCVC_PLAIN_ROWS)

// A filter ready to be used on four samples at a time: coefficients by pairs.
template <int Terms>
class Kernel {
 public:
  explicit Kernel(const Filter& filter) {
    for (int k = 0; k < Terms; k += 2) {
      const auto first = static_cast<uint16_t>(filter[static_cast<size_t>(k)]),
                 second = static_cast<uint16_t>(filter[static_cast<size_t>(k) + 1]);
      pairs_[k / 2] = _mm_set1_epi32(static_cast<int32_t>(first | uint32_t{second} << 16));
    }
  }
  void apply(const int16_t* samples, const TermRows& terms, int x, int16_t* out) const {
    __m128i sum = _mm_set1_epi32(1 << (kCoefficientBits - 1));
    for (int k = 0; k < Terms; k += 2) {
      sum = _mm_add_epi32(
          sum, _mm_madd_epi16(_mm_unpacklo_epi16(four(terms.term(k) + x), four(terms.term(k + 1) + x)), pairs_[k / 2]));
    }
    const __m128i wide = _mm_unpacklo_epi16(four(samples), _mm_setzero_si128());  // samples are not negative
    const __m128i row =
        _mm_packs_epi32(_mm_add_epi32(wide, _mm_srai_epi32(sum, kCoefficientBits)), _mm_setzero_si128());
    const __m128i limited = _mm_min_epi16(_mm_max_epi16(row, _mm_setzero_si128()), _mm_set1_epi16(kMaxSample));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out), limited);
  }

 private:
  static __m128i four(const int16_t* samples) { return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(samples)); }

  __m128i pairs_[Terms / 2];
};

#else

template <int Terms>
class Kernel {
 public:
  explicit Kernel(const Filter& filter) : filter_(filter) {}
  void apply(const int16_t* samples, const TermRows& terms, int x, int16_t* out) const {
    for (int i = 0; i < kBlock; ++i) {
      int32_t sum = 1 << (kCoefficientBits - 1);
      for (int k = 0; k < Terms; ++k) sum += filter_[static_cast<size_t>(k)] * terms.term(k)[x + i];
      out[i] = static_cast<int16_t>(std::clamp(samples[i] + (sum >> kCoefficientBits), 0, kMaxSample));
    }
  }

 private:
  Filter filter_;
};

#endif

}  // namespace

PaddedPlane::PaddedPlane(const int16_t* samples, int height, int width)
    : height_(height),
      width_(width),
      stride_(static_cast<size_t>(width) + 2 * kReach),
      samples_(stride_ * (static_cast<size_t>(height) + 2 * kReach)) {
  for (int y = -kReach; y < height + kReach; ++y) {
    const int16_t* from = samples + static_cast<size_t>(std::clamp(y, 0, height - 1)) * static_cast<size_t>(width);
    int16_t* to = samples_.data() + static_cast<size_t>(y + kReach) * stride_;
    std::fill(to, to + kReach, from[0]);
    std::memcpy(to + kReach, from, static_cast<size_t>(width) * sizeof(int16_t));
    std::fill(to + kReach + width, to + stride_, from[width - 1]);
  }
}

TermRows::TermRows(int width, bool with_companion)
    : width_(static_cast<size_t>(width)), terms_(width_ * (with_companion ? kChromaTerms : kLumaTerms)) {}

void TermRows::make(const PaddedPlane& plane, const PaddedPlane* companion, int y) {
  const auto at = [&](int k) { return terms_.data() + static_cast<size_t>(k) * width_; };
  for (int k = 0; k < kOffsets; ++k) {
    make_pair(plane.row(y), kOffset[k][0] * plane.stride() + kOffset[k][1], width_, at(k), at(k + kOffsets));
  }
  if (!companion) return;
  for (int k = 0; k < 2; ++k) {
    make_pair(companion->row(y), kOffset[k][0] * companion->stride() + kOffset[k][1], width_, at(kLumaTerms + k),
              at(kLumaTerms + 2 + k));
  }
}

std::vector<uint8_t> block_classes(const PaddedPlane& luma) {
  const int rows = luma.height() / kBlock, columns = luma.width() / kBlock;
  struct Sums {
    int v = 0, h = 0;
  };
  std::vector<Sums> blocks(static_cast<size_t>(rows) * columns);
  for (int y = 0; y < luma.height(); ++y) {
    const int16_t *here = luma.row(y), *above = here - luma.stride(), *below = here + luma.stride();
    Sums* sums = blocks.data() + static_cast<size_t>(y / kBlock) * columns;
    for (int column = 0; column < columns; ++column) {
      for (int x = column * kBlock; x < (column + 1) * kBlock; ++x) {
        sums[column].v += std::abs(2 * here[x] - above[x] - below[x]);
        sums[column].h += std::abs(2 * here[x] - here[x - 1] - here[x + 1]);
      }
    }
  }
  std::vector<uint8_t> classes(blocks.size());
  for (int row = 0; row < rows; ++row) {
    for (int column = 0; column < columns; ++column) {
      Sums around;
      for (int y = row - 1; y <= row + 1; ++y) {
        for (int x = column - 1; x <= column + 1; ++x) {
          const Sums& block =
              blocks[static_cast<size_t>(std::clamp(y, 0, rows - 1)) * columns + std::clamp(x, 0, columns - 1)];
          around.v += block.v, around.h += block.h;
        }
      }
      const auto activity =
          std::upper_bound(kThresholds.begin(), kThresholds.end(), around.v + around.h) - kThresholds.begin();
      const int direction = 2 * around.v < around.h ? 0 : around.v > 2 * around.h ? 2 : 1;
      classes[static_cast<size_t>(row) * columns + column] = static_cast<uint8_t>(kDirections * activity + direction);
    }
  }
  return classes;
}

void filter_luma(const PaddedPlane& luma, const Filters& filters, int16_t* out) {
  const int width = luma.width(), columns = width / kBlock;
  const std::vector<uint8_t> classes = block_classes(luma);
  const std::vector<Kernel<kLumaTerms>> kernels(filters.begin(), filters.begin() + kClasses);
  TermRows terms(width, false);
  for (int y = 0; y < luma.height(); ++y) {
    const uint8_t* of_row = classes.data() + static_cast<size_t>(y / kBlock) * columns;
    const int16_t* samples = luma.row(y);
    int16_t* to = out + static_cast<size_t>(y) * width;
    terms.make(luma, nullptr, y);
    for (int column = 0; column < columns; ++column) {
      const int x = column * kBlock;
      kernels[of_row[column]].apply(samples + x, terms, x, to + x);
    }
  }
}

void filter_chroma(const PaddedPlane& chroma, const PaddedPlane& companion, const Filter& filter, int16_t* out) {
  const int width = chroma.width();
  const Kernel<kChromaTerms> kernel(filter);
  TermRows terms(width, true);
  for (int y = 0; y < chroma.height(); ++y) {
    const int16_t* samples = chroma.row(y);
    int16_t* to = out + static_cast<size_t>(y) * width;
    terms.make(chroma, &companion, y);
    for (int x = 0; x < width; x += kBlock) kernel.apply(samples + x, terms, x, to + x);
  }
}

void halve(const int16_t* plane, int height, int width, int16_t* out) {
  for (int y = 0; y < height / 2; ++y) {
    const int16_t *upper = plane + static_cast<size_t>(2 * y) * width, *lower = upper + width;
    for (int x = 0; x < width / 2; ++x) {
      *out++ = static_cast<int16_t>((upper[2 * x] + upper[2 * x + 1] + lower[2 * x] + lower[2 * x + 1] + 2) >> 2);
    }
  }
}

}  // namespace dcvc::filter
