// The arithmetic of one rANS state. Two kinds share all code: that of the published codec (31-bit state, bytes) and
// that of interleaved partitions (40-bit state, 16-bit words). docs/entropy-coding.md gives the formulas.
#pragma once

#include <cstdint>

#include "entropy_cpp/tables.hpp"

#define DCVC_INLINE inline __attribute__((always_inline))

namespace dcvc::entropy {

// The most raw digits of an escape: for int8 symbols the difference to the row's offset lies in -255..255, so the
// number `raw` has at most 5 base-4 digits.
constexpr uint32_t kMaxEscapeDigits = 5;

constexpr size_t kWriterSlack = 8;    // unconditional stores reach this many bytes before a writer's place
constexpr size_t kBatchSymbols = 16;  // the decoder checks the end of its bytes once a batch
constexpr size_t kReaderPadding = kBatchSymbols * 8 + 8;  // a batch reads at most so far past the end

// a < b ? yes : no, as a conditional move. The conditions here are as random as the stream. Compilers tend to make
// branches of them, and a mispredicted branch costs more than all other work on a symbol.
DCVC_INLINE uint32_t select_below(uint32_t a, uint32_t b, uint32_t yes, uint32_t no) {
#if defined(__x86_64__)
  asm("cmpl %[b], %[a]\n\tcmovbl %[yes], %[no]" : [no] "+&r"(no) : [a] "r"(a), [b] "rm"(b), [yes] "r"(yes) : "cc");
  return no;
#else
  return a < b ? yes : no;
#endif
}

DCVC_INLINE uint64_t select_below(uint64_t a, uint64_t b, uint64_t yes, uint64_t no) {
#if defined(__x86_64__)
  asm("cmpq %[b], %[a]\n\tcmovbq %[yes], %[no]" : [no] "+&r"(no) : [a] "r"(a), [b] "rm"(b), [yes] "r"(yes) : "cc");
  return no;
#else
  return a < b ? yes : no;
#endif
}

// Returns a - b, and stores yes in choice if a < b. One comparison serves both.
DCVC_INLINE uint32_t subtract_and_select(uint32_t a, uint32_t b, const uint32_t& yes, uint32_t& choice) {
#if defined(__x86_64__)
  asm("subl %[b], %[a]\n\tcmovbl %[yes], %[choice]"
      : [a] "+&r"(a), [choice] "+&r"(choice)
      : [b] "r"(b), [yes] "m"(yes)
      : "cc");
  return a;
#else
  if (a < b) choice = yes;
  return a - b;
#endif
}

// Forces the compiler to compute a value here. Otherwise it computes the value only on the path that needs it.
template <class T>
DCVC_INLINE void compute_here(T& value) {
  asm volatile("" : "+r"(value));
}

// A state in [2^23, 2^31) that bytes enter and leave: at most two a symbol, since freq >= 1.
struct ByteRans {
  using State = uint32_t;
  static constexpr State kLower = 1u << 23;
  static constexpr int kStateBytes = 4;
  static constexpr int kUnitBits = 8;

  // Moves bytes out until x < freq << 15. Each byte is stored below the one before it.
  static DCVC_INLINE void shrink(State& x, uint8_t*& out, uint32_t freq) {
    const uint64_t limit = static_cast<uint64_t>(freq) << 15;
    if (x < limit) return;
    *--out = static_cast<uint8_t>(x);
    x >>= 8;
    if (x < limit) return;
    *--out = static_cast<uint8_t>(x);
    x >>= 8;
  }

  // Moves a byte out if two raw bits would not fit.
  static DCVC_INLINE void shrink_raw(State& x, uint8_t*& out) {
    if (x >= 1u << 29) {
      *--out = static_cast<uint8_t>(x);
      x >>= 8;
    }
  }

  // Refills the state after a symbol, without a branch: which symbols take a byte is as random as the stream.
  static DCVC_INLINE void grow(State& x, const uint8_t*& in) {
    const uint32_t one = x << 8 | in[0];
    const uint32_t two = x << 16 | static_cast<uint32_t>(in[0]) << 8 | in[1];
    in += static_cast<int>(x < kLower) + static_cast<int>(x < kLower >> 8);
    x = select_below(x, kLower, select_below(x, kLower >> 8, two, one), x);
  }

  // As `grow`, for a caller that has already read in[0] and rarely needs a second byte.
  static DCVC_INLINE void grow_mostly_once(State& x, const uint8_t*& in, uint32_t next_byte) {
    const State one = x << 8 | next_byte;
    in += static_cast<int>(x < kLower);
    x = select_below(x, kLower, one, x);
    if (__builtin_expect(x < kLower, 0)) x = x << 8 | *in++;
  }

