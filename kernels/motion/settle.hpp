// The encoder's second look at the motion of a picture that the search has found block by block. Decoders never run it.
#pragma once

#include "kernels/motion/search_planes.hpp"
#include "kernels/motion/vector_coder.hpp"

namespace dcvc::motion {

constexpr int kSettleRounds = 3;  // the first tries most, the last least

// Refines the motion of every block, now that the vectors on all sides are known. A block takes other vectors, another
// blend or another track where this lowers the sum of two costs: that of the overlapping predictions in and around the
// block, and that of the bits of the block and the blocks after it.
//
// long_term: nullptr for a motion without tracks. lambda, coder, num_threads: as for search. first..last: rounds to
// make, of 0..kSettleRounds - 1.
void settle(const Plane& current, const SampledPlane& reference, const SampledPlane* long_term, double lambda,
            const VectorCoder& coder, int num_threads, int first, int last, Motion& motion);

}  // namespace dcvc::motion
