// The range coder alone, meant to be run with sanitizers: round trips, then damaged bytes. Prints what failed and
// returns 1.
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "entropy_cpp/frame_coder.hpp"
#include "entropy_cpp/range_coder.hpp"

using namespace dcvc::entropy;

namespace {

struct TestTable {
  std::vector<int32_t> cdf, lengths, offsets;
  size_t num_rows, width;
  CodingTable table() const { return CodingTable(cdf.data(), num_rows, width, lengths.data(), offsets.data()); }
};

// Rows of random lengths: peaked ones (all of them if `peaked`, as one search of the decoder wants), flat ones, and
// some with the least frequencies there are. A peak may be the first or the last regular entry, the only one, or the
// escape.
TestTable random_table(std::mt19937& rng, size_t num_rows, bool peaked) {
  TestTable t{{}, {}, {}, num_rows, 40};
  t.cdf.assign(num_rows * t.width, 0);
  for (size_t r = 0; r < num_rows; ++r) {
    const int length = 3 + static_cast<int>(rng() % (peaked ? 6 : t.width - 2));
    std::vector<int32_t> freq(static_cast<size_t>(length - 1), 1);
    int32_t left = 65536 - (length - 1);
    if (peaked || rng() % 4 == 0) {
      if (rng() % 2 == 0) {
        freq[rng() % freq.size()] += left / 6;
        left -= left / 6;
      }
      freq[rng() % freq.size()] += left;
    } else {
      for (auto& f : freq) {
        const int32_t take = static_cast<int32_t>(rng() % static_cast<uint32_t>(left / 2 + 1));
        f += take;
        left -= take;
      }
      freq[rng() % freq.size()] += left;
    }
    for (size_t e = 0; e < freq.size(); ++e) t.cdf[r * t.width + e + 1] = t.cdf[r * t.width + e] + freq[e];
    t.lengths.push_back(length);
    t.offsets.push_back(-static_cast<int32_t>(rng() % static_cast<uint32_t>(length)) - (rng() % 8 == 0 ? 80 : 0));
  }
  return t;
}

struct Frame {
  std::vector<std::vector<int8_t>> symbols;
  std::vector<std::vector<uint8_t>> rows;
};

Frame random_frame(std::mt19937& rng, const TestTable& t, size_t num_symbols) {
  Frame frame;
  for (int part = 0; part < 3; ++part) {
    const size_t n = part == 1 ? num_symbols / 3 : num_symbols;
    std::vector<int8_t> symbols(n);
    std::vector<uint8_t> rows(n);
    for (size_t i = 0; i < n; ++i) {
      rows[i] = static_cast<uint8_t>(rng() % t.num_rows);
      const int32_t near = t.offsets[rows[i]] + static_cast<int32_t>(rng() % static_cast<uint32_t>(t.lengths[rows[i]]));
      symbols[i] = static_cast<int8_t>(rng() % 20 == 0 || near > 127 ? static_cast<int>(rng() % 256) - 128 : near);
    }
    frame.symbols.push_back(symbols);
    frame.rows.push_back(rows);
  }
  return frame;
}

struct Outcome {
  Status status;
  bool equal;
};

Outcome decode(const std::vector<uint8_t>& bytes, Format format, const CodingTable& table, const Frame& frame) {
  // An exact heap copy lets the address sanitizer see a read behind the end.
  const std::vector<uint8_t> exact(bytes.begin(), bytes.end());
  FrameDecoder decoder(exact.data(), exact.size(), format);
  bool equal = true;
  for (size_t part = 0; part < frame.rows.size(); ++part) {
    std::vector<int8_t> out(frame.rows[part].size());
    const Status status = decoder.decode(table, frame.rows[part].data(), out.size(), out.data());
    if (status != Status::kOk) return {status, false};
    equal = equal && out == frame.symbols[part];
  }
  return {decoder.finish(), equal};
}

int failures = 0;

void expect(bool condition, const char* what, unsigned seed) {
  if (condition) return;
  std::printf("failed: %s (seed %u)\n", what, seed);
  ++failures;
}

void attack(std::mt19937& rng, const std::vector<uint8_t>& bytes, Format format, const CodingTable& table,
            const Frame& frame, unsigned seed) {
  for (size_t size = 0; size < bytes.size(); size += 1 + bytes.size() / 40) {
    const std::vector<uint8_t> cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
    const Outcome outcome = decode(cut, format, table, frame);
    const bool passes = outcome.status == Status::kOk && (format != Format::kCompact || outcome.equal);
    expect(!passes, "a truncated stream must be refused, a compact one give other symbols", seed);
  }
  for (int k = 0; k < 40 && !bytes.empty(); ++k) {
    std::vector<uint8_t> flipped = bytes;
    flipped[rng() % flipped.size()] ^= static_cast<uint8_t>(1 + rng() % 255);
    const Outcome outcome = decode(flipped, format, table, frame);
    expect(outcome.status != Status::kOk || !outcome.equal, "a changed stream cannot give the same symbols", seed);
  }
  for (int k = 0; k < 40; ++k) {
    std::vector<uint8_t> noise(rng() % 200);
    for (auto& byte : noise) byte = static_cast<uint8_t>(rng() % 3 == 0 ? 255 : rng());
    if (!noise.empty() && k % 2 == 0) noise[0] &= 15;
    decode(noise, format, table, frame);
  }
}

void round_trip(unsigned seed) {
  std::mt19937 rng(seed);
  const TestTable t = random_table(rng, 1 + rng() % 20, seed % 2 == 0);
  const CodingTable table = t.table();
  const Frame frame = random_frame(rng, t, rng() % 3 == 0 ? rng() % 8 : rng() % 3000);
  std::vector<Part> parts;
  size_t total = 0;
  for (size_t p = 0; p < frame.rows.size(); ++p) {
    parts.push_back({&table, frame.symbols[p].data(), frame.rows[p].data(), frame.rows[p].size()});
    total += frame.rows[p].size();
  }
  for (const Format format : {Format::kPublishedOne, Format::kPublishedTwo, Format::kPartitioned, Format::kCompact}) {
    const auto bytes = encode_frame(parts, format);
    const Outcome outcome = decode(bytes, format, table, frame);
    expect(outcome.status == Status::kOk && outcome.equal, "round trip", seed);
    if (total > 0) attack(rng, bytes, format, table, frame, seed);
  }
  for (int log2_partitions = 0; log2_partitions <= kMaxLog2Partitions && total > 0; ++log2_partitions) {
    for (const bool interleaved : {false, true}) {
      const auto bytes = encode_partitioned(parts, {interleaved, log2_partitions});
      const Outcome outcome = decode(bytes, Format::kPartitioned, table, frame);
      expect(outcome.status == Status::kOk && outcome.equal, "round trip of partitions", seed);
      if (log2_partitions % 3 == 0) attack(rng, bytes, Format::kPartitioned, table, frame, seed);
    }
  }
}

struct Share {
  uint32_t start, end;
  int bits;
};

std::vector<Share> random_shares(std::mt19937& rng) {
  std::vector<Share> shares(rng() % 400);
  for (Share& share : shares) {
    share.bits = rng() % 3 == 0 ? 1 + static_cast<int>(rng() % 3) : 15 + static_cast<int>(rng() % 2);
    const uint32_t count = 1u << share.bits, kind = rng() % 4;
    share.start = kind == 0 ? 0 : kind == 1 ? count - 1 : rng() % count;
    share.end = share.start + 1 + (rng() % 2 == 0 ? 0 : rng() % (count - share.start));
  }
  return shares;
}

// Whether these bytes are exactly those of the shares. The coder changes hands now and then.
bool stands_for(std::mt19937& rng, const std::vector<uint8_t>& bytes, const std::vector<Share>& shares) {
  const std::vector<uint8_t> exact(bytes.begin(), bytes.end());
  dcvc::RangeDecoder decoder(exact.data(), exact.size());
  for (const Share& share : shares) {
    const uint32_t found = decoder.share(share.bits);
    if (found < share.start || found >= share.end) return false;
    decoder.take(share.start, share.end, share.bits);
    if (rng() % 8 == 0)
      decoder = dcvc::RangeDecoder(exact.data(), exact.size(), decoder.position(), decoder.value(), decoder.range());
  }
  return decoder.is_whole();
}

void hand_over(unsigned seed) {
  std::mt19937 rng(seed);
  const std::vector<Share> shares = random_shares(rng);
  dcvc::RangeEncoder encoder;
  for (const Share& share : shares) {
    encoder.take(share.start, share.end, share.bits);
    if (rng() % 8 == 0) encoder = dcvc::RangeEncoder(encoder.bytes(), encoder.low(), encoder.range());
  }
  const std::vector<uint8_t> bytes = encoder.finish();
  expect(stands_for(rng, bytes, shares), "decisions come back", seed);
  for (int k = 0; k < 30 && !bytes.empty(); ++k) {
    std::vector<uint8_t> other = bytes;
    const size_t place = rng() % bytes.size();
    if (k % 3 == 0) {
      other.resize(place);
    } else if (k % 3 == 1) {
      other.push_back(static_cast<uint8_t>(rng() % 2 == 0 ? 0 : rng()));
    } else {
      other[place] ^= static_cast<uint8_t>(1u << rng() % 8);
    }
    expect(!stands_for(rng, other, shares), "no other bytes stand for the same decisions", seed);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const unsigned num_rounds = argc > 1 ? static_cast<unsigned>(std::atoi(argv[1])) : 40;
  for (unsigned seed = 1; seed <= num_rounds; ++seed) {
    round_trip(seed);
    hand_over(seed);
  }
  if (failures == 0) std::printf("%u rounds passed\n", num_rounds);
  return failures == 0 ? 0 : 1;
}
