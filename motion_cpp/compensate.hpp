// Block motion compensation of a reference picture: what encoder and decoder both compute, in integers, bit-exact everywhere.
// Source: docs/motion.md.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dcvc::motion {

constexpr int kBlock = 8;           // side of the squares that have a vector each
constexpr int kSubpel = 4;          // vectors count quarters of a sample
constexpr int kMaxVector = 1023;    // largest magnitude of a component, in quarter samples
constexpr int kTaps = 8;            // length of the interpolation filters

struct Vector {
  int16_t x, y;
};

inline bool operator==(Vector a, Vector b) { return a.x == b.x && a.y == b.y; }

// A picture's vectors: rows x columns squares of 8x8 samples in raster order.
struct Field {
  const Vector* vectors;
  int rows, columns;

  Vector at(int row, int column) const { return vectors[static_cast<size_t>(row) * columns + column]; }
};

// Predicts a plane of height x width samples (multiples of 8, height = 8 * field.rows) from a reference plane of the same size.
// Squares whose neighbours move differently are blended with what the neighbours' vectors predict. Samples are 0..max_value.
void compensate_plane(const int16_t* reference, int16_t* predicted, int height, int width, const Field& field, int16_t max_value);

}  // namespace dcvc::motion
