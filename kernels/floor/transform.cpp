#include "kernels/floor/transform.hpp"

#include <algorithm>

namespace dcvc::floor {
namespace {

constexpr int32_t kCosines[kPart][kPart] = {
    {64, 64, 64, 64, 64, 64, 64, 64},     {89, 75, 50, 18, -18, -50, -75, -89}, {83, 36, -36, -83, -83, -36, 36, 83},
    {75, -18, -89, -50, 50, 89, 18, -75}, {64, -64, -64, 64, 64, -64, -64, 64}, {50, -89, 18, 75, -75, -18, 89, -50},
    {36, -83, 83, -36, -36, 83, -83, 36}, {18, -50, 75, -89, 89, -75, 50, -18},
};
constexpr int kFirstShift = 7, kSecondShift = 8;
constexpr int32_t kMaxCoefficient = (1 << 17) - 1;
constexpr int kSteps[6] = {16, 18, 20, 23, 25, 29};

}  // namespace

int step_size(int step_index) { return kSteps[step_index % 6] << (step_index / 6); }

void residual_of_levels(const int16_t* levels, int step, int32_t* residual) {
  int32_t coefficients[kPartSamples], lines[kPartSamples];
  for (int i = 0; i < kPartSamples; ++i) {
    coefficients[i] = std::clamp<int32_t>(int32_t{levels[i]} * step, -kMaxCoefficient, kMaxCoefficient);
  }
  for (int y = 0; y < kPart; ++y) {
    int32_t sums[kPart] = {};
    for (int k = 0; k < kPart; ++k) {
      for (int x = 0; x < kPart; ++x) sums[x] += kCosines[k][y] * coefficients[k * kPart + x];
    }
    for (int x = 0; x < kPart; ++x) lines[y * kPart + x] = (sums[x] + (1 << (kFirstShift - 1))) >> kFirstShift;
  }
  for (int y = 0; y < kPart; ++y) {
    int32_t sums[kPart] = {};
    for (int k = 0; k < kPart; ++k) {
      for (int x = 0; x < kPart; ++x) sums[x] += kCosines[k][x] * lines[y * kPart + k];
    }
    for (int x = 0; x < kPart; ++x) residual[y * kPart + x] = (sums[x] + (1 << (kSecondShift - 1))) >> kSecondShift;
  }
}

namespace {

// One direction of the transform: sums along the columns of 8x8 values. The result is transposed, so that the other
// direction runs the same code.
void transform_columns(const int16_t* values, int shift, int32_t* turned) {
  for (int k = 0; k < kPart; ++k) {
    int32_t sums[kPart] = {};
    for (int y = 0; y < kPart; ++y) {
      const auto cosine = static_cast<int16_t>(kCosines[k][y]);
      for (int x = 0; x < kPart; ++x) sums[x] += int32_t{cosine} * int32_t{values[y * kPart + x]};
    }
    for (int x = 0; x < kPart; ++x) turned[x * kPart + k] = (sums[x] + (1 << (shift - 1))) >> shift;
  }
}

}  // namespace

void coefficients_of_residual(const int16_t* residual, int32_t* coefficients) {
  int32_t turned[kPartSamples];
  int16_t lines[kPartSamples];  // of at most 2^14
  transform_columns(residual, kSecondShift, turned);
  std::copy_n(turned, kPartSamples, lines);
  transform_columns(lines, kFirstShift, coefficients);
}

}  // namespace dcvc::floor
