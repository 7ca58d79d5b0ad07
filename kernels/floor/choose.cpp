#include "kernels/floor/choose.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "kernels/floor/floor_walk.hpp"
#include "kernels/floor/prices.hpp"
#include "kernels/floor/source_blocks.hpp"
#include "kernels/floor/transform.hpp"

namespace dcvc::floor {
namespace {

constexpr int kCostScale = 16;
constexpr int kRounding = 92;  // in 1/256 of a step
// In blocks of one colour, the price of a bit is divided by this: an eye sees such blocks change.
constexpr int kFlatShare = 16;
constexpr int kQuickBits = 2;  // a block whose whole error is worth less is left alone

// The parts of a block of one picture, and of the source: 64 samples each.
struct Parts {
  alignas(32) int16_t samples[kMaxParts][kPartSamples];
};

int64_t squared_error(const int16_t* a, const int16_t* b) {
  int64_t sum = 0;
  for (int y = 0; y < kPartSamples; y += 2 * kPart) {
    int32_t lines = 0;  // 16 squares of at most 2^26
    for (int i = y; i < y + 2 * kPart; ++i) {
      const auto difference = static_cast<int16_t>(a[i] - b[i]);
      lines += int32_t{difference} * int32_t{difference};
    }
    sum += lines;
  }
  return sum;
}

using PlaneErrors = std::array<int64_t, 3>;

bool is_worse_somewhere(const PlaneErrors& errors, const PlaneErrors& others) {
  return errors[0] > others[0] || errors[1] > others[1] || errors[2] > others[2];
}

struct Candidate {
  Block block;
  int64_t error = 0, bits = 0, cost = 0;
  PlaneErrors plane_errors{};  // not weighted
  alignas(32) int16_t levels[kMaxParts][kPartSamples];
};

class BlockChooser {
 public:
  BlockChooser(const Planes& picture, const Planes& compensated, const std::array<Source, 3>& source,
               const uint8_t* still, const FloorCoder& coder, const ChoiceRule& rule, bool is_halved)
      : picture_(picture),
        compensated_(compensated),
        source_(source),
        still_(still),
        contexts_(coder.contexts()),
        rule_(rule),
        step_(step_size(rule.step_index)),
        is_p_(compensated[0].samples != nullptr),
        learning_(learner_, contexts_, is_p_) {
    floor_ = FrameFloor(picture[0].height / kBlock, picture[0].width / kBlock, is_halved, rule.depth);
    floor_.step_index = rule.step_index;
    Pricer pricer;
    pricer.code(contexts_.used[is_p_], false);
    without_bits_ = pricer.bits;
    learning_.begin_blocks(rule.depth);
  }

  Choice run() {
    Choice choice;
    choice.bits = 8 * kPriceOne;
    choice.cost = choice.bits * rule_.bit_price;
    choice.cost_without = without_bits_ * rule_.bit_price;
    is_flat_ = flat_blocks(floor_, source_);
    is_mostly_flat_ =
        2 * std::count(is_flat_.begin(), is_flat_.end(), uint8_t{1}) > static_cast<ptrdiff_t>(is_flat_.size());
    for (int row = 0; row < floor_.rows; ++row) {
      for (int column = 0; column < floor_.columns; ++column) choose_block(row, column, choice);
    }
    if (!floor_.is_used || (choice.cost >= choice.cost_without && !is_forced_ && !rule_.is_alone)) {
      floor_ = FrameFloor(floor_.rows, floor_.columns, floor_.is_halved, floor_.depth);
      choice.cost = choice.cost_without;
      choice.error = plain_error_;
      choice.bits = without_bits_;
      choice.num_touched = choice.num_replaced = 0;
    }
    choice.floor = std::move(floor_);
    return choice;
  }

