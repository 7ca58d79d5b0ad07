// Motion search, compensation and vector coding without Python, for the sanitizers: pictures of all small sizes,
// vectors far beyond every edge, damaged bytes. Says what went wrong and at which round.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "kernels/motion/compensate.hpp"
#include "kernels/motion/kernel_table.hpp"
#include "kernels/motion/search.hpp"
#include "kernels/motion/settle.hpp"
#include "kernels/motion/vector_coder.hpp"

namespace mo = dcvc::motion;

namespace {

using Bytes = std::vector<uint8_t>;
using Vectors = std::vector<mo::Vector>;

struct Random {
  std::mt19937 generator;
  int below(int bound) { return static_cast<int>(generator() % static_cast<uint32_t>(bound)); }
  int16_t component(int reach) { return static_cast<int16_t>(below(2 * reach + 1) - reach); }

  Vectors vectors(int rows, int columns) {
    const int reaches[] = {0, 2, 40, mo::kMaxVector};
    const int reach = reaches[below(4)], share_alike = below(4);
    Vectors out(static_cast<size_t>(rows) * columns);
    mo::Vector last{component(reach), component(reach)};
    for (auto& vector : out) {
      if (below(4) >= share_alike) last = {component(reach), component(reach)};
      vector = below(30) ? last : mo::Vector{mo::kMaxVector, -mo::kMaxVector};
    }
    return out;
  }
  // With tracks and blends, whether they are asked for or not.
  mo::Motion motion(int rows, int columns) {
    mo::Motion out{rows, columns, vectors(rows, columns), vectors(rows, columns),
                   Bytes(static_cast<size_t>(rows / 2) * (columns / 2))};
    const int share_alike = below(4);
    uint8_t last = static_cast<uint8_t>(below(3));
    for (auto& blend : out.blends) {
      if (below(4) >= share_alike) last = static_cast<uint8_t>(below(3));
      blend = last;
    }
    return out;
  }
  Bytes bytes(int size) {
    Bytes out(static_cast<size_t>(size));
    const int kind = below(3);
    for (auto& byte : out) byte = static_cast<uint8_t>(kind == 0 ? 255 : kind == 1 ? below(256) : below(8) ? 0 : 255);
    return out;
  }
};

int round_number = 0;
uint64_t checksum = 0;  // of all that is compensated and found

void count(uint16_t value) { checksum = checksum * 0x9E3779B97F4A7C15u + value; }

void check(bool condition, const char* what) {
  if (condition) return;
  std::printf("round %d: %s\n", round_number, what);
  std::exit(1);
}

void check_legal(const Vectors& vectors) {
  for (const mo::Vector vector : vectors) {
    check(std::abs(vector.x) <= mo::kMaxVector && std::abs(vector.y) <= mo::kMaxVector, "a vector is too long");
  }
}

void check_legal(const mo::Motion& motion, bool has_long_term) {
  check(motion.vectors.size() == static_cast<size_t>(motion.rows) * motion.columns, "vectors are missing");
  check(motion.tracks.size() == (has_long_term ? motion.vectors.size() : 0) &&
            4 * motion.blends.size() == motion.tracks.size(),
        "tracks are missing");
  check_legal(motion.vectors);
  check_legal(motion.tracks);
  for (const uint8_t blend : motion.blends) check(blend <= mo::kLongTerm, "a blend is unknown");
}

bool same(const Vectors& a, const Vectors& b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin());
}

// What was coded came back: all vectors and blends, and of the tracks those that were coded.
bool is_what_was_coded(const mo::Motion& coded, const mo::Motion& found, bool has_long_term) {
  if (!same(coded.vectors, found.vectors)) return false;
  if (!has_long_term) return found.blends.empty() && found.tracks.empty();
  if (found.blends != (coded.blends.empty() ? Bytes(found.blends.size()) : coded.blends)) return false;
  for (int row = 0; row < found.rows; ++row) {
    for (int column = 0; column < found.columns; ++column) {
      if (found.blend(row, column) == mo::kReference) continue;
      if (!(found.track_field().at(row, column) == coded.track_field().at(row & ~1, column & ~1))) return false;
    }
  }
  return true;
}

