// The inner loops that exist once for each instruction set, as plain function pointers over raw memory.
//
// Arithmetic: docs/exact-arithmetic.md. Tensors are int16, (h, w, c) with c fastest. Every variant of a function gives
// the same bits.
//
// Position order: inside each block of 32 outputs (or channels), position p < 16 holds output 8 * (p / 4) + p % 4 and
// position 16 + p the output 4 further on. Unpacking 16-bit lanes of 128-bit registers leaves this order, so that a
// saturating pack of two 32-bit vectors yields outputs in natural order without a permutation.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dcvc::kernels {

constexpr int kChunkPixels = 48;  // pixels that one matrix product handles: 8 register tiles of 6 and 3 AMX tiles of 16
constexpr int kBlockOutputs = 64;  // outputs of one accumulation block
constexpr int kLaneBlock = 32;     // outputs of one position-ordered group

// g(u) of WSiLU by 64 linear pieces on [0, 2): the value at a piece's left end and the rise to its right end, exponent
// 18.
struct ActivationTable {
  alignas(64) int16_t nodes[64];
  alignas(64) int16_t rises[64];
  alignas(64) int32_t node_and_rise[64];  // node in the low half, for instruction sets that gather 32 bits
};

// The packed weights of a matrix of num_outputs x num_inputs, zero padded in both directions.
struct MatrixView {
  const int16_t* pairs;      // [output block of 64][pair of inputs][position 0..63][2]
  const int8_t* tiles_high;  // [output tile of 16][input tile of 64][16 rows of 4 inputs][position 0..15][4]; the
                             // weights if narrow
  const uint8_t* tiles_low;  // low bytes, null if narrow: weight = 256 * high + low
  int num_pairs;             // ceil(num_inputs / 2)
  int num_input_tiles;       // ceil(num_inputs / 64)
};

// A chunk of up to kChunkPixels input rows: whole values, and for tiles also bytes, value = 256 * high + low.
struct Rows {
  const int16_t* values;  // [pixel][num_inputs], an even number of values readable
  ptrdiff_t stride;       // values from one pixel to the next
  const int8_t* high;     // [pixel][64 * num_input_tiles], null where the instruction set has no tiles
  const uint8_t* low;
};

// The steps from a block of sums to outputs: y = sat16((sum * multiplier + addend) >> 32), then the activation, then
// saturating additions, or the sums of each four neighbouring outputs.
struct Epilogue {
  const int32_t* multiplier;          // [64] in position order
  const int64_t* addend;              // [4][16]: of each 16 positions first the 8 even, then the 8 odd ones
  const ActivationTable* activation;  // null: none
  int exponent;                       // of the activation's input, 5..13
  const int16_t* first;               // summands, null: none; [pixel][outputs]
  ptrdiff_t first_stride;
  const int16_t* second;
  ptrdiff_t second_stride;
  int16_t* out;
  ptrdiff_t out_stride;
  int num_outputs;  // 1..64
  bool add_fours;   // with an activation, without summands, num_outputs a multiple of 4: out has num_outputs / 4 values
};

// A 3x3 depthwise layer. Each block of 32 channels has [dx 0..2][rows (0, 1) or (2, none)][positions 0..31][2 taps].
struct DepthwiseView {
  const int16_t* taps;
  const int32_t* multiplier;  // [channels rounded up to 32] in position order
  const int64_t* addend;      // even and odd positions apart, as in Epilogue
  int channels;
};

// The pixels [first, first + count) of a picture of height x width in raster order.
struct PixelRange {
  int first, count;
};

struct KernelTable {
  const char* name;
  // Splits rows into bytes. Null if `multiply` reads values.
  void (*split_rows)(const int16_t* x, ptrdiff_t stride, int num_pixels, int num_inputs, int8_t* high, uint8_t* low);
  // The outputs of one block. sums: room for [kChunkPixels][64] sums in position order, without meaning afterwards.
  void (*multiply)(const Rows& rows, int num_pixels, const MatrixView& matrix, int block, const Epilogue& epilogue,
                   int32_t* sums);
  void (*depthwise)(const int16_t* x, int height, int width, const DepthwiseView& layer, PixelRange range, int16_t* out,
                    ptrdiff_t out_stride);
  // Applies WSiLU to each element.
  void (*activate)(const int16_t* x, size_t count, const ActivationTable& table, int exponent, int16_t* out);
  void (*add)(const int16_t* x, const int16_t* y, size_t count, int16_t* out);
  void (*scale)(const int16_t* x, size_t num_pixels, int channels, const int16_t* factors, int shift, int16_t* out);
};

const KernelTable& scalar_kernels();
#if defined(__x86_64__)
const KernelTable& avx2_kernels();
const KernelTable& avx512_kernels();
const KernelTable& amx_kernels();
#elif defined(__aarch64__)
const KernelTable& neon_kernels();
#endif

// The output that position p of a 32-block holds.
constexpr int output_of_position(int p) { return 8 * ((p % 16) / 4) + p % 4 + (p >= 16 ? 4 : 0); }

}  // namespace dcvc::kernels
