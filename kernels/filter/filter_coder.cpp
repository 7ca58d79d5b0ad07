#include "kernels/filter/filter_coder.hpp"

#include <algorithm>
#include <cstdlib>

namespace dcvc::filter {
namespace {

int distance(const Filter& a, const Filter& b) {
  int sum = 0;
  for (size_t k = 0; k < a.size(); ++k) sum += std::abs(a[k] - b[k]);
  return sum;
}

// One walk serves both directions: an encoder codes `wanted`, a decoder returns the decoded value.
template <class Coder>
class Walk {
 public:
  Walk(Coder& coder, FilterContexts& contexts, const Filters* wanted)
      : coder_(coder), contexts_(contexts), wanted_(wanted) {}

  bool code(Filters& filters, bool is_first) {
    if (!coder_.code(contexts_.changed[is_first ? 0 : 1], wanted_ && *wanted_ != filters)) return true;
    bool after_other = false;
    for (int i = 0; i < kFilters; ++i) {
      Filter& filter = filters[static_cast<size_t>(i)];
      const Filter* wanted = wanted_ ? &(*wanted_)[static_cast<size_t>(i)] : nullptr;
      after_other = coder_.code(contexts_.other[after_other], wanted && *wanted != filter);
      if (after_other &&
          !code_filter(filter, begins_alone(i) ? nullptr : &filters[static_cast<size_t>(i) - 1], wanted, num_terms(i)))
        return false;
    }
    return true;
  }

 private:
  bool code_filter(Filter& filter, const Filter* before, const Filter* wanted, int terms) {
    if (before) {
      const bool near = wanted && (*wanted == *before || distance(*wanted, *before) < distance(*wanted, filter));
      if (coder_.code(contexts_.copied, near)) {
        filter = *before;
        if (coder_.code(contexts_.exact, wanted && *wanted == *before)) return true;
      }
    }
    for (int k = 0; k < terms; ++k) {
      int8_t& coefficient = filter[static_cast<size_t>(k)];
      const int value =
          coefficient + code_difference(kind_of(k), wanted ? (*wanted)[static_cast<size_t>(k)] - coefficient : 0);
      if (std::abs(value) > kMaxCoefficient) return false;
      coefficient = static_cast<int8_t>(value);
    }
    return true;
  }

  int code_difference(int kind, int value) {
    const auto of_kind = static_cast<size_t>(kind);
    if (!coder_.code(contexts_.zero[of_kind], value != 0)) return 0;
    const bool negative = coder_.code(contexts_.sign[of_kind], value < 0);
    const unsigned wanted = static_cast<unsigned>(std::abs(value));
    int length = 0;
    while (length < kMaxCoefficientPrefix &&
           coder_.code(contexts_.prefix[of_kind][static_cast<size_t>(length)], (wanted >> (length + 1)) != 0))
      ++length;
    unsigned magnitude = 1;
    for (int bit = length - 1; bit >= 0; --bit)
      magnitude = magnitude << 1 | (coder_.code_even(wanted >> bit & 1) ? 1u : 0u);
    return negative ? -static_cast<int>(magnitude) : static_cast<int>(magnitude);
  }

  Coder& coder_;
  FilterContexts& contexts_;
  const Filters* wanted_;
};

}  // namespace

FilterContexts::FilterContexts() {
  changed[0].start(8192), changed[1].start(57344);
  other[0].start(49152), other[1].start(16384);
}

void FilterCoder::encode(RangeEncoder& coder, const Filters& filters) {
  BinaryEncoder binary(coder);
  Walk<BinaryEncoder>(binary, contexts_, &filters).code(filters_, is_first_);
  is_first_ = false;
}

bool FilterCoder::decode(RangeDecoder& coder) {
  BinaryDecoder binary(coder);
  if (!Walk<BinaryDecoder>(binary, contexts_, nullptr).code(filters_, is_first_)) return false;
  is_first_ = false;
  return true;
}

FilterPrices::FilterPrices(const FilterCoder& coder) {
  const FilterContexts& contexts = coder.contexts();
  for (int bit = 0; bit < 2; ++bit) {
    changed_[bit] = price(contexts.changed[coder.is_first() ? 0 : 1], bit);
    for (size_t k = 0; k < 2; ++k) other_[k][bit] = price(contexts.other[k], bit);
    copied_[bit] = price(contexts.copied, bit);
    exact_[bit] = price(contexts.exact, bit);
  }
  for (size_t kind = 0; kind < kKinds; ++kind) {
    double prefix = price(contexts.zero[kind], true);
    for (int length = 0; length <= kMaxCoefficientPrefix; ++length) {
      const bool last = length == kMaxCoefficientPrefix;
      for (int value = 1 << length; value < std::min(2 << length, 2 * kMaxCoefficient + 1); ++value) {
        for (const bool negative : {false, true}) {
          difference_[kind][static_cast<size_t>((negative ? -value : value) + 2 * kMaxCoefficient)] =
              prefix + length + price(contexts.sign[kind], negative) +
              (last ? 0.0 : price(contexts.prefix[kind][static_cast<size_t>(length)], false));
        }
      }
      if (!last) prefix += price(contexts.prefix[kind][static_cast<size_t>(length)], true);
    }
    difference_[kind][2 * kMaxCoefficient] = price(contexts.zero[kind], false);
  }
}

}  // namespace dcvc::filter
