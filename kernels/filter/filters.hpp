// The output filter, which a decoder applies to every reconstructed picture. Integers, bit-exact everywhere.
// Source: docs/output-filter.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/base/padded_plane.hpp"
#include "kernels/base/samples.hpp"

namespace dcvc::filter {

constexpr int kActivities = 8, kDirections = 3;
constexpr int kClasses = kActivities * kDirections;  // of 4x4 blocks of luma, a filter each
constexpr int kOffsets = 6;
constexpr int kLumaTerms = 2 * kOffsets, kChromaTerms = kLumaTerms + 4;
constexpr int kFilters = kClasses + 2;  // and one of Cb, one of Cr
constexpr int kClassBlock = 4;          // side of the blocks of luma that have a class each
constexpr int kCoefficientBits = 6;     // coefficients count 1/64
constexpr int kMaxCoefficient = 127;
constexpr int kReach = 2;  // of the offsets

using Filter = std::array<int8_t, kChromaTerms>;  // of luma the first kLumaTerms, the others 0
using Filters = std::array<Filter, kFilters>;

inline int num_terms(int filter) { return filter < kClasses ? kLumaTerms : kChromaTerms; }
inline bool begins_alone(int filter) {
  return filter == 0 || filter == kClasses;
}  // its coding has no filter before it to start from
inline bool is_zero(const Filter& filter) { return filter == Filter{}; }

using Plane = PaddedPlane<int16_t>;  // with kReach

// The terms of one row's samples: `width` values of each term.
class TermRows {
 public:
  TermRows(int width, bool with_companion);

  void make(const Plane& plane, const Plane* companion, int y);
  const int16_t* term(int k) const { return terms_.data() + static_cast<size_t>(k) * width_; }

 private:
  size_t width_;
  std::vector<int16_t> terms_;
};

// The class of every 4x4 block, in raster order. Sides are multiples of 4.
std::vector<uint8_t> block_classes(const Plane& luma);

// Filters a plane of luma, or with a companion one of chroma; `out` is height x width.
void filter_luma(const Plane& luma, const Filters& filters, int16_t* out);
void filter_chroma(const Plane& chroma, const Plane& companion, const Filter& filter, int16_t* out);

// (a + b + c + d + 2) >> 2 of every 2x2 samples.
void halve(const int16_t* plane, int height, int width, int16_t* out);

}  // namespace dcvc::filter
