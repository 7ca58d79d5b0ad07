// A plane of samples in a margin that repeats its edges, so that filters and moved squares read straight from memory.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>

namespace dcvc {

template <class Sample>
class PaddedPlane {
 public:
  // A plane without samples: the caller writes all of them, then calls repeat_edges.
  PaddedPlane(int height, int width, int margin)
      : height_(height), width_(width), margin_(margin), stride_(width + 2 * margin), samples_(new Sample[size()]) {}
  // lines: height x width samples.
  PaddedPlane(const Sample* lines, int height, int width, int margin) : PaddedPlane(height, width, margin) {
    for (int row = 0; row < height; ++row) {
      std::memcpy(at(row, 0), lines + static_cast<size_t>(row) * width, static_cast<size_t>(width) * sizeof(Sample));
    }
    repeat_edges();
  }
  PaddedPlane(const PaddedPlane& other) : PaddedPlane(other.height_, other.width_, other.margin_) {
    std::memcpy(samples_.get(), other.samples_.get(), size() * sizeof(Sample));
  }
  PaddedPlane(PaddedPlane&&) = default;

  void repeat_edges() {
    for (int row = 0; row < height_; ++row) {
      std::fill_n(at(row, -margin_), margin_, *at(row, 0));
      std::fill_n(at(row, width_), margin_, *at(row, width_ - 1));
    }
    for (int i = 1; i <= margin_; ++i) {
      std::copy_n(at(0, -margin_), stride_, at(-i, -margin_));
      std::copy_n(at(height_ - 1, -margin_), stride_, at(height_ - 1 + i, -margin_));
    }
  }

  int height() const { return height_; }
  int width() const { return width_; }
  int stride() const { return stride_; }  // samples from one row to the next
  // The sample at a row and column of -margin..size + margin - 1.
  Sample* at(int row, int column) { return samples_.get() + offset(row, column); }
  const Sample* at(int row, int column) const { return samples_.get() + offset(row, column); }
  // The nearest sample of the plane itself.
  Sample clamped(int row, int column) const {
    return *at(std::clamp(row, 0, height_ - 1), std::clamp(column, 0, width_ - 1));
  }
  // Whether a square of this side lies within the margin.
  bool holds(int row, int column, int side) const {
    return row >= -margin_ && column >= -margin_ && row + side <= height_ + margin_ &&
           column + side <= width_ + margin_;
  }

 private:
  size_t size() const { return static_cast<size_t>(stride_) * static_cast<size_t>(height_ + 2 * margin_); }
  size_t offset(int row, int column) const {
    return static_cast<size_t>(row + margin_) * static_cast<size_t>(stride_) + static_cast<size_t>(column + margin_);
  }

  int height_, width_, margin_, stride_;
  std::unique_ptr<Sample[]> samples_;  // not zeroed: all of it is written
};

}  // namespace dcvc
