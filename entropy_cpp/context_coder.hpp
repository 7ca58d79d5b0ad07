// Codes a latent position by position: a masked 5x5 convolution over what is coded, and three 1x1 layers behind it,
// predict the mean and the scale of each symbol. Source: DCVC (2021); docs/entropy-coding.md, "Words".
//
// Every sum has one order on every processor, so that encoder and decoder agree if their inputs agree.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "entropy_cpp/word_coder.hpp"

namespace dcvc::entropy {

constexpr size_t kTapsAbove = 10;  // two rows of five
constexpr size_t kTapsLeft = 2;
constexpr size_t kContextTaps = kTapsAbove + kTapsLeft;

// A matrix times a vector, plus a bias. Inputs count up in every sum.
template <class T>
class Dense {
 public:
  // weight: num_outputs x num_inputs.
  Dense(const T* weight, const T* bias, size_t num_outputs, size_t num_inputs);

  // Room that `out` needs: the outputs, filled up to whole blocks.
  size_t room() const { return bias_.size(); }
  size_t num_inputs() const { return num_inputs_; }
  // start: num_outputs values in place of the bias; nullptr for the bias.
  void run(const T* start, const T* input, T* out) const;
  // The same for many inputs, one after the other, so that the weights come from memory once.
  // out: count x room().
  void run_many(const T* inputs, size_t count, T* out) const;

 private:
  size_t num_outputs_;
  size_t num_inputs_;
  std::vector<T> weight_;  // by block of outputs, then by input
  std::vector<T> bias_;
};

// The sizes and the rules of a context model.
struct ContextSizes {
  size_t channels;
  size_t hidden[2];       // outputs of the first two 1x1 layers
  bool means_first;       // of the last layer's outputs; else the scales
  double smallest_scale;  // smaller ones count as this one
};

template <class T>
class ContextModel {
 public:
  // above: 2c x 10c, taps in raster order, then channels; left: the same, 2c x 2c, without a bias; first: the part of
  // the first 1x1 layer that reads the context, hidden[0] x 2c; second, third: the other layers. thresholds: rising;
  // a scale's row is the number of thresholds below it.
  ContextModel(const ContextSizes& sizes, Dense<T> above, Dense<T> left, Dense<T> first, Dense<T> second,
               Dense<T> third, std::vector<T> thresholds);

  const ContextSizes& sizes() const { return sizes_; }
  size_t num_rows() const { return thresholds_.size() + 1; }

  // base: positions x hidden[0], what the first 1x1 layer makes of the prior, its bias included. values: positions x
  // channels. All outputs are positions x channels. False where a symbol is too large or no number.
  bool encode(const T* base, const T* values, size_t height, size_t width, int32_t* symbols, uint8_t* rows,
              T* restored) const;

  Status decode(const T* base, size_t height, size_t width, WordDecoder& decoder, const WordTable& table, T* restored,
                int32_t* symbols, uint8_t* rows) const;

 private:
  class Run;

  ContextSizes sizes_;
  Dense<T> above_, left_, first_, second_, third_;
  std::vector<T> thresholds_;
};

extern template class ContextModel<float>;
extern template class ContextModel<double>;
extern template class Dense<float>;
extern template class Dense<double>;

}  // namespace dcvc::entropy
