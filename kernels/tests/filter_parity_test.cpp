// Every form of the functions of the output filter and its fit against the scalar one. Arguments: rounds, and anything
// to print speeds.
#include "kernels/filter/kernel_table.hpp"
#include "kernels/tests/parity.hpp"

namespace fi = dcvc::filter;
using dcvc::test::num_calls;
using dcvc::test::Numbers;
using dcvc::test::Random;
using Call = std::function<Numbers(const fi::KernelTable&)>;
using Samples = std::vector<int16_t>;

namespace {

// Three rows with two samples beside each end.
struct Rows {
  size_t width;
  ptrdiff_t stride;
  Samples samples;
  explicit Rows(Random& random)
      : width(4 * static_cast<size_t>(random.between(1, 40))),
        stride(static_cast<ptrdiff_t>(width) + 4),
        samples(random.values<int16_t>(5 * static_cast<size_t>(stride), 0, dcvc::kMaxSample)) {}
  const int16_t* middle() const { return samples.data() + 2 * stride + 2; }
};

Call pair_terms(Random& random) {
  const Rows rows(random);
  const ptrdiff_t offsets[] = {1, rows.stride, rows.stride + 1, rows.stride - 1, 2, 2 * rows.stride};
  const ptrdiff_t offset = offsets[random.below(6)];
  return [rows, offset](const fi::KernelTable& table) {
    Samples out(2 * rows.width + 1, 7);
    for (int i = 0; i < num_calls; ++i)
      table.pair_terms(rows.middle(), offset, rows.width, out.data(), out.data() + rows.width);
    return Numbers(out.begin(), out.end());
  };
}

Call add_activity(Random& random) {
  const Rows rows(random);
  return [rows](const fi::KernelTable& table) {
    const size_t num_blocks = rows.width / fi::kClassBlock;
    std::vector<fi::Activity> blocks(num_blocks + 1, fi::Activity{3, 4});
    for (int i = 0; i < num_calls; ++i) table.add_activity(rows.middle(), rows.stride, num_blocks, blocks.data());
    Numbers out;
    for (const auto& block : blocks) out.push_back(block.vertical), out.push_back(block.horizontal);
    return out;
  };
}

Call filter_row(Random& random) {
  const Rows rows(random);
  const bool is_luma = random.below(2) == 0;
  const int num_terms = is_luma ? fi::kLumaTerms : fi::kChromaTerms;
  // What differences of samples of 0..8192 make.
  const Samples terms = random.values<int16_t>(static_cast<size_t>(num_terms) * rows.width, -16384, 16384);
  std::vector<fi::Coefficients> filters;
  for (int k = 0; k < 5; ++k) {
    fi::Filter filter{};
    const auto values =
        random.values<int8_t>(static_cast<size_t>(num_terms), -fi::kMaxCoefficient, fi::kMaxCoefficient);
    std::copy(values.begin(), values.end(), filter.begin());
    filters.emplace_back(filter);
  }
  const auto of_block = random.values<uint8_t>(rows.width / fi::kClassBlock, 0, 4);
  return [=](const fi::KernelTable& table) {
    Samples out(rows.width + 1, 7);
    for (int i = 0; i < num_calls; ++i)
      table.filter_row(rows.middle(), terms.data(), rows.width, num_terms, filters.data(), of_block.data(), out.data());
    return Numbers(out.begin(), out.end());
  };
}

Call add_products(Random& random) {
  const int num_terms = random.below(2) ? fi::kLumaTerms : fi::kChromaTerms;
  const Samples values =
      random.values<int16_t>(static_cast<size_t>((num_terms + 1) * fi::kChunk), -(16384 >> 2), 16384 >> 2);
  return [=](const fi::KernelTable& table) {
    const auto* samples = reinterpret_cast<const int16_t (*)[fi::kChunk]>(values.data());
    int64_t sums[fi::kChromaTerms + 1][fi::kChromaTerms] = {};
    for (int i = 0; i < num_calls; ++i) table.add_products(samples, num_terms, sums);
    Numbers out;
    for (int i = 0; i <= num_terms; ++i) {
      for (int j = 0; j <= std::min(i, num_terms - 1); ++j) out.push_back(sums[i][j]);
    }
    return out;
  };
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<dcvc::test::Case<fi::KernelTable>> cases{{"pair_terms", pair_terms},
                                                             {"add_activity", add_activity},
                                                             {"filter_row", filter_row},
                                                             {"add_products", add_products}};
  return dcvc::test::run(argc, argv, cases, fi::dispatch().usable());
}
