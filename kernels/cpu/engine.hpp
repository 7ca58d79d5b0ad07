// Whole layers over whole tensors. Threads share the chunks of pixels and run the kernels of one instruction set.
//
// Tensors are int16 (h, w, c), contiguous. The caller sees to their shapes (the bindings check them). Lack of memory is
// the only way to fail. Calls from several threads take turns. A forked child may use its parent's engine: the engine
// gets threads of its own there.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <vector>

#include "kernels/base/fork.hpp"
#include "kernels/base/thread_pool.hpp"
#include "kernels/cpu/layers.hpp"

namespace dcvc::kernels {

struct Size {
  int height, width;
  int num_pixels() const { return height * width; }
};

// A value whose channels stand in several tensors of one size, the first part first.
struct Parts {
  std::vector<const int16_t*> tensors;
  std::vector<int> channels;
};

// Memory of one thread. It grows to the largest layer and is kept.
struct Scratch {
  AlignedArray<int16_t> gathered, spatial, residual, added;
  AlignedArray<int8_t> high;
  AlignedArray<uint8_t> low;
  AlignedArray<int32_t> sums;
};

// A coding step: the channel group that it codes at each position class 2 * (row % 2) + column % 2, and the number of
// groups.
struct StepGroups {
  std::array<int, 4> group_at;
  int num_groups;
};

class Engine final : private Forkable {
 public:
  Engine(const KernelTable& kernels, int num_threads, const ActivationTable& activation);

  const KernelTable& kernels() const { return kernels_; }
  int num_threads() const { return pool_->num_threads(); }
  BufferPool& buffers() { return *buffers_; }
  std::shared_ptr<BufferPool> shared_buffers() { return buffers_; }

  static Size conv_size(const ConvLayer& layer, Size size) {
    return {(size.height + 2 * layer.padding - layer.kernel) / layer.stride + 1,
            (size.width + 2 * layer.padding - layer.kernel) / layer.stride + 1};
  }

  void conv(const ConvLayer& layer, const int16_t* x, Size size, int16_t* out);
  void depthwise(const DepthwiseLayer& layer, const int16_t* x, Size size, int16_t* out);
  // x has one part, or the block an adaptor.
  void depth_conv_block(const BlockLayers& block, const Parts& x, Size size, int16_t* out);

  void activate(const int16_t* x, size_t count, int exponent, int16_t* out);
  void add(const int16_t* x, const int16_t* y, size_t count, int16_t* out);
  void scale(const int16_t* x, size_t num_pixels, int channels, const int16_t* factors, int shift, int16_t* out);
  // sat16((x * y + half) >> shift), shift >= 0, or << -shift; y has one or all channels.
  void multiply(const int16_t* x, const int16_t* y, size_t num_pixels, int channels, int y_channels, int shift,
                int16_t* out);
  // The sums of each four neighbouring channels: (h, w, 4 * c) -> (h, w, c).
  void add_fours(const int16_t* x, size_t num_sums, int16_t* out);
  // x * 2^-shift rounded and limited to lowest..highest, plus offset, which must keep it in 16 bits.
  void clamp(const int16_t* x, size_t count, int shift, int lowest, int highest, int offset, int16_t* out);
  // (h, w, c * f * f) -> (h * f, w * f, c).
  void pixel_shuffle(const int16_t* x, Size size, int channels, int factor, int16_t* out);
  // Interleaves the parts.
  void concat(const Parts& parts, int num_pixels, int16_t* out);

  // Table rows and coded flags (scale > largest_skipped) of a coding step, (channels / groups, h, w). row_of_scale:
  // [65536].
  void step_index(const int16_t* scales, Size size, int channels, const StepGroups& step, const uint8_t* row_of_scale,
                  int largest_skipped, uint8_t* rows, bool* coded);
  // sat16((symbol << exponent) + mean) where the step codes, 0 elsewhere.
  void restore_step(const int8_t* symbols, const int16_t* means, Size size, int channels, const StepGroups& step,
                    int exponent, int16_t* out);
  // A picture still in cells, (h, w, 3 * 8 * 8) with values 0..2^exponent -> 8-bit planes.
  void export_planes(const int16_t* cells, Size size, int exponent, bool halve_chroma, bool truncate_chroma,
                     uint8_t* const planes[3]);

 private:
  struct Chunks {
    int count, pixels;
  };

  void hold() override;
  void release() override;
  void lose_threads() override;

  Chunks chunks_of(int num_pixels) const;
  void for_ranges(size_t count, size_t grain, const std::function<void(size_t first, size_t size)>& body);
  void reserve_scratch(int num_inputs, int gathered_inputs);
  Rows rows_of(Scratch& scratch, const int16_t* x, ptrdiff_t stride, int num_pixels, int num_inputs) const;
  void multiply_matrix(Scratch& scratch, const Rows& rows, int num_pixels, const Matrix& matrix,
                       Epilogue epilogue) const;
  void gather(const ConvLayer& layer, const int16_t* x, Size size, int out_width, PixelRange range, int16_t* patches,
              ptrdiff_t stride) const;
  static void copy_pixels(const Parts& parts, PixelRange range, int16_t* out);
  void block_entry(const BlockLayers& block, const Parts& x, PixelRange range, Scratch& scratch);
  void block_rest(const BlockLayers& block, const int16_t* x, Size size, PixelRange range, Scratch& scratch,
                  int16_t* out);

  const KernelTable& kernels_;
  std::unique_ptr<ThreadPool> pool_;
  ActivationTable activation_;
  std::vector<std::unique_ptr<Scratch>> scratch_;
  AlignedArray<int16_t> activated_, adapted_;
  std::shared_ptr<BufferPool> buffers_ = std::make_shared<BufferPool>();
  std::mutex turn_;
};

}  // namespace dcvc::kernels
