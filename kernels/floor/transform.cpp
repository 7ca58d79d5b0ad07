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

void coefficients_of_residual(const int32_t* residual, int32_t* coefficients) {
  int32_t lines[kPartSamples];
  for (int k = 0; k < kPart; ++k) {
    int32_t sums[kPart] = {};
    for (int y = 0; y < kPart; ++y) {
      for (int x = 0; x < kPart; ++x) sums[x] += kCosines[k][y] * residual[y * kPart + x];
    }
    for (int x = 0; x < kPart; ++x) lines[k * kPart + x] = (sums[x] + (1 << (kFirstShift - 1))) >> kFirstShift;
  }
  int32_t turned[kPartSamples];  // so that the inner loop runs along memory
  for (int y = 0; y < kPart; ++y) {
    for (int x = 0; x < kPart; ++x) turned[x * kPart + y] = lines[y * kPart + x];
  }
  for (int k = 0; k < kPart; ++k) {
    int32_t sums[kPart] = {};
    for (int x = 0; x < kPart; ++x) {
      for (int y = 0; y < kPart; ++y) sums[y] += kCosines[k][x] * turned[x * kPart + y];
    }
    for (int y = 0; y < kPart; ++y) coefficients[y * kPart + k] = (sums[y] + (1 << (kSecondShift - 1))) >> kSecondShift;
  }
}

}  // namespace dcvc::floor