using Samples = std::vector<int16_t>;

Samples random_samples(Random& random, int height, int width) {
  const int kind = random.below(3);
  Samples out(static_cast<size_t>(height) * width);
  for (auto& sample : out)
    sample = static_cast<int16_t>(kind == 0 ? random.below(2) * 8192 : kind == 1 ? 8192 : random.below(8193));
  return out;
}

// Planes by lines or by squares, with exactly the memory they need, so that a sample read or written beside them is
// seen.
Samples compensated(const Samples& reference, const Samples* long_term, const mo::Motion& motion, bool by_squares) {
  const ptrdiff_t side = mo::kSquare, columns = motion.columns;
  const ptrdiff_t steps[] = {side * side * columns, by_squares ? side : side * columns,
                             by_squares ? side * side : side};
  Samples predicted(reference.size());
  mo::Squares<const int16_t> second{nullptr, steps[0], steps[1], steps[2]};
  if (long_term) second.samples = long_term->data();
  mo::compensate_plane({reference.data(), steps[0], steps[1], steps[2]}, long_term ? &second : nullptr,
                       {predicted.data(), steps[0], steps[1], steps[2]}, motion, 8192);
  for (const int16_t sample : predicted) count(static_cast<uint16_t>(sample));
  return predicted;
}

// Samples stay in range with any vectors; with one vector of whole samples the plane is moved.
void test_compensation(Random& random, int rows, int columns) {
  const int height = rows * mo::kSquare, width = columns * mo::kSquare;
  const Samples reference = random_samples(random, height, width);
  mo::Motion motion{rows, columns, random.vectors(rows, columns), {}, {}};
  const Samples predicted = compensated(reference, nullptr, motion, random.below(2) == 0);
  for (const int16_t sample : predicted) check(sample >= 0 && sample <= 8192, "a sample is out of range");

  const int dx = random.component(255), dy = random.component(255);
  motion.vectors.assign(motion.vectors.size(), {static_cast<int16_t>(4 * dx), static_cast<int16_t>(4 * dy)});
  const Samples moved = compensated(reference, nullptr, motion, false);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const int from_y = std::clamp(y + dy, 0, height - 1), from_x = std::clamp(x + dx, 0, width - 1);
      check(moved[static_cast<size_t>(y) * width + x] == reference[static_cast<size_t>(from_y) * width + from_x],
            "a whole vector does not move");
    }
  }
}

// A sample is what the reference or the long-term reference predicts alone, or the mean of both.
void test_blends(Random& random, int rows, int columns) {
  const int height = rows * mo::kSquare, width = columns * mo::kSquare;
  const Samples reference = random_samples(random, height, width), long_term = random_samples(random, height, width);
  const mo::Motion motion = random.motion(rows, columns);
  const Samples near = compensated(reference, nullptr, {rows, columns, motion.vectors, {}, {}}, false);
  const Samples far = compensated(long_term, nullptr, {rows, columns, motion.tracks, {}, {}}, false);
  const Samples blended = compensated(reference, &long_term, motion, false);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const size_t i = static_cast<size_t>(y) * width + x;
      const uint8_t blend = motion.blend(y / mo::kSquare, x / mo::kSquare);
      const int expected = blend == mo::kReference ? near[i]
                           : blend == mo::kMean    ? (near[i] + far[i] + 1) >> 1
                                                   : far[i];
      check(blended[i] == expected, "a block is blended wrongly");
    }
  }
  compensated(reference, &long_term, motion, true);
}

Bytes disturbed(Random& random, const Bytes& from, int kind) {
  Bytes out(from.size());
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<uint8_t>(kind == 2 ? random.below(256)
                                            : from[(i + static_cast<size_t>(random.below(2)) + 17) % from.size()]);
  }
  return out;
}

