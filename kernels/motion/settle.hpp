// The encoder's second look at the motion of a picture that the search has found block by block. Decoders never run it.
#pragma once

#include "kernels/motion/search_planes.hpp"
#include "kernels/motion/vector_coder.hpp"

namespace dcvc::motion {

constexpr int kRounds = 3;  // the first tries most, the last least

// Goes over the blocks again, now that the vectors on all sides are known: a block takes other vectors, another blend
// or another track where that lowers the cost of overlapping predictions in it and around it, plus what it and the
// blocks after it cost in bits.
//
// long_term: nullptr for a motion without tracks. lambda, coder, num_threads: as for search. first..last: rounds to
// make, of 0..kRounds - 1.
void settle(const Plane& current, const SampledPlane& reference, const SampledPlane* long_term, double lambda,
            const VectorCoder& coder, int num_threads, int first, int last, Motion& motion);

}  // namespace dcvc::motion
