#include <algorithm>
#include <memory>

#include "entropy_cpp/compact.hpp"
#include "entropy_cpp/frame_coder.hpp"

namespace dcvc::entropy {

namespace {

// A buffer that is filled from its end towards its front. It has room for any frame: a symbol takes at most four bytes,
// 16 bits for the escape entry and 14 raw bits, and the states take kStateBytes each.
class BackwardBuffer {
 public:
  BackwardBuffer(size_t num_symbols, size_t num_state_bytes)
      : capacity_(4 * num_symbols + num_state_bytes + kWriterSlack), bytes_(new uint8_t[capacity_]) {}
  uint8_t* end() const { return bytes_.get() + capacity_; }
  std::vector<uint8_t> from(const uint8_t* out) const {
    return std::vector<uint8_t>(out, static_cast<const uint8_t*>(end()));
  }

 private:
  size_t capacity_;
  std::unique_ptr<uint8_t[]> bytes_;
};

// The symbols of a part that partition `index` of `count` codes.
Part slice(const Part& part, size_t index, size_t count) {
  const size_t low = part.num_symbols * index / count;
  const size_t high = part.num_symbols * (index + 1) / count;
  return {part.table, part.symbols + low, part.rows + low, high - low};
}

// N states and the place of their next bytes in a buffer that is filled from its end towards its front.
template <class Rans, int N>
struct Writer {
  typename Rans::State x[N];
  uint8_t* out;

  explicit Writer(uint8_t* end) : out(end) { std::fill(x, x + N, Rans::kLower); }
  uint8_t* flush() {
    for (int lane = N - 1; lane >= 0; --lane) flush_state<Rans>(x[lane], out);
    return out;
  }
};

// Codes a part with K writers that advance together. The symbols of writer k start at k * stride.
template <class Rans, int N, int K>
void encode_part(Writer<Rans, N>* writers, const Part& part, size_t stride) {
  const TableView table = part.table->view();
  typename Rans::State x[K][N];
  uint8_t* out[K];
  for (int k = 0; k < K; ++k) {
    std::copy(writers[k].x, writers[k].x + N, x[k]);
    out[k] = writers[k].out;
  }
  const auto encode = [&](size_t lane, size_t i) {
    for (int k = 0; k < K; ++k)
      encode_symbol<Rans>(x[k][lane], out[k], table, part.symbols[i + k * stride], part.rows[i + k * stride]);
  };
  size_t i = part.num_symbols;
  for (size_t lane = i % N; lane-- > 0;) encode(lane, --i);
  while (i > 0) {
    i -= N;
    for (int lane = N - 1; lane >= 0; --lane) encode(static_cast<size_t>(lane), i + static_cast<size_t>(lane));
  }
  for (int k = 0; k < K; ++k) {
    std::copy(x[k], x[k] + N, writers[k].x);
    writers[k].out = out[k];
  }
}

size_t count_symbols(const std::vector<Part>& parts, size_t index, size_t count) {
  size_t num_symbols = 0;
  for (const Part& part : parts) num_symbols += slice(part, index, count).num_symbols;
  return num_symbols;
}

template <class Rans, int N>
std::vector<uint8_t> encode_chain(const std::vector<Part>& parts, size_t index, size_t count) {
  const size_t num_symbols = count_symbols(parts, index, count);
  if (num_symbols == 0) return {};
  const BackwardBuffer buffer(num_symbols, N * Rans::kStateBytes);
  Writer<Rans, N> writer(buffer.end());
  for (auto part = parts.rbegin(); part != parts.rend(); ++part)
    encode_part<Rans, N, 1>(&writer, slice(*part, index, count), 0);
  return buffer.from(writer.flush());
}

// Runs both coders in one loop: two chains hide each other's latency.
std::vector<uint8_t> encode_two(const std::vector<Part>& parts) {
  const size_t num_first = count_symbols(parts, 0, 2);
  const BackwardBuffer first(num_first, ByteRans::kStateBytes);
  const BackwardBuffer second(count_symbols(parts, 1, 2), ByteRans::kStateBytes);
  Writer<ByteRans, 1> writers[2] = {Writer<ByteRans, 1>(first.end()), Writer<ByteRans, 1>(second.end())};
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    const Part half = slice(*part, 0, 2);
    Part last = slice(*part, 1, 2);
    if (last.num_symbols > half.num_symbols) {
      last.symbols += half.num_symbols;
      last.rows += half.num_symbols;
      last.num_symbols = 1;
      encode_part<ByteRans, 1, 1>(&writers[1], last, 0);
    }
    encode_part<ByteRans, 1, 2>(writers, half, half.num_symbols);
  }
  // A single symbol belongs to the second coder; the first one then has no bytes.
  return merge_two(num_first == 0 ? std::vector<uint8_t>{} : first.from(writers[0].flush()),
                   second.from(writers[1].flush()));
}

}  // namespace