 private:
  void choose_block(int row, int column, Choice& choice) {
    load_source(row, column);
    load(picture_, row, column, base_);
    const size_t index = floor_.index(row, column);
    Block& block = floor_.blocks[index];
    price_ = !is_flat_[index] ? rule_.bit_price : is_mostly_flat_ ? 0 : rule_.bit_price / kFlatShare;
    if (rule_.is_alone) {
      choose_alone(row, column);
      commit(block, row, column, choice);
      return;
    }
    best_.block = Block();
    best_.error = error_of(base_);
    if (is_flat_[index] && puts_out_flat()) best_.error = 0, base_errors_ = {};
    best_.plane_errors = base_errors_;
    price_head(best_, row, column);
    const int64_t plain_error = best_.error;
    const PlaneErrors plain_errors = best_.plane_errors;
    plain_error_ += plain_error;
    choice.cost_without += plain_error * kCostScale;
    const bool is_still = still_ && still_[index];
    if (is_mostly_flat_ && is_flat_[index] && plain_error > 0) is_forced_ = true;
    if (plain_error > 0 && (plain_error * kCostScale >= kQuickBits * kPriceOne * price_ || is_still)) {
      consider(Base::kPicture, row, column, plain_error);
      PlaneErrors copy_errors{};
      if (is_p_) {
        load(compensated_, row, column, base_);
        const int64_t error = error_of(base_);
        copy_errors = base_errors_;
        if (error < plain_error) consider(Base::kCompensated, row, column, error);
      }
      load_flat();
      const int64_t error = error_of(base_);
      if (error < plain_error) consider(Base::kFlat, row, column, error);
      if (is_still && is_worse_somewhere(plain_errors, copy_errors)) is_forced_ = true;
      if (is_still && is_worse_somewhere(best_.plane_errors, copy_errors)) take_copy(row, column, copy_errors);
    }
    commit(block, row, column, choice);
  }

  // Without the picture: what a block gets is the same whatever the networks made.
  void choose_alone(int row, int column) {
    best_.cost = INT64_MAX;
    if (is_p_) {
      load(compensated_, row, column, base_);
      consider(Base::kCompensated, row, column, error_of(base_));
    }
    const std::array<uint16_t, 3> mean = flat_;
    load_flat();
    consider(Base::kFlat, row, column, error_of(base_));
    flat_ = learning_.predicted_flat(floor_, row, column);
    if (flat_ == mean) return;
    load_flat();
    consider(Base::kFlat, row, column, error_of(base_));
  }

  void commit(Block& block, int row, int column, Choice& choice) {
    block = best_.block;
    if (block.coded) {
      block.first_level = static_cast<uint32_t>(floor_.levels.size());
      for (int part = 0; part < floor_.num_parts(); ++part) {
        if (block.coded >> part & 1)
          floor_.levels.insert(floor_.levels.end(), best_.levels[part], best_.levels[part] + kPartSamples);
      }
    }
    floor_.is_used |= block.is_touched;
    choice.num_touched += block.is_touched;
    choice.num_replaced += block.is_touched && block.base != Base::kPicture;
    choice.bits += best_.bits;
    choice.error += best_.error;
    choice.cost += best_.error * kCostScale + best_.bits * rule_.bit_price;
    learning_.code_block(floor_, row, column);
  }

  // Considers a base that is loaded, with the levels that are worth their bits.
  void consider(Base base, int row, int column, int64_t error) {
    Candidate& candidate = trial_;
    candidate.block = Block();
    candidate.block.is_touched = true;
    candidate.block.base = base;
    candidate.block.flat = flat_;
    candidate.error = error;
    candidate.plane_errors = base_errors_;
    Block& place = floor_.blocks[floor_.index(row, column)];
    place = candidate.block;
    int64_t bits = 0;
    for (int plane = 0, part = 0; plane < 3; ++plane) {
      const int side = floor_.parts_per_side(plane);
      for (int i = 0; i < side * side; ++i, ++part) {
        bits += consider_part(candidate, place, plane, part, row * side + i / side, column * side + i % side);
      }
    }
    if (candidate.block.coded == 0) {
      if (base == Base::kPicture) return;
      bits = 0;
    }
    price_head(candidate, row, column);
    candidate.bits += bits;
    candidate.cost = candidate.error * kCostScale + candidate.bits * price_;
    if (candidate.cost < best_.cost) std::swap(best_, trial_);
  }

