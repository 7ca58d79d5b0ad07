// Filters to bytes and back. Source: docs/output-filter.md.
#pragma once

#include <array>
#include <optional>

#include "entropy_cpp/binary_coder.hpp"
#include "kernels/filter/filters.hpp"

namespace dcvc::filter {

constexpr int kMaxCoefficientPrefix = 7;
constexpr int kKinds = 3;  // of terms: differences, limited ones, those of the companion

inline int kind_of(int term) { return term < kOffsets ? 0 : term < kLumaTerms ? 1 : 2; }

struct FilterContexts {
  FilterContexts();

  std::array<Context, 2> changed;  // by: I frame, P frame
  std::array<Context, 2> other;    // by: whether the filter before changed
  Context copied, exact;
  std::array<Context, kKinds> zero, sign;
  std::array<std::array<Context, kMaxCoefficientPrefix>, kKinds> prefix;
};

// Codes the filters of frames in order. The filters in force and the contexts stay from frame to frame.
class FilterCoder {
 public:
  void encode(RangeEncoder& coder, const Filters& filters);
  // False if a coefficient is out of range. The coder must be reset then.
  bool decode(RangeDecoder& coder);

  void reset() { *this = FilterCoder(); }
  const Filters& filters() const { return filters_; }
  const FilterContexts& contexts() const { return contexts_; }
  bool is_first() const { return is_first_; }  // whether the next frame is an I frame

 private:
  FilterContexts contexts_;
  Filters filters_{};
  bool is_first_ = true;
};

// The prices of filters in bits, by the state of the contexts. The fit uses them.
class FilterPrices {
 public:
  explicit FilterPrices(const FilterCoder& coder);

  double changed(bool is_changed) const { return changed_[is_changed]; }
  double other(bool after_other, bool is_other) const { return other_[after_other][is_other]; }
  double copied(bool is_copied) const { return copied_[is_copied]; }
  double exact(bool is_exact) const { return exact_[is_exact]; }
  double difference(int kind, int value) const {
    return difference_[static_cast<size_t>(kind)][static_cast<size_t>(value + 2 * kMaxCoefficient)];
  }

 private:
  double changed_[2], other_[2][2], copied_[2], exact_[2];
  std::array<std::array<double, 4 * kMaxCoefficient + 1>, kKinds> difference_;
};

}  // namespace dcvc::filter