size_t shared_tail(const uint8_t* first, size_t first_size, const uint8_t* second, size_t second_size) {
  const size_t limit = std::min({first_size, second_size, size_t{8}});
  size_t k = 0;
  while (k < limit && first[first_size - 1 - k] == 0 && second[second_size - 1 - k] == 0) ++k;
  if (k == 0 && limit > 0 && first[first_size - 1] == second[second_size - 1]) k = 1;
  return k;
}

std::vector<uint8_t> merge_two(std::vector<uint8_t> first, const std::vector<uint8_t>& second) {
  const size_t shared = shared_tail(first.data(), first.size(), second.data(), second.size());
  first.insert(first.end(), second.rbegin() + static_cast<std::ptrdiff_t>(shared), second.rend());
  return first;
}

Layout choose_layout(size_t num_symbols) {
  Layout layout{num_symbols >= kMinInterleavedSymbols, 0};
  while (layout.interleaved && layout.log2_partitions < kMaxLog2Partitions &&
         num_symbols >> layout.log2_partitions >= 2 * kMinInterleavedSymbols) {
    ++layout.log2_partitions;
  }
  return layout;
}

bool check_rows(const uint8_t* rows, size_t num_symbols, size_t num_rows) {
  uint8_t highest = 0;
  for (size_t i = 0; i < num_symbols; ++i) highest = std::max(highest, rows[i]);
  return num_symbols == 0 || highest < num_rows;
}

std::vector<uint8_t> encode_partitioned(const std::vector<Part>& parts, Layout layout) {
  const size_t count = size_t{1} << layout.log2_partitions;
  std::vector<uint8_t> header{static_cast<uint8_t>(layout.log2_partitions | (layout.interleaved ? 8 : 0))};
  std::vector<uint8_t> body;
  for (size_t index = 0; index < count; ++index) {
    const std::vector<uint8_t> bytes = layout.interleaved ? encode_chain<WordRans, kNumLanes>(parts, index, count)
                                                          : encode_chain<ByteRans, 1>(parts, index, count);
    if (index + 1 < count) {
      size_t rest = bytes.size();
      for (; rest >= 128; rest >>= 7) header.push_back(static_cast<uint8_t>(rest | 128));
      header.push_back(static_cast<uint8_t>(rest));
    }
    body.insert(body.end(), bytes.begin(), bytes.end());
  }
  header.insert(header.end(), body.begin(), body.end());
  return header;
}

std::vector<uint8_t> encode_frame(const std::vector<Part>& parts, Format format) {
  size_t num_symbols = 0;
  for (const Part& part : parts) num_symbols += part.num_symbols;
  if (num_symbols == 0) return {};
  switch (format) {
    case Format::kPublishedOne:
      return encode_chain<ByteRans, 1>(parts, 0, 1);
    case Format::kPublishedTwo:
      return encode_two(parts);
    case Format::kCompact:
      return encode_compact(parts, RangeEncoder());
    default:
      return encode_partitioned(parts, choose_layout(num_symbols));
  }
}

}  // namespace dcvc::entropy
