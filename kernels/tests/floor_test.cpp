// The floor without Python, for the sanitizers: floors of all small sizes, extreme levels, damaged bytes, choices. Says
// what went wrong and at which round.
#include "kernels/floor/floor_coder.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "kernels/floor/choose.hpp"
#include "kernels/floor/reconstruct.hpp"

namespace fl = dcvc::floor;

namespace {

using Bytes = std::vector<uint8_t>;

int round_number = 0;

void expect(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "round %d: %s\n", round_number, what);
  std::exit(1);
}

struct Random {
  std::mt19937 generator;
  int below(int bound) { return static_cast<int>(generator() % static_cast<uint32_t>(bound)); }

  fl::FrameFloor floor(int rows, int columns, bool is_halved, int depth, bool has_compensated) {
    fl::FrameFloor out(rows, columns, is_halved, depth);
    const int max = fl::max_level(depth);
    out.is_used = below(8) > 0;
    if (!out.is_used) return out;
    out.step_index = below(4) ? below(fl::kNumSteps) : fl::kExactStep;
    const int reach = 1 << below(fl::kMaxLevelBits + 1), touched = 1 + below(8), coded = 1 + below(8);
    for (auto& block : out.blocks) {
      block.is_touched = below(8) < touched;
      if (!block.is_touched) continue;
      block.base = static_cast<fl::Base>(has_compensated ? below(3) : 2 * below(2));
      for (auto& level : block.flat) level = static_cast<uint16_t>(below(4) ? below(max + 1) : max * below(2));
      block.first_level = static_cast<uint32_t>(out.levels.size());
      for (int part = 0; part < out.num_parts(); ++part) {
        if (below(8) >= coded) continue;
        block.coded = static_cast<uint16_t>(block.coded | 1u << part);
        for (int i = 0; i < fl::kPartSamples; ++i)
          out.levels.push_back(static_cast<int16_t>(below(2 * reach - 1) - reach + 1));
        out.levels[out.levels.size() - 1 - static_cast<size_t>(below(fl::kPartSamples))] =
            1;  // a coded part is not all 0
      }
    }
    return out;
  }
  int depth() { return below(2) ? 8 : 10; }
  Bytes bytes(int size) {
    Bytes out(static_cast<size_t>(size));
    for (auto& byte : out) byte = static_cast<uint8_t>(below(4) ? below(256) : 255 * below(2));
    return out;
  }
};

struct Picture {
  Picture(Random& random, const fl::FrameFloor& floor) {
    const int kind = random.below(3);
    for (size_t i = 0; i < 3; ++i) {
      const int halved = i > 0 && floor.is_halved ? 1 : 0;
      const int height = floor.rows * fl::kBlock >> halved, width = floor.columns * fl::kBlock >> halved;
      samples[i].resize(static_cast<size_t>(height) * static_cast<size_t>(width));
      source[i].resize(samples[i].size());
      for (auto& sample : samples[i])
        sample = static_cast<int16_t>(kind ? random.below(dcvc::kMaxSample + 1) : dcvc::kMaxSample * random.below(2));
      const int max = fl::max_level(floor.depth), level = random.below(max + 1);
      for (auto& sample : source[i])
        sample = static_cast<int16_t>(fl::sample_of_level(kind == 2 ? level : random.below(max + 1), floor.depth));
      planes[i] = {samples[i].data(), height, width};
      sources[i] = {source[i].data()};
    }
  }
  std::array<std::vector<int16_t>, 3> samples;
  std::array<std::vector<int16_t>, 3> source;
  fl::Planes planes;
  std::array<fl::Source, 3> sources;
};

void expect_legal(const Picture& picture) {
  for (const auto& plane : picture.samples) {
    for (const int16_t sample : plane) expect(sample >= 0 && sample <= dcvc::kMaxSample, "a sample is out of range");
  }
}

bool are_same(const fl::FrameFloor& a, const fl::FrameFloor& b) {
  if (a.is_used != b.is_used) return false;
  if (!a.is_used) return true;
  if (a.step_index != b.step_index || a.levels != b.levels) return false;
  return std::equal(a.blocks.begin(), a.blocks.end(), b.blocks.begin(), [](const fl::Block& x, const fl::Block& y) {
    if (x.is_touched != y.is_touched || !x.is_touched) return x.is_touched == y.is_touched;
    return x.base == y.base && x.coded == y.coded && (x.base != fl::Base::kFlat || x.flat == y.flat);
  });
}

void round_trip(Random& random) {
  const int rows = 1 + random.below(4), columns = 1 + random.below(4);
  const bool is_halved = random.below(2);
  const int depth = random.depth();
  fl::FloorCoder encoder, decoder;
  for (int frame = 0; frame < 3; ++frame) {
    fl::FrameFloor floor = random.floor(rows, columns, is_halved, depth, frame > 0);
    dcvc::RangeEncoder coder;
    encoder.encode(coder, floor);
    const Bytes bytes = coder.finish();
    fl::FrameFloor found(rows, columns, is_halved, depth);
    dcvc::RangeDecoder reader(bytes.data(), bytes.size());
    expect(decoder.decode(reader, found) && reader.is_whole(), "a floor is refused");
    expect(are_same(floor, found), "a floor comes back as another");
    Picture picture(random, floor), compensated(random, floor);
    fl::reconstruct(found, picture.planes, compensated.planes);
    expect_legal(picture);
  }
}

void damaged(Random& random) {
  const int rows = 1 + random.below(4), columns = 1 + random.below(4);
  const bool is_halved = random.below(2);
  const int depth = random.depth();
  fl::FloorCoder decoder;
  for (int frame = 0; frame < 3; ++frame) {
    const Bytes bytes = random.bytes(random.below(200));
    fl::FrameFloor found(rows, columns, is_halved, depth);
    dcvc::RangeDecoder reader(bytes.data(), bytes.size());
    if (!decoder.decode(reader, found)) return;
    Picture picture(random, found), compensated(random, found);
    fl::reconstruct(found, picture.planes, compensated.planes);
    expect_legal(picture);
  }
}

void choices(Random& random) {
  const int rows = 1 + random.below(3), columns = 1 + random.below(3);
  const fl::FrameFloor size(rows, columns, random.below(2), random.depth());
  fl::FloorChooser chooser;
  fl::FloorCoder coder;
  for (int frame = 0; frame < 3; ++frame) {
    Picture picture(random, size), compensated(random, size);
    const bool is_alone = random.below(2) != 0;
    const fl::ChoiceRule rule{random.below(fl::kExactStep), int64_t{1} << random.below(32), size.depth, 2, is_alone};
    fl::Choice choice = chooser.choose(picture.planes, frame ? compensated.planes : fl::Planes{}, picture.sources,
                                       coder, rule, size.is_halved);
    expect(choice.floor.is_used == (choice.num_touched > 0), "a floor that touches nothing is used");
    if (rule.is_alone) {
      for (const fl::Block& block : choice.floor.blocks)
        expect(block.is_touched && block.base != fl::Base::kPicture, "a floor alone leaves something of the picture");
    }
    dcvc::RangeEncoder range_coder;
    coder.encode(range_coder, choice.floor);
    fl::reconstruct(choice.floor, picture.planes, compensated.planes);
    expect_legal(picture);
    chooser.remember(picture.planes, picture.sources);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 100;
  for (round_number = 0; round_number < rounds; ++round_number) {
    Random random{std::mt19937(static_cast<uint32_t>(round_number))};
    round_trip(random);
    damaged(random);
    choices(random);
  }
  std::printf("%d rounds, all floors come back\n", rounds);
}
