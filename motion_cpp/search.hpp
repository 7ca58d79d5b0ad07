// The encoder's motion search. Decoders never run it, so nothing here has to agree between machines or versions.
#pragma once

#include <cstdint>
#include <vector>

#include "compensate.hpp"
#include "vector_coder.hpp"

namespace dcvc::motion {

// Finds vectors for a picture from 8-bit luma planes of height x width (multiples of 16).
//
// lambda: what a bit costs in sums of absolute differences. coder: the one that will code the vectors, for their prices.
std::vector<Vector> search(const uint8_t* current, const uint8_t* reference, int height, int width, double lambda, VectorCoder& coder);

}  // namespace dcvc::motion
