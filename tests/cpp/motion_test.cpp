// Motion search, compensation and vector coding without Python, for the sanitizers: pictures of all small sizes, vectors far beyond
// every edge, damaged bytes. Says what went wrong and at which round.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "compensate.hpp"
#include "search.hpp"
#include "vector_coder.hpp"

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

bool same(const Vectors& a, const Vectors& b) { return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin()); }

// A plane by lines or by squares, with exactly the memory it needs, so that a sample read or written beside it is seen.
void compensate(const std::vector<int16_t>& reference, std::vector<int16_t>& predicted, const mo::Field& field, bool by_squares) {
  const ptrdiff_t side = mo::kBlock, columns = field.columns;
  const ptrdiff_t steps[] = {side * side * columns, by_squares ? side : side * columns, by_squares ? side * side : side};
  mo::compensate_plane({reference.data(), steps[0], steps[1], steps[2]}, {predicted.data(), steps[0], steps[1], steps[2]}, field, 8192);
  for (const int16_t sample : predicted) count(static_cast<uint16_t>(sample));
}

// Samples stay in range with any vectors; with one vector of whole samples the plane is moved.
void test_compensation(Random& random, int rows, int columns) {
  const int height = rows * mo::kBlock, width = columns * mo::kBlock, kind = random.below(3);
  std::vector<int16_t> reference(static_cast<size_t>(height) * width), predicted(reference.size());
  for (auto& sample : reference) sample = static_cast<int16_t>(kind == 0 ? random.below(2) * 8192 : kind == 1 ? 8192 : random.below(8193));
  const Vectors vectors = random.vectors(rows, columns);
  compensate(reference, predicted, {vectors.data(), rows, columns}, random.below(2) == 0);
  for (const int16_t sample : predicted) check(sample >= 0 && sample <= 8192, "a sample is out of range");

  const int dx = random.component(255), dy = random.component(255);
  const Vectors one(vectors.size(), {static_cast<int16_t>(4 * dx), static_cast<int16_t>(4 * dy)});
  compensate(reference, predicted, {one.data(), rows, columns}, false);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const int from_y = std::clamp(y + dy, 0, height - 1), from_x = std::clamp(x + dx, 0, width - 1);
      check(predicted[static_cast<size_t>(y) * width + x] == reference[static_cast<size_t>(from_y) * width + from_x], "a whole vector does not move");
    }
  }
}

Vectors found(Random& random, const mo::VectorCoder& coder, int rows, int columns) {
  mo::VectorCoder prices = coder;
  const int height = rows * mo::kBlock, width = columns * mo::kBlock, kind = random.below(3);
  Bytes current(static_cast<size_t>(height) * width), reference(current.size());
  for (auto& sample : reference) sample = static_cast<uint8_t>(kind == 0 ? random.below(2) * 255 : random.below(256));
  for (size_t i = 0; i < current.size(); ++i) {
    current[i] = static_cast<uint8_t>(kind == 2 ? random.below(256) : reference[(i + static_cast<size_t>(random.below(2)) + 17) % current.size()]);
  }
  const double lambdas[] = {0, 3.5, 54, 1e6};
  Vectors vectors = mo::search(current.data(), reference.data(), height, width, lambdas[random.below(4)], prices);
  for (const mo::Vector vector : vectors) count(static_cast<uint16_t>(vector.x)), count(static_cast<uint16_t>(vector.y));
  return vectors;
}

// Fields come back over several pictures, searched or random, and sizes may change in between.
void test_round_trip(Random& random, int rows, int columns) {
  mo::VectorCoder encoder, decoder;
  for (int picture = 0; picture < 4; ++picture) {
    if (random.below(6) == 0) rows = 2 + 2 * random.below(3);
    const Vectors vectors = random.below(2) ? found(random, encoder, rows, columns) : random.vectors(rows, columns);
    check_legal(vectors);
    const Bytes bytes = encoder.encode({vectors.data(), rows, columns});
    const auto decoded = decoder.decode(bytes.data(), bytes.size(), rows, columns);
    check(decoded && same(*decoded, vectors), "a field does not come back");
  }
}

// Any bytes are refused or are legal vectors, and the coder can be reset after each.
void test_hostile_bytes(Random& random, int rows, int columns) {
  mo::VectorCoder encoder, decoder;
  const Vectors vectors = random.vectors(rows, columns);
  Bytes bytes = encoder.encode({vectors.data(), rows, columns});
  if (random.below(3) == 0) {
    bytes = random.bytes(random.below(80));
  } else if (!bytes.empty() && random.below(2)) {
    bytes.resize(static_cast<size_t>(random.below(static_cast<int>(bytes.size()))));
  } else if (!bytes.empty()) {
    bytes[static_cast<size_t>(random.below(static_cast<int>(bytes.size())))] ^= static_cast<uint8_t>(1 << random.below(8));
  }
  bytes.shrink_to_fit();  // so that a byte read past the end is seen
  const auto decoded = decoder.decode(bytes.data(), bytes.size(), rows, columns);
  if (decoded) check_legal(*decoded);
  decoder.reset();
  const Vectors still(vectors.size(), {0, 0});
  check(decoder.decode(nullptr, 0, rows, columns).has_value(), "no bytes are no field");
}

}  // namespace

int main(int argc, char** argv) {
  const int num_rounds = argc > 1 ? std::atoi(argv[1]) : 100;
  for (round_number = 0; round_number < num_rounds; ++round_number) {
    Random random{std::mt19937(static_cast<uint32_t>(round_number))};
    const int rows = 2 + 2 * random.below(4), columns = 2 + 2 * random.below(5);
    test_compensation(random, rows, columns);
    test_round_trip(random, rows, columns);
    test_hostile_bytes(random, rows, columns);
  }
  std::printf("%d rounds: all fields come back, checksum %016llx\n", num_rounds, static_cast<unsigned long long>(checksum));
  return 0;
}
