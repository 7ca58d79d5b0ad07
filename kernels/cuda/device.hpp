// The functions that kernels may call: indices, barriers, memory, asynchronous copies, tensor-core products. Kernels
// call nothing else, so that one source runs on a GPU and under the emulator of the tests. The emulator has the same
// names (tests/cuda/emulator/emulator.hpp).
#pragma once

#if defined(__CUDACC__)

#if defined(__CUDACC_RTC__)
using int8_t = signed char;
using uint8_t = unsigned char;
using int16_t = short;
using uint16_t = unsigned short;
using int32_t = int;
using uint32_t = unsigned;
using int64_t = long long;
using uint64_t = unsigned long long;
#else
#include <cstdint>
#endif

#define GPU_FN __device__ __forceinline__
#define GPU_UNROLL _Pragma("unroll")
// Defines a kernel with one by-value argument. The compiler leaves registers for `blocks` blocks of `threads` threads
// on a multiprocessor.
#define GPU_KERNEL(name, threads, blocks, shared, Arguments, body)                                                  \
  extern "C" __global__ void __launch_bounds__(threads, blocks) name(const __grid_constant__ Arguments arguments) { \
    body(arguments);                                                                                                \
  }

struct alignas(16) Vec16 {
  uint32_t w[4];
};

namespace gpu {

extern __shared__ __align__(128) uint8_t shared_bytes[];

GPU_FN int thread_index() { return static_cast<int>(threadIdx.x); }
GPU_FN int block_x() { return static_cast<int>(blockIdx.x); }
GPU_FN int block_y() { return static_cast<int>(blockIdx.y); }
GPU_FN int block_z() { return static_cast<int>(blockIdx.z); }
GPU_FN void sync_block() { __syncthreads(); }

// Byte offsets address shared memory.
GPU_FN uint32_t shared_address(int offset) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared_bytes)) + static_cast<uint32_t>(offset);
}
template <class T>
GPU_FN T load_shared(int offset) {
  return *reinterpret_cast<const T*>(shared_bytes + offset);
}
template <class T>
GPU_FN void store_shared(int offset, const T& value) {
  *reinterpret_cast<T*>(shared_bytes + offset) = value;
}

// load_constant reads what no thread of the launch writes, since its cache does not see writes.
template <class T>
GPU_FN T load_global(const T* place) {
  return *place;
}
template <class T>
GPU_FN T load_constant(const T* place) {
  return __ldg(place);
}
GPU_FN Vec16 load_constant(const Vec16* place) {
  const uint4 v = __ldg(reinterpret_cast<const uint4*>(place));
  return {{v.x, v.y, v.z, v.w}};
}
template <class T>
GPU_FN void store_global(T* place, const T& value) {
  *place = value;
}

// Copies 16 bytes from global to shared memory, zeros where not valid. The copy ends at a copy_wait of the thread that
// issued it.
GPU_FN void copy_async16(int offset, const void* source, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(offset)), "l"(source),
               "r"(valid ? 16 : 0)
               : "memory");
}
GPU_FN void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kPending>
GPU_FN void copy_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// Loads four 8x8 matrices of 16-bit elements. Lane l gives the address of row l % 8 of matrix l / 8.
GPU_FN void load_matrix_x4(uint32_t (&r)[4], int offset) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(offset))
               : "memory");
}

// Adds the product of 16x32 and 32x8 bytes to d. Sums wrap. The name says how the bytes of a and of b are signed.
#define GPU_MMA(name, a_type, b_type)                                                   \
  GPU_FN void name(int32_t (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) { \
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32." a_type "." b_type             \
                 ".s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"           \
                 : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])                       \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));       \
  }
GPU_MMA(mma_s8s8, "s8", "s8")
GPU_MMA(mma_u8s8, "u8", "s8")
GPU_MMA(mma_s8u8, "s8", "u8")
GPU_MMA(mma_u8u8, "u8", "u8")

// Byte i of the result is byte (selector >> 4 i) & 7 of a (0..3) and b (4..7).
GPU_FN uint32_t permute(uint32_t a, uint32_t b, uint32_t selector) { return __byte_perm(a, b, selector); }
// Limits both to 16 bits and puts `low` into the low half.
GPU_FN uint32_t pack_saturate16(int32_t low, int32_t high) {
  uint32_t r;
  asm("cvt.pack.sat.s16.s32 %0, %1, %2;" : "=r"(r) : "r"(high), "r"(low));
  return r;
}
GPU_FN uint32_t add_saturate16x2(uint32_t a, uint32_t b) { return __vaddss2(a, b); }
// Returns (sum * multiplier + addend) >> 32.
GPU_FN int32_t multiply_high(int32_t sum, int32_t multiplier, int64_t addend) {
#if __CUDA_ARCH__ >= 1000
  int64_t wide;  // the compiler's own form multiplies 64 by 64 bits there
  asm("mad.wide.s32 %0, %1, %2, %3;" : "=l"(wide) : "r"(sum), "r"(multiplier), "l"(addend));
  return static_cast<int32_t>(wide >> 32);
#else
  return static_cast<int32_t>((static_cast<int64_t>(sum) * multiplier + addend) >> 32);
#endif
}

// All 32 lanes of a warp call these together.
GPU_FN uint32_t ballot(bool flag) { return __ballot_sync(0xffffffffu, flag); }
GPU_FN int32_t shuffle_up(int32_t value, int distance) {
  return __shfl_up_sync(0xffffffffu, value, static_cast<unsigned>(distance));
}
GPU_FN int count_bits(uint32_t bits) { return __popc(bits); }

// Every operation rounds as IEEE 754 says; the compiler contracts none.
GPU_FN float subtract(float a, float b) { return __fsub_rn(a, b); }
GPU_FN float multiply(float a, float b) { return __fmul_rn(a, b); }
GPU_FN float divide(float a, float b) { return __fdiv_rn(a, b); }
GPU_FN float round_even(float a) { return rintf(a); }

}  // namespace gpu

#else
#include "emulator.hpp"
#endif
