// The fixed-point samples that motion, the output filter and the floor compute with.
#pragma once

namespace dcvc {

constexpr int kSampleBits = 13;
constexpr int kMaxSample = 1 << kSampleBits;  // 1.0; 16 bits hold it and what the interpolation filters add

}  // namespace dcvc
