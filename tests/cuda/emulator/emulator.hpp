// The primitives of kernels/cuda/device.hpp on a CPU. Every access to memory passes the shadow; instructions of a warp
// are meetings of its lanes. Fragments lie as the tables of the PTX manual say ("Matrix Fragments for mma.m16n8k32").
#pragma once

#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "machine.hpp"
#include "registry.hpp"
#include "shadow.hpp"

#define GPU_FN inline
#define GPU_UNROLL
#define GPU_KERNEL(name, threads, blocks, shared, Arguments, body)                                   \
  static void run_##name(const void* arguments) { body(*static_cast<const Arguments*>(arguments)); } \
  static const bool registered_##name = emulator::add_kernel({#name, threads, shared, sizeof(Arguments), run_##name});

struct alignas(16) Vec16 {
  uint32_t w[4];
};

#define EMULATED_PLACE const char *file = __builtin_FILE(), int line = __builtin_LINE()

namespace gpu {

inline emulator::Machine& machine() { return emulator::Machine::get(); }

inline int thread_index() { return machine().thread(); }
inline int block_x() { return machine().block()[0]; }
inline int block_y() { return machine().block()[1]; }
inline int block_z() { return machine().block()[2]; }
inline void sync_block(EMULATED_PLACE) { machine().sync_block({file, line}); }

template <class T>
T load_shared(int offset, EMULATED_PLACE) {
  T value{};
  if (emulator::shared_shadow().access(false, offset, sizeof(T), alignof(T), {file, line})) {
    std::memcpy(&value, machine().shared() + offset, sizeof(T));
  }
  return value;
}
template <class T>
void store_shared(int offset, const T& value, EMULATED_PLACE) {
  if (emulator::shared_shadow().access(true, offset, sizeof(T), alignof(T), {file, line})) {
    std::memcpy(machine().shared() + offset, &value, sizeof(T));
  }
}
template <class T>
T load_global(const T* place, EMULATED_PLACE) {
  return emulator::global_shadow().access(false, place, sizeof(T), alignof(T), {file, line}) ? *place : T{};
}
template <class T>
T load_constant(const T* place, EMULATED_PLACE) {
  return load_global(place, file, line);
}
template <class T>
void store_global(T* place, const T& value, EMULATED_PLACE) {
  if (emulator::global_shadow().access(true, place, sizeof(T), alignof(T), {file, line})) *place = value;
}

inline void land(const emulator::Copy& copy) {
  uint8_t* to = machine().shared() + copy.offset;
  if (copy.valid) {
    std::memcpy(to, copy.source, 16);
  } else {
    std::memset(to, 0, 16);
  }
}
inline void copy_async16(int offset, const void* source, bool valid, EMULATED_PLACE) {
  auto& shadow = emulator::shared_shadow();
  if (!shadow.access(true, offset, 16, 16, {file, line})) return;
  if (valid && !emulator::global_shadow().access(false, source, 16, 16, {file, line})) return;
  machine().fiber().open.push_back({offset, static_cast<const uint8_t*>(source), valid});
  shadow.begin_copy(offset);
  if (!machine().order.late_copies) land(machine().fiber().open.back());
}
inline void copy_commit() {
  auto& fiber = machine().fiber();
  fiber.groups.push_back(std::move(fiber.open));
  fiber.open.clear();
}
template <int kPending>
void copy_wait() {
  auto& groups = machine().fiber().groups;
  while (groups.size() > static_cast<size_t>(kPending)) {
    for (const emulator::Copy& copy : groups.front()) {
      land(copy);
      emulator::shared_shadow().end_copy(copy.offset);
    }
    groups.erase(groups.begin());
  }
}

inline void load_matrix_x4(uint32_t (&r)[4], int offset, EMULATED_PLACE) {
  if (!emulator::shared_shadow().access(false, offset, 16, 16, {file, line})) offset = 0;
  machine().meet({file, line}, &offset, r, [](const emulator::Lane* lanes) {
    for (int i = 0; i < 4; ++i) {
      for (int lane = 0; lane < 32; ++lane) {
        const int row = *static_cast<const int*>(lanes[8 * i + lane / 4].in);
        std::memcpy(static_cast<uint32_t*>(lanes[lane].out) + i, machine().shared() + row + 4 * (lane % 4), 4);
      }
    }
  });
}

struct MmaOperands {
  int32_t* d;
  uint32_t a[4], b[2];
};

template <class A, class B>
void multiply_fragments(const emulator::Lane* lanes) {
  int16_t a[16][32], b[8][32];
  for (int lane = 0; lane < 32; ++lane) {
    const auto& o = *static_cast<const MmaOperands*>(lanes[lane].in);
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) {  // rows g, g + 8, g, g + 8; bytes 4 t.. and 16 + 4 t..
      for (int k = 0; k < 4; ++k) a[g + 8 * (i & 1)][16 * (i >> 1) + 4 * t + k] = static_cast<A>(o.a[i] >> (8 * k));
    }
    for (int i = 0; i < 2; ++i) {  // column g; bytes 4 t.. and 16 + 4 t..
      for (int k = 0; k < 4; ++k) b[g][16 * i + 4 * t + k] = static_cast<B>(o.b[i] >> (8 * k));
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    int32_t* d = static_cast<const MmaOperands*>(lanes[lane].in)->d;
    for (int i = 0; i < 4; ++i) {  // rows g, g, g + 8, g + 8; columns 2 t, 2 t + 1
      const int16_t *x = a[lane / 4 + 8 * (i >> 1)], *y = b[2 * (lane % 4) + (i & 1)];
      int32_t sum = 0;
      for (int k = 0; k < 32; ++k) sum += x[k] * y[k];
      d[i] = static_cast<int32_t>(static_cast<uint32_t>(d[i]) + static_cast<uint32_t>(sum));
    }
  }
}

template <class A, class B>
void mma(int32_t (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, const char* file, int line) {
  const MmaOperands own{d, {a[0], a[1], a[2], a[3]}, {b0, b1}};
  machine().meet({file, line}, &own, nullptr, multiply_fragments<A, B>);
}
#define EMULATED_MMA(name, A, B)                                                                        \
  inline void name(int32_t (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, EMULATED_PLACE) { \
    mma<A, B>(d, a, b0, b1, file, line);                                                                \
  }
EMULATED_MMA(mma_s8s8, int8_t, int8_t)
EMULATED_MMA(mma_u8s8, uint8_t, int8_t)
EMULATED_MMA(mma_s8u8, int8_t, uint8_t)
EMULATED_MMA(mma_u8u8, uint8_t, uint8_t)

inline uint32_t permute(uint32_t a, uint32_t b, uint32_t selector) {
  const uint64_t bytes = a | static_cast<uint64_t>(b) << 32;
  uint32_t r = 0;
  for (int i = 0; i < 4; ++i) r |= static_cast<uint32_t>(bytes >> (8 * (selector >> (4 * i) & 7)) & 255) << (8 * i);
  return r;
}
inline int32_t limit16(int32_t v) { return v > 32767 ? 32767 : v < -32768 ? -32768 : v; }
inline uint32_t pack_saturate16(int32_t low, int32_t high) {
  return (static_cast<uint32_t>(limit16(low)) & 0xffff) | static_cast<uint32_t>(limit16(high)) << 16;
}
inline uint32_t add_saturate16x2(uint32_t a, uint32_t b) {
  return pack_saturate16(static_cast<int16_t>(a & 0xffff) + static_cast<int16_t>(b & 0xffff),
                         static_cast<int16_t>(a >> 16) + static_cast<int16_t>(b >> 16));
}
inline int32_t multiply_high(int32_t sum, int32_t multiplier, int64_t addend) {
  return static_cast<int32_t>((static_cast<int64_t>(sum) * multiplier + addend) >> 32);
}

inline uint32_t ballot(bool flag, EMULATED_PLACE) {
  uint32_t bits = 0;
  machine().meet({file, line}, &flag, &bits, [](const emulator::Lane* lanes) {
    uint32_t all = 0;
    for (int lane = 0; lane < 32; ++lane)
      all |= static_cast<uint32_t>(*static_cast<const bool*>(lanes[lane].in)) << lane;
    for (int lane = 0; lane < 32; ++lane) *static_cast<uint32_t*>(lanes[lane].out) = all;
  });
  return bits;
}
inline int32_t shuffle_up(int32_t value, int distance, EMULATED_PLACE) {
  const int32_t own = value;
  int32_t out = value;
  machine().meet({file, line}, &own, &out, [distance](const emulator::Lane* lanes) {
    for (int lane = distance; lane < 32; ++lane) {
      *static_cast<int32_t*>(lanes[lane].out) = *static_cast<const int32_t*>(lanes[lane - distance].in);
    }
  });
  return out;
}
inline int count_bits(uint32_t bits) { return __builtin_popcount(bits); }

static_assert(FLT_EVAL_METHOD == 0, "float32 is rounded after every operation");
inline float subtract(float a, float b) { return a - b; }
inline float multiply(float a, float b) { return a * b; }
inline float divide(float a, float b) { return a / b; }
inline float round_even(float a) { return std::nearbyint(a); }

}  // namespace gpu
