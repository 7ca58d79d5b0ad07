// The lossless layer without Python, for the sanitizers: pictures of all small sizes and depths, damaged bytes. Says
// what went wrong and at which round.
#include "kernels/lossless/layer.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

namespace ll = dcvc::lossless;

namespace {

int round_number = 0;

void expect(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "round %d: %s\n", round_number, what);
  std::exit(1);
}

struct Random {
  std::mt19937 generator;
  int below(int bound) { return static_cast<int>(generator() % static_cast<uint32_t>(bound)); }
};

// A picture of any content: noise, extremes, one colour, or near to what foretells it.
struct Picture {
  Picture(Random& random, int height, int width, int depth) : depth_(depth) {
    const int kind = random.below(4), top = (1 << depth) - 1, level = random.below(top + 1);
    for (size_t i = 0; i < 3; ++i) {
      heights[i] = i ? (height + 1) / 2 : height, widths[i] = i ? (width + 1) / 2 : width;
      stride[i] = static_cast<size_t>(widths[i] + random.below(9));
      for (auto* plane : {&picture[i], &compensated[i]}) {
        plane->resize(static_cast<size_t>(heights[i]) * stride[i]);
        for (auto& sample : *plane) sample = static_cast<int16_t>(kind ? random.below(8193) : 8192 * random.below(2));
      }
      levels[i].resize(static_cast<size_t>(heights[i]) * static_cast<size_t>(widths[i]));
      for (size_t at = 0; at < levels[i].size(); ++at) {
        const size_t place = at / static_cast<size_t>(widths[i]) * stride[i] + at % static_cast<size_t>(widths[i]);
        const int near = (picture[i][place] * top + 4096) / 8192;
        const int value = kind == 0   ? top * random.below(2)
                          : kind == 1 ? random.below(top + 1)
                          : kind == 2 ? level
                                      : near + random.below(3) - 1;
        levels[i][at] = static_cast<uint16_t>(value < 0 ? 0 : value > top ? top : value);
      }
    }
  }

  ll::Frame frame(std::array<std::vector<uint16_t>, 3>& coded, bool is_p) const {
    ll::Frame out;
    for (size_t i = 0; i < 3; ++i) {
      out.levels[i] = {coded[i].data(), heights[i], widths[i]};
      out.picture[i] = {picture[i].data(), stride[i]};
      if (is_p) out.compensated[i] = {compensated[i].data(), stride[i]};
    }
    out.depth = depth_;
    return out;
  }

  std::array<int, 3> heights{}, widths{};
  std::array<size_t, 3> stride{};
  std::array<std::vector<int16_t>, 3> picture, compensated;
  std::array<std::vector<uint16_t>, 3> levels;

 private:
  int depth_;
};

void round_trip(Random& random) {
  const int height = 1 + random.below(20), width = 1 + random.below(20), depth = 8 + 2 * random.below(3);
  ll::LayerCoder encoder, decoder;
  for (int frame = 0; frame < 3; ++frame) {
    const Picture picture(random, height, width, depth);
    auto levels = picture.levels;
    dcvc::RangeEncoder coder;
    encoder.encode(coder, picture.frame(levels, frame > 0));
    expect(levels == picture.levels, "the encoder changes levels");
    const std::vector<uint8_t> bytes = coder.finish();
    for (auto& plane : levels) std::fill(plane.begin(), plane.end(), uint16_t{0});
    dcvc::RangeDecoder reader(bytes.data(), bytes.size());
    expect(decoder.decode(reader, picture.frame(levels, frame > 0)) && reader.is_whole(), "a layer is refused");
    expect(levels == picture.levels, "levels come back as others");
  }
}

void damaged(Random& random) {
  const int height = 1 + random.below(20), width = 1 + random.below(20), depth = 8 + 2 * random.below(3);
  ll::LayerCoder decoder;
  for (int frame = 0; frame < 3; ++frame) {
    const Picture picture(random, height, width, depth);
    std::vector<uint8_t> bytes(static_cast<size_t>(random.below(200)));
    for (auto& byte : bytes) byte = static_cast<uint8_t>(random.below(4) ? random.below(256) : 255 * random.below(2));
    auto levels = picture.levels;
    dcvc::RangeDecoder reader(bytes.data(), bytes.size());
    if (!decoder.decode(reader, picture.frame(levels, frame > 0))) return;
    for (const auto& plane : levels) {
      for (const uint16_t level : plane) expect(level >> depth == 0, "a level is out of range");
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 100;
  for (round_number = 0; round_number < rounds; ++round_number) {
    Random random{std::mt19937(static_cast<uint32_t>(round_number))};
    round_trip(random);
    damaged(random);
  }
  std::printf("%d rounds, all levels come back\n", rounds);
}
