#include "kernels/motion/search_planes.hpp"

#include <algorithm>

namespace dcvc::motion {
namespace {

constexpr int kVectorReach = 64;  // of a vector beyond the picture's edge, in samples

// The plane halfway to the next sample along x (step 1) or y (step = stride); a border of 4 samples keeps the source's
// values.
Plane halfway(const Plane& source, ptrdiff_t step) {
  Plane out = source;
  for (int row = 4 - kSearchMargin; row < source.height() + kSearchMargin - 4; ++row) {
    kernels().half_samples(source.at(row, 4 - kSearchMargin), step, out.at(row, 4 - kSearchMargin),
                           source.width() + 2 * kSearchMargin - 8);
  }
  return out;
}

}  // namespace

SampledPlane::SampledPlane(const uint8_t* plane, int height, int width)
    : kernels_(kernels()),
      whole_(plane, height, width, kSearchMargin),
      half_x_(halfway(whole_, 1)),
      half_y_(halfway(whole_, whole_.stride())),
      half_xy_(halfway(half_x_, whole_.stride())) {}

const uint8_t* SampledPlane::square(int y4, int x4, int side, uint8_t* room, int& stride) const {
  const auto [first, second] = samples(y4, x4);
  stride = whole_.stride();
  if (!second) return first;
  kernels_.average(first, stride, second, stride, side, room);
  stride = 16;
  return room;
}

Vector SampledPlane::limited(Vector vector, int row, int column, int side) const {
  const int x_low = -(column * kSquare) - kVectorReach,
            x_high = whole_.width() - column * kSquare - side + kVectorReach;
  const int y_low = -(row * kSquare) - kVectorReach, y_high = whole_.height() - row * kSquare - side + kVectorReach;
  const auto within = [](int v, int low, int high) {
    return static_cast<int16_t>(
        std::clamp(v, std::max(low * kSubpel, -kMaxVector), std::min(high * kSubpel, kMaxVector)));
  };
  return {within(vector.x, x_low, x_high), within(vector.y, y_low, y_high)};
}

}  // namespace dcvc::motion