  // Returns the bits of the part.
  int64_t consider_part(Candidate& candidate, Block& place, int plane, int part, int part_row, int part_column) {
    Pricer pricer;
    Walk<Pricer> pricing(pricer, contexts_, is_p_);
    Context& context = pricing.coded_context(floor_, plane, part_row, part_column);
    pricer.code(context, false);
    const int64_t zero_bits = pricer.bits;
    const int64_t weight = plane > 0 ? rule_.chroma_weight : 1, zero_error = errors_[part];
    if (16 * zero_error < 9 * int64_t{step_} * step_) return zero_bits;  // less than five bits are worth
    int16_t residual[kPartSamples];
    int32_t coefficients[kPartSamples];
    for (int k = 0; k < kPartSamples; ++k)
      residual[k] = static_cast<int16_t>(source_parts_.samples[part][k] - base_.samples[part][k]);
    coefficients_of_residual(residual, coefficients);
    int16_t* levels = candidate.levels[part];
    if (!quantise(coefficients, levels)) return zero_bits;
    pricer.bits = 0;
    pricer.code(context, true);
    pricing.code_levels(levels, plane > 0);
    int64_t error = 0;
    for (int k = 0; k < kPartSamples; ++k) {
      const int64_t left = coefficients[k] - int32_t{levels[k]} * step_;
      error += left * left;
    }
    const int64_t won = (zero_error - error) * weight;
    if (won * kCostScale <= (pricer.bits - zero_bits) * price_) return zero_bits;
    candidate.block.coded = place.coded = static_cast<uint16_t>(candidate.block.coded | 1u << part);
    candidate.error -= won;
    candidate.plane_errors[static_cast<size_t>(plane)] -= zero_error - error;
    return pricer.bits;
  }

  bool quantise(const int32_t* coefficients, int16_t* levels) const {
    const int32_t offset = step_ * kRounding >> 8;
    int32_t largest = 0;
    for (int k = 0; k < kPartSamples; ++k) largest = std::max(largest, std::abs(coefficients[k]));
    if (largest + offset < step_) return false;  // before all these divisions
    for (int k = 0; k < kPartSamples; ++k) {
      const int32_t magnitude = std::min((std::abs(coefficients[k]) + offset) / step_, (1 << kMaxLevelBits) - 1);
      levels[k] = static_cast<int16_t>(coefficients[k] < 0 ? -magnitude : magnitude);
    }
    return true;
  }

  void take_copy(int row, int column, const PlaneErrors& errors) {
    best_.block = Block();
    best_.block.is_touched = true;
    best_.block.base = Base::kCompensated;
    best_.plane_errors = errors;
    best_.error = errors[0] + (errors[1] + errors[2]) * rule_.chroma_weight;
    price_head(best_, row, column);
  }

  // Counts bits and cost of all that precedes the parts.
  void price_head(Candidate& candidate, int row, int column) {
    floor_.blocks[floor_.index(row, column)] = candidate.block;
    Pricer pricer;
    Walk<Pricer> pricing = learning_.template with<Pricer>(pricer);
    bool has_residual = candidate.block.coded != 0;
    pricing.code_head(floor_, row, column, has_residual);
    candidate.bits = pricer.bits;
    candidate.cost = candidate.error * kCostScale + candidate.bits * price_;
  }

  void load(const Planes& planes, int row, int column, Parts& parts) const {
    for (int plane = 0, part = 0; plane < 3; ++plane) {
      const int side = floor_.parts_per_side(plane);
      for (int i = 0; i < side * side; ++i, ++part) {
        for (int y = 0; y < kPart; ++y) {
          std::copy_n(planes[static_cast<size_t>(plane)].at((row * side + i / side) * kPart + y,
                                                            (column * side + i % side) * kPart),
                      kPart, parts.samples[part] + y * kPart);
        }
      }
    }
  }

