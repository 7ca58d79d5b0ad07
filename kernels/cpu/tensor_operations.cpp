// Operations of the engine beside its layers: elementwise operations, rearrangements, coding steps, output samples.
#include <algorithm>

#include "kernels/base/samples.hpp"
#include "kernels/cpu/engine.hpp"

namespace dcvc::kernels {
namespace {

constexpr size_t kGrain = size_t{1} << 15;

int64_t shift_round(int64_t value, int shift) {
  return shift <= 0 ? value * (int64_t{1} << -shift) : (value + (int64_t{1} << (shift - 1))) >> shift;
}

int16_t saturate(int64_t value) { return static_cast<int16_t>(std::clamp<int64_t>(value, -32768, 32767)); }

// Engine::clamp. Its loops are such that compilers make 16-bit vectors of them.
void clamp_all(const int16_t* x, size_t count, int shift, int lowest, int highest, int16_t offset, int16_t* out) {
  const auto limited = [](int16_t v, int16_t low, int16_t high) { return v < low ? low : v > high ? high : v; };
  const int left = std::max(-shift, 0), unit = 1 << left;
  if (lowest % unit != 0 || highest % unit != 0) {
    for (size_t i = 0; i < count; ++i)
      out[i] = static_cast<int16_t>(std::clamp<int64_t>(shift_round(x[i], shift), lowest, highest) + offset);
    return;
  }
  const int16_t low = static_cast<int16_t>(lowest / unit), high = static_cast<int16_t>(highest / unit);
  if (shift <= 0) {
    for (size_t i = 0; i < count; ++i)
      out[i] = static_cast<int16_t>(static_cast<int16_t>(limited(x[i], low, high) << left) + offset);
  } else {
    for (size_t i = 0; i < count; ++i) {
      const int16_t value = static_cast<int16_t>((x[i] >> shift) + (x[i] >> (shift - 1) & 1));
      out[i] = static_cast<int16_t>(limited(value, low, high) + offset);
    }
  }
}

// The four channels of each group to two rows of two pixels. A loop of its own, which the compiler turns into vectors.
void shuffle_by_two(const int16_t* in, size_t channels, int16_t* __restrict top, int16_t* __restrict bottom) {
  for (size_t k = 0; k < channels; ++k) {
    top[k] = in[4 * k];
    top[channels + k] = in[4 * k + 1];
    bottom[k] = in[4 * k + 2];
    bottom[channels + k] = in[4 * k + 3];
  }
}

}  // namespace

void Engine::for_ranges(size_t count, size_t grain, const std::function<void(size_t, size_t)>& body) {
  const std::lock_guard turn(turn_);
  const size_t num_chunks = (count + grain - 1) / std::max<size_t>(grain, 1);
  pool_->run(static_cast<int>(num_chunks), [&](int chunk, int) {
    const size_t first = static_cast<size_t>(chunk) * grain;
    body(first, std::min(grain, count - first));
  });
}

void Engine::activate(const int16_t* x, size_t count, int exponent, int16_t* out) {
  for_ranges(count, kGrain, [&](size_t first, size_t size) {
    kernels_.activate(x + first, size, activation_, exponent, out + first);
  });
}

void Engine::add(const int16_t* x, const int16_t* y, size_t count, int16_t* out) {
  for_ranges(count, kGrain, [&](size_t first, size_t size) { kernels_.add(x + first, y + first, size, out + first); });
}

void Engine::scale(const int16_t* x, size_t num_pixels, int channels, const int16_t* factors, int shift, int16_t* out) {
  const size_t width = static_cast<size_t>(channels);
  for_ranges(num_pixels, std::max<size_t>(kGrain / width, 1), [&](size_t first, size_t size) {
    kernels_.scale(x + first * width, size, channels, factors, shift, out + first * width);
  });
}

void Engine::multiply(const int16_t* x, const int16_t* y, size_t num_pixels, int channels, int y_channels, int shift,
                      int16_t* out) {
  const size_t width = static_cast<size_t>(channels), y_width = static_cast<size_t>(y_channels);
  for_ranges(num_pixels, std::max<size_t>(kGrain / width, 1), [&](size_t first, size_t size) {
    for (size_t p = first; p < first + size; ++p) {
      for (size_t c = 0; c < width; ++c) {
        const int64_t product = int64_t{x[p * width + c]} * y[p * y_width + (y_width == 1 ? 0 : c)];
        out[p * width + c] = saturate(shift_round(product, shift));
      }
    }
  });
}

void Engine::add_fours(const int16_t* x, size_t num_sums, int16_t* out) {
  for_ranges(num_sums, kGrain, [&](size_t first, size_t size) {
    for (size_t i = first; i < first + size; ++i)
      out[i] = saturate(int64_t{x[4 * i]} + x[4 * i + 1] + x[4 * i + 2] + x[4 * i + 3]);
  });
}

void Engine::clamp(const int16_t* x, size_t count, int shift, int lowest, int highest, int offset, int16_t* out) {
  for_ranges(count, kGrain, [&](size_t first, size_t size) {
    clamp_all(x + first, size, shift, lowest, highest, static_cast<int16_t>(offset), out + first);
  });
}

void Engine::pixel_shuffle(const int16_t* x, Size size, int channels, int factor, int16_t* out) {
  const size_t c = static_cast<size_t>(channels), f = static_cast<size_t>(factor),
               width = static_cast<size_t>(size.width);
  for_ranges(static_cast<size_t>(size.height), 1, [&](size_t first, size_t count) {
    for (size_t row = first; row < first + count; ++row) {
      for (size_t column = 0; column < width; ++column) {
        const int16_t* in = x + (row * width + column) * c * f * f;
        int16_t* to = out + (row * f * width + column) * f * c;
        if (f == 2) {
          shuffle_by_two(in, c, to, to + width * f * c);
          continue;
        }
        for (size_t cell = 0; cell < f * f; ++cell) {
          int16_t* place = to + (cell / f * width * f + cell % f) * c;
          for (size_t k = 0; k < c; ++k) place[k] = in[k * f * f + cell];
        }
      }
    }
  });
}

void Engine::concat(const Parts& parts, int num_pixels, int16_t* out) {
  size_t width = 0;
  for (const int c : parts.channels) width += static_cast<size_t>(c);
  for_ranges(static_cast<size_t>(num_pixels), std::max<size_t>(kGrain / width, 1), [&](size_t first, size_t size) {
    copy_pixels(parts, {static_cast<int>(first), static_cast<int>(size)}, out + first * width);
  });
}

void Engine::step_index(const int16_t* scales, Size size, int channels, const StepGroups& step,
                        const uint8_t* row_of_scale, int largest_skipped, uint8_t* rows, bool* coded) {
  const size_t depth = static_cast<size_t>(channels / step.num_groups), plane = static_cast<size_t>(size.num_pixels());
  const size_t width = static_cast<size_t>(size.width);
  for_ranges(static_cast<size_t>(size.height), 8, [&](size_t first, size_t count) {
    for (size_t row = first; row < first + count; ++row) {
      for (size_t column = 0; column < width; ++column) {
        const size_t pixel = row * width + column, group = static_cast<size_t>(step.group_at[row % 2 * 2 + column % 2]);
        const int16_t* x = scales + pixel * static_cast<size_t>(channels) + group * depth;
        for (size_t k = 0; k < depth; ++k) {
          rows[k * plane + pixel] = row_of_scale[static_cast<uint16_t>(x[k])];
          coded[k * plane + pixel] = x[k] > largest_skipped;
        }
      }
    }
  });
}

void Engine::restore_step(const int8_t* symbols, const int16_t* means, Size size, int channels, const StepGroups& step,
                          int exponent, int16_t* out) {
  const size_t depth = static_cast<size_t>(channels / step.num_groups), plane = static_cast<size_t>(size.num_pixels());
  const size_t width = static_cast<size_t>(size.width), all = static_cast<size_t>(channels);
  for_ranges(static_cast<size_t>(size.height), 8, [&](size_t first, size_t count) {
    for (size_t row = first; row < first + count; ++row) {
      for (size_t column = 0; column < width; ++column) {
        const size_t pixel = row * width + column, group = static_cast<size_t>(step.group_at[row % 2 * 2 + column % 2]);
        std::memset(out + pixel * all, 0, all * sizeof(int16_t));
        const int16_t* mean = means + pixel * all + group * depth;
        int16_t* to = out + pixel * all + group * depth;
        for (size_t k = 0; k < depth; ++k)
          to[k] = saturate(int64_t{symbols[k * plane + pixel]} * (int64_t{1} << exponent) + mean[k]);
      }
    }
  });
}

void Engine::export_planes(const int16_t* cells, Size size, int exponent, bool halve_chroma, bool truncate_chroma,
                           uint8_t* const planes[3]) {
  const size_t width = static_cast<size_t>(size.width);
  for_ranges(static_cast<size_t>(size.height), 1, [&](size_t first_row, size_t num_rows) {
    for (size_t row = first_row; row < first_row + num_rows; ++row) {
      for (int plane = 0; plane < 3; ++plane) {
        const int step = plane > 0 && halve_chroma ? 2 : 1;
        const int shift = exponent + (step == 2 ? 2 : 0), half = plane > 0 && truncate_chroma ? 0 : 1 << (shift - 1);
        const int side = kCell / step;
        for (size_t column = 0; column < width; ++column) {
          const int16_t* cell = cells + (row * width + column) * 3 * kCell * kCell + plane * kCell * kCell;
          for (int dy = 0; dy < side; ++dy) {
            const int16_t* line = cell + dy * step * kCell;
            uint8_t* to =
                planes[plane] +
                (row * static_cast<size_t>(side) + static_cast<size_t>(dy)) * width * static_cast<size_t>(side) +
                column * static_cast<size_t>(side);
            for (int dx = 0; dx < side; ++dx) {
              const int sum = step == 1
                                  ? line[dx]
                                  : line[2 * dx] + line[2 * dx + 1] + line[kCell + 2 * dx] + line[kCell + 2 * dx + 1];
              to[dx] = static_cast<uint8_t>((sum * 255 + half) >> shift);
            }
          }
        }
      }
    }
  });
}

}  // namespace dcvc::kernels
