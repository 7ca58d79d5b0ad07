#include "kernels/lossless/layer.hpp"

#include <algorithm>
#include <cstdlib>

#include "kernels/base/samples.hpp"

namespace dcvc::lossless {
namespace {

constexpr std::array<int, kActivities - 1> kActivityLimits = {
    6, 12, 18, 26, 36, 48, 64, 84, 108, 140, 180, 230, 300, 400, 520, 700, 950, 1300, 1800, 2600, 4000, 6000, 9000};
constexpr int kMargin = 2;  // of rows that remember, left and right: always 0
constexpr size_t kWeights = (7 * kMaxError >> 2) + 1;

// The weight of a predictor by the errors that it made beside the sample, divided by 4.
const std::array<int64_t, kWeights>& weights() {
  static const std::array<int64_t, kWeights> table = [] {
    std::array<int64_t, kWeights> made{};
    for (size_t i = 0; i < kWeights; ++i) {
      const auto base = static_cast<int64_t>(i) + 1;
      made[i] = (int64_t{1} << 34) / (base * base * base) + 1;
    }
    return made;
  }();
  return table;
}

// One plane of a picture, in parts of a level, without a border: what lies outside is up to the caller.
struct Parts {
  int height = 0, width = 0;
  std::vector<int> samples;
  int at(int row, int column) const {
    return samples[static_cast<size_t>(row) * static_cast<size_t>(width) + static_cast<size_t>(column)];
  }
};

Parts parts_of(const PictureView& view, int height, int width, int max_level) {
  Parts out{height, width, std::vector<int>(static_cast<size_t>(height) * static_cast<size_t>(width))};
  size_t i = 0;
  for (int row = 0; row < height; ++row) {
    const int16_t* line = view.data + static_cast<size_t>(row) * view.stride;
    for (int column = 0; column < width; ++column)
      out.samples[i++] = (line[column] * max_level * kUnit + kMaxSample / 2) / kMaxSample;
  }
  return out;
}

// The samples beside a place of a plane.
struct Beside {
  int west, north, north_west, north_east;
};

// What a base picture foretells if the source goes on to differ from it as it does beside the sample.
int corrected(int base, const Beside& source, const Beside& picture) {
  const int sum = 3 * (source.west - picture.west) + 3 * (source.north - picture.north) +
                  (source.north_west - picture.north_west) + (source.north_east - picture.north_east);
  return base + ((sum + 4) >> 3);
}

template <class Coder>
class PlaneWalk {
 public:
  PlaneWalk(Coder& coder, PlaneContexts& contexts, const LevelsView& levels, const Parts& picture,
            const Parts* compensated, const std::vector<int>* hint, int depth)
      : coder_(coder),
        contexts_(contexts),
        levels_(levels),
        picture_(picture),
        compensated_(compensated),
        hint_(hint),
        depth_(depth),
        max_level_((1 << depth) - 1),
        columns_(static_cast<size_t>(levels.width + 2 * kMargin)),
        errors_(2 * columns_),
        missed_(2 * columns_) {}

  bool code() {
    for (int row = 0; row < levels_.height; ++row) {
      for (int column = 0; column < levels_.width; ++column) {
        if (!code_sample(row, column)) return false;
      }
    }
    return true;
  }

 private:
  using Errors = std::array<int16_t, kPredictors>;

  uint16_t& level(int row, int column) const {
    return levels_.data[static_cast<size_t>(row) * static_cast<size_t>(levels_.width) + static_cast<size_t>(column)];
  }
  static int clamped(const Parts& plane, int row, int column) {
    return plane.at(std::clamp(row, 0, plane.height - 1), std::clamp(column, 0, plane.width - 1));
  }
  static Beside beside(const Parts& plane, int row, int column) {
    return {clamped(plane, row, column - 1), clamped(plane, row - 1, column), clamped(plane, row - 1, column - 1),
            clamped(plane, row - 1, column + 1)};
  }
  // A sample that is coded already; the picture's where there is none.
  int source(int row, int column) const {
    if (row < 0 || column < 0 || column >= levels_.width) return clamped(picture_, row, column);
    return level(row, column) * kUnit;
  }
  size_t place(int row, int column) const {
    return static_cast<size_t>(row & 1) * columns_ + static_cast<size_t>(column + kMargin);
  }

