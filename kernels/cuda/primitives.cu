// One warp runs every primitive of device.hpp once. A new GPU or compiler is tried with it first.
// tests/gpu/primitives.py has what must come out. Lane l reads 16 words and writes 64. Words of the output that are not
// named below are 0.
#include "kernels/cuda/arguments.hpp"

namespace dcvc::cuda {

constexpr int kProbeIn = 16, kProbeOut = 64;

GPU_FN void probe(const ProbeArguments& p) {
  const int lane = gpu::thread_index();
  uint32_t in[kProbeIn], out[kProbeOut];
  GPU_UNROLL for (int i = 0; i < kProbeIn; ++i) in[i] = gpu::load_constant(p.in + lane * kProbeIn + i);
  GPU_UNROLL for (int i = 0; i < kProbeOut; ++i) out[i] = 0;

  // Words 0..15: the four products, each added to words 8..11.
  const uint32_t a[4] = {in[0], in[1], in[2], in[3]};
  int32_t sums[4][4];
  GPU_UNROLL for (int k = 0; k < 4; ++k) GPU_UNROLL for (int i = 0; i < 4; ++i) sums[k][i] =
      static_cast<int32_t>(in[8 + i]);
  gpu::mma_s8s8(sums[0], a, in[4], in[5]);
  gpu::mma_u8s8(sums[1], a, in[4], in[5]);
  gpu::mma_s8u8(sums[2], a, in[4], in[5]);
  gpu::mma_u8u8(sums[3], a, in[4], in[5]);
  GPU_UNROLL for (int k = 0; k < 4; ++k) {
    GPU_UNROLL for (int i = 0; i < 4; ++i) out[4 * k + i] = static_cast<uint32_t>(sums[k][i]);
  }

  // Words 16..19: four matrices that an asynchronous copy brought, lanes 16..31 zeros; 20..23: this lane's copy.
  gpu::copy_async16(16 * lane, p.in + lane * kProbeIn, lane < 16);
  gpu::copy_commit();
  gpu::copy_wait<0>();
  gpu::sync_block();
  uint32_t matrices[4];
  gpu::load_matrix_x4(matrices, 16 * lane);
  const Vec16 copied = gpu::load_shared<Vec16>(16 * lane);
  GPU_UNROLL for (int i = 0; i < 4; ++i) {
    out[16 + i] = matrices[i];
    out[20 + i] = copied.w[i];
  }

  // Words 24..: arithmetic.
  out[24] = gpu::permute(in[0], in[1], 0x7531);
  out[25] = gpu::permute(in[0], in[1], 0x6420);
  out[26] = gpu::pack_saturate16(static_cast<int32_t>(in[2]), static_cast<int32_t>(in[3]));
  out[27] = gpu::add_saturate16x2(in[4], in[5]);
  const int64_t addend = static_cast<int64_t>(static_cast<uint64_t>(in[7]) << 32 | in[6]) >> 2;
  out[28] = static_cast<uint32_t>(
      gpu::multiply_high(static_cast<int32_t>(in[8]) >> 1, static_cast<int32_t>(in[9] >> 1), addend));
  out[29] = gpu::ballot((in[10] & 1) != 0);
  out[30] = static_cast<uint32_t>(gpu::shuffle_up(static_cast<int32_t>(in[11]), 4));
  out[31] = static_cast<uint32_t>(gpu::count_bits(in[12]));
  // Floats of few bits, so that every step rounds.
  const float x = static_cast<float>(static_cast<int32_t>(in[13]) >> 4), y = static_cast<float>((in[14] & 0xffff) + 1);
  out[32] = __builtin_bit_cast(uint32_t, gpu::subtract(x, y));
  out[33] = __builtin_bit_cast(uint32_t, gpu::multiply(x, y));
  out[34] = __builtin_bit_cast(uint32_t, gpu::divide(x, y));
  out[35] = __builtin_bit_cast(uint32_t, gpu::round_even(gpu::divide(x, 4096.0f)));
  GPU_UNROLL for (int i = 0; i < kProbeOut; ++i) gpu::store_global(p.out + lane * kProbeOut + i, out[i]);
}

}  // namespace dcvc::cuda

GPU_KERNEL(primitives, 32, 1, 32 * 32, dcvc::cuda::ProbeArguments, dcvc::cuda::probe)
