#include "kernels/filter/fit.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/filter/kernel_table.hpp"

namespace dcvc::filter {
namespace {

constexpr double kDecay = 0.8;     // a frame's weight in the fit of the next frame
constexpr double kLifetime = 4.0;  // a coefficient is assumed to serve so many frames
constexpr int kFitRounds = 6;
constexpr int kScaleBits = 2;  // terms are scaled down so that products of 16 of them sum to 32 bits
constexpr double kTermUnit = 255.0 * (1 << kScaleBits) / kMaxSample;  // of scaled terms, in grey levels
// The fit needs no more samples of luma than these; of a larger plane it measures only some rows.
constexpr int kManySamples = 1 << 18;

// Sums of products, chunk by chunk of 16 samples.
class Products {
 public:
  explicit Products(int terms) : add_products_(kernels().add_products), terms_(static_cast<size_t>(terms)) {}

  // samples[k] are term k of a chunk, samples[terms] what the filter should add.
  void add(const int16_t (*samples)[kChunk]) { add_products_(samples, static_cast<int>(terms_), sums_); }

  void add_to(Moments& moments, double weight) const {
    constexpr double per_coefficient = 1.0 / (1 << kCoefficientBits);
    const double scale = weight * kTermUnit * kTermUnit * per_coefficient;
    for (size_t i = 0; i <= terms_; ++i) {
      for (size_t j = 0; j < std::min(i + 1, terms_); ++j) {
        const double sum = scale * static_cast<double>(sums_[i][j]);
        if (i == terms_) {
          moments.b[j] += sum;
        } else {
          moments.a[i][j] += per_coefficient * sum;
          if (i != j) moments.a[j][i] += per_coefficient * sum;
        }
      }
    }
  }

 private:
  decltype(KernelTable::add_products) add_products_;
  size_t terms_;
  int64_t sums_[kChromaTerms + 1][kChromaTerms] = {};  // of terms i and j, j <= i
};

int16_t wanted(int16_t sample, int16_t source) { return static_cast<int16_t>((source - sample) >> kScaleBits); }

// Scaled terms, and what the filter should add, of `rows` rows, one row after the other.
class Gathered {
 public:
  Gathered(const FitPlane& plane, const Plane& padded, const Plane* companion, int rows)
      : plane_(plane),
        padded_(padded),
        companion_(companion),
        rows_(rows),
        terms_(companion ? kChromaTerms : kLumaTerms),
        row_(plane.width, companion != nullptr),
        values_(static_cast<size_t>((terms_ + 1) * rows * plane.width)) {}

  void make(int first_row) {
    const int width = plane_.width;
    for (int y = 0; y < rows_; ++y) {
      row_.make(padded_, companion_, first_row + y);
      for (int k = 0; k < terms_; ++k) {
        int16_t* to = values_.data() + (static_cast<size_t>(k) * rows_ + y) * width;
        for (int x = 0; x < width; ++x) to[x] = static_cast<int16_t>(row_.term(k)[x] >> kScaleBits);
      }
      const size_t at = static_cast<size_t>(first_row + y) * width;
      int16_t* to = values_.data() + (static_cast<size_t>(terms_) * rows_ + y) * width;
      for (int x = 0; x < width; ++x) to[x] = wanted(plane_.samples[at + x], plane_.source[at + x]);
    }
  }
  const int16_t* at(int k, int y, int x) const {
    return values_.data() + (static_cast<size_t>(k) * rows_ + y) * plane_.width + x;
  }
  int num_terms() const { return terms_; }

