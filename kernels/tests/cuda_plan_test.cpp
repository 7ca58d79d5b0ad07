// What the CUDA backend plans on the host, without Python or a GPU, for the sanitizers: places of weights, columns,
// tiles, memory. Says what went wrong and at which round.
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <random>
#include <set>
#include <vector>

#include "kernels/cuda/arena.hpp"
#include "kernels/cuda/packing.hpp"

namespace cu = dcvc::cuda;

namespace {

int round_number = 0;

void expect(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "round %d: %s\n", round_number, what);
  std::exit(1);
}

// What lane `lane` of a warp multiplies: byte i of register h has channel 16 h + 8 (i / 2) + 2 (lane % 4) + i % 2.
void test_places() {
  std::set<int> places;
  for (int half = 0; half < 2; ++half) {
    for (int tile = 0; tile < 8; ++tile) {
      for (int lane = 0; lane < 32; ++lane) {
        for (int i = 0; i < 8; ++i) {
          const int channel = 32 * half + 16 * (i / 4) + 8 * (i % 4 / 2) + 2 * (lane % 4) + i % 2;
          const int place = cu::weight_place(8 * tile + lane / 4, channel);
          expect(place == cu::fragments_place(half, tile / 2, lane) + tile % 2 * 8 + i, "a weight has another place");
          places.insert(place);
        }
      }
    }
  }
  expect(places.size() == cu::kBlockBytes && *places.begin() == 0, "places do not fill a block");
}

void test_columns(int channels) {
  const std::pair<cu::ColumnOrder, int> orders[] = {{cu::ColumnOrder::kPlain, channels},
                                                    {cu::ColumnOrder::kChunked, 2 * channels},
                                                    {cu::ColumnOrder::kFours, 4 * channels},
                                                    {cu::ColumnOrder::kSubPixel, 4 * channels}};
  for (const auto& [order, outputs] : orders) {
    std::set<int> found;
    int empty = 0;
    const int columns = cu::num_columns(order, outputs);
    for (int column = 0; column < columns; ++column) {
      const int output = cu::output_of_column(order, outputs, column);
      expect(output >= -1 && output < outputs, "an output is outside");
      if (output < 0) {
        ++empty;
      } else {
        expect(found.insert(output).second, "an output has two columns");
      }
    }
    expect(static_cast<int>(found.size()) == outputs && empty == columns - outputs, "an output has no column");
  }
}

void test_tiles(std::mt19937& random) {
  expect(cu::takes_large_tile(240 * 136, 1024, 132), "the largest grid of 1080p takes large tiles");
  expect(!cu::takes_large_tile(30 * 17, 128, 132), "the smallest grid of 1080p takes small tiles");
  const int positions = 1 + static_cast<int>(random() % 100000), columns = 1 + static_cast<int>(random() % 4096);
  for (const cu::TileSize tile : {cu::kSmallSize, cu::kLargeSize, cu::kWideSize}) {
    const long long area = cu::num_blocks(tile, positions, columns) * tile.rows * tile.columns;
    expect(area >= 1LL * positions * columns, "blocks do not cover the product");
  }
  expect(cu::takes_large_tile(positions, columns, 1) == (cu::num_blocks(cu::kLargeSize, positions, columns) * 4 * 70 <=
                                                         cu::num_blocks(cu::kSmallSize, positions, columns) * 100),
         "one multiprocessor does all blocks one after the other");
}

void test_arena(std::mt19937& random) {
  cu::Arena arena;
  int64_t next = 1 << 20;
  const int64_t between = random() % 2 * 4096;
  const auto new_piece = [&](int64_t bytes) {
    const int64_t piece = next;
    next += bytes + between;
    return piece;
  };
  std::vector<int64_t> handed;
  for (int i = 0; i < 200; ++i) {
    if (random() % 3) {
      handed.push_back(arena.allocate(random() % (random() % 8 ? 5000 : 40 << 20), new_piece));
      expect(handed.back() % cu::kArenaAlignment == 0, "an address is not aligned");
    } else if (!handed.empty()) {
      const size_t which = random() % handed.size();
      expect(arena.free(handed[which]), "a part is not taken back");
      expect(!arena.free(handed[which]), "a part is taken back twice");
      handed.erase(handed.begin() + static_cast<std::ptrdiff_t>(which));
    }
    // Gaps and parts tile the pieces.
    std::map<int64_t, int64_t> all(arena.gaps());
    all.insert(arena.used().begin(), arena.used().end());
    expect(all.size() == arena.gaps().size() + arena.used().size(), "a part is a gap too");
    auto part = all.begin();
    for (const auto& [piece, bytes] : arena.pieces()) {
      int64_t at = piece;
      for (; part != all.end() && part->first < piece + bytes; ++part) {
        expect(part->first == at, "parts overlap or leave something out");
        at += part->second;
      }
      expect(at == piece + bytes, "a part goes beyond its piece");
    }
    expect(part == all.end(), "a part is outside");
  }
  for (const int64_t address : handed) arena.free(address);
  expect(arena.gaps() == arena.pieces(), "what came back did not join");
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 100;
  std::mt19937 random(1);
  test_places();
  for (round_number = 0; round_number < rounds; ++round_number) {
    test_columns(1 + round_number % 200);
    test_tiles(random);
    test_arena(random);
  }
  return 0;
}