  int predictors(int row, int column, const Beside& s, std::array<int, kPredictors>& out) const {
    const Beside p = beside(picture_, row, column);
    const int here = picture_.at(row, column), base = corrected(here, s, p);
    int n = 0;
    out[n++] = s.west + s.north - s.north_west;
    out[n++] = s.west;
    out[n++] = s.north;
    out[n++] = s.west + s.north_east - s.north;
    out[n++] = s.north + s.north_east - source(row - 2, column + 1);
    out[n++] = (2 * (s.west + s.north_east) + s.north - s.north_west + 2) >> 2;
    out[n++] = base;
    out[n++] = s.west + here - p.west;
    out[n++] = s.north + here - p.north;
    out[n++] = here;
    if (compensated_ != nullptr) {
      const Beside m = beside(*compensated_, row, column);
      const int before = compensated_->at(row, column);
      out[n++] = corrected(before, s, m);
      out[n++] = before;
      out[n++] = before + (s.west - m.west) + (s.north - m.north) - (s.north_west - m.north_west);
    }
    if (hint_ != nullptr) {
      const int half =
          (*hint_)[static_cast<size_t>(row) * static_cast<size_t>(levels_.width) + static_cast<size_t>(column)] >> 1;
      out[n++] = base + half;
      out[n++] = base - half;
    }
    return n;
  }

  bool code_sample(int row, int column) {
    const Beside s{source(row, column - 1), source(row - 1, column), source(row - 1, column - 1),
                   source(row - 1, column + 1)};
    std::array<int, kPredictors> predicted{};
    const int count = predictors(row, column, s, predicted);
    const Errors &w = errors_[place(row, column - 1)], &ww = errors_[place(row, column - 2)],
                 &n = errors_[place(row - 1, column)], &nw = errors_[place(row - 1, column - 1)],
                 &ne = errors_[place(row - 1, column + 1)];
    int64_t weighted = 0, total = 0;
    int least = INT32_MAX;
    for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
      const int error = 2 * w[i] + ww[i] + 2 * n[i] + nw[i] + ne[i];
      least = std::min(least, error);
      const int64_t weight = weights()[static_cast<size_t>(error >> 2)];
      weighted += weight * predicted[i];
      total += weight;
    }
    const int top = max_level_ * kUnit;
    const int mean = std::min(static_cast<int>(weighted <= 0 ? 0 : (2 * weighted + total) / (2 * total)), top);
    const int missed_west = missed_[place(row, column - 1)], missed_north = missed_[place(row - 1, column)];
    const int activity =
        (2 * std::abs(missed_west) + std::abs(missed_[place(row, column - 2)]) + 2 * std::abs(missed_north) +
         std::abs(missed_[place(row - 1, column - 1)]) + std::abs(missed_[place(row - 1, column + 1)])) +
        least;
    const auto q = static_cast<size_t>(std::lower_bound(kActivityLimits.begin(), kActivityLimits.end(), activity) -
                                       kActivityLimits.begin());
    const int before = compensated_ != nullptr ? compensated_->at(row, column) : picture_.at(row, column);
    int& bias = contexts_.bias[static_cast<size_t>(s.west > mean) | static_cast<size_t>(s.north > mean) << 1 |
                               static_cast<size_t>(s.north_east > mean) << 2 |
                               static_cast<size_t>(picture_.at(row, column) > mean) << 3 |
                               static_cast<size_t>(before > mean) << 4 | q / 4 << 5];
    const int prediction = std::clamp(mean + ((bias + 8) >> 4), 0, top);
    const int rounded = (prediction + kUnit / 2) / kUnit, rest = (prediction + kUnit / 2) % kUnit;
    const int sum = missed_west + missed_north;
    const auto sign_class = static_cast<size_t>(rest + (sum > 0 ? kUnit : sum < 0 ? 2 * kUnit : 0));
    uint16_t& sample = level(row, column);
    const int coded = rounded + code_difference(static_cast<int>(sample) - rounded, q, sign_class);
    if (coded < 0 || coded > max_level_) return false;
    sample = static_cast<uint16_t>(coded);

