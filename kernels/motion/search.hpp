// The encoder's motion search. Decoders never run it, so nothing here has to agree between machines or versions.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/motion/compensate.hpp"
#include "kernels/motion/vector_coder.hpp"

namespace dcvc::motion {

// Finds vectors for a picture from 8-bit luma planes of height x width (multiples of 16), and tracks and blends with a
// long-term reference.
//
// long_term: nullptr if there is none. lambda: the price of a bit in sums of absolute differences. coder: the coder
// that will code the motion; its state gives the bits. With a long-term reference, the coder must have one too.
// num_threads: the result does not depend on it.
Motion search(const uint8_t* current, const uint8_t* reference, const uint8_t* long_term, int height, int width,
              double lambda, const VectorCoder& coder, int num_threads);

}  // namespace dcvc::motion
