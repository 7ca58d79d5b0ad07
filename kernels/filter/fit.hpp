// The encoder's choice of filters: least squares of the source, at the price of the coefficients. Not part of the
// format.
#pragma once

#include <array>
#include <vector>

#include "kernels/filter/filter_coder.hpp"
#include "kernels/filter/filters.hpp"

namespace dcvc::filter {

// Squared error of a filter's samples as a function of its coefficients w: const - 2 w.b + w.A w, in squared grey
// levels.
struct Moments {
  std::array<std::array<double, kChromaTerms>, kChromaTerms> a{};
  std::array<double, kChromaTerms> b{};
};

struct FitPlane {
  const int16_t* samples;  // reconstructed, height x width
  const uint8_t* source;   // the same of the source
  int height, width;
};

// Remembers what earlier frames asked of the filters, so that filters serve more than the frame that pays for them.
class FilterFit {
 public:
  void reset() { *this = FilterFit(); }

  // Filters for a frame. lambda: what a bit is worth in squared grey levels of luma. chroma_weight: what those of
  // chroma count.
  Filters fit(const FitPlane& luma, const FitPlane& cb, const FitPlane& cr, const FilterCoder& coder, double lambda,
              double chroma_weight);

 private:
  std::array<Moments, kFilters> moments_{};
  double frames_ = 0;  // how many frames the moments stand for
};

}  // namespace dcvc::filter
