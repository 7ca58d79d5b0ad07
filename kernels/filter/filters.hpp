// The output filter: what a decoder puts out is the reconstructed picture filtered. Integers, bit-exact everywhere.
// Source: docs/output-filter.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace dcvc::filter {

constexpr int kActivities = 8, kDirections = 3;
constexpr int kClasses = kActivities * kDirections;  // of 4x4 blocks of luma, a filter each
constexpr int kOffsets = 6;
constexpr int kLumaTerms = 2 * kOffsets, kChromaTerms = kLumaTerms + 4;
constexpr int kFilters = kClasses + 2;  // and one of Cb, one of Cr
constexpr int kBlock = 4;
constexpr int kCoefficientBits = 6;  // coefficients count 1/64
constexpr int kMaxCoefficient = 127;
constexpr int kMaxSample = 8192;
constexpr int kReach = 2;  // of the offsets

using Filter = std::array<int8_t, kChromaTerms>;  // of luma the first kLumaTerms, the others 0
using Filters = std::array<Filter, kFilters>;

inline int num_terms(int filter) { return filter < kClasses ? kLumaTerms : kChromaTerms; }
inline bool begins_alone(int filter) {
  return filter == 0 || filter == kClasses;
}  // there is none before it to begin as
inline bool is_zero(const Filter& filter) { return filter == Filter{}; }

// A copy of a plane, its edges repeated kReach samples beyond it.
class PaddedPlane {
 public:
  PaddedPlane(const int16_t* samples, int height, int width);

  const int16_t* row(int y) const { return samples_.data() + static_cast<size_t>(y + kReach) * stride_ + kReach; }
  ptrdiff_t stride() const { return static_cast<ptrdiff_t>(stride_); }
  int height() const { return height_; }
  int width() const { return width_; }

 private:
  int height_, width_;
  size_t stride_;
  std::vector<int16_t> samples_;
};

// The terms of one row's samples: row k has those of term k, width of them.
class TermRows {
 public:
  TermRows(int width, bool with_companion);

  void make(const PaddedPlane& plane, const PaddedPlane* companion, int y);
  const int16_t* term(int k) const { return terms_.data() + static_cast<size_t>(k) * width_; }

 private:
  size_t width_;
  std::vector<int16_t> terms_;
};

// The class of every 4x4 block, in raster order. Sides are multiples of 4.
std::vector<uint8_t> block_classes(const PaddedPlane& luma);

// Filters a plane of luma, or with a companion one of chroma; `out` is height x width.
void filter_luma(const PaddedPlane& luma, const Filters& filters, int16_t* out);
void filter_chroma(const PaddedPlane& chroma, const PaddedPlane& companion, const Filter& filter, int16_t* out);

// (a + b + c + d + 2) >> 2 of every 2x2 samples.
void halve(const int16_t* plane, int height, int width, int16_t* out);

}  // namespace dcvc::filter
