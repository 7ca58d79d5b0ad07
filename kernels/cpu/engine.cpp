// Convolutions and depth-conv blocks. The other operations are in tensor_operations.cpp.
#include "kernels/cpu/engine.hpp"

#include <algorithm>
#include <atomic>
#include <thread>

namespace dcvc::kernels {
namespace {

constexpr int kInputTile = 64;
constexpr size_t kMostWeightsAtOnce = size_t{1} << 19;  // half of a second-level cache of 2 MiB

int padded_inputs(int num_inputs) { return (num_inputs + kInputTile - 1) / kInputTile * kInputTile; }

// Waits for another thread, which may have lost its processor on a busy machine.
void wait_for(const std::atomic<bool>& done) {
  constexpr int kSpins = 1000;
  for (int spin = 0; !done.load(std::memory_order_acquire); ++spin) {
    if (spin >= kSpins) std::this_thread::yield();
  }
}

}  // namespace

Engine::Engine(const KernelTable& kernels, int num_threads, const ActivationTable& activation)
    : kernels_(kernels), pool_(std::make_unique<ThreadPool>(num_threads)), activation_(activation) {
  for (int k = 0; k < num_threads; ++k) scratch_.push_back(std::make_unique<Scratch>());
}

void Engine::hold() {
  turn_.lock();
  buffers_->mutex().lock();
}

void Engine::release() {
  buffers_->mutex().unlock();
  turn_.unlock();
}

// The old pool is abandoned: destroying it would wait for threads that do not exist here.
void Engine::lose_threads() { pool_.reset(new ThreadPool(pool_.release()->num_threads())); }

// Chunks of equal size. If the tensor is small, their number is such that every thread gets as many as any other.
Engine::Chunks Engine::chunks_of(int num_pixels) const {
  int count = (num_pixels + kChunkPixels - 1) / kChunkPixels;
  const int threads = num_threads();
  if (count < 8 * threads) count = std::min((count + threads - 1) / threads * threads, std::max(num_pixels, 1));
  const int pixels = (num_pixels + count - 1) / count;
  return {(num_pixels + pixels - 1) / pixels, pixels};
}

void Engine::reserve_scratch(int num_inputs, int gathered_inputs) {
  const size_t padded = static_cast<size_t>(padded_inputs(std::max(num_inputs, gathered_inputs))) * kChunkPixels;
  for (auto& scratch : scratch_) {
    scratch->sums.reserve(static_cast<size_t>(kChunkPixels) * kBlockOutputs);
    scratch->gathered.reserve(static_cast<size_t>(padded_inputs(gathered_inputs)) * kChunkPixels);
    if (kernels_.split_rows) {
      scratch->high.reserve(padded);
      scratch->low.reserve(padded);
    }
  }
}

Rows Engine::rows_of(Scratch& scratch, const int16_t* x, ptrdiff_t stride, int num_pixels, int num_inputs) const {
  if (!kernels_.split_rows) return {x, stride, nullptr, nullptr};
  kernels_.split_rows(x, stride, num_pixels, num_inputs, scratch.high.data(), scratch.low.data());
  return {x, stride, scratch.high.data(), scratch.low.data()};
}

// epilogue: the values common to all output blocks, and the pointers of the first block.
void Engine::multiply_matrix(Scratch& scratch, const Rows& rows, int num_pixels, const Matrix& matrix,
                             Epilogue epilogue) const {
  const MatrixView view = matrix.view();
  for (int block = 0; block < matrix.num_blocks(); ++block) {
    epilogue.multiplier = matrix.multiplier(block);
    epilogue.addend = matrix.addend(block);
    epilogue.num_outputs = std::min(kBlockOutputs, matrix.num_outputs() - block * kBlockOutputs);
    kernels_.multiply(rows, num_pixels, view, block, epilogue, scratch.sums.data());
    epilogue.out += epilogue.add_fours ? kBlockOutputs / 4 : kBlockOutputs;
    if (epilogue.first) epilogue.first += kBlockOutputs;
    if (epilogue.second) epilogue.second += kBlockOutputs;
  }
}

void Engine::copy_pixels(const Parts& parts, PixelRange range, int16_t* out) {
  for (int pixel = range.first; pixel < range.first + range.count; ++pixel) {
    for (size_t k = 0; k < parts.tensors.size(); ++k) {
      const size_t channels = static_cast<size_t>(parts.channels[k]);
      std::memcpy(out, parts.tensors[k] + static_cast<size_t>(pixel) * channels, channels * sizeof(int16_t));
      out += channels;
    }
  }
}

// Copies the patches of output pixels into rows of kernel * kernel * channels values, zero outside the picture.
void Engine::gather(const ConvLayer& layer, const int16_t* x, Size size, int out_width, PixelRange range,
                    int16_t* patches, ptrdiff_t stride) const {
  const size_t bytes = static_cast<size_t>(layer.channels) * sizeof(int16_t);
  for (int k = 0; k < range.count; ++k) {
    const int top = (range.first + k) / out_width * layer.stride - layer.padding;
    const int left = (range.first + k) % out_width * layer.stride - layer.padding;
    int16_t* patch = patches + k * stride;
    for (int cell = 0; cell < layer.kernel * layer.kernel; ++cell, patch += layer.channels) {
      const int row = top + cell / layer.kernel, column = left + cell % layer.kernel;
      if (row < 0 || row >= size.height || column < 0 || column >= size.width) {
        std::memset(patch, 0, bytes);
      } else {
        std::memcpy(patch, x + (static_cast<ptrdiff_t>(row) * size.width + column) * layer.channels, bytes);
      }
    }
  }
}

void Engine::conv(const ConvLayer& layer, const int16_t* x, Size size, int16_t* out) {
  const std::lock_guard turn(turn_);
  const Size out_size = conv_size(layer, size);
  const int num_inputs = layer.matrix.num_inputs(), num_outputs = layer.matrix.num_outputs();
  const bool direct = layer.kernel == 1 && layer.stride == 1 && layer.padding == 0 && num_inputs % 2 == 0;
  reserve_scratch(num_inputs, direct ? 0 : num_inputs);
  const Chunks chunks = chunks_of(out_size.num_pixels());
  pool_->run(chunks.count, [&](int chunk, int thread) {
    Scratch& scratch = *scratch_[static_cast<size_t>(thread)];
    const int first = chunk * chunks.pixels, count = std::min(chunks.pixels, out_size.num_pixels() - first);
    const int16_t* values = x + static_cast<ptrdiff_t>(first) * num_inputs;
    ptrdiff_t stride = num_inputs;
    if (!direct) {
      stride = padded_inputs(num_inputs);
      gather(layer, x, size, out_size.width, {first, count}, scratch.gathered.data(), stride);
      values = scratch.gathered.data();
    }
    Epilogue epilogue{};
    epilogue.out = out + static_cast<ptrdiff_t>(first) * num_outputs;
    epilogue.out_stride = num_outputs;
    multiply_matrix(scratch, rows_of(scratch, values, stride, count, num_inputs), count, layer.matrix, epilogue);
  });
}

void Engine::depthwise(const DepthwiseLayer& layer, const int16_t* x, Size size, int16_t* out) {
  const std::lock_guard turn(turn_);
  const Chunks chunks = chunks_of(size.num_pixels());
  pool_->run(chunks.count, [&](int chunk, int) {
    const int first = chunk * chunks.pixels, count = std::min(chunks.pixels, size.num_pixels() - first);
    kernels_.depthwise(x, size.height, size.width, layer.view(), {first, count},
                       out + static_cast<ptrdiff_t>(first) * layer.channels(), layer.channels());
  });
}

// The depthwise layer needs the activations of neighbouring pixels; all layers after it work on one pixel alone. So a
// task enters a chunk of pixels and ends an earlier one, whose values are still in the cache. An end waits for the
// entries of all pixels around it: earlier tasks have begun them, so nobody waits for ever. The intermediate values of
// the feed-forward branch stay in the thread's scratch memory.
void Engine::depth_conv_block(const BlockLayers& block, const Parts& x, Size size, int16_t* out) {
  const std::lock_guard turn(turn_);
  const int channels = block.channels(), inner = block.inner(), added = block.added();
  const int num_pixels = size.num_pixels();
  activated_.reserve(static_cast<size_t>(num_pixels) * static_cast<size_t>(inner));
  if (block.adaptor) adapted_.reserve(static_cast<size_t>(num_pixels) * static_cast<size_t>(channels));
  reserve_scratch(std::max({channels, inner, added, block.adaptor ? block.adaptor->channels : 0}),
                  block.adaptor ? block.adaptor->channels : channels);
  for (auto& scratch : scratch_) {
    scratch->spatial.reserve(static_cast<size_t>(kChunkPixels * (inner + 1)));
    scratch->residual.reserve(static_cast<size_t>(kChunkPixels * (channels + 1)));
    scratch->added.reserve(static_cast<size_t>(kChunkPixels * (added + 1)));
  }
  const Chunks chunks = chunks_of(num_pixels);
  const int reach = (size.width + chunks.pixels) / chunks.pixels;  // chunks with neighbours of a chunk, on either side
  // A multiple of the number of threads, so that mostly one thread enters a chunk and ends it. Weights that would take
  // the cache from the values are better used in two passes: all entries, then all ends.
  const int lag = block.num_weights() > kMostWeightsAtOnce
                      ? chunks.count
                      : (reach + num_threads() - 1) / num_threads() * num_threads();
  const auto range_of = [&](int chunk) {
    const int first = chunk * chunks.pixels;
    return PixelRange{first, std::min(chunks.pixels, num_pixels - first)};
  };
  const int16_t* residual = block.adaptor ? adapted_.data() : x.tensors.front();
  std::vector<std::atomic<bool>> entered(static_cast<size_t>(chunks.count));
  pool_->run(chunks.count + lag, [&](int task, int thread) {
    Scratch& scratch = *scratch_[static_cast<size_t>(thread)];
    if (task < chunks.count) {
      block_entry(block, x, range_of(task), scratch);
      entered[static_cast<size_t>(task)].store(true, std::memory_order_release);
    }
    const int ending = task - lag;
    if (ending < 0) return;
    for (int k = std::max(ending - reach, 0); k <= std::min(ending + reach, chunks.count - 1); ++k)
      wait_for(entered[static_cast<size_t>(k)]);
    block_rest(block, residual, size, range_of(ending), scratch, out);
  });
}

// Adaptor, first pointwise layer and activation.
void Engine::block_entry(const BlockLayers& block, const Parts& x, PixelRange range, Scratch& scratch) {
  const int channels = block.channels(), inner = block.inner();
  const ptrdiff_t offset = static_cast<ptrdiff_t>(range.first) * channels;
  const int16_t* values = x.tensors.front() + offset;
  Epilogue epilogue{};
  if (block.adaptor) {
    epilogue.out_stride = channels;
    const int inputs = block.adaptor->channels;
    epilogue.out = adapted_.data() + offset;
    const int16_t* entering = x.tensors.front() + static_cast<ptrdiff_t>(range.first) * inputs;
    if (x.tensors.size() > 1) {
      copy_pixels(x, range, scratch.gathered.data());
      entering = scratch.gathered.data();
    }
    const Rows rows = rows_of(scratch, entering, inputs, range.count, inputs);
    multiply_matrix(scratch, rows, range.count, block.adaptor->matrix, epilogue);
    values = adapted_.data() + offset;
  }
  epilogue.activation = &activation_;
  epilogue.exponent = block.dc_exponent;
  epilogue.out = activated_.data() + static_cast<ptrdiff_t>(range.first) * inner;
  epilogue.out_stride = inner;
  multiply_matrix(scratch, rows_of(scratch, values, channels, range.count, channels), range.count, block.dc_in->matrix,
                  epilogue);
}

// Depthwise layer, second pointwise layer with the residual, and the feed-forward branch. x: the value after the
// adaptor.
void Engine::block_rest(const BlockLayers& block, const int16_t* x, Size size, PixelRange range, Scratch& scratch,
                        int16_t* out) {
  const int channels = block.channels(), inner = block.inner(), added = block.added(), count = range.count;
  const ptrdiff_t offset = static_cast<ptrdiff_t>(range.first) * channels;
  kernels_.depthwise(activated_.data(), size.height, size.width, block.dc_spatial->view(), range,
                     scratch.spatial.data(), inner);

  Epilogue to_residual{};
  to_residual.first = x + offset;
  to_residual.first_stride = channels;
  to_residual.out = scratch.residual.data();
  to_residual.out_stride = channels;
  multiply_matrix(scratch, rows_of(scratch, scratch.spatial.data(), inner, count, inner), count, block.dc_out->matrix,
                  to_residual);

  Epilogue to_added{};
  to_added.activation = &activation_;
  to_added.exponent = block.ffn_exponent;
  to_added.add_fours = !block.ffn_second;
  to_added.out = scratch.added.data();
  to_added.out_stride = added;
  const Rows residual_rows = rows_of(scratch, scratch.residual.data(), channels, count, channels);
  multiply_matrix(scratch, residual_rows, count, block.ffn_first->matrix, to_added);
  if (block.ffn_second) {
    to_added.first = scratch.added.data();
    to_added.first_stride = added;
    multiply_matrix(scratch, residual_rows, count, block.ffn_second->matrix, to_added);
  }

  Epilogue to_out{};
  to_out.first = scratch.residual.data();
  to_out.first_stride = channels;
  if (block.shortcut) {
    to_out.second = x + offset;
    to_out.second_stride = channels;
  }
  to_out.out = out + offset;
  to_out.out_stride = channels;
  multiply_matrix(scratch, rows_of(scratch, scratch.added.data(), added, count, added), count, block.ffn_out->matrix,
                  to_out);
}

}  // namespace dcvc::kernels
