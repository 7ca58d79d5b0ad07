#include "filters.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>

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

int16_t rounded(int sample, int sum) {
  return static_cast<int16_t>(std::clamp(sample + ((sum + (1 << (kCoefficientBits - 1))) >> kCoefficientBits), 0, kMaxSample));
}

template <int Terms, int Width>
void filter_run(const int16_t* samples, const TermRows& terms, int x, const Filter& filter, int16_t* out) {
  int32_t sums[Width] = {};
  for (int k = 0; k < Terms; ++k) {
    const int16_t* term = terms.term(k) + x;
    const int32_t coefficient = filter[static_cast<size_t>(k)];
    for (int i = 0; i < Width; ++i) sums[i] += coefficient * term[i];
  }
  for (int i = 0; i < Width; ++i) out[i] = rounded(samples[i], sums[i]);
}

}  // namespace

PaddedPlane::PaddedPlane(const int16_t* samples, int height, int width)
    : height_(height), width_(width), stride_(static_cast<size_t>(width) + 2 * kReach),
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
    make_pair(companion->row(y), kOffset[k][0] * companion->stride() + kOffset[k][1], width_, at(kLumaTerms + k), at(kLumaTerms + 2 + k));
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
          const Sums& block = blocks[static_cast<size_t>(std::clamp(y, 0, rows - 1)) * columns + std::clamp(x, 0, columns - 1)];
          around.v += block.v, around.h += block.h;
        }
      }
      const auto activity = std::upper_bound(kThresholds.begin(), kThresholds.end(), around.v + around.h) - kThresholds.begin();
      const int direction = 2 * around.v < around.h ? 0 : around.v > 2 * around.h ? 2 : 1;
      classes[static_cast<size_t>(row) * columns + column] = static_cast<uint8_t>(kDirections * activity + direction);
    }
  }
  return classes;
}

void filter_luma(const PaddedPlane& luma, const Filters& filters, int16_t* out) {
  const int width = luma.width(), columns = width / kBlock;
  const std::vector<uint8_t> classes = block_classes(luma);
  TermRows terms(width, false);
  for (int y = 0; y < luma.height(); ++y) {
    const uint8_t* of_row = classes.data() + static_cast<size_t>(y / kBlock) * columns;
    const int16_t* samples = luma.row(y);
    int16_t* to = out + static_cast<size_t>(y) * width;
    terms.make(luma, nullptr, y);
    for (int column = 0; column < columns; ++column) {
      const int x = column * kBlock;
      filter_run<kLumaTerms, kBlock>(samples + x, terms, x, filters[of_row[column]], to + x);
    }
  }
}

void filter_chroma(const PaddedPlane& chroma, const PaddedPlane& companion, const Filter& filter, int16_t* out) {
  const int width = chroma.width();
  TermRows terms(width, true);
  for (int y = 0; y < chroma.height(); ++y) {
    const int16_t* samples = chroma.row(y);
    int16_t* to = out + static_cast<size_t>(y) * width;
    terms.make(chroma, &companion, y);
    for (int x = 0; x < width; x += kBlock) filter_run<kChromaTerms, kBlock>(samples + x, terms, x, filter, to + x);
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
