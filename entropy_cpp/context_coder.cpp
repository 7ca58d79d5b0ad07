#include "entropy_cpp/context_coder.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

// Wider vectors where the processor has them. Sanitizers start too late for functions that are chosen at load time.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__gnu_linux__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define DCVC_ANY_VECTORS __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define DCVC_ANY_VECTORS
#endif

namespace dcvc::entropy {

namespace {

constexpr size_t kBlock = 32;  // outputs that are summed side by side

typedef float FloatBlock __attribute__((vector_size(kBlock * sizeof(float))));
typedef double DoubleBlock __attribute__((vector_size(kBlock * sizeof(double))));

template <class Block, class T>
inline __attribute__((always_inline)) void run_blocks(const T* weight, const T* start, const T* input,
                                                      size_t num_inputs, size_t num_blocks, T* out) {
  for (size_t b = 0; b < num_blocks; ++b) {
    Block sum;
    std::memcpy(&sum, start + b * kBlock, sizeof sum);
    for (size_t i = 0; i < num_inputs; ++i, weight += kBlock) {
      Block column;
      std::memcpy(&column, weight, sizeof column);
      sum += column * input[i];
    }
    std::memcpy(out + b * kBlock, &sum, sizeof sum);
  }
}

DCVC_ANY_VECTORS void run_dense(const float* weight, const float* start, const float* input, size_t num_inputs,
                                size_t num_blocks, float* out) {
  run_blocks<FloatBlock>(weight, start, input, num_inputs, num_blocks, out);
}

DCVC_ANY_VECTORS void run_dense(const double* weight, const double* start, const double* input, size_t num_inputs,
                                size_t num_blocks, double* out) {
  run_blocks<DoubleBlock>(weight, start, input, num_inputs, num_blocks, out);
}

template <class T>
void leaky_relu(std::vector<T>& values) {
  for (T& value : values) value = value > 0 ? value : value * static_cast<T>(0.01);
}

}  // namespace

template <class T>
Dense<T>::Dense(const T* weight, const T* bias, size_t num_outputs, size_t num_inputs)
    : num_outputs_(num_outputs), num_inputs_(num_inputs) {
  const size_t num_blocks = (num_outputs + kBlock - 1) / kBlock;
  weight_.resize(num_blocks * num_inputs * kBlock);
  bias_.resize(num_blocks * kBlock);
  for (size_t o = 0; o < num_outputs; ++o) {
    if (bias != nullptr) bias_[o] = bias[o];
    T* const block = weight_.data() + o / kBlock * num_inputs * kBlock + o % kBlock;
    for (size_t i = 0; i < num_inputs; ++i) block[i * kBlock] = weight[o * num_inputs + i];
  }
}

template <class T>
void Dense<T>::run(const T* start, const T* input, T* out) const {
  const T* from = bias_.data();
  if (start != nullptr) {
    std::copy(start, start + num_outputs_, out);
    std::fill(out + num_outputs_, out + room(), T{0});
    from = out;
  }
  run_dense(weight_.data(), from, input, num_inputs_, room() / kBlock, out);
}

template <class T>
void Dense<T>::run_many(const T* inputs, size_t count, T* out) const {
  for (size_t b = 0; b < room(); b += kBlock) {
    for (size_t k = 0; k < count; ++k) {
      run_dense(weight_.data() + b * num_inputs_, bias_.data() + b, inputs + k * num_inputs_, num_inputs_, 1,
                out + k * room() + b);
    }
  }
}

template <class T>
ContextModel<T>::ContextModel(const ContextSizes& sizes, Dense<T> above, Dense<T> left, Dense<T> first, Dense<T> second,
                              Dense<T> third, std::vector<T> thresholds)
    : sizes_(sizes),
      above_(std::move(above)),
      left_(std::move(left)),
      first_(std::move(first)),
      second_(std::move(second)),
      third_(std::move(third)),
      thresholds_(std::move(thresholds)) {}

// One pass over the positions of a latent: what was restored, with a margin of two positions that hold zeros, and the
// vectors between the layers.
template <class T>
class ContextModel<T>::Run {
 public:
  Run(const ContextModel& model, const T* base, size_t height, size_t width)
      : model_(model),
        base_(base),
        width_(width),
        channels_(model.sizes_.channels),
        stride_((width + 4) * channels_),
        restored_((height + 2) * stride_),
        windows_(width * kTapsAbove * channels_),
        above_(width * model.above_.room()),
        context_(model.left_.room()),
        first_(model.first_.room()),
        second_(model.second_.room()),
        predicted_(model.third_.room()) {}