mo::Motion found(Random& random, const mo::VectorCoder& coder, int rows, int columns) {
  const int height = rows * mo::kSquare, width = columns * mo::kSquare, kind = random.below(3);
  Bytes reference(static_cast<size_t>(height) * width);
  for (auto& sample : reference) sample = static_cast<uint8_t>(kind == 0 ? random.below(2) * 255 : random.below(256));
  const Bytes current = disturbed(random, reference, kind), long_term = disturbed(random, current, kind);
  const double lambdas[] = {0, 3.5, 54, 1e6};
  const bool with_long_term = coder.has_long_term() && random.below(4);
  const mo::Motion motion = mo::search(current.data(), reference.data(), with_long_term ? long_term.data() : nullptr,
                                       height, width, lambdas[random.below(4)], coder, 1 + random.below(3));
  check(motion.rows == rows && motion.columns == columns, "a search changes the size");
  check_legal(motion, with_long_term);
  for (const Vectors* vectors : {&motion.vectors, &motion.tracks}) {
    for (const mo::Vector vector : *vectors)
      count(static_cast<uint16_t>(vector.x)), count(static_cast<uint16_t>(vector.y));
  }
  for (const uint8_t blend : motion.blends) count(blend);
  return motion;
}

// A picture that moves as a whole: from one block with the right vector it reaches all others, whatever they had.
void test_settling(Random& random) {
  const int rows = 8, columns = 24, height = rows * mo::kSquare, width = columns * mo::kSquare,
            dx = random.below(13) - 6, dy = random.below(13) - 6;
  Bytes reference(static_cast<size_t>(height) * width), current(reference.size());
  for (auto& sample : reference) sample = static_cast<uint8_t>(random.below(256));
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const int from_y = std::clamp(y + dy, 0, height - 1), from_x = std::clamp(x + dx, 0, width - 1);
      current[static_cast<size_t>(y) * width + x] = reference[static_cast<size_t>(from_y) * width + from_x];
    }
  }
  const mo::Vector right{static_cast<int16_t>(dx * mo::kSubpel), static_cast<int16_t>(dy * mo::kSubpel)};
  const mo::Vector wrong{static_cast<int16_t>(4 * random.below(9)), static_cast<int16_t>(4 * random.below(9))};
  mo::Motion motion{
      rows, columns, Vectors(static_cast<size_t>(rows) * columns, random.below(2) ? wrong : mo::Vector{0, 0}), {}, {}};
  for (const size_t k : {0, 1, columns, columns + 1}) motion.vectors[k] = right;
  mo::settle(mo::Plane(current.data(), height, width, mo::kSearchMargin),
             mo::SampledPlane(reference.data(), height, width), nullptr, 10.0, mo::VectorCoder(), 1 + random.below(3),
             0, mo::kSettleRounds - 1, motion);
  check(std::all_of(motion.vectors.begin(), motion.vectors.end(), [&](mo::Vector vector) { return vector == right; }),
        "the right vector does not spread");
}

// Wide enough for several threads: they find what one does.
void test_threads(Random& random) {
  const int rows = 8, columns = 26, height = rows * mo::kSquare, width = columns * mo::kSquare;
  Bytes reference(static_cast<size_t>(height) * width);
  for (auto& sample : reference) sample = static_cast<uint8_t>(random.below(256));
  const Bytes current = disturbed(random, reference, 0), long_term = disturbed(random, current, 0);
  mo::VectorCoder coder;
  coder.encode(random.motion(rows, columns));
  const auto with = [&](int num_threads) {
    return mo::search(current.data(), reference.data(), long_term.data(), height, width, 20.0, coder, num_threads);
  };
  const mo::Motion one = with(1), many = with(4);
  check(same(one.vectors, many.vectors) && same(one.tracks, many.tracks) && one.blends == many.blends,
        "threads change what is found");
}

