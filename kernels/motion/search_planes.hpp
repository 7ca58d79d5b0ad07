// The planes that the encoder's search reads: 8 bits, with repeated edges, at whole and half samples.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/base/padded_plane.hpp"
#include "kernels/motion/compensate.hpp"
#include "kernels/motion/kernel_table.hpp"

namespace dcvc::motion {

constexpr int kSearchMargin = 80;  // samples that a square may reach beyond the picture, filters included

using Plane = PaddedPlane<uint8_t>;  // with kSearchMargin

// A picture at whole and half samples.
class SampledPlane {
 public:
  SampledPlane(const uint8_t* plane, int height, int width);

  const Plane& whole() const { return whole_; }

  // A square of side 8 or 16 whose corner stands at (y4, x4) in quarter samples; quarters are means of the two nearest
  // half samples, as in H.264. The samples lie here or in `room`, 16 x 16; the stride is set.
  const uint8_t* square(int y4, int x4, int side, uint8_t* room, int& stride) const;

  // The samples at (y4, x4) in quarter samples; their rows lie stride() apart.
  ByteSquare samples(int y4, int x4) const {
    return {half_sample(y4 >> 1, x4 >> 1), (y4 | x4) & 1 ? half_sample((y4 + 1) >> 1, (x4 + 1) >> 1) : nullptr};
  }
  int stride() const { return whole_.stride(); }

  // Keeps a square within the margin.
  Vector limited(Vector vector, int row, int column, int side) const;

 private:
  const uint8_t* half_sample(int y2, int x2) const {  // coordinates in half samples
    const Plane& plane = y2 & 1 ? (x2 & 1 ? half_xy_ : half_y_) : (x2 & 1 ? half_x_ : whole_);
    return plane.at(y2 >> 1, x2 >> 1);
  }

  const KernelTable& kernels_;
  Plane whole_, half_x_, half_y_, half_xy_;
};

inline Vector moved(Vector vector, int dx, int dy) {
  return {static_cast<int16_t>(vector.x + dx), static_cast<int16_t>(vector.y + dy)};
}

struct Found {
  Vector vector;
  double cost;
};

}  // namespace dcvc::motion
