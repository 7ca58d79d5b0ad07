// Block motion compensation of a reference picture: what encoder and decoder both compute, in integers, bit-exact everywhere.
// Source: docs/motion.md.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dcvc::motion {

constexpr int kBlock = 8;           // side of the squares that have a vector each
constexpr int kSubpel = 4;          // vectors count quarters of a sample
constexpr int kMaxVector = 1023;    // largest magnitude of a component, in quarter samples

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

// A plane of 8x8 squares, stored by squares or by lines: the 8 samples of a square's row lie together, all else has its distance in samples.
template <class Sample>
struct Squares {
  Sample* samples;
  ptrdiff_t square_row, row, square_column;

  Sample* at(int square_y, int y, int square_x) const { return samples + square_y * square_row + y * row + square_x * square_column; }
};

// Predicts a plane of field.rows x field.columns squares from a reference plane of the same size.
// Squares whose neighbours move differently are blended with what the neighbours' vectors predict. Samples are 0..max_value.
void compensate_plane(const Squares<const int16_t>& reference, const Squares<int16_t>& predicted, const Field& field, int16_t max_value);

}  // namespace dcvc::motion
