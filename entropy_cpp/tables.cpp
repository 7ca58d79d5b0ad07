#include "entropy_cpp/tables.hpp"

#include <algorithm>
#include <string>

namespace dcvc::entropy {

namespace {

constexpr uint32_t kCentreMass = 63500;  // 97 %: from here on the search by the centre pays, by measurement

}  // namespace

CodingTable::CodingTable(const int32_t* cdf, size_t num_rows, size_t width, const int32_t* lengths,
                         const int32_t* offsets) {
  if (num_rows < 1 || num_rows > kMaxRows) {
    throw TableError("a coding table has 1 to 256 rows, not " + std::to_string(num_rows));
  }
  rows_.reserve(num_rows);
  buckets_.reserve(num_rows * kNumBuckets);
  bucket_symbols_.reserve(num_rows * kNumBuckets);
  for (size_t r = 0; r < num_rows; ++r) {
    add_row(cdf + r * width, width, lengths[r], offsets[r]);
  }
}

void CodingTable::add_row(const int32_t* cdf, size_t width, int32_t length, int32_t offset) {
  const std::string name = "table row " + std::to_string(rows_.size());
  if (length < 3 || static_cast<size_t>(length) > width) {
    throw TableError(name + ": length " + std::to_string(length) + " is outside 3.." + std::to_string(width));
  }
  const int32_t escape = length - 2;
  if (offset < -128 || offset + escape - 1 > 127) {
    throw TableError(name + ": its symbol values do not fit int8");
  }
  if (cdf[0] != 0 || cdf[length - 1] != static_cast<int32_t>(kProbabilityScale)) {
    throw TableError(name + ": cumulative values must run from 0 to 65536");
  }
  for (int32_t e = 0; e + 1 < length; ++e) {
    if (cdf[e + 1] <= cdf[e]) throw TableError(name + ": cumulative values must rise strictly");
  }
  const RowInfo row{static_cast<uint32_t>(cumulative_.size()), static_cast<int16_t>(offset),
                    static_cast<uint16_t>(escape)};
  rows_.push_back(row);
  for (int32_t e = 0; e + 1 < length; ++e) {
    const uint32_t start = static_cast<uint32_t>(cdf[e]);
    entries_.push_back(encode_entry_of(start, static_cast<uint32_t>(cdf[e + 1])));
    cumulative_.push_back(start);
  }
  entries_.push_back({0, 0, 0});  // keeps entries_ and cumulative_ in step
  cumulative_.push_back(kProbabilityScale);
  fill_buckets(row);
  add_peak(row);
  add_centre(row);
}

uint32_t CodingTable::most_probable(const RowInfo& row) const {
  const uint32_t* cum = cumulative_.data() + row.first_entry;
  uint32_t best = 0;
  for (uint32_t e = 1; e < row.escape; ++e) {
    if (cum[e + 1] - cum[e] > cum[best + 1] - cum[best]) best = e;
  }
  return best;
}

void CodingTable::add_peak(const RowInfo& row) {
  const uint32_t* cum = cumulative_.data() + row.first_entry;
  const uint32_t best = most_probable(row);
  const uint32_t low = cum[best == 0 ? 0 : best - 1];
  const uint32_t start = cum[best];
  const uint32_t end = cum[best + 1];  // below 65536: the escape comes after it
  const uint32_t high = best + 1 < row.escape ? cum[best + 2] : end;
  peaks_.push_back({static_cast<uint16_t>(start), static_cast<uint16_t>(end - start), low | (start - low) << 16,
                    end | (high - end) << 16, static_cast<uint16_t>(high - low),
                    static_cast<int8_t>(row.offset + static_cast<int>(best))});
}

void CodingTable::add_centre(const RowInfo& row) {
  CentreInfo centre{};
  const uint32_t* cum = cumulative_.data() + row.first_entry;
  const uint32_t best = most_probable(row);
  if (best >= 1 && best + 1 < row.escape) {
    for (uint32_t k = 0; k < 3; ++k) {
      centre.start[k] = static_cast<uint16_t>(cum[best - 1 + k]);
      centre.freq[k] = static_cast<uint16_t>(cum[best + k] - cum[best - 1 + k]);
    }
    centre.symbol = static_cast<int8_t>(row.offset + static_cast<int>(best) - 1);
    const uint32_t span = cum[best + 2] - cum[best - 1];
    if (span >= kCentreMass) centre.span = static_cast<uint16_t>(span);
  }
  centres_.push_back(centre);
}

void CodingTable::fill_buckets(const RowInfo& row) {
  const uint32_t* cum = cumulative_.data() + row.first_entry;
  constexpr uint32_t width = kProbabilityScale / kNumBuckets;
  uint32_t entry = 0;
  for (uint32_t low = 0; low < kProbabilityScale; low += width) {
    while (cum[entry + 1] <= low) ++entry;
    const bool single = cum[entry + 1] >= low + width && entry < row.escape;
    buckets_.push_back(single ? cum[entry] << 16 | (cum[entry + 1] - cum[entry]) : 0);
    bucket_symbols_.push_back(
        static_cast<int8_t>(row.offset + static_cast<int>(std::min<uint32_t>(entry, row.escape - 1u))));
  }
}

}  // namespace dcvc::entropy
