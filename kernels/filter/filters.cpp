#include "kernels/filter/filters.hpp"

#include <algorithm>

#include "kernels/filter/kernel_table.hpp"

namespace dcvc::filter {
namespace {

constexpr int kOffset[kOffsets][2] = {{0, 1}, {1, 0}, {1, 1}, {1, -1}, {0, 2}, {2, 0}};
constexpr std::array<int, kActivities - 1> kThresholds{2697, 6967, 13740, 24430, 41400, 68000, 110560};

uint8_t class_of(const Activity& around) {
  const int sum = around.vertical + around.horizontal;
  const auto activity = std::upper_bound(kThresholds.begin(), kThresholds.end(), sum) - kThresholds.begin();
  const int direction = 2 * around.vertical < around.horizontal ? 0 : around.vertical > 2 * around.horizontal ? 2 : 1;
  return static_cast<uint8_t>(kDirections * activity + direction);
}

// Sums of a block and its eight neighbours, edges repeated.
class Surroundings {
 public:
  Surroundings(const std::vector<Activity>& blocks, int rows, int columns)
      : blocks_(blocks), rows_(rows), columns_(columns), three_rows_(static_cast<size_t>(columns)) {}

  void go_to_row(int row) {
    const Activity* here = line(row);
    const Activity *above = line(std::max(row - 1, 0)), *below = line(std::min(row + 1, rows_ - 1));
    for (size_t x = 0; x < three_rows_.size(); ++x) {
      three_rows_[x] = {above[x].vertical + here[x].vertical + below[x].vertical,
                        above[x].horizontal + here[x].horizontal + below[x].horizontal};
    }
  }
  Activity around(int column) const {
    const Activity &here = at(column), &left = at(std::max(column - 1, 0)),
                   &right = at(std::min(column + 1, columns_ - 1));
    return {left.vertical + here.vertical + right.vertical, left.horizontal + here.horizontal + right.horizontal};
  }

 private:
  const Activity* line(int row) const { return blocks_.data() + static_cast<size_t>(row) * three_rows_.size(); }
  const Activity& at(int column) const { return three_rows_[static_cast<size_t>(column)]; }

  const std::vector<Activity>& blocks_;
  int rows_, columns_;
  std::vector<Activity> three_rows_;  // sums of a column's three blocks
};

}  // namespace

TermRows::TermRows(int width, bool with_companion)
    : width_(static_cast<size_t>(width)), terms_(width_ * (with_companion ? kChromaTerms : kLumaTerms)) {}

void TermRows::make(const Plane& plane, const Plane* companion, int y) {
  const auto at = [&](int k) { return terms_.data() + static_cast<size_t>(k) * width_; };
  const auto pair_terms = kernels().pair_terms;
  for (int k = 0; k < kOffsets; ++k) {
    pair_terms(plane.at(y, 0), kOffset[k][0] * plane.stride() + kOffset[k][1], width_, at(k), at(k + kOffsets));
  }
  if (!companion) return;
  for (int k = 0; k < 2; ++k) {
    pair_terms(companion->at(y, 0), kOffset[k][0] * companion->stride() + kOffset[k][1], width_, at(kLumaTerms + k),
               at(kLumaTerms + 2 + k));
  }
}

std::vector<uint8_t> block_classes(const Plane& luma) {
  const int rows = luma.height() / kClassBlock, columns = luma.width() / kClassBlock;
  std::vector<Activity> blocks(static_cast<size_t>(rows) * columns);
  const auto add_activity = kernels().add_activity;
  for (int y = 0; y < luma.height(); ++y) {
    Activity* row = blocks.data() + static_cast<size_t>(y / kClassBlock) * columns;
    add_activity(luma.at(y, 0), luma.stride(), static_cast<size_t>(columns), row);
  }
  std::vector<uint8_t> classes(blocks.size());
  uint8_t* to = classes.data();
  Surroundings surroundings(blocks, rows, columns);
  for (int row = 0; row < rows; ++row) {
    surroundings.go_to_row(row);
    for (int column = 0; column < columns; ++column) *to++ = class_of(surroundings.around(column));
  }
  return classes;
}

void filter_luma(const Plane& luma, const Filters& filters, int16_t* out) {
  const size_t width = static_cast<size_t>(luma.width());
  const std::vector<uint8_t> classes = block_classes(luma);
  const std::vector<Coefficients> coefficients(filters.begin(), filters.begin() + kClasses);
  TermRows terms(luma.width(), false);
  for (int y = 0; y < luma.height(); ++y) {
    const uint8_t* of_row = classes.data() + static_cast<size_t>(y / kClassBlock) * (width / kClassBlock);
    terms.make(luma, nullptr, y);
    kernels().filter_row(luma.at(y, 0), terms.term(0), width, kLumaTerms, coefficients.data(), of_row,
                         out + static_cast<size_t>(y) * width);
  }
}

void filter_chroma(const Plane& chroma, const Plane& companion, const Filter& filter, int16_t* out) {
  const size_t width = static_cast<size_t>(chroma.width());
  const Coefficients coefficients(filter);
  const std::vector<uint8_t> all_the_first(width / kClassBlock);
  TermRows terms(chroma.width(), true);
  for (int y = 0; y < chroma.height(); ++y) {
    terms.make(chroma, &companion, y);
    kernels().filter_row(chroma.at(y, 0), terms.term(0), width, kChromaTerms, &coefficients, all_the_first.data(),
                         out + static_cast<size_t>(y) * width);
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