 private:
  const FitPlane& plane_;
  const Plane& padded_;
  const Plane* companion_;
  int rows_, terms_;
  TermRows row_;
  std::vector<int16_t> values_;
};

// One of so many lines of blocks, or of chroma, is measured.
int stride_of(const FitPlane& luma) { return 1 + luma.height * luma.width / kManySamples; }

void measure_luma(const FitPlane& plane, std::array<Moments, kFilters>& moments) {
  const Plane padded(plane.samples, plane.height, plane.width, kReach);
  const std::vector<uint8_t> classes = block_classes(padded);
  std::vector<Products> products(kClasses, Products(kLumaTerms));
  Gathered rows(plane, padded, nullptr, kClassBlock);
  int16_t chunk[kLumaTerms + 1][kChunk];
  const int stride = stride_of(plane);
  for (int y = 0; y < plane.height; y += kClassBlock * stride) {
    rows.make(y);
    for (int x = 0; x < plane.width; x += kClassBlock) {
      for (int k = 0; k <= kLumaTerms; ++k) {
        for (int line = 0; line < kClassBlock; ++line)
          std::copy_n(rows.at(k, line, x), kClassBlock, chunk[k] + line * kClassBlock);
      }
      products[classes[static_cast<size_t>(y / kClassBlock) * (plane.width / kClassBlock) + x / kClassBlock]].add(
          chunk);
    }
  }
  for (size_t i = 0; i < kClasses; ++i) products[i].add_to(moments[i], stride);
}

void measure_chroma(const FitPlane& plane, const Plane& companion, int stride, double weight, Moments& moments) {
  const Plane padded(plane.samples, plane.height, plane.width, kReach);
  Products products(kChromaTerms);
  Gathered rows(plane, padded, &companion, 1);
  int16_t chunk[kChromaTerms + 1][kChunk];
  for (int y = 0; y < plane.height; y += stride) {
    rows.make(y);
    for (int x = 0; x < plane.width; x += kChunk) {
      const int count = std::min(kChunk, plane.width - x);
      for (int k = 0; k <= kChromaTerms; ++k)
        std::fill(std::copy_n(rows.at(k, 0, x), count, chunk[k]), chunk[k] + kChunk, int16_t{0});
      products.add(chunk);
    }
  }
  products.add_to(moments, weight * stride);
}

double error(const Moments& moments, const Filter& filter, int terms) {
  double sum = 0;
  for (size_t i = 0; i < static_cast<size_t>(terms); ++i) {
    double row = -2 * moments.b[i];
    for (size_t j = 0; j < static_cast<size_t>(terms); ++j) row += moments.a[i][j] * filter[j];
    sum += row * filter[i];
  }
  return sum;
}

// Walks the filters and takes the cheapest choice for each.
class Choice {
 public:
  Choice(const std::array<Moments, kFilters>& moments, const FilterCoder& coder, double lambda)
      : moments_(moments), coder_(coder), prices_(coder), lambda_(lambda) {}

  Filters best() const {
    Filters chosen = coder_.filters();
    double least = lambda_ * prices_.changed(false);
    for (size_t i = 0; i < kFilters; ++i) least += error(moments_[i], chosen[i], num_terms(static_cast<int>(i)));
    for (const bool alike : {false, true}) {  // each class for itself, or from what serves all of them
      Filters filters;
      const double cost = choose(alike, filters);
      if (cost < least) least = cost, chosen = filters;
    }
    return chosen;
  }

 private:
  struct Candidate {
    Filter filter;
    double cost = std::numeric_limits<double>::infinity();
  };

  double choose(bool alike, Filters& filters) const {
    double cost = lambda_ * prices_.changed(true);
    bool after_other = false;
    for (int i = 0; i < kFilters; ++i) {
      const Moments& moments = moments_[static_cast<size_t>(i)];
      const Filter& now = coder_.filters()[static_cast<size_t>(i)];
      Candidate least;
      if (alike && i == 0) {
        least = {descended(sum_of_classes(), now, now, kLumaTerms), 0};
        if (least.filter == now) return std::numeric_limits<double>::infinity();
        least.cost = error(moments, least.filter, kLumaTerms) +
                     lambda_ * (prices_.other(false, true) + differences(least.filter, now, kLumaTerms));
      } else {
        least = best_of(i, now, begins_alone(i) ? nullptr : &filters[static_cast<size_t>(i) - 1], after_other);
      }
      filters[static_cast<size_t>(i)] = least.filter;
      after_other = least.filter != now;
      cost += least.cost;
    }
    return cost;
  }

  Candidate best_of(int i, const Filter& now, const Filter* before, bool after_other) const {
    const Moments& moments = moments_[static_cast<size_t>(i)];
    const int terms = num_terms(i);
    Candidate least{now, error(moments, now, terms) + lambda_ * prices_.other(after_other, false)};
    const auto offer = [&](const Filter& filter, double bits) {
      if (filter == now) return;
      const double cost = error(moments, filter, terms) + lambda_ * (prices_.other(after_other, true) + bits);
      if (cost < least.cost) least = {filter, cost};
    };
    const Filter own = descended(moments, now, now, terms);
    offer(own, differences(own, now, terms) + (before ? prices_.copied(false) : 0));
    // A descent ends where no single coefficient helps, which may be far from nothing where terms go together.
    const Filter nothing{};
    offer(nothing, differences(nothing, now, terms) + (before ? prices_.copied(false) : 0));
    if (before) {
      offer(*before, prices_.copied(true) + prices_.exact(true));
      const Filter near = descended(moments, *before, *before, terms);
      if (near != *before) offer(near, differences(near, *before, terms) + prices_.copied(true) + prices_.exact(false));
    }
    return least;
  }

