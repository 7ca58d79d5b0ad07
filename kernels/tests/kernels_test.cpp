// The kernels without Python, for the sanitizers: random layers of awkward sizes on every usable instruction set and
// thread count, each compared with the scalar kernels on one thread.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "kernels/cpu/engine.hpp"
#include "kernels/cpu/isa.hpp"

namespace k = dcvc::kernels;

namespace {

using Values = std::vector<int16_t>;

struct Random {
  std::mt19937 generator;
  int below(int bound) { return static_cast<int>(generator() % static_cast<uint32_t>(bound)); }
  int16_t value() { return static_cast<int16_t>(below(4) == 0 ? (below(2) ? 32767 : -32768) : below(65536) - 32768); }
  Values values(size_t count) {
    Values out(count);
    for (auto& v : out) v = value();
    return out;
  }
};

struct Rescale {
  std::vector<int32_t> multiplier;
  std::vector<int64_t> addend;
  Rescale(Random& random, int num_outputs) {
    for (int i = 0; i < num_outputs; ++i) {
      multiplier.push_back(random.below(1 << 24));
      addend.push_back((int64_t{random.below(1 << 20)} - (1 << 19)) * (int64_t{1} << 28));
    }
  }
};

// Weights whose rows sum to at most 65535.
Values weights(Random& random, int num_outputs, int num_inputs, bool narrow) {
  const int limit = std::min(narrow ? 127 : 32767, 65535 / num_inputs);
  Values out(static_cast<size_t>(num_outputs) * static_cast<size_t>(num_inputs));
  for (auto& w : out) w = static_cast<int16_t>(random.below(2 * limit + 1) - limit);
  return out;
}

std::unique_ptr<k::ConvLayer> conv_layer(Random& random, int channels, int num_outputs, int kernel, int stride,
                                         int padding, bool narrow) {
  const int num_inputs = channels * kernel * kernel;
  const Values w = weights(random, num_outputs, num_inputs, narrow);
  const Rescale rescale(random, num_outputs);
  return std::unique_ptr<k::ConvLayer>(
      new k::ConvLayer{k::Matrix(w.data(), rescale.multiplier.data(), rescale.addend.data(), num_outputs, num_inputs),
                       channels, kernel, stride, padding});
}

std::unique_ptr<k::DepthwiseLayer> depthwise_layer(Random& random, int channels) {
  const Values w = weights(random, channels, 9, false);
  const Rescale rescale(random, channels);
  return std::make_unique<k::DepthwiseLayer>(w.data(), rescale.multiplier.data(), rescale.addend.data(), channels);
}

k::ActivationTable activation_table() {
  k::ActivationTable table{};
  for (int i = 0; i < 64; ++i) {
    table.nodes[i] = static_cast<int16_t>(300 * (32 - std::abs(i - 32)));
    table.rises[i] = static_cast<int16_t>(i < 32 ? 300 : -300);
    table.node_and_rise[i] = table.nodes[i] + table.rises[i] * 65536;
  }
  return table;
}

void expect_same(const Values& expected, const Values& found, const char* what, const char* isa, int threads,
                 unsigned seed) {
  for (size_t i = 0; i < expected.size(); ++i) {
    if (expected[i] != found[i]) {
      std::fprintf(stderr, "%s on %s with %d threads, seed %u: element %zu is %d, expected %d\n", what, isa, threads,
                   seed, i, found[i], expected[i]);
      std::exit(1);
    }
  }
}

void check_seed(unsigned seed, const std::vector<std::unique_ptr<k::Engine>>& engines) {
  Random random{std::mt19937(seed)};
  const k::Size size{1 + random.below(9), 1 + random.below(11)};
  const int channels = 2 * (1 + random.below(50)), outputs = 1 + random.below(140), inputs = 2 * (1 + random.below(40));
  const int kernel = 1 + random.below(3), stride = 1 + random.below(2), padding = random.below(2);
  const k::Size padded{std::max(size.height, kernel), std::max(size.width, kernel)};
  const bool narrow = random.below(2) != 0;
  const auto conv = conv_layer(random, inputs, outputs, kernel, stride, padding, narrow);
  const auto depthwise = depthwise_layer(random, channels);
  const auto adaptor = conv_layer(random, inputs, channels, 1, 1, 0, narrow),
             dc_in = conv_layer(random, channels, channels, 1, 1, 0, narrow);
  const auto dc_out = conv_layer(random, channels, channels, 1, 1, 0, narrow),
             first = conv_layer(random, channels, 2 * channels, 1, 1, 0, narrow);
  const auto second = conv_layer(random, channels, 2 * channels, 1, 1, 0, !narrow),
             ffn_out = conv_layer(random, 2 * channels, channels, 1, 1, 0, narrow);
  const k::BlockLayers block{adaptor.get(),       dc_in.get(),         depthwise.get(), dc_out.get(),
                             first.get(),         second.get(),        ffn_out.get(),   5 + random.below(9),
                             5 + random.below(9), random.below(2) != 0};
  const int inner = 2 * (1 + random.below(40));
  const auto inner_spatial = depthwise_layer(random, inner);
  const auto into_inner = conv_layer(random, channels, inner, 1, 1, 0, narrow),
             out_of_inner = conv_layer(random, inner, channels, 1, 1, 0, narrow);
  const auto fours = conv_layer(random, channels, 4 * inner, 1, 1, 0, narrow);
  const k::BlockLayers fourfold{adaptor.get(),      into_inner.get(), inner_spatial.get(), out_of_inner.get(),
                                fours.get(),        nullptr,          out_of_inner.get(),  block.dc_exponent,
                                block.ffn_exponent, block.shortcut};
  const size_t pixels = static_cast<size_t>(size.num_pixels());
  const Values x = random.values(static_cast<size_t>(padded.num_pixels()) * static_cast<size_t>(inputs));
  const Values y = random.values(pixels * static_cast<size_t>(channels));
  const k::Parts parts{{x.data()}, {inputs}};
  const k::Size conv_size = k::Engine::conv_size(*conv, padded);
  Values conv_out, spatial_out, block_out, active_out, fourfold_out, fours_out;
  for (const auto& engine : engines) {
    Values a(static_cast<size_t>(conv_size.num_pixels()) * static_cast<size_t>(outputs)), b(y.size()), c(y.size()),
        d(y.size()), e(y.size()), f(y.size() / 4);
    engine->conv(*conv, x.data(), padded, a.data());
    engine->depthwise(*depthwise, y.data(), size, b.data());
    engine->depth_conv_block(block, parts, size, c.data());
    engine->activate(y.data(), y.size(), block.dc_exponent, d.data());
    engine->depth_conv_block(fourfold, parts, size, e.data());
    engine->add_fours(y.data(), f.size(), f.data());
    if (conv_out.empty()) {
      conv_out = a, spatial_out = b, block_out = c, active_out = d, fourfold_out = e, fours_out = f;
      continue;
    }
    const char* isa = engine->kernels().name;
    expect_same(conv_out, a, "convolution", isa, engine->num_threads(), seed);
    expect_same(spatial_out, b, "depthwise", isa, engine->num_threads(), seed);
    expect_same(block_out, c, "block", isa, engine->num_threads(), seed);
    expect_same(active_out, d, "activation", isa, engine->num_threads(), seed);
    expect_same(fourfold_out, e, "fourfold block", isa, engine->num_threads(), seed);
    expect_same(fours_out, f, "sums of four", isa, engine->num_threads(), seed);
  }
}

// The largest sums that there are: rows of exactly 65535 against inputs at the ends of the range with the weights' own
// signs.
void check_longest_sums(const std::vector<std::unique_ptr<k::Engine>>& engines) {
  Random random{std::mt19937(1)};
  for (const int inputs : {2, 30, 130, 514}) {
    const int outputs = 70;
    Values w(static_cast<size_t>(inputs * outputs)), x;
    Rescale rescale(random, outputs);
    for (int row = 0; row < outputs; ++row) {
      int left = 65535;
      for (int i = 0; i < inputs; ++i) {
        const int share = i + 1 < inputs ? 65535 / inputs : std::min(left, 32767);
        left -= share;
        w[static_cast<size_t>(row * inputs + i)] = static_cast<int16_t>((row * 7 + i) % 3 == 0 ? -share : share);
      }
      rescale.multiplier[static_cast<size_t>(row)] = row % 2 ? (1 << 30) : (1 << 16);
    }
    const k::ConvLayer layer{k::Matrix(w.data(), rescale.multiplier.data(), rescale.addend.data(), outputs, inputs),
                             inputs, 1, 1, 0};
    for (int pixel = 0; pixel < 2 * outputs; ++pixel) {
      for (int i = 0; i < inputs; ++i) {
        const bool positive = (w[static_cast<size_t>(pixel / 2 * inputs + i)] > 0) == (pixel % 2 == 0);
        x.push_back(positive ? 32767 : -32768);
      }
    }
    Values expected;
    for (const auto& engine : engines) {
      Values found(static_cast<size_t>(2 * outputs * outputs));
      engine->conv(layer, x.data(), {2, outputs}, found.data());
      if (expected.empty()) expected = found;
      expect_same(expected, found, "longest sums", engine->kernels().name, engine->num_threads(),
                  static_cast<unsigned>(inputs));
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const unsigned num_seeds = argc > 1 ? static_cast<unsigned>(std::atoi(argv[1])) : 60;
  std::vector<std::unique_ptr<k::Engine>> engines;
  for (const std::string& isa : k::usable_isas()) {
    for (const int threads : {1, 2, 3})
      engines.push_back(std::make_unique<k::Engine>(*k::kernels_for(isa), threads, activation_table()));
  }
  for (unsigned seed = 0; seed < num_seeds; ++seed) check_seed(seed, engines);
  check_longest_sums(engines);
  std::printf("%u seeds on %zu engines, the best one %s: all bits equal\n", num_seeds, engines.size(),
              engines.back()->kernels().name);
  return 0;
}