  // Predicts the symbols of a position from those before it in raster order.
  void predict(size_t i, size_t j) {
    if (j == 0) read_above(i);
    const T* const left = restored_.data() + (i + 2) * stride_ + j * channels_;
    model_.left_.run(above_.data() + j * model_.above_.room(), left, context_.data());
    model_.first_.run(base_ + (i * width_ + j) * model_.sizes_.hidden[0], context_.data(), first_.data());
    leaky_relu(first_);
    model_.second_.run(nullptr, first_.data(), second_.data());
    leaky_relu(second_);
    model_.third_.run(nullptr, second_.data(), predicted_.data());
  }

  const T* means() const { return predicted_.data() + (model_.sizes_.means_first ? 0 : channels_); }

  void rows(uint8_t* out) const {
    const T* const scales = predicted_.data() + (model_.sizes_.means_first ? channels_ : 0);
    const T smallest = static_cast<T>(model_.sizes_.smallest_scale);
    const auto begin = model_.thresholds_.begin();
    const auto end = model_.thresholds_.end();
    for (size_t c = 0; c < channels_; ++c) {
      out[c] = static_cast<uint8_t>(std::lower_bound(begin, end, std::max(scales[c], smallest)) - begin);
    }
  }

  // Takes the symbols of a position and writes their values to `out`.
  void restore(size_t i, size_t j, const int32_t* symbols, T* out) {
    T* const place = restored_.data() + (i + 2) * stride_ + (j + 2) * channels_;
    for (size_t c = 0; c < channels_; ++c) out[c] = place[c] = static_cast<T>(symbols[c]) + means()[c];
  }

 private:
  // Computes what the rows above add to the convolution at every position of a row, before the row begins.
  void read_above(size_t i) {
    const size_t half = kTapsAbove / 2 * channels_;
    for (size_t j = 0; j < width_; ++j) {
      const T* const above = restored_.data() + i * stride_ + j * channels_;
      T* const window = windows_.data() + j * 2 * half;
      std::copy(above, above + half, window);
      std::copy(above + stride_, above + stride_ + half, window + half);
    }
    model_.above_.run_many(windows_.data(), width_, above_.data());
  }

  const ContextModel& model_;
  const T* base_;
  size_t width_;
  size_t channels_;
  size_t stride_;
  std::vector<T> restored_, windows_, above_, context_, first_, second_, predicted_;
};

template <class T>
bool ContextModel<T>::encode(const T* base, const T* values, size_t height, size_t width, int32_t* symbols,
                             uint8_t* rows, T* restored) const {
  Run run(*this, base, height, width);
  const size_t channels = sizes_.channels;
  for (size_t position = 0; position < height * width; ++position) {
    const size_t at = position * channels;
    run.predict(position / width, position % width);
    run.rows(rows + at);
    for (size_t c = 0; c < channels; ++c) {
      const T rounded = std::nearbyint(values[at + c] - run.means()[c]);  // half to even
      if (!(std::abs(rounded) <= static_cast<T>(kMaxWordSymbol / 2))) return false;
      symbols[at + c] = static_cast<int32_t>(rounded);
    }
    run.restore(position / width, position % width, symbols + at, restored + at);
  }
  return true;
}

template <class T>
Status ContextModel<T>::decode(const T* base, size_t height, size_t width, WordDecoder& decoder, const WordTable& table,
                               T* restored, int32_t* symbols, uint8_t* rows) const {
  Run run(*this, base, height, width);
  const size_t channels = sizes_.channels;
  for (size_t position = 0; position < height * width; ++position) {
    const size_t at = position * channels;
    run.predict(position / width, position % width);
    run.rows(rows + at);
    const Status status = decoder.decode(table, rows + at, channels, symbols + at);
    if (status != Status::kOk) return status;
    run.restore(position / width, position % width, symbols + at, restored + at);
  }
  return Status::kOk;
}

template class Dense<float>;
template class Dense<double>;
template class ContextModel<float>;
template class ContextModel<double>;

}  // namespace dcvc::entropy
