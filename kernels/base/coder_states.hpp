// The range coder's state, which Python hands from one extension to the next (dcvc_cli/format/range_coder.py). Every
// state is checked here.
#pragma once

#include <optional>
#include <string_view>
#include <tuple>

#include "entropy_cpp/range_coder.hpp"
#include "kernels/base/arrays.hpp"

namespace dcvc {

using EncoderState = std::tuple<pybind11::bytes, uint64_t, uint64_t>;  // bytes so far, low, range
using DecoderState = std::tuple<uint64_t, uint64_t, uint64_t>;         // position, value, range

constexpr uint64_t kMaxPosition = uint64_t{1} << 62;

inline void require_range(uint64_t range) {
  require(range >= kMinRange, "the range of a coder state must be at least 2^32");
}

inline RangeEncoder encoder_from(const EncoderState& state) {
  const auto& [so_far, low, range] = state;
  require_range(range);
  const std::string_view bytes = so_far;
  return {{bytes.begin(), bytes.end()}, low, range};
}

// Without a state, an encoder that starts.
inline RangeEncoder encoder_from(const std::optional<EncoderState>& state) {
  return state ? encoder_from(*state) : RangeEncoder();
}

inline void require_state(const DecoderState& state) {
  require_range(std::get<2>(state));
  const uint64_t position = std::get<0>(state);
  require(position >= kWindowBytes && position <= kMaxPosition, "the position of a coder state must be 8 to 2^62");
}

// A decoder that continues from a state. data must outlive it.
inline RangeDecoder decoder_from(const pybind11::bytes& data, const DecoderState& state) {
  require_state(state);
  const auto& [position, value, range] = state;
  const std::string_view bytes = data;
  return {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), position, value, range};
}

// Without a state, a decoder that starts.
inline RangeDecoder decoder_from(const pybind11::bytes& data, const std::optional<DecoderState>& state) {
  if (state) return decoder_from(data, *state);
  const std::string_view bytes = data;
  return {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
}

inline EncoderState state_of(const RangeEncoder& coder) {
  return {as_bytes(coder.bytes()), coder.low(), coder.range()};
}
inline DecoderState state_of(const RangeDecoder& coder) { return {coder.position(), coder.value(), coder.range()}; }

}  // namespace dcvc
