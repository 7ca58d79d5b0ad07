#include "compensate.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

namespace dcvc::motion {
namespace {

constexpr int kFilterBits = 6;
constexpr int kBefore = kTaps / 2 - 1;            // samples that a filter needs ahead of the first one
constexpr int kWindow = kBlock + kTaps - 1;       // samples that a filtered square needs
constexpr int kMargin = 96;                       // replicated samples around the reference; squares beyond it are gathered one by one

// The 8-tap quarter-sample filters of H.265 (clause 8.5.3.3.3), rows: fraction 0, 1/4, 1/2, 3/4.
constexpr int16_t kFilters[kSubpel][kTaps] = {
    {0, 0, 0, 64, 0, 0, 0, 0}, {-1, 4, -10, 58, 17, -5, 1, 0}, {-1, 4, -11, 40, 40, -11, 4, -1}, {0, 1, -5, 17, 58, -10, 4, -1}};

// Weights in eighths of the square's own prediction and of the one with the vector of the square above or below, and left or right:
// those of H.263's Annex F. Every position's own + vertical + horizontal weight is 8.
constexpr int kOwn[kBlock][kBlock] = {{4, 5, 5, 5, 5, 5, 5, 4}, {5, 5, 5, 5, 5, 5, 5, 5}, {5, 5, 6, 6, 6, 6, 5, 5}, {5, 5, 6, 6, 6, 6, 5, 5},
                                      {5, 5, 6, 6, 6, 6, 5, 5}, {5, 5, 6, 6, 6, 6, 5, 5}, {5, 5, 5, 5, 5, 5, 5, 5}, {4, 5, 5, 5, 5, 5, 5, 4}};
constexpr int kVertical[kBlock][kBlock] = {{2, 2, 2, 2, 2, 2, 2, 2}, {1, 1, 2, 2, 2, 2, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1},
                                           {1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 2, 2, 2, 2, 1, 1}, {2, 2, 2, 2, 2, 2, 2, 2}};

using Square = std::array<int16_t, kBlock * kBlock>;

// The reference plane with replicated edges, so that most squares read straight from memory.
class PaddedPlane {
 public:
  PaddedPlane(const int16_t* plane, int height, int width)
      : height_(height), width_(width), stride_(width + 2 * kMargin), samples_(static_cast<size_t>(stride_) * (height + 2 * kMargin)) {
    for (int row = -kMargin; row < height + kMargin; ++row) {
      const int16_t* source = plane + static_cast<size_t>(std::clamp(row, 0, height - 1)) * width;
      int16_t* target = at(row, -kMargin);
      std::fill_n(target, kMargin, source[0]);
      std::copy_n(source, width, target + kMargin);
      std::fill_n(target + kMargin + width, kMargin, source[width - 1]);
    }
  }

  int stride() const { return stride_; }
  const int16_t* at(int row, int column) const { return samples_.data() + offset(row, column); }
  bool holds(int row, int column) const {
    return row >= -kMargin && column >= -kMargin && row + kWindow <= height_ + kMargin && column + kWindow <= width_ + kMargin;
  }
  int16_t clamped(int row, int column) const { return *at(std::clamp(row, 0, height_ - 1), std::clamp(column, 0, width_ - 1)); }

 private:
  int16_t* at(int row, int column) { return samples_.data() + offset(row, column); }
  size_t offset(int row, int column) const { return static_cast<size_t>(row + kMargin) * stride_ + (column + kMargin); }

