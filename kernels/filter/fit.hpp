// The encoder's choice of filters: least squares of the source, at the price of the coefficients. Not part of the
// format.
#pragma once

#include <array>
#include <vector>

#include "kernels/filter/filter_coder.hpp"
#include "kernels/filter/filters.hpp"

namespace dcvc::filter {

// The squared error of a filter's samples, in squared grey levels, by its coefficients w: const - 2 w.b + w.A w.
struct Moments {
  std::array<std::array<double, kChromaTerms>, kChromaTerms> a{};
  std::array<double, kChromaTerms> b{};
};

struct FitPlane {
  const int16_t* samples;  // reconstructed, height x width
  const int16_t* source;   // the same of the source
  int height, width;
};

// Chooses filters. It keeps the moments of earlier frames, since a filter serves more frames than the one that pays.
class FilterFit {
 public:
  void reset() { *this = FilterFit(); }

  // Filters for a frame. lambda: the price of a bit in squared grey levels of luma. chroma_weight: the weight of
  // squared grey levels of chroma.
  Filters fit(const FitPlane& luma, const FitPlane& cb, const FitPlane& cr, const FilterCoder& coder, double lambda,
              double chroma_weight);

 private:
  std::array<Moments, kFilters> moments_{};
  double frames_ = 0;  // the number of frames in the moments
};

}  // namespace dcvc::filter