// Motion comes back over so many pictures that long-term references change, searched or random, and sizes may change in
// between. A coder that is restored in the middle goes on as the one whose state it has.
void test_round_trip(Random& random, int rows, int columns) {
  mo::VectorCoder encoder, decoder;
  const int num_pictures = 1 + random.below(14);
  for (int picture = 0; picture < num_pictures; ++picture) {
    if (random.below(12) == 0) rows = 2 + 2 * random.below(3);
    if (random.below(12) == 0) encoder.reset(), decoder.reset();
    const bool has_long_term = encoder.has_long_term();
    const mo::Motion motion =
        random.below(3) == 0 ? found(random, encoder, rows, columns) : random.motion(rows, columns);
    const Bytes bytes = encoder.encode(motion);
    if (random.below(8) == 0) {
      mo::VectorCoder other;
      other.restore(decoder.contexts(), decoder.previous(), decoder.kept(), decoder.number());
      decoder = other;
    }
    check(decoder.has_long_term() == has_long_term, "the decoder counts pictures in another way");
    const auto decoded = decoder.decode(bytes.data(), bytes.size(), rows, columns);
    check(decoded.has_value(), "what was coded is refused");
    check_legal(*decoded, has_long_term);
    check(is_what_was_coded(motion, *decoded, has_long_term), "motion does not come back");
    check(same(encoder.kept(rows, columns), decoder.kept(rows, columns)), "encoder and decoder keep different tracks");
    for (const mo::Vector track : decoded->tracks)
      count(static_cast<uint16_t>(track.x)), count(static_cast<uint16_t>(track.y));
  }
}

// Any bytes are refused or are legal motion, and the coder can be reset after each.
void test_hostile_bytes(Random& random, int rows, int columns) {
  mo::VectorCoder encoder, decoder;
  const mo::Motion before{rows, columns, Vectors(static_cast<size_t>(rows) * columns, {0, 0}), {}, {}};
  for (int number = random.below(3); number > 0; --number) {
    encoder.encode(before);
    check(decoder.decode(nullptr, 0, rows, columns).has_value(), "no bytes are no motion");
  }
  Bytes bytes = encoder.encode(random.motion(rows, columns));
  if (random.below(3) == 0) {
    bytes = random.bytes(random.below(80));
  } else if (!bytes.empty() && random.below(2)) {
    bytes.resize(static_cast<size_t>(random.below(static_cast<int>(bytes.size()))));
  } else if (!bytes.empty()) {
    bytes[static_cast<size_t>(random.below(static_cast<int>(bytes.size())))] ^=
        static_cast<uint8_t>(1 << random.below(8));
  }
  bytes.shrink_to_fit();  // so that a byte read past the end is seen
  const bool has_long_term = decoder.has_long_term();
  const auto decoded = decoder.decode(bytes.data(), bytes.size(), rows, columns);
  if (decoded) check_legal(*decoded, has_long_term);
  decoder.reset();
  check(!decoder.has_long_term(), "a coder that was reset has a long-term reference");
  for (int number = 0; number < 3; ++number)
    check(decoder.decode(nullptr, 0, rows, columns).has_value(), "no bytes are no motion");
}

// Checksum of all rounds with the kernels in use.
uint64_t run(int num_rounds) {
  checksum = 0;
  for (round_number = 0; round_number < num_rounds; ++round_number) {
    Random random{std::mt19937(static_cast<uint32_t>(round_number))};
    const int rows = 2 + 2 * random.below(4), columns = 2 + 2 * random.below(5);
    test_compensation(random, rows, columns);
    test_blends(random, rows, columns);
    test_round_trip(random, rows, columns);
    test_hostile_bytes(random, rows, columns);
    if (round_number % 8 == 0) test_settling(random), test_threads(random);
  }
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  const int num_rounds = argc > 1 ? std::atoi(argv[1]) : 100;
  const uint64_t expected = run(num_rounds);
  for (const mo::KernelTable* table : mo::dispatch().usable()) {
    mo::dispatch().choose(table->name);
    check(run(num_rounds) == expected, "kernels of another instruction set change what is found or predicted");
    std::printf("%s: ", table->name);
  }
  std::printf("%d rounds: all motion comes back, checksum %016llx\n", num_rounds,
              static_cast<unsigned long long>(expected));
  return 0;
}
