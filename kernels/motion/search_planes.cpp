#include "kernels/motion/search_planes.hpp"

#include <algorithm>
#include <cstring>

#include "kernels/motion/block_costs.hpp"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define DCVC_MANY_TARGETS __attribute__((target_clones("avx2", "default")))
#else
#define DCVC_MANY_TARGETS
#endif

namespace dcvc::motion {
namespace {

constexpr int kReach = 64;  // of a vector beyond the picture's edge, in samples
constexpr int kHalf[8] = {-1, 4, -11, 40, 40, -11, 4, -1};

DCVC_MANY_TARGETS void filter_line(const uint8_t* source, ptrdiff_t step, uint8_t* target, int count) {
  for (int i = 0; i < count; ++i) {
    int sum = 32;
    for (int tap = 0; tap < 8; ++tap) sum += kHalf[tap] * source[i + (tap - 3) * step];
    sum >>= 6;
    target[i] = static_cast<uint8_t>(sum < 0 ? 0 : sum > 255 ? 255 : sum);
  }
}

// The plane halfway to the next sample along x (step 1) or y (step = stride); a border of 4 samples keeps the source's
// values.
Plane halfway(const Plane& source, ptrdiff_t step) {
  Plane out = source;
  for (int row = 4 - kSearchMargin; row < source.height + kSearchMargin - 4; ++row) {
    filter_line(source.at(row, 4 - kSearchMargin), step, out.at(row, 4 - kSearchMargin),
                source.width + 2 * kSearchMargin - 8);
  }
  return out;
}

}  // namespace

Plane padded(const uint8_t* source, int height, int width) {
  Plane plane(height, width);
  for (int row = -kSearchMargin; row < height + kSearchMargin; ++row) {
    const uint8_t* line = source + static_cast<size_t>(std::clamp(row, 0, height - 1)) * width;
    uint8_t* target = plane.at(row, -kSearchMargin);
    std::memset(target, line[0], kSearchMargin);
    std::memcpy(target + kSearchMargin, line, static_cast<size_t>(width));
    std::memset(target + kSearchMargin + width, line[width - 1], kSearchMargin);
  }
  return plane;
}

SampledPlane::SampledPlane(const uint8_t* plane, int height, int width)
    : whole_(padded(plane, height, width)),
      half_x_(halfway(whole_, 1)),
      half_y_(halfway(whole_, whole_.stride)),
      half_xy_(halfway(half_x_, whole_.stride)) {}

const uint8_t* SampledPlane::square(int y4, int x4, int side, uint8_t* room, int& stride) const {
  const auto [first, second] = samples(y4, x4);
  stride = whole_.stride;
  if (!second) return first;
  average_square(first, second, stride, room, side);
  stride = 16;
  return room;
}

Vector SampledPlane::limited(Vector vector, int row, int column, int side) const {
  const int x_low = -(column * kBlock) - kReach, x_high = whole_.width - column * kBlock - side + kReach;
  const int y_low = -(row * kBlock) - kReach, y_high = whole_.height - row * kBlock - side + kReach;
  const auto within = [](int v, int low, int high) {
    return static_cast<int16_t>(
        std::clamp(v, std::max(low * kSubpel, -kMaxVector), std::min(high * kSubpel, kMaxVector)));
  };
  return {within(vector.x, x_low, x_high), within(vector.y, y_low, y_high)};
}

}  // namespace dcvc::motion