    const int value = coded * kUnit, shift = depth_ - kMinDepth;
    bias += (16 * std::clamp(value - mean, -kMaxError, kMaxError) - bias) >> kBiasShift;
    const int miss = value - prediction;
    missed_[place(row, column)] = miss < 0 ? -(-miss >> shift) : miss >> shift;
    Errors& here = errors_[place(row, column)];
    for (size_t i = 0; i < static_cast<size_t>(count); ++i)
      here[i] = static_cast<int16_t>(std::min(std::abs(value - predicted[i]) >> shift, kMaxError));
    return true;
  }

  // Codes a difference; a decoder passes anything.
  int code_difference(int difference, size_t q, size_t sign_class) {
    const int magnitude = std::abs(difference);
    int bits = 0;
    while (bits < depth_ && coder_.code(contexts_.longer[q][static_cast<size_t>(bits)], (magnitude >> bits) != 0))
      ++bits;
    if (bits == 0) return 0;
    const bool is_negative = coder_.code(contexts_.sign[sign_class], difference < 0);
    int value = 1;
    const auto n = static_cast<size_t>(bits);
    if (bits > 1) {
      const bool second = coder_.code(contexts_.second[q][n], (magnitude >> (bits - 2) & 1) != 0);
      value = 2 * value + second;
      if (bits > 2) value = 2 * value + coder_.code(contexts_.third[q][n][second], (magnitude >> (bits - 3) & 1) != 0);
      for (int bit = bits - 4; bit >= 0; --bit) value = 2 * value + coder_.code_even((magnitude >> bit & 1) != 0);
    }
    return is_negative ? -value : value;
  }

  Coder& coder_;
  PlaneContexts& contexts_;
  const LevelsView levels_;
  const Parts& picture_;
  const Parts* compensated_;
  const std::vector<int>* hint_;
  const int depth_, max_level_;
  const size_t columns_;
  std::vector<Errors> errors_;  // of the predictors, in this row and the one above
  std::vector<int> missed_;     // how far the samples were above their predictions
};

// By how much the plane coded before is brighter than its picture, at the places of this plane.
std::vector<int> hint_of(const LevelsView& levels, const Parts& picture, int height, int width) {
  std::vector<int> out;
  out.reserve(static_cast<size_t>(height) * static_cast<size_t>(width));
  const bool is_larger = levels.height != height || levels.width != width;
  const auto difference = [&](int row, int column) {
    row = std::min(row, levels.height - 1), column = std::min(column, levels.width - 1);
    const size_t i = static_cast<size_t>(row) * static_cast<size_t>(levels.width) + static_cast<size_t>(column);
    return levels.data[i] * kUnit - picture.samples[i];
  };
  for (int row = 0; row < height; ++row) {
    for (int column = 0; column < width; ++column) {
      if (!is_larger) {
        out.push_back(difference(row, column));
        continue;
      }
      const int r = 2 * row, c = 2 * column;
      out.push_back((difference(r, c) + difference(r, c + 1) + difference(r + 1, c) + difference(r + 1, c + 1)) >> 2);
    }
  }
  return out;
}

template <class Coder>
bool code_frame(Coder& coder, std::vector<PlaneContexts>& contexts, const Frame& frame) {
  const bool is_p = frame.compensated[0].data != nullptr;
  const int max_level = (1 << frame.depth) - 1;
  std::array<Parts, 3> pictures;
  for (size_t i = 0; i < 3; ++i) {
    const LevelsView& levels = frame.levels[i];
    pictures[i] = parts_of(frame.picture[i], levels.height, levels.width, max_level);
    Parts compensated;
    if (is_p) compensated = parts_of(frame.compensated[i], levels.height, levels.width, max_level);
    std::vector<int> hint;
    if (i > 0) hint = hint_of(frame.levels[i - 1], pictures[i - 1], levels.height, levels.width);
    PlaneWalk<Coder> walk(coder, contexts[i + (is_p ? 3 : 0)], levels, pictures[i], is_p ? &compensated : nullptr,
                          i > 0 ? &hint : nullptr, frame.depth);
    if (!walk.code()) return false;
  }
  return true;
}

}  // namespace

void LayerCoder::encode(RangeEncoder& coder, const Frame& frame) {
  BinaryEncoder writer(coder);
  code_frame(writer, contexts_, frame);
}

bool LayerCoder::decode(RangeDecoder& coder, const Frame& frame) {
  BinaryDecoder reader(coder);
  return code_frame(reader, contexts_, frame);
}

}  // namespace dcvc::lossless
