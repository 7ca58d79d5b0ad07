// AMX: tiles multiply the bytes of inputs and weights, and the products are recombined to the same integer sums. All
// other kernels are those of AVX-512.
#include "kernels/cpu/avx512.hpp"

namespace dcvc::kernels {
namespace {

constexpr int kTilePixels = 16, kTileOutputs = 16, kTileInputs = 64;

struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

void split_rows(const int16_t* x, ptrdiff_t stride, int num_pixels, int num_inputs, int8_t* high, uint8_t* low) {
  const int padded = (num_inputs + kTileInputs - 1) / kTileInputs * kTileInputs;
  for (int pixel = 0; pixel < num_pixels; ++pixel, x += stride, high += padded, low += padded) {
    for (int k = 0; k < padded; k += 32) {
      const int left = num_inputs - k;
      const __m512i values = _mm512_maskz_loadu_epi16(left > 0 ? lanes(left) : 0, x + k);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(low + k), _mm512_cvtepi16_epi8(values));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(high + k), _mm512_cvtepi16_epi8(_mm512_srli_epi16(values, 8)));
    }
  }
}

struct alignas(64) Partial {
  int32_t sums[kTilePixels][kTileOutputs];
};

// Products with 8-bit weights: two output tiles at a time, sum = 256 * (high . w) + low . w.
void narrow_tiles(const Rows& rows, int first_pixel, const MatrixView& matrix, int output_tile, int32_t* sums) {
  const ptrdiff_t row = static_cast<ptrdiff_t>(matrix.num_input_tiles) * kTileInputs;
  const int8_t* high = rows.high + first_pixel * row;
  const uint8_t* low = rows.low + first_pixel * row;
  const int8_t* w0 = matrix.tiles_high + static_cast<ptrdiff_t>(output_tile) * matrix.num_input_tiles * 1024;
  const int8_t* w1 = w0 + static_cast<ptrdiff_t>(matrix.num_input_tiles) * 1024;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int k = 0; k < matrix.num_input_tiles; ++k) {
    _tile_loadd(4, high + k * kTileInputs, row);
    _tile_loadd(6, w0 + k * 1024, 64);
    _tile_dpbssd(0, 4, 6);
    _tile_loadd(7, w1 + k * 1024, 64);
    _tile_dpbssd(2, 4, 7);
    _tile_loadd(5, low + k * kTileInputs, row);
    _tile_dpbusd(1, 5, 6);
    _tile_dpbusd(3, 5, 7);
  }
  Partial part[4];
  _tile_stored(0, part[0].sums, 64);
  _tile_stored(1, part[1].sums, 64);
  _tile_stored(2, part[2].sums, 64);
  _tile_stored(3, part[3].sums, 64);
  for (int p = 0; p < kTilePixels; ++p) {
    for (int t = 0; t < 2; ++t) {
      const __m512i high_sum = _mm512_load_si512(part[2 * t].sums[p]),
                    low_sum = _mm512_load_si512(part[2 * t + 1].sums[p]);
      _mm512_storeu_si512(sums + p * kBlockOutputs + t * kTileOutputs,
                          _mm512_add_epi32(_mm512_slli_epi32(high_sum, 8), low_sum));
    }
  }
}

// Products with 16-bit weights: one output tile, four products. Parts of the sum may wrap, because the sum fits 32
// bits.
void wide_tiles(const Rows& rows, int first_pixel, const MatrixView& matrix, int output_tile, int32_t* sums) {
  const ptrdiff_t row = static_cast<ptrdiff_t>(matrix.num_input_tiles) * kTileInputs;
  const int8_t* high = rows.high + first_pixel * row;
  const uint8_t* low = rows.low + first_pixel * row;
  const ptrdiff_t offset = static_cast<ptrdiff_t>(output_tile) * matrix.num_input_tiles * 1024;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  for (int k = 0; k < matrix.num_input_tiles; ++k) {
    _tile_loadd(4, high + k * kTileInputs, row);
    _tile_loadd(6, matrix.tiles_high + offset + k * 1024, 64);
    _tile_dpbssd(0, 4, 6);
    _tile_loadd(7, matrix.tiles_low + offset + k * 1024, 64);
    _tile_dpbsud(1, 4, 7);
    _tile_loadd(5, low + k * kTileInputs, row);
    _tile_dpbuud(2, 5, 7);
    _tile_dpbusd(1, 5, 6);
  }
  Partial part[3];
  _tile_stored(0, part[0].sums, 64);
  _tile_stored(1, part[1].sums, 64);
  _tile_stored(2, part[2].sums, 64);
  for (int p = 0; p < kTilePixels; ++p) {
    const __m512i top = _mm512_slli_epi32(_mm512_load_si512(part[0].sums[p]), 16);
    const __m512i middle = _mm512_slli_epi32(_mm512_load_si512(part[1].sums[p]), 8);
    _mm512_storeu_si512(sums + p * kBlockOutputs,
                        _mm512_add_epi32(_mm512_add_epi32(top, middle), _mm512_load_si512(part[2].sums[p])));
  }
}

void accumulate(const Rows& rows, int num_pixels, const MatrixView& matrix, int block, int32_t* sums) {
  static const TileConfig config;
  _tile_loadconfig(&config);
  for (int pixel = 0; pixel < num_pixels; pixel += kTilePixels) {
    int32_t* tile_sums = sums + pixel * kBlockOutputs;
    for (int t = 0; t < kBlockOutputs / kTileOutputs; t += matrix.tiles_low ? 1 : 2) {
      const int output_tile = block * (kBlockOutputs / kTileOutputs) + t;
      if (matrix.tiles_low) {
        wide_tiles(rows, pixel, matrix, output_tile, tile_sums + t * kTileOutputs);
      } else {
        narrow_tiles(rows, pixel, matrix, output_tile, tile_sums + t * kTileOutputs);
      }
    }
  }
  _tile_release();
}

}  // namespace

const KernelTable& amx_kernels() {
  static const KernelTable table{"amx",   split_rows, multiply_in_two<accumulate, finish>, depthwise, activate,
                                 add_all, scale_all};
  return table;
}

}  // namespace dcvc::kernels
