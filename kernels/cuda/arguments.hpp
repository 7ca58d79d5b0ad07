// Each kernel takes one structure of arguments. dcvc_cli/backend/cuda/arguments.py reads this file and makes the same
// structures, so fields stand one a line: a pointer, an int32_t, or an array of either.
//
// A tensor is int16 (height, width, channels), channels last. Its pitch is the distance between positions, in channels.
#pragma once

#include "kernels/cuda/device.hpp"

namespace dcvc::cuda {

// A convolution is a matrix product with what follows it. K runs over kernel row, kernel column, channel.
struct MatrixArguments {
  const int16_t* x;            // first range of channels
  const int16_t* x2;           // second range of a concatenation, or null; only with a 1x1 kernel
  const uint8_t* weights;      // [64 columns][step of 64 channels][plane][4096 bytes], see matrix_layout.hpp
  const int32_t* multiplier;   // by column
  const int64_t* addend;       // by column
  const uint32_t* activation;  // 64 words: node in the low half, rise in the high half
  const int16_t* first;        // residual added first, or null
  const int16_t* second;       // residual added after it, or null
  const int16_t* factors;      // scale vector [row][out_columns], or null
  const int32_t* shifts;       // of the scale vector by row
  const int32_t* row;          // which row, in device memory so that one graph serves all
  int16_t* out;
  int32_t positions;  // of the output
  int32_t width;      // of the output
  int32_t in_height;
  int32_t in_width;
  int32_t channels;  // of x, rounded up to 8
  int32_t channels2;
  int32_t pitch;
  int32_t pitch2;
  int32_t kernel;
  int32_t stride;
  int32_t padding;
  int32_t steps;
  int32_t out_columns;  // columns that are stored, a multiple of 8
  int32_t out_pitch;
  int32_t first_pitch;
  int32_t second_pitch;
  int32_t exponent;       // of the activation
  int32_t sub_pixel;      // columns of each of the four output positions of a pixel shuffle by 2, or 0
  int32_t is_picture;     // 1: limited to a picture's range of 8192
  int32_t picture_shift;  // from the layer's exponent to a picture's
  int32_t picture_lowest;
};

struct DepthwiseArguments {
  const int16_t* x;
  const uint32_t* taps;  // [channel][5]: weights 0..8 as pairs of 16 bits
  const int32_t* multiplier;
  const int64_t* addend;
  int16_t* out;
  int32_t height;
  int32_t width;
  int32_t channels;  // rounded up to 8
  int32_t pitch;
  int32_t out_pitch;
};

// The kernels compute out = operation(x, y) element by element.
struct PointwiseArguments {
  const int16_t* x;
  const int16_t* y;        // second operand; of `multiply` one channel or as many as x
  const int16_t* factors;  // of `scale`: [row][pitch_factors]
  const int32_t* shifts;
  const int32_t* row;
  const uint32_t* table;  // of `activate` and `half_to_two`
  int16_t* out;
  int32_t height;
  int32_t width;
  int32_t channels;
  int32_t out_channels;  // channels written; those behind `channels` become 0
  int32_t x_height;
  int32_t x_width;  // positions in a row of x; at least width, but of `replicate`
  int32_t pitch;
  int32_t y_pitch;
  int32_t y_channels;
  int32_t factors_pitch;
  int32_t out_pitch;
  int32_t exponent;  // of x, or the shift of `multiply`, `to_picture` and `rescale`
  int32_t bound;     // of `at_least`, the lowest value of `to_picture`, what `offset` and `rescale` add first
};

// The shuffle makes out (height * factor, width * factor, channels) of x (height, width, channels * factor^2). The
// unshuffle inverts it.
struct ShuffleArguments {
  const int16_t* x;
  int16_t* out;
  int32_t height;  // of the smaller grid
  int32_t width;
  int32_t channels;  // of the larger grid
  int32_t factor;
  int32_t pitch;
  int32_t out_pitch;
};

// A step codes the plane (depth, height, width). Its symbols run over channel, row, column.
struct StepArguments {
  const int16_t* scales;
  const int16_t* means;
  const int32_t* thresholds;  // 128: the smallest scale of every table row
  const int32_t* skipped;     // the largest scale that is not coded, in device memory
  const int8_t* symbols;      // of the coded elements, in order
  int32_t* counts;            // [depth][segments], coded elements of 256 positions
  int32_t* offsets;           // [depth][segments] + 1, where they begin; the last one is their number
  int32_t* number;            // the host's copy of it, or null
  uint8_t* rows;
  uint8_t* flags;
  int16_t* out;
  int32_t height;
  int32_t width;
  int32_t depth;  // channels / groups
  int32_t groups;
  int32_t scales_pitch;
  int32_t means_pitch;
  int32_t out_pitch;
  int32_t exponent;     // of the means
  int32_t group_at[4];  // by position class
};

// The encoder chooses symbols in float32. Every operation rounds, so every machine chooses alike.
struct QuantiseArguments {
  const int16_t* scales;
  const int16_t* means;
  const float* y;           // (height, width, depth * groups) latents times the inverse step size
  const float* zero_below;  // 128, by table row, or null
  const int32_t* thresholds;
  const int32_t* skipped;
  const int32_t* offsets;  // as of StepArguments, or null: then nothing is written in stream order
  int8_t* symbols;         // (depth, height, width)
  int8_t* coded_symbols;   // of the coded elements, in stream order
  uint8_t* coded_rows;
  int32_t height;
  int32_t width;
  int32_t depth;
  int32_t groups;
  int32_t scales_pitch;
  int32_t means_pitch;
  int32_t exponent;
  int32_t group_at[4];
};

// A decoder makes hyper-latents of symbols (channels, height, width).
struct HyperArguments {
  const int8_t* symbols;
  int16_t* out;
  int32_t positions;
  int32_t channels;
  int32_t out_pitch;
};

// The encoder chooses the symbols of z and makes z of them as a decoder does.
struct HyperChoiceArguments {
  const int16_t* z;  // (positions, channels)
  int8_t* symbols;   // (channels, positions)
  int16_t* out;
  int32_t positions;
  int32_t channels;
  int32_t pitch;
  int32_t out_pitch;
  int32_t exponent;  // of z
  int32_t lowest;    // of the symbols
  int32_t highest;
};

// The encoder's latents become float32, and a factor or its inverse multiplies them.
struct LatentArguments {
  const int16_t* x;       // integer values, or null
  const float* y;         // float values (positions, channels) where x is null
  const int16_t* factor;  // or null
  float* out;
  int32_t positions;
  int32_t channels;
  int32_t pitch;  // of x
  int32_t exponent;
  int32_t factor_pitch;
  int32_t factor_channels;  // 1, or as many as x
  int32_t factor_exponent;
  int32_t inverse;  // 1: times 1 / factor
};

// A picture is a tensor (height / 8, width / 8, 192) of pitch 192. A position has the 8x8 samples of three planes.
struct ExportArguments {
  const int16_t* cells;
  uint8_t* planes[3];
  int32_t rows;  // of cells
  int32_t columns;
  int32_t halved;     // 1: chroma of half the size
  int32_t truncated;  // 1: the fraction of chroma is dropped
};

struct PlanesArguments {
  const int16_t* cells;
  int16_t* planes[4];  // luma, Cb, Cr, and with halved chroma the luma beside it
  int32_t rows;
  int32_t columns;
  int32_t halved;
};

struct MotionArguments {
  const int16_t* reference;
  const int16_t* long_term;  // or null
  const int16_t* vectors;    // (rows, columns, 2)
  const int16_t* tracks;     // likewise, or null
  const uint8_t* blends;     // (rows / 2, columns / 2), or null
  int16_t* out;
  int32_t rows;
  int32_t columns;
};

struct FloorArguments {
  const int16_t* cells;
  const int16_t* compensated;  // or null
  const uint32_t* blocks;  // (rows / 2, columns / 2, 3): base in 2 bits and flat levels in 10 each, coded parts by bit,
                           // the first of them among the levels
  const int16_t* levels;   // (coded parts, 64)
  const int32_t* step;     // 0: levels are differences of output samples; in device memory
  int16_t* out;
  int32_t rows;  // of cells
  int32_t columns;
  int32_t halved;
  int32_t max_level;  // the largest output sample: 255 or 1023
};

struct FilterArguments {
  const int16_t* plane;
  const int16_t* companion;    // of chroma
  const int8_t* coefficients;  // of luma [24][12], of chroma [16]
  int32_t* sums;               // of luma: (height / 4, width / 4, 2), what its 4x4 blocks sum up
  int16_t* out;
  int32_t height;
  int32_t width;
};

// A filtered plane gives output samples.
struct SamplesArguments {
  const int16_t* plane;
  uint8_t* out;    // (height, width) of 8 bits, or null
  uint16_t* deep;  // likewise of more bits
  int32_t height;
  int32_t width;
  int32_t pitch;   // of the plane
  int32_t paired;  // 1: a sample is the mean of two side by side
  int32_t max_level;
};

// A picture gives output samples by way of its samples in 1/65535.
struct FineArguments {
  const int16_t* cells;    // or null
  const int16_t* full[3];  // planes of pitch 8 * columns where cells is null
  uint8_t* out[3];         // of 8 bits, or null
  uint16_t* deep[3];       // likewise of more bits
  int32_t columns;         // of cells
  int32_t height;          // of luma
  int32_t width;
  int32_t chroma_height;
  int32_t chroma_width;
  int32_t tall;  // rows of the picture in a row of chroma, 1 or 2
  int32_t wide;  // likewise columns
  int32_t max_level;
  int32_t truncated;   // 1: the fraction of chroma is dropped
  int32_t factors[4];  // of RGB, in 1/65536: red from Cr, blue from Cb, green from Cb, green from Cr
};

// One kernel tries every primitive.
struct ProbeArguments {
  const uint32_t* in;  // (32, 16)
  uint32_t* out;       // (32, 64)
};

}  // namespace dcvc::cuda