  // As `grow`, for a caller that knows that a byte is missing.
  static DCVC_INLINE void grow_surely(State& x, const uint8_t*& in) {
    x = x << 8 | *in++;
    if (x < kLower) x = x << 8 | *in++;
  }
};

// A state in [2^24, 2^40) that 16-bit little-endian words enter and leave: at most one a symbol.
struct WordRans {
  using State = uint64_t;
  static constexpr State kLower = 1u << 24;
  static constexpr int kStateBytes = 5;
  static constexpr int kUnitBits = 16;

  // Moves a word out if x >= limit. The word is always stored, but `out` moves only if the word left.
  static DCVC_INLINE void shrink_below(State& x, uint8_t*& out, State limit) {
    out[-2] = static_cast<uint8_t>(x);
    out[-1] = static_cast<uint8_t>(x >> 8);
    out -= 2 * static_cast<int>(x >= limit);
    x = select_below(x, limit, x, x >> 16);
  }
  static DCVC_INLINE void shrink(State& x, uint8_t*& out, uint32_t freq) { shrink_below(x, out, State{freq} << 24); }
  static DCVC_INLINE void shrink_raw(State& x, uint8_t*& out) { shrink_below(x, out, State{1} << 38); }
  static DCVC_INLINE void grow(State& x, const uint8_t*& in) {
    const State more = x << 16 | static_cast<State>(in[1]) << 8 | in[0];
    in += 2 * static_cast<int>(x < kLower);
    x = select_below(x, kLower, more, x);
  }
};

template <class Rans>
DCVC_INLINE void encode_entry(typename Rans::State& x, uint8_t*& out, const EncodeEntry& entry) {
  Rans::shrink(x, out, entry.freq);
  const uint64_t quotient = static_cast<uint64_t>((static_cast<unsigned __int128>(x) * entry.reciprocal) >> 64);
  x = static_cast<typename Rans::State>(x + entry.bias + quotient * (kProbabilityScale - entry.freq));
}

template <class Rans>
DCVC_INLINE void encode_raw(typename Rans::State& x, uint8_t*& out, uint32_t two_bits) {
  Rans::shrink_raw(x, out);
  x = x << 2 | two_bits;
}

// A state and its place in the bytes. The rare paths return both by value: a pointer to the loop's own copies would
// force these copies into memory, and every symbol's chain would then hold a store and a load.
template <class Rans>
struct WriteCursor {
  typename Rans::State x;
  uint8_t* out;
};

template <class Rans>
struct ReadCursor {
  typename Rans::State x;
  const uint8_t* in;
  int8_t symbol;
  bool good;
};

// Codes the digits that follow an escape entry, in reverse of decoding order.
template <class Rans>
__attribute__((noinline)) WriteCursor<Rans> encode_escape(typename Rans::State x, uint8_t* out, int value, int escape) {
  const uint32_t raw = static_cast<uint32_t>(value < 0 ? -2 * value - 1 : 2 * (value - escape));
  uint32_t digits = 0;
  while (raw >> (2 * digits) != 0) ++digits;
  for (uint32_t d = digits; d-- > 0;) encode_raw<Rans>(x, out, raw >> (2 * d) & 3);
  encode_raw<Rans>(x, out, digits % 3);
  for (uint32_t k = 0; k < digits / 3; ++k) encode_raw<Rans>(x, out, 3);
  return {x, out};
}

template <class Rans>
DCVC_INLINE void encode_symbol(typename Rans::State& x, uint8_t*& out, const TableView& table, int symbol,
                               size_t row_index) {
  const RowInfo row = table.rows[row_index];
  const int value = symbol - row.offset;
  const EncodeEntry* entries = table.entries + row.first_entry;
  if (static_cast<uint32_t>(value) < row.escape) {
    encode_entry<Rans>(x, out, entries[value]);
  } else {
    const WriteCursor<Rans> cursor = encode_escape<Rans>(x, out, value, row.escape);
    x = cursor.x;
    out = cursor.out;
    encode_entry<Rans>(x, out, entries[row.escape]);
  }
}

template <class Rans>
inline void flush_state(typename Rans::State x, uint8_t*& out) {
  out -= Rans::kStateBytes;
  for (int i = 0; i < Rans::kStateBytes; ++i) out[i] = static_cast<uint8_t>(x >> (8 * i));
}

template <class Rans>
inline typename Rans::State load_state(const uint8_t*& in) {
  typename Rans::State x = 0;
  for (int i = 0; i < Rans::kStateBytes; ++i) x |= static_cast<typename Rans::State>(in[i]) << (8 * i);
  in += Rans::kStateBytes;
  return x;
}

template <class Rans>
DCVC_INLINE uint32_t decode_raw(typename Rans::State& x, const uint8_t*& in) {
  const uint32_t two_bits = static_cast<uint32_t>(x & 3);
  x >>= 2;
  Rans::grow(x, in);
  return two_bits;
}

// Reads the digits of an escape through next_digit(). False if there are too many digits or the symbol is no int8.
template <class NextDigit>
inline bool read_escape(const RowInfo& row, int8_t& symbol, const NextDigit& next_digit) {
  uint32_t digits = 0;
  uint32_t piece = 3;
  while (piece == 3) {
    piece = next_digit();
    digits += piece;
    if (digits > kMaxEscapeDigits) return false;
  }
  uint32_t raw = 0;
  for (uint32_t d = 0; d < digits; ++d) raw |= next_digit() << (2 * d);
  const int half = static_cast<int>(raw >> 1);
  const int value = (raw & 1) != 0 ? -half - 1 : half + row.escape;
  const int wide = value + row.offset;
  symbol = static_cast<int8_t>(wide);
  return wide == symbol;
}

// Decodes a symbol that the bucket table cannot name: one of a bucket that holds a boundary, or an escape.
template <class Rans>
__attribute__((noinline)) ReadCursor<Rans> decode_searching(typename Rans::State x, const uint8_t* in,
                                                            const TableView& table, size_t row_index, int first_guess) {
  const RowInfo row = table.rows[row_index];
  const uint32_t* cumulative = table.cumulative + row.first_entry;
  const uint32_t slot = static_cast<uint32_t>(x & (kProbabilityScale - 1));
  uint32_t entry = static_cast<uint32_t>(first_guess - row.offset);
  while (slot >= cumulative[entry + 1]) ++entry;  // ends: the last cumulative value is above every slot
  x = (x >> kProbabilityBits) * (cumulative[entry + 1] - cumulative[entry]) + slot - cumulative[entry];
  Rans::grow(x, in);
  int8_t symbol = static_cast<int8_t>(row.offset + static_cast<int>(entry));
  const bool good = entry < row.escape || read_escape(row, symbol, [&x, &in] { return decode_raw<Rans>(x, in); });
  return {x, in, symbol, good};
}

// Decodes by the bucket table: few operations, but a long chain from one state to the next.
template <class Rans>
DCVC_INLINE bool decode_by_bucket(typename Rans::State& x, const uint8_t*& in, const TableView& table, size_t row_index,
                                  int8_t& symbol) {
  const uint32_t slot = static_cast<uint32_t>(x & (kProbabilityScale - 1));
  const size_t bucket = row_index << kBucketBits | slot >> (kProbabilityBits - kBucketBits);
  const uint32_t packed = table.buckets[bucket];
  symbol = table.bucket_symbols[bucket];
  if (__builtin_expect(packed == 0, 0)) {
    const ReadCursor<Rans> cursor = decode_searching<Rans>(x, in, table, row_index, symbol);
    x = cursor.x;
    in = cursor.in;
    symbol = cursor.symbol;
    return cursor.good;
  }
  x = (x >> kProbabilityBits) * (packed & 0xffff) + (slot - (packed >> 16));
  Rans::grow(x, in);
  return true;
}

// Decodes by comparison with the three middle entries, where they hold nearly all of the mass. This takes more
// operations than the bucket table, but a shorter chain from one state to the next: it pays for one or two chains.
template <class Rans>
DCVC_INLINE bool decode_by_centre(typename Rans::State& x, const uint8_t*& in, const TableView& table, size_t row_index,
                                  int8_t& symbol) {
  using State = typename Rans::State;
  const CentreInfo& centre = table.centres[row_index];
  const uint32_t slot = static_cast<uint32_t>(x & (kProbabilityScale - 1));
  // Two branches on purpose: the first depends on the row alone, so it is resolved long before the state is known.
  if (centre.span == 0) return decode_by_bucket<Rans>(x, in, table, row_index, symbol);
  if (__builtin_expect(slot - centre.start[0] >= centre.span, 0))
    return decode_by_bucket<Rans>(x, in, table, row_index, symbol);
  const State high = x >> kProbabilityBits;
  const State lower = high * centre.freq[0] + (slot - centre.start[0]);
  const State middle = high * centre.freq[1] + (slot - centre.start[1]);
  const State upper = high * centre.freq[2] + (slot - centre.start[2]);
  symbol = static_cast<int8_t>(centre.symbol + static_cast<int>(slot >= centre.start[1]) +
                               static_cast<int>(slot >= centre.start[2]));
  x = select_below(State{slot}, State{centre.start[2]},
                   select_below(State{slot}, State{centre.start[1]}, lower, middle), upper);
  Rans::grow(x, in);
  return true;
}

}  // namespace dcvc::entropy
