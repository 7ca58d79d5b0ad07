// The output filter without Python, for the sanitizers: pictures of all small sizes, extreme samples and coefficients,
// damaged bytes, fits. Says what went wrong and at which round.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "kernels/filter/filter_coder.hpp"
#include "kernels/filter/filters.hpp"
#include "kernels/filter/fit.hpp"
#include "kernels/filter/kernel_table.hpp"

namespace fi = dcvc::filter;

namespace {

using Bytes = std::vector<uint8_t>;
using Samples = std::vector<int16_t>;

struct Random {
  std::mt19937 generator;
  int below(int bound) { return static_cast<int>(generator() % static_cast<uint32_t>(bound)); }

  Samples plane(int size) {
    const int kind = below(3);
    Samples out(static_cast<size_t>(size));
    int last = below(dcvc::kMaxSample + 1);
    for (auto& sample : out) {
      if (kind == 0) last = below(2) * dcvc::kMaxSample;
      if (kind == 1) last = below(dcvc::kMaxSample + 1);
      if (kind == 2) last = std::min(std::max(last + below(129) - 64, 0), dcvc::kMaxSample);
      sample = static_cast<int16_t>(last);
    }
    return out;
  }
  fi::Filters filters() {
    const int reaches[] = {0, 1, 12, fi::kMaxCoefficient};
    const int reach = reaches[below(4)], share_alike = below(4);
    fi::Filters out{};
    for (int i = 0; i < fi::kFilters; ++i) {
      fi::Filter& filter = out[static_cast<size_t>(i)];
      if (below(4) < share_alike && !fi::begins_alone(i)) {
        filter = out[static_cast<size_t>(i) - 1];
        continue;
      }
      for (int k = 0; k < fi::num_terms(i); ++k)
        filter[static_cast<size_t>(k)] = static_cast<int8_t>(below(2 * reach + 1) - reach);
    }
    return out;
  }
  Bytes bytes(int size) {
    Bytes out(static_cast<size_t>(size));
    for (auto& byte : out) byte = static_cast<uint8_t>(below(4) ? below(256) : 255 * below(2));
    return out;
  }
};

int round_number = 0;
uint64_t checksum = 0;  // of all that is filtered

void expect(bool condition, const char* what) {
  if (condition) return;
  std::printf("round %d: %s\n", round_number, what);
  std::exit(1);
}

double distance(const Samples& plane, const Samples& source) {
  double sum = 0;
  for (size_t i = 0; i < plane.size(); ++i) {
    const double difference = (plane[i] - source[i]) * 255.0 / dcvc::kMaxSample;
    sum += difference * difference;
  }
  return sum;
}

void check_filtering(Random& random) {
  const int height = 8 * (1 + random.below(5)), width = 8 * (1 + random.below(5));
  const Samples luma = random.plane(height * width), chroma = random.plane(height / 2 * (width / 2));
  Samples halved(chroma.size()), out(luma.size()), chroma_out(chroma.size());
  fi::halve(luma.data(), height, width, halved.data());
  const fi::Plane padded(luma.data(), height, width, fi::kReach),
      companion(halved.data(), height / 2, width / 2, fi::kReach);
  const fi::Plane padded_chroma(chroma.data(), height / 2, width / 2, fi::kReach);
  fi::filter_luma(padded, fi::Filters{}, out.data());
  expect(out == luma, "filters of zeros change luma");
  fi::filter_chroma(padded_chroma, companion, fi::Filter{}, chroma_out.data());
  expect(chroma_out == chroma, "a filter of zeros changes chroma");
  const fi::Filters filters = random.filters();
  fi::filter_luma(padded, filters, out.data());
  fi::filter_chroma(padded_chroma, companion, filters[fi::kClasses], chroma_out.data());
  for (const Samples* plane : {&out, &chroma_out}) {
    for (const int16_t sample : *plane) {
      expect(sample >= 0 && sample <= dcvc::kMaxSample, "a sample is out of range");
      checksum = checksum * 0x9E3779B97F4A7C15u + static_cast<uint16_t>(sample);
    }
  }
}

void check_coding(Random& random) {
  fi::FilterCoder writer, reader;
  for (int frame = 0; frame < 4; ++frame) {
    const fi::Filters filters = random.below(3) ? random.filters() : writer.filters();
    dcvc::RangeEncoder coder;
    writer.encode(coder, filters);
    const Bytes bytes = coder.finish();
    dcvc::RangeDecoder decoder(bytes.data(), bytes.size());
    expect(reader.decode(decoder) && decoder.is_whole(), "coded filters are refused");
    expect(reader.filters() == filters && writer.filters() == filters, "filters do not come back");
  }
  const Bytes damaged = random.bytes(random.below(60));
  dcvc::RangeDecoder decoder(damaged.data(), damaged.size());
  if (!reader.decode(decoder)) return;
  for (const auto& filter : reader.filters()) {
    for (const int8_t value : filter) expect(value >= -fi::kMaxCoefficient, "a coefficient is out of range");
  }
}

// At no price for bits a fit never makes luma worse, up to what rounding does.
void check_fit(Random& random) {
  const int height = 16 * (1 + random.below(3)), width = 16 * (1 + random.below(3));
  const Samples luma = random.plane(height * width), cb = random.plane(height / 2 * (width / 2)),
                cr = random.plane(height / 2 * (width / 2));
  Samples source = luma;
  for (size_t i = 1; i + 1 < source.size(); ++i)
    source[i] = static_cast<int16_t>((source[i - 1] + 2 * source[i] + source[i + 1]) / 4);
  const Samples of_cb = random.plane(height / 2 * (width / 2)), of_cr = random.plane(height / 2 * (width / 2));
  fi::FilterCoder coder;
  fi::FilterFit fit;
  for (int frame = 0; frame < 2; ++frame) {
    const fi::Filters found =
        fit.fit({luma.data(), source.data(), height, width}, {cb.data(), of_cb.data(), height / 2, width / 2},
                {cr.data(), of_cr.data(), height / 2, width / 2}, coder, 0.0, 5.0);
    for (const auto& filter : found) {
      for (const int8_t value : filter) checksum = checksum * 0x9E3779B97F4A7C15u + static_cast<uint8_t>(value);
    }
    Samples out(luma.size());
    fi::filter_luma({luma.data(), height, width, fi::kReach}, found, out.data());
    expect(distance(out, source) <= distance(luma, source) * 1.01 + static_cast<double>(out.size()),
           "a fit makes luma worse");
    dcvc::RangeEncoder bytes;
    coder.encode(bytes, found);
  }
}

// Checksum of all rounds with the kernels in use.
uint64_t run(int num_rounds) {
  checksum = 0;
  for (round_number = 0; round_number < num_rounds; ++round_number) {
    Random random{std::mt19937(static_cast<uint32_t>(round_number))};
    check_filtering(random);
    check_coding(random);
    check_fit(random);
  }
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  const int num_rounds = argc > 1 ? std::atoi(argv[1]) : 100;
  const uint64_t expected = run(num_rounds);
  for (const fi::KernelTable* table : fi::dispatch().usable()) {
    fi::dispatch().choose(table->name);
    expect(run(num_rounds) == expected, "kernels of another instruction set change samples or filters");
    std::printf("%s: ", table->name);
  }
  std::printf("%d rounds: all filters come back, %016llx\n", num_rounds, static_cast<unsigned long long>(expected));
}
