// Block motion compensation of a reference picture. Encoder and decoder both compute it, in integers, bit-exact
// everywhere. Source: docs/motion.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "kernels/base/samples.hpp"

namespace dcvc::motion {

using dcvc::kSquare;

constexpr int kSubpel = 4;        // vectors count quarters of a sample
constexpr int kMaxVector = 1023;  // largest magnitude of a component, in quarter samples

struct Vector {
  int16_t x, y;
};

inline bool operator==(Vector a, Vector b) {  // at once: the search compares little else
  uint32_t of_a, of_b;
  std::memcpy(&of_a, &a, sizeof a);
  std::memcpy(&of_b, &b, sizeof b);
  return of_a == of_b;
}

// A picture's vectors: rows x columns squares of 8x8 samples in raster order.
struct Field {
  const Vector* vectors;
  int rows, columns;

  Vector at(int row, int column) const { return vectors[static_cast<size_t>(row) * columns + column]; }
};

// What a 16x16 block is predicted from: the reference picture, the mean of both, or the long-term reference alone.
enum Blend : uint8_t { kReference = 0, kMean = 1, kLongTerm = 2 };

// Where the squares of a picture come from; all in raster order.
struct Motion {
  int rows = 0, columns = 0;    // of 8x8 squares
  std::vector<Vector> vectors;  // of every square, into the reference picture
  std::vector<Vector> tracks;   // of every square, into the long-term reference; empty where there is none
  std::vector<uint8_t> blends;  // of every 16x16 block; empty where there is no long-term reference

  Field field() const { return {vectors.data(), rows, columns}; }
  Field track_field() const { return {tracks.data(), rows, columns}; }
  uint8_t blend(int row, int column) const {  // of the block that a square belongs to
    return blends.empty() ? uint8_t{kReference} : blends[static_cast<size_t>(row / 2) * (columns / 2) + column / 2];
  }
};

// A plane of 8x8 squares, stored by squares or by lines: the 8 samples of a square's row lie together, all else has its
// distance in samples.
template <class Sample>
struct Squares {
  Sample* samples;
  ptrdiff_t square_row, row, square_column;

  Sample* at(int square_y, int y, int square_x) const {
    return samples + square_y * square_row + y * row + square_x * square_column;
  }
};

// Predicts a plane of motion.rows x motion.columns squares from a reference plane of the same size, and a long-term one
// where motion has blends. Squares whose neighbours move differently are blended with what the neighbours' vectors
// predict. Samples are 0..max_value.
void compensate_plane(const Squares<const int16_t>& reference, const Squares<const int16_t>* long_term,
                      const Squares<int16_t>& predicted, const Motion& motion, int16_t max_value);

}  // namespace dcvc::motion
