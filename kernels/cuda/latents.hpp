// Coding steps find table rows and flags, put the coded elements into stream order, and make latents of symbols. A
// block has 32 channels of the step's plane and 256 positions, a segment. It turns them in shared memory, since tensors
// run along channels and streams along positions.
#pragma once

#include "kernels/cuda/arguments.hpp"
#include "kernels/cuda/arithmetic.hpp"

namespace dcvc::cuda {

constexpr int kSegment = 256, kStepDepth = 32, kStepThreads = 256, kStepWarps = kStepThreads / 32;
constexpr int kTurnedPitch = kStepDepth + 2;  // of a position, in values: no two of 32 positions share a bank
constexpr int kTurnedBytes = kSegment * kTurnedPitch * 2, kThresholdOffset = kTurnedBytes;
constexpr int kNumRows = 128, kStepBytes = kTurnedBytes + kNumRows * 4;
constexpr int kScanThreads = 1024, kScanBytes = 33 * 4;

GPU_FN int turned_place(int index, int k) { return (index * kTurnedPitch + k) * 2; }

// Says which block of the plane this is.
struct StepBlock {
  int depth0, position0, positions, segments;
};
template <class Arguments>
GPU_FN StepBlock step_block(const Arguments& p) {
  const int positions = p.height * p.width;
  return {gpu::block_y() * kStepDepth, gpu::block_x() * kSegment, positions, (positions + kSegment - 1) / kSegment};
}

// Returns the channel group that the step codes at a position.
template <class Arguments>
GPU_FN int group_of(const Arguments& p, int position) {
  const int place = position / p.width % 2 * 2 + position % p.width % 2;
  return place == 0 ? p.group_at[0] : place == 1 ? p.group_at[1] : place == 2 ? p.group_at[2] : p.group_at[3];
}

// Brings the block's coded channels of a tensor to shared memory, position by position.
template <class Arguments>
GPU_FN void turn(const Arguments& p, const StepBlock& b, const int16_t* tensor, int pitch) {
  for (int i = gpu::thread_index(); i < kSegment * kStepDepth; i += kStepThreads) {
    const int index = i / kStepDepth, k = i % kStepDepth, position = b.position0 + index;
    int16_t value = 0;
    if (position < b.positions && b.depth0 + k < p.depth) {
      value = gpu::load_global(tensor + static_cast<int64_t>(position) * pitch + group_of(p, position) * p.depth +
                               b.depth0 + k);
    }
    gpu::store_shared(turned_place(index, k), value);
  }
}

GPU_FN void load_thresholds(const int32_t* thresholds) {
  if (gpu::thread_index() < kNumRows) {
    gpu::store_shared<int32_t>(kThresholdOffset + 4 * gpu::thread_index(),
                               gpu::load_constant(thresholds + gpu::thread_index()));
  }
}

// Returns the last row whose threshold is not above the scale, 0 if there is none.
GPU_FN int table_row(int32_t scale) {
  int row = 0;
  GPU_UNROLL for (int half = kNumRows / 2; half > 0; half /= 2) {
    if (gpu::load_shared<int32_t>(kThresholdOffset + 4 * (row + half)) <= scale) row += half;
  }
  return row;
}

// Calls visit(index, k, value) for the block's elements. A warp has 32 positions side by side. It ends a channel before
// it begins the next.
template <class Arguments, class Visit>
GPU_FN void for_elements(const Arguments& p, const StepBlock& b, const Visit& visit) {
  const int lane = gpu::thread_index() & 31, warp = gpu::thread_index() >> 5;
  for (int k = warp; k < kStepDepth; k += kStepWarps) {
    if (b.depth0 + k >= p.depth) break;
    for (int index = lane; index < kSegment; index += 32)
      visit(index, k, gpu::load_shared<int16_t>(turned_place(index, k)));
  }
}

// Writes rows and flags of all elements as planes.
GPU_FN void step_planes(const StepArguments& p) {
  const StepBlock b = step_block(p);
  load_thresholds(p.thresholds);
  turn(p, b, p.scales, p.scales_pitch);
  gpu::sync_block();
  const int32_t skipped = gpu::load_constant(p.skipped);
  for_elements(p, b, [&](int index, int k, int32_t scale) {
    const int position = b.position0 + index;
    if (position >= b.positions) return;
    const int64_t place = static_cast<int64_t>(b.depth0 + k) * b.positions + position;
    gpu::store_global(p.rows + place, static_cast<uint8_t>(table_row(scale)));
    gpu::store_global(p.flags + place, static_cast<uint8_t>(scale > skipped));
  });
}

// Counts the coded elements of each channel and segment.
GPU_FN void step_count(const StepArguments& p) {
  const StepBlock b = step_block(p);
  turn(p, b, p.scales, p.scales_pitch);
  gpu::sync_block();
  const int32_t skipped = gpu::load_constant(p.skipped);
  const int lane = gpu::thread_index() & 31;
  int count = 0;
  for_elements(p, b, [&](int index, int k, int32_t scale) {
    if (index < 32) count = 0;
    count += gpu::count_bits(gpu::ballot(b.position0 + index < b.positions && scale > skipped));
    if (index >= kSegment - 32 && lane == 0)
      gpu::store_global(p.counts + (b.depth0 + k) * b.segments + gpu::block_x(), count);
  });
}

// Finds where the coded elements of each channel and segment begin, and their number. One block does it.
GPU_FN void step_scan(const StepArguments& p) {
  const int thread = gpu::thread_index(), lane = thread & 31, warp = thread >> 5;
  const int segments = (p.height * p.width + kSegment - 1) / kSegment, total = p.depth * segments;
  int before = 0;
  for (int first = 0; first < total; first += kScanThreads) {
    const int i = first + thread, own = i < total ? gpu::load_global(p.counts + i) : 0;
    int sum = own;
    GPU_UNROLL for (int distance = 1; distance < 32; distance *= 2) {
      const int other = gpu::shuffle_up(sum, distance);
      if (lane >= distance) sum += other;
    }
    if (lane == 31) gpu::store_shared<int32_t>(4 * warp, sum);
    gpu::sync_block();
    if (warp == 0) {
      int warps = gpu::load_shared<int32_t>(4 * lane);
      GPU_UNROLL for (int distance = 1; distance < 32; distance *= 2) {
        const int other = gpu::shuffle_up(warps, distance);
        if (lane >= distance) warps += other;
      }
      gpu::store_shared<int32_t>(4 * lane, warps);
    }
    gpu::sync_block();
    const int ahead = warp > 0 ? gpu::load_shared<int32_t>(4 * (warp - 1)) : 0;
    if (i < total) gpu::store_global(p.offsets + i, before + ahead + sum - own);
    before += gpu::load_shared<int32_t>(4 * 31);
    gpu::sync_block();  // the next round writes the warps' sums again
  }
  if (thread != 0) return;
  gpu::store_global(p.offsets + total, before);
  if (p.number) gpu::store_global(p.number, before);
}

// Calls visit(index, k, scale, coded, place) with the place of each coded element in stream order.
template <class Arguments, class Visit>
GPU_FN void for_coded(const Arguments& p, const StepBlock& b, const Visit& visit) {
  const int32_t skipped = gpu::load_constant(p.skipped);
  const int lane = gpu::thread_index() & 31;
  int place = 0;
  for_elements(p, b, [&](int index, int k, int32_t scale) {
    if (index < 32) place = gpu::load_global(p.offsets + (b.depth0 + k) * b.segments + gpu::block_x());
    const bool coded = b.position0 + index < b.positions && scale > skipped;
    const uint32_t flags = gpu::ballot(coded);
    visit(index, k, scale, coded, place + gpu::count_bits(flags & ((1u << lane) - 1)));
    place += gpu::count_bits(flags);
  });
}

// Writes the table rows of the coded elements in stream order.
GPU_FN void step_rows(const StepArguments& p) {
  const StepBlock b = step_block(p);
  load_thresholds(p.thresholds);
  turn(p, b, p.scales, p.scales_pitch);
  gpu::sync_block();
  for_coded(p, b, [&](int, int, int32_t scale, bool coded, int place) {
    if (coded) gpu::store_global(p.rows + place, static_cast<uint8_t>(table_row(scale)));
  });
}

// Makes the step's part of y_hat: symbols plus means where the step codes, zero elsewhere. Without scales the symbols
// are a whole plane.
GPU_FN void step_restore(const StepArguments& p) {
  const StepBlock b = step_block(p);
  if (p.scales) {
    turn(p, b, p.scales, p.scales_pitch);
    gpu::sync_block();
    for_coded(p, b, [&](int index, int k, int32_t, bool coded, int place) {
      const int16_t symbol = coded ? static_cast<int16_t>(gpu::load_global(p.symbols + place)) : int16_t{0};
      gpu::store_shared(turned_place(index, k), symbol);  // in place of its own scale
    });
  } else {
    const int lane = gpu::thread_index() & 31, warp = gpu::thread_index() >> 5;
    for (int k = warp; k < kStepDepth && b.depth0 + k < p.depth; k += kStepWarps) {
      for (int index = lane; index < kSegment; index += 32) {
        const int position = b.position0 + index;
        int16_t symbol = 0;
        if (position < b.positions) {
          symbol = gpu::load_global(p.symbols + static_cast<int64_t>(b.depth0 + k) * b.positions + position);
        }
        gpu::store_shared(turned_place(index, k), symbol);
      }
    }
  }
  gpu::sync_block();
  for (int i = gpu::thread_index(); i < kSegment * kStepDepth; i += kStepThreads) {
    const int index = i / kStepDepth, k = i % kStepDepth, position = b.position0 + index;
    if (position >= b.positions || b.depth0 + k >= p.depth) continue;
    const int own = group_of(p, position);
    for (int group = 0; group < p.groups; ++group) {
      const int channel = group * p.depth + b.depth0 + k;
      int32_t value = 0;
      if (group == own) {
        const int32_t symbol = gpu::load_shared<int16_t>(turned_place(index, k));
        value = saturate16(symbol * (1 << p.exponent) +
                           gpu::load_global(p.means + static_cast<int64_t>(position) * p.means_pitch + channel));
      }
      gpu::store_global(p.out + static_cast<int64_t>(position) * p.out_pitch + channel, static_cast<int16_t>(value));
    }
    if (b.depth0 + k == p.depth - 1) {
      for (int channel = p.groups * p.depth; channel < p.out_pitch; ++channel) {
        gpu::store_global(p.out + static_cast<int64_t>(position) * p.out_pitch + channel, int16_t{0});
      }
    }
  }
}

// Returns the symbol that the encoder chooses for an element.
GPU_FN float chosen_symbol(const QuantiseArguments& p, int position, int channel, int32_t scale, bool coded) {
  if (!coded) return 0.0f;
  const int32_t mean = gpu::load_global(p.means + static_cast<int64_t>(position) * p.means_pitch + channel);
  const float unit = static_cast<float>(1 << p.exponent);
  const float y = gpu::load_global(p.y + static_cast<int64_t>(position) * p.depth * p.groups + channel);
  const float residual = gpu::subtract(y, gpu::divide(static_cast<float>(mean), unit));
  const float magnitude = residual < 0.0f ? -residual : residual;
  if (p.zero_below && magnitude < gpu::load_constant(p.zero_below + table_row(scale))) return 0.0f;
  const float symbol = gpu::round_even(residual);
  return symbol < -128.0f ? -128.0f : symbol > 127.0f ? 127.0f : symbol;
}

// Writes the encoder's symbols twice: as a plane, of which the step's latents are made, and in stream order, which the
// host codes.
GPU_FN void step_quantise(const QuantiseArguments& p) {
  const StepBlock b = step_block(p);
  load_thresholds(p.thresholds);
  turn(p, b, p.scales, p.scales_pitch);
  gpu::sync_block();
  const auto choose = [&](int index, int k, int32_t scale, bool coded, int place) {
    const int position = b.position0 + index;
    if (position >= b.positions) return;
    const int channel = group_of(p, position) * p.depth + b.depth0 + k;
    const int8_t symbol = static_cast<int8_t>(chosen_symbol(p, position, channel, scale, coded));
    gpu::store_global(p.symbols + static_cast<int64_t>(b.depth0 + k) * b.positions + position, symbol);
    if (!coded || !p.offsets) return;
    gpu::store_global(p.coded_symbols + place, symbol);
    gpu::store_global(p.coded_rows + place, static_cast<uint8_t>(table_row(scale)));
  };
  if (p.offsets) {
    for_coded(p, b, choose);
    return;
  }
  const int32_t skipped = gpu::load_constant(p.skipped);
  for_elements(p, b, [&](int index, int k, int32_t scale) { choose(index, k, scale, scale > skipped, 0); });
}

// Makes the encoder's latents. A thread has one value. Every operation rounds, as it does on the host.
GPU_FN void float_latents(const LatentArguments& p) {
  const int index = gpu::block_x() * kStepThreads + gpu::thread_index();
  if (index >= p.positions * p.channels) return;
  const int position = index / p.channels, channel = index % p.channels;
  float value;
  if (p.x) {
    const int32_t x = gpu::load_global(p.x + static_cast<int64_t>(position) * p.pitch + channel);
    value = gpu::divide(static_cast<float>(x), static_cast<float>(1 << p.exponent));
  } else {
    value = gpu::load_global(p.y + index);
  }
  if (p.factor) {
    const int64_t place = static_cast<int64_t>(position) * p.factor_pitch + (p.factor_channels > 1 ? channel : 0);
    const int32_t stored = gpu::load_global(p.factor + place);
    const float factor = gpu::divide(static_cast<float>(stored), static_cast<float>(1 << p.factor_exponent));
    value = gpu::multiply(value, p.inverse ? gpu::divide(1.0f, factor) : factor);
  }
  gpu::store_global(p.out + index, value);
}

// Chooses the symbols of the encoder's hyper-latents, (channels, positions), and makes the hyper-latents of exponent 8
// that a decoder makes. Threads run along positions, so that neighbouring bytes go to the host together.
GPU_FN void hyper_choice(const HyperChoiceArguments& p) {
  const int index = gpu::block_x() * kStepThreads + gpu::thread_index();
  if (index >= p.positions * p.out_pitch) return;
  const int channel = index / p.positions, position = index % p.positions;
  int32_t symbol = 0;
  if (channel < p.channels) {
    const int32_t z = gpu::load_global(p.z + static_cast<int64_t>(position) * p.pitch + channel);
    const float value = gpu::divide(static_cast<float>(z), static_cast<float>(1 << p.exponent));
    symbol = limit(static_cast<int32_t>(gpu::round_even(value)), p.lowest, p.highest);
    gpu::store_global(p.symbols + index, static_cast<int8_t>(symbol));
  }
  gpu::store_global(p.out + static_cast<int64_t>(position) * p.out_pitch + channel, static_cast<int16_t>(symbol * 256));
}

// Makes hyper-latents (positions, channels) of exponent 8 of symbols (channels, positions). A thread has one value.
GPU_FN void hyper_latents(const HyperArguments& p) {
  const int index = gpu::block_x() * kStepThreads + gpu::thread_index();
  if (index >= p.positions * p.out_pitch) return;
  const int position = index / p.out_pitch, channel = index % p.out_pitch;
  const int symbol =
      channel < p.channels ? gpu::load_global(p.symbols + static_cast<int64_t>(channel) * p.positions + position) : 0;
  gpu::store_global(p.out + index, static_cast<int16_t>(symbol * 256));
}

}  // namespace dcvc::cuda
