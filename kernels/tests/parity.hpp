// Holds every form of a function to the scalar one, as dav1d's checkasm does: random arguments, seed and first mismatch
// printed, and how many times faster than the scalar form each one runs here (printed, never judged).
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <vector>

namespace dcvc::test {

class Random {
 public:
  explicit Random(uint32_t seed) : generator_(seed) {}

  int below(int bound) { return static_cast<int>(generator_() % static_cast<uint32_t>(bound)); }
  int between(int low, int high) { return low + below(high - low + 1); }

  // `count` values within low..high: mixtures, only the ends of the range, or small steps.
  template <class T>
  std::vector<T> values(size_t count, int low, int high) {
    std::vector<T> out(count);
    const int kind = below(3);
    int last = between(low, high);
    for (T& value : out) {
      if (kind == 0) last = between(low, high);
      if (kind == 1) last = below(2) ? low : high;
      if (kind == 2) last = std::clamp(last + between(-(high - low) / 64 - 1, (high - low) / 64 + 1), low, high);
      value = static_cast<T>(last);
    }
    return out;
  }

 private:
  std::mt19937 generator_;
};

// What a call left behind, as numbers.
using Numbers = std::vector<int64_t>;

// How often a case calls its function: more often for the speed, so that what surrounds the function does not count.
inline int num_calls = 1;

// One function: makes arguments from `random` and returns a call that can be repeated with any table.
template <class Table>
struct Case {
  const char* name;
  std::function<std::function<Numbers(const Table&)>(Random& random)> prepare;
};

template <class Table>
void compare(const Case<Table>& one, const std::vector<const Table*>& tables, uint32_t seed) {
  Random random(seed);
  const auto call = one.prepare(random);
  const Numbers expected = call(*tables.front());
  for (const Table* table : tables) {
    const Numbers found = call(*table);
    for (size_t i = 0; i < expected.size(); ++i) {
      if (found[i] == expected[i]) continue;
      std::printf("%s, %s, seed %u: value %zu is %lld, the scalar form has %lld\n", one.name, table->name, seed, i,
                  static_cast<long long>(found[i]), static_cast<long long>(expected[i]));
      std::exit(1);
    }
  }
}

// Nanoseconds that a function takes with the arguments of some seeds, the least of some runs.
template <class Table>
double nanoseconds(const Case<Table>& one, const Table& table) {
  constexpr int kSeeds = 8;
  double sum = 0;
  for (uint32_t seed = 0; seed < kSeeds; ++seed) {
    Random random(seed);
    const auto call = one.prepare(random);
    double least = 1e30;
    for (int run = 0; run < 30; ++run) {
      const auto start = std::chrono::steady_clock::now();
      call(table);
      const std::chrono::duration<double, std::nano> spent = std::chrono::steady_clock::now() - start;
      least = std::min(least, spent.count() / num_calls);
    }
    sum += least;
  }
  return sum / kSeeds;
}

template <class Table>
void print_speed(const Case<Table>& one, const std::vector<const Table*>& tables) {
  const double slow = nanoseconds(one, *tables.front());
  std::printf("%-16s scalar %7.1f ns", one.name, slow);
  for (size_t k = 1; k < tables.size(); ++k) {
    const double fast = nanoseconds(one, *tables[k]);
    std::printf("   %s %6.1f ns (%.1fx)", tables[k]->name, fast, slow / fast);
  }
  std::printf("\n");
}

// num_rounds seeds of every case; with a second argument on the command line, speeds as well.
template <class Table>
int run(int argc, char** argv, const std::vector<Case<Table>>& cases, const std::vector<const Table*>& tables) {
  const int num_rounds = argc > 1 ? std::atoi(argv[1]) : 200;
  for (const auto& one : cases) {
    for (int seed = 0; seed < num_rounds; ++seed) compare(one, tables, static_cast<uint32_t>(seed));
  }
  if (argc > 2) {
    num_calls = 200;
    for (const auto& one : cases) print_speed(one, tables);
  }
  std::printf("%zu functions, %d seeds, forms:", cases.size(), num_rounds);
  for (const Table* table : tables) std::printf(" %s", table->name);
  std::printf(": all bits equal\n");
  return 0;
}

}  // namespace dcvc::test