  Moments sum_of_classes() const {
    Moments sum;
    for (size_t i = 0; i < kClasses; ++i) {
      for (size_t k = 0; k < kLumaTerms; ++k) {
        sum.b[k] += moments_[i].b[k];
        for (size_t j = 0; j < kLumaTerms; ++j) sum.a[k][j] += moments_[i].a[k][j];
      }
    }
    return sum;
  }

  double differences(const Filter& filter, const Filter& base, int terms) const {
    double bits = 0;
    for (int k = 0; k < terms; ++k)
      bits += prices_.difference(kind_of(k), filter[static_cast<size_t>(k)] - base[static_cast<size_t>(k)]);
    return bits;
  }

  // Changes one coefficient after the other, as long as a change lowers the cost.
  Filter descended(const Moments& moments, Filter filter, const Filter& base, int terms) const {
    std::array<double, kChromaTerms> slope{};  // b - A w
    const auto count = static_cast<size_t>(terms);
    for (size_t i = 0; i < count; ++i) {
      slope[i] = moments.b[i];
      for (size_t j = 0; j < count; ++j) slope[i] -= moments.a[i][j] * filter[j];
    }
    for (int round = 0; round < kFitRounds; ++round) {
      bool has_moved = false;
      for (size_t k = 0; k < count; ++k) {
        const int step = best_step(moments.a[k][k], slope[k], filter[k], base[k], kind_of(static_cast<int>(k)));
        if (step == 0) continue;
        filter[k] = static_cast<int8_t>(filter[k] + step);
        for (size_t i = 0; i < count; ++i) slope[i] -= moments.a[i][k] * step;
        has_moved = true;
      }
      if (!has_moved) break;
    }
    return filter;
  }

  int best_step(double curvature, double slope, int value, int base, int kind) const {
    if (curvature <= 0) return 0;
    const int full =
        static_cast<int>(std::lround(std::clamp(slope / curvature, -2.0 * kMaxCoefficient, 2.0 * kMaxCoefficient)));
    int best = 0;
    double least = 0;
    for (const int step : {full, full - 1, full + 1, full / 2, base - value}) {
      if (step == 0 || std::abs(value + step) > kMaxCoefficient) continue;
      const double bits = prices_.difference(kind, value + step - base) - prices_.difference(kind, value - base);
      const double change = (curvature * step - 2 * slope) * step + lambda_ * bits;
      if (change < least) least = change, best = step;
    }
    return best;
  }

  const std::array<Moments, kFilters>& moments_;
  const FilterCoder& coder_;
  FilterPrices prices_;
  double lambda_;
};

void fade(Moments& moments) {
  for (double& value : moments.b) value *= kDecay;
  for (auto& row : moments.a) {
    for (double& value : row) value *= kDecay;
  }
}

}  // namespace

Filters FilterFit::fit(const FitPlane& luma, const FitPlane& cb, const FitPlane& cr, const FilterCoder& coder,
                       double lambda, double chroma_weight) {
  std::for_each(moments_.begin(), moments_.end(), fade);
  frames_ = frames_ * kDecay + 1;
  measure_luma(luma, moments_);
  std::vector<int16_t> halved;
  const bool is_halved = cb.width != luma.width;
  if (is_halved) {
    halved.resize(static_cast<size_t>(cb.height) * cb.width);
    halve(luma.samples, luma.height, luma.width, halved.data());
  }
  const Plane companion(is_halved ? halved.data() : luma.samples, cb.height, cb.width, kReach);
  measure_chroma(cb, companion, stride_of(luma), chroma_weight, moments_[kClasses]);
  measure_chroma(cr, companion, stride_of(luma), chroma_weight, moments_[kClasses + 1]);
  return Choice(moments_, coder, lambda * frames_ / kLifetime).best();
}

}  // namespace dcvc::filter