  void load_source(int row, int column) {
    for (int plane = 0, part = 0; plane < 3; ++plane) {
      const int side = floor_.parts_per_side(plane);
      int sum = 0;
      for (int i = 0; i < side * side; ++i, ++part) {
        for (int y = 0; y < kPart; ++y) {
          const auto width = static_cast<size_t>(picture_[static_cast<size_t>(plane)].width);
          const int16_t* from = source_[static_cast<size_t>(plane)].samples +
                                static_cast<size_t>((row * side + i / side) * kPart + y) * width +
                                static_cast<size_t>((column * side + i % side) * kPart);
          for (int x = 0; x < kPart; ++x) {
            sum += level_of_sample(from[x], rule_.depth);
            source_parts_.samples[part][y * kPart + x] = from[x];
          }
        }
      }
      const int count = side * side * kPartSamples;
      flat_[static_cast<size_t>(plane)] = static_cast<uint16_t>((sum + count / 2) / count);
    }
  }

  // Whether the loaded picture, once put out, has the one colour of its source.
  bool puts_out_flat() const {
    for (int plane = 0; plane < 3; ++plane) {
      const int first = floor_.first_part(plane), side = floor_.parts_per_side(plane);
      const int16_t* samples = base_.samples[first];
      const int level = flat_[static_cast<size_t>(plane)];
      if (std::any_of(samples, samples + side * side * kPartSamples,
                      [&](int16_t sample) { return level_of_sample(sample, rule_.depth) != level; }))
        return false;
    }
    return true;
  }

  void load_flat() {
    for (int plane = 0, part = 0; plane < 3; ++plane) {
      const int side = floor_.parts_per_side(plane);
      const auto sample = static_cast<int16_t>(sample_of_level(flat_[static_cast<size_t>(plane)], rule_.depth));
      for (int i = 0; i < side * side; ++i, ++part) std::fill_n(base_.samples[part], kPartSamples, sample);
    }
  }

  // Returns the weighted error of a base. Keeps the errors of its parts and planes in errors_ and base_errors_.
  int64_t error_of(const Parts& parts) {
    base_errors_ = {};
    for (int plane = 0, part = 0; plane < 3; ++plane) {
      const int end = floor_.first_part(plane) + floor_.parts_per_side(plane) * floor_.parts_per_side(plane);
      for (; part < end; ++part) {
        errors_[part] = squared_error(parts.samples[part], source_parts_.samples[part]);
        base_errors_[static_cast<size_t>(plane)] += errors_[part];
      }
    }
    return base_errors_[0] + (base_errors_[1] + base_errors_[2]) * rule_.chroma_weight;
  }

  const Planes& picture_;
  const Planes& compensated_;
  const std::array<Source, 3>& source_;
  const uint8_t* still_;
  FloorContexts contexts_;
  const ChoiceRule rule_;
  const int step_;
  int64_t price_ = 0;  // of the block at hand
  const bool is_p_;
  bool is_forced_ = false, is_mostly_flat_ = false;
  std::vector<uint8_t> is_flat_;
  Learner learner_;
  Walk<Learner> learning_;
  FrameFloor floor_;
  int64_t without_bits_ = 0, plain_error_ = 0;
  Parts source_parts_, base_;
  std::array<uint16_t, 3> flat_{};
  int64_t errors_[kMaxParts];
  PlaneErrors base_errors_{};
  Candidate best_, trial_;
};

}  // namespace

Choice FloorChooser::choose(const Planes& picture, const Planes& compensated, const std::array<Source, 3>& source,
                            const FloorCoder& coder, const ChoiceRule& rule, bool is_halved) const {
  std::vector<uint8_t> still;
  bool is_known = compensated[0].samples != nullptr;
  for (size_t i = 0; i < 3; ++i)
    is_known &= before_[i].size() == static_cast<size_t>(picture[i].height) * static_cast<size_t>(picture[i].width);
  if (is_known)
    still = still_blocks(FrameFloor(picture[0].height / kBlock, picture[0].width / kBlock, is_halved), source, before_);
  return BlockChooser(picture, compensated, source, is_known ? still.data() : nullptr, coder, rule, is_halved).run();
}

void FloorChooser::remember(const Planes& size, const std::array<Source, 3>& source) {
  for (size_t i = 0; i < 3; ++i) {
    before_[i].assign(source[i].samples,
                      source[i].samples + static_cast<size_t>(size[i].height) * static_cast<size_t>(size[i].width));
  }
}

}  // namespace dcvc::floor
