// Prints the cycles a second that one core runs at now, from a chain of multiplications of three cycles each. Best of
// five.
#include <cstdio>
#include <ctime>

int main() {
  constexpr long kMultiplications = 50'000'000, kCycles = 3;
  double best = 0;
  for (int run = 0; run < 5; ++run) {
    const std::clock_t start = std::clock();
    unsigned long value = 1, factor = 3;
    __asm__ volatile("" : "+r"(factor));
    for (long i = 0; i < kMultiplications; ++i) {
      value *= factor;
      __asm__ volatile("" : "+r"(value));
    }
    const double hertz = kMultiplications * kCycles / (static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
    if (hertz > best) best = hertz;
  }
  std::printf("%.0f\n", best);
}
