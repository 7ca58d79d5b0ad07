// The kernels in plain C++, which all other forms are compared with.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "kernels/motion/kernel_table.hpp"
#include "kernels/motion/overlap.hpp"

namespace dcvc::motion {
namespace {

template <int side>
int sad(const uint8_t* a, ptrdiff_t stride_a, const uint8_t* b, ptrdiff_t stride_b) {
  int sum = 0;
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) sum += std::abs(a[y * stride_a + x] - b[y * stride_b + x]);
  }
  return sum;
}

int hadamard_8x8(const uint8_t* a, ptrdiff_t stride_a, const uint8_t* b, ptrdiff_t stride_b) {
  int16_t d[8][8];
  for (int y = 0; y < 8; ++y) {
    for (int x = 0; x < 8; ++x) d[y][x] = static_cast<int16_t>(a[y * stride_a + x] - b[y * stride_b + x]);
  }
  for (int pass = 0; pass < 2; ++pass) {
    for (int half = 4; half; half >>= 1) {
      int16_t e[8][8];
      for (int y = 0; y < 8; ++y) {
        const int other = y ^ half;
        const int16_t sign = y & half ? -1 : 1;
        for (int x = 0; x < 8; ++x) e[y][x] = static_cast<int16_t>(d[other][x] + sign * d[y][x]);
      }
      std::memcpy(d, e, sizeof d);
    }
    int16_t t[8][8];
    for (int y = 0; y < 8; ++y) {
      for (int x = 0; x < 8; ++x) t[x][y] = d[y][x];
    }
    std::memcpy(d, t, sizeof d);
  }
  int sum = 0;
  for (int y = 0; y < 8; ++y) {
    for (int x = 0; x < 8; ++x) sum += std::abs(static_cast<int>(d[y][x]));
  }
  return (sum + 2) >> 2;
}

int hadamard_16x8(const uint8_t* a, ptrdiff_t stride_a, const uint8_t* b, ptrdiff_t stride_b) {
  return hadamard_8x8(a, stride_a, b, stride_b) + hadamard_8x8(a + 8, stride_a, b + 8, stride_b);
}

uint8_t mean(int a, int b) { return static_cast<uint8_t>((a + b + 1) >> 1); }

void average(const uint8_t* a, ptrdiff_t stride_a, const uint8_t* b, ptrdiff_t stride_b, int side, uint8_t* out) {
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) out[y * 16 + x] = mean(a[y * stride_a + x], b[y * stride_b + x]);
  }
}

void half_samples(const uint8_t* source, ptrdiff_t step, uint8_t* target, int count) {
  for (int i = 0; i < count; ++i) {
    int sum = 32;
    for (int tap = 0; tap < kTaps; ++tap) sum += kSubpelFilters[2][tap] * source[i + (tap - 3) * step];
    target[i] = static_cast<uint8_t>(std::clamp(sum >> kFilterBits, 0, 255));
  }
}

void copy_square(const ByteSquare& square, ptrdiff_t stride, uint8_t* out) {
  for (int y = 0; y < 8; ++y) {
    for (int x = 0; x < 8; ++x) {
      const ptrdiff_t at = y * stride + x;
      out[y * 8 + x] = square.second ? mean(square.first[at], square.second[at]) : square.first[at];
    }
  }
}

// Sums three predictions by their weights, which add up to 8.
int overlapped(int y, int x, int own, int vertical, int horizontal) {
  const int a = kOwn[y][x], b = kVertical[y][x];
  return (a * own + b * vertical + (8 - a - b) * horizontal + 4) >> 3;
}

void overlap_bytes(const ByteSquare (&squares)[5], ptrdiff_t stride, uint8_t* out) {
  uint8_t samples[5][64];
  for (int k = 0; k < 5; ++k) copy_square(squares[k], stride, samples[k]);
  for (int i = 0; i < 64; ++i) {
    const int vertical = samples[i < 32 ? 1 : 2][i], horizontal = samples[i % 8 < 4 ? 3 : 4][i];
    out[i] = static_cast<uint8_t>(overlapped(i / 8, i % 8, samples[0][i], vertical, horizontal));
  }
}

// `samples[tap * step]` for every tap.
int16_t filtered(const int16_t* samples, ptrdiff_t step, const int16_t* taps) {
  int sum = 1 << (kFilterBits - 1);
  for (int tap = 0; tap < kTaps; ++tap) sum += taps[tap] * samples[tap * step];
  return static_cast<int16_t>(sum >> kFilterBits);
}

void interpolate(const int16_t* window, ptrdiff_t stride, int fraction_x, int fraction_y, int first, int last,
                 SampleSquare& out) {
  int16_t lines[15 * 8];
  const int begin = fraction_y ? first : first + 3, end = fraction_y ? last + 7 : last + 3;
  for (int y = begin; y < end; ++y) {
    const int16_t* line = window + y * stride;
    for (int x = 0; x < 8; ++x)
      lines[y * 8 + x] = fraction_x ? filtered(line + x, 1, kSubpelFilters[fraction_x]) : line[x + 3];
  }
  for (int i = first * 8; i < last * 8; ++i) {
    out[i] = fraction_y ? filtered(lines + i, 8, kSubpelFilters[fraction_y]) : lines[i + 3 * 8];
  }
}

void overlap_samples(SampleSquare& own, const SampleSquare& above, const SampleSquare& below, const SampleSquare& left,
                     const SampleSquare& right) {
  for (int i = 0; i < 64; ++i) {
    const int vertical = i < 32 ? above[i] : below[i], horizontal = i % 8 < 4 ? left[i] : right[i];
    own[i] = static_cast<int16_t>(overlapped(i / 8, i % 8, own[i], vertical, horizontal));
  }
}

void limit(const SampleSquare& square, const SampleSquare* second, int16_t max_value, int16_t* out, ptrdiff_t stride) {
  const auto limited = [&](int16_t sample) { return std::clamp(sample, int16_t{0}, max_value); };
  for (int i = 0; i < 64; ++i) {
    int sample = limited(square[i]);
    if (second) sample = (sample + limited((*second)[i]) + 1) >> 1;
    out[i / 8 * stride + i % 8] = static_cast<int16_t>(sample);
  }
}

}  // namespace

const KernelTable kScalarKernels{"scalar",     sad<8>,      sad<16>,       hadamard_8x8, hadamard_16x8,   average,
                                 half_samples, copy_square, overlap_bytes, interpolate,  overlap_samples, limit};

}  // namespace dcvc::motion
