// The search for one chain of peaked rows: a branch on the row's most probable symbol. Where the branch is mostly
// right, the next state waits for one multiplication only, and mispredicted branches take most of the time. So the work
// of a mispredicted branch is done beforehand: the state for the symbol beside the peak is computed before the branch,
// the next symbol's factor is loaded before it, and the next symbol's row index one symbol earlier still.
#pragma once

#include <algorithm>
#include <utility>

#include "entropy_cpp/frame_coder.hpp"
#include "entropy_cpp/rans.hpp"
#include "entropy_cpp/tables.hpp"

namespace dcvc::entropy {

constexpr size_t kRowsAhead = 2;  // so many rows beyond the last symbol are read

// The number of whole batches that decode_peaked may take of num_symbols, where num_rows >= num_symbols rows are
// readable.
inline size_t count_peaked_batches(size_t num_symbols, size_t num_rows) {
  return num_rows < kRowsAhead ? 0 : std::min(num_symbols, num_rows - kRowsAhead) / kBatchSymbols;
}

// Decodes any symbol of a row. It is out of line: the loop has no registers to spare for the table's other arrays.
template <class Rans>
__attribute__((noinline)) ReadCursor<Rans> decode_anywhere(typename Rans::State x, const uint8_t* in,
                                                           const TableView& table, size_t row_index) {
  ReadCursor<Rans> cursor{x, in, 0, true};
  cursor.good = decode_by_bucket<Rans>(cursor.x, cursor.in, table, row_index, cursor.symbol);
  return cursor;
}

template <class Step, size_t... kIndex>
DCVC_INLINE void repeat(Step& step, std::index_sequence<kIndex...>) {
  (step(kIndex), ...);
}

// Decodes num_batches * kBatchSymbols symbols; kRowsAhead more rows must be readable. It is not inlined, so that it has
// all registers to itself.
template <class Rans>
__attribute__((noinline)) Status decode_peaked(Chain<Rans, 1>& chain, const TableView& table, const uint8_t* rows,
                                               int8_t* symbols, size_t num_batches) {
  using State = typename Rans::State;
  State x = chain.x[0];
  const uint8_t* in = chain.in;
  const PeakInfo* const peaks = table.peaks;
  const PeakInfo* now = peaks + rows[0];
  const PeakInfo* next = peaks + rows[1];
  uint32_t start = now->start;
  uint32_t freq = now->freq;
  bool good = true;
  const auto step = [&](size_t i) __attribute__((always_inline)) {
    const uint32_t slot = static_cast<uint32_t>(x & (kProbabilityScale - 1));
    const State high = x >> kProbabilityBits;
    uint32_t beside = now->upper;
    const uint32_t beyond = subtract_and_select(slot, start, now->lower, beside);
    const State peaked = high * freq + beyond;
    State other = high * (beside >> 16) + (slot - (beside & 0xffff));
    uint32_t next_start = next->start;
    uint32_t next_freq = next->freq;
    const PeakInfo* after_next = peaks + rows[i + kRowsAhead];
    uint32_t next_byte = *in;
    compute_here(next_byte);
    compute_here(other);
    compute_here(next_start);
    compute_here(next_freq);
    compute_here(after_next);
    if (__builtin_expect(beyond < freq, 1)) {
      x = peaked;
      symbols[i] = now->symbol;
      if (__builtin_expect(x < Rans::kLower, 0)) Rans::grow_surely(x, in);
    } else if (__builtin_expect(slot - (now->lower & 0xffff) < now->span, 1)) {
      x = other;
      Rans::grow_mostly_once(x, in, next_byte);
      symbols[i] = static_cast<int8_t>(now->symbol + (slot < now->start ? -1 : 1));
    } else {
      const ReadCursor<Rans> cursor = decode_anywhere<Rans>(x, in, table, static_cast<size_t>(now - peaks));
      x = cursor.x;
      in = cursor.in;
      symbols[i] = cursor.symbol;
      good &= cursor.good;
    }
    start = next_start;
    freq = next_freq;
    now = next;
    next = after_next;
  };
  for (; num_batches > 0; --num_batches) {
    repeat(step, std::make_index_sequence<kBatchSymbols>());
    rows += kBatchSymbols;
    symbols += kBatchSymbols;
    // One check of the end a batch is enough: the padding after the end holds all that a batch can read.
    if (in > chain.end) return Status::kTruncated;
    if (!good) return Status::kCorruptEscape;
  }
  chain.x[0] = x;
  chain.in = in;
  return Status::kOk;
}

}  // namespace dcvc::entropy
