// Every form of the functions of search and compensation against the scalar one. Arguments: rounds, and anything to
// print speeds.
#include "kernels/motion/kernel_table.hpp"
#include "kernels/tests/parity.hpp"

namespace mo = dcvc::motion;
using dcvc::test::num_calls;
using dcvc::test::Numbers;
using dcvc::test::Random;
using Case = dcvc::test::Case<mo::KernelTable>;
using Call = std::function<Numbers(const mo::KernelTable&)>;
using Bytes = std::vector<uint8_t>;

namespace {

template <class T>
Numbers numbers(const T* values, size_t count) {
  return Numbers(values, values + count);
}

// A plane of bytes, read with a stride.
struct Plane {
  Bytes samples;
  int stride;
  Plane(Random& random, int height) : stride(random.between(16, 40)) {
    samples = random.values<uint8_t>(static_cast<size_t>(stride * height), 0, 255);
  }
};

template <auto function>
Case cost_case(const char* name) {
  return {name, [](Random& random) -> Call {
            const Plane a(random, 16), b(random, 16);
            return [a, b](const mo::KernelTable& table) -> Numbers {
              int64_t sum = 0;
              for (int i = 0; i < num_calls; ++i) {
                sum += (table.*function)(a.samples.data(), a.stride, b.samples.data(), b.stride);
              }
              return {sum};
            };
          }};
}

Call average(Random& random) {
  const Plane a(random, 16), b(random, 16);
  const int side = random.below(2) ? 8 : 16;
  return [a, b, side](const mo::KernelTable& table) {
    Bytes out(16 * 16, 7);
    for (int i = 0; i < num_calls; ++i)
      table.average(a.samples.data(), a.stride, b.samples.data(), b.stride, side, out.data());
    return numbers(out.data(), out.size());
  };
}

Call half_samples(Random& random) {
  const int count = random.between(1, 200), step = random.below(2) ? 1 : 230;
  const Bytes source = random.values<uint8_t>(static_cast<size_t>(7 * step + count), 0, 255);
  return [source, count, step](const mo::KernelTable& table) {
    Bytes out(static_cast<size_t>(count) + 1, 7);
    for (int i = 0; i < num_calls; ++i) table.half_samples(source.data() + 3 * step, step, out.data(), count);
    return numbers(out.data(), out.size());
  };
}

// Squares at any place of a plane, some of them means.
struct Squares {
  Plane plane;
  int first[5], second[5];
  explicit Squares(Random& random) : plane(random, 16) {
    for (int k = 0; k < 5; ++k) {
      first[k] = random.below(8 * plane.stride);
      second[k] = random.below(2) ? random.below(8 * plane.stride) : -1;
    }
  }
  mo::ByteSquare at(int k) const {
    const uint8_t* samples = plane.samples.data();
    return {samples + first[k], second[k] < 0 ? nullptr : samples + second[k]};
  }
};

Call copy_square(Random& random) {
  const Squares squares(random);
  return [squares](const mo::KernelTable& table) {
    Bytes out(65, 7);
    for (int i = 0; i < num_calls; ++i) table.copy_square(squares.at(0), squares.plane.stride, out.data());
    return numbers(out.data(), out.size());
  };
}

Call overlap_bytes(Random& random) {
  const Squares squares(random);
  return [squares](const mo::KernelTable& table) {
    Bytes out(65, 7);
    const mo::ByteSquare five[5] = {squares.at(0), squares.at(1), squares.at(2), squares.at(3), squares.at(4)};
    for (int i = 0; i < num_calls; ++i) table.overlap_bytes(five, squares.plane.stride, out.data());
    return numbers(out.data(), out.size());
  };
}

Call interpolate(Random& random) {
  const int stride = random.between(15, 40), x = random.below(4), y = random.below(4), part = random.below(3);
  const int first = part == 2 ? 4 : 0, last = part == 1 ? 4 : 8;
  const auto window = random.values<int16_t>(static_cast<size_t>(14 * stride + 15), 0, 8192);
  return [=](const mo::KernelTable& table) {
    mo::SampleSquare out = {};
    for (int i = 0; i < num_calls; ++i) table.interpolate(window.data(), stride, x, y, first, last, out);
    return numbers(out, 64);
  };
}

constexpr int kLeastSample = -3072, kMostSample = 15488;  // what interpolation makes of 0..8192

struct FiveSquares {
  mo::SampleSquare samples[5];
  explicit FiveSquares(Random& random) {
    for (auto& square : samples) {
      const auto values = random.values<int16_t>(64, kLeastSample, kMostSample);
      std::copy(values.begin(), values.end(), square);
    }
  }
};

Call overlap_samples(Random& random) {
  const FiveSquares squares(random);
  return [squares](const mo::KernelTable& table) {
    FiveSquares copy = squares;
    auto& [own, above, below, left, right] = copy.samples;
    for (int i = 0; i < num_calls; ++i) table.overlap_samples(own, above, below, left, right);
    return numbers(own, 64);
  };
}

Call limit(Random& random) {
  const FiveSquares squares(random);
  const int stride = random.between(8, 20), max_value = random.between(1, 8192);
  const bool has_second = random.below(2) == 0;
  return [=](const mo::KernelTable& table) {
    std::vector<int16_t> out(static_cast<size_t>(8 * stride), 7);
    for (int i = 0; i < num_calls; ++i) {
      table.limit(squares.samples[0], has_second ? &squares.samples[1] : nullptr, static_cast<int16_t>(max_value),
                  out.data(), stride);
    }
    return numbers(out.data(), out.size());
  };
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<Case> cases{cost_case<&mo::KernelTable::sad_8>("sad_8"),
                                cost_case<&mo::KernelTable::sad_16>("sad_16"),
                                cost_case<&mo::KernelTable::hadamard_8x8>("hadamard_8x8"),
                                cost_case<&mo::KernelTable::hadamard_16x8>("hadamard_16x8"),
                                {"average", average},
                                {"half_samples", half_samples},
                                {"copy_square", copy_square},
                                {"overlap_bytes", overlap_bytes},
                                {"interpolate", interpolate},
                                {"overlap_samples", overlap_samples},
                                {"limit", limit}};
  return dcvc::test::run(argc, argv, cases, mo::dispatch().usable());
}