  int height_, width_, stride_;
  std::vector<int16_t> samples_;
};

inline int16_t filtered(int sum) { return static_cast<int16_t>((sum + (1 << (kFilterBits - 1))) >> kFilterBits); }

// Rounded between the passes: 8192 * 88 / 64 stays far inside 16 bits, and so does every sum of products inside 32.
void interpolate(const int16_t* window, int stride, int fraction_x, int fraction_y, Square& out) {
  int16_t rows[kWindow][kBlock];
  const int16_t* fx = kFilters[fraction_x];
  const int first = fraction_y ? 0 : kBefore, last = fraction_y ? kWindow : kBefore + kBlock;
  for (int row = first; row < last; ++row) {
    const int16_t* source = window + static_cast<ptrdiff_t>(row) * stride;
    if (fraction_x) {
      for (int column = 0; column < kBlock; ++column) {
        int sum = 0;
        for (int tap = 0; tap < kTaps; ++tap) sum += fx[tap] * source[column + tap];
        rows[row][column] = filtered(sum);
      }
    } else {
      std::copy_n(source + kBefore, kBlock, rows[row]);
    }
  }
  const int16_t* fy = kFilters[fraction_y];
  for (int row = 0; row < kBlock; ++row) {
    int16_t* target = out.data() + row * kBlock;
    if (fraction_y) {
      for (int column = 0; column < kBlock; ++column) {
        int sum = 0;
        for (int tap = 0; tap < kTaps; ++tap) sum += fy[tap] * rows[row + tap][column];
        target[column] = filtered(sum);
      }
    } else {
      std::copy_n(rows[row + kBefore], kBlock, target);
    }
  }
}

void predict_square(const PaddedPlane& plane, int row, int column, Vector vector, Square& out) {
  const int top = row * kBlock + (vector.y >> 2) - kBefore, left = column * kBlock + (vector.x >> 2) - kBefore;
  const int fraction_x = vector.x & 3, fraction_y = vector.y & 3;
  if (plane.holds(top, left)) {
    interpolate(plane.at(top, left), plane.stride(), fraction_x, fraction_y, out);
    return;
  }
  int16_t window[kWindow * kWindow];
  for (int y = 0; y < kWindow; ++y) {
    for (int x = 0; x < kWindow; ++x) window[y * kWindow + x] = plane.clamped(top + y, left + x);
  }
  interpolate(window, kWindow, fraction_x, fraction_y, out);
}

// Blends half a square (given by first and last row or column) with the prediction by a neighbour's vector.
struct Blend {
  std::array<int, kBlock * kBlock> sum;

  void start(const Square& own) {
    for (int i = 0; i < kBlock * kBlock; ++i) sum[i] = kOwn[i / kBlock][i % kBlock] * own[i];
  }
  void add_rows(const Square& other, int first) {
    for (int i = first * kBlock; i < (first + kBlock / 2) * kBlock; ++i) sum[i] += kVertical[i / kBlock][i % kBlock] * other[i];
  }
  void add_columns(const Square& other, int first) {
    for (int row = 0; row < kBlock; ++row) {
      for (int column = first; column < first + kBlock / 2; ++column) {
        const int i = row * kBlock + column;
        sum[i] += (8 - kOwn[row][column] - kVertical[row][column]) * other[i];
      }
    }
  }
  void finish(Square& out) const {
    for (int i = 0; i < kBlock * kBlock; ++i) out[i] = static_cast<int16_t>((sum[i] + 4) >> 3);
  }
};

void predict_blended(const PaddedPlane& plane, const Field& field, int row, int column, Square& out) {
  const Vector own = field.at(row, column);
  const Vector above = field.at(std::max(row - 1, 0), column), below = field.at(std::min(row + 1, field.rows - 1), column);
  const Vector left = field.at(row, std::max(column - 1, 0)), right = field.at(row, std::min(column + 1, field.columns - 1));
  predict_square(plane, row, column, own, out);
  if (own == above && own == below && own == left && own == right) return;
  const Square centre = out;
  Square other;
  const auto by = [&](Vector vector) -> const Square& {
    if (vector == own) return centre;
    predict_square(plane, row, column, vector, other);
    return other;
  };
  Blend blend;
  blend.start(centre);
  blend.add_rows(by(above), 0);
  blend.add_rows(by(below), kBlock / 2);
  blend.add_columns(by(left), 0);
  blend.add_columns(by(right), kBlock / 2);
  blend.finish(out);
}

}  // namespace

void compensate_plane(const int16_t* reference, int16_t* predicted, int height, int width, const Field& field, int16_t max_value) {
  const PaddedPlane plane(reference, height, width);
  Square square;
  for (int row = 0; row < field.rows; ++row) {
    for (int column = 0; column < field.columns; ++column) {
      predict_blended(plane, field, row, column, square);
      int16_t* target = predicted + static_cast<size_t>(row) * kBlock * width + column * kBlock;
      for (int y = 0; y < kBlock; ++y) {
        for (int x = 0; x < kBlock; ++x) target[static_cast<size_t>(y) * width + x] = std::clamp<int16_t>(square[y * kBlock + x], 0, max_value);
      }
    }
  }
}

}  // namespace dcvc::motion
