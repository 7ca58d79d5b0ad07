// The encoder's search for blends and tracks, once a picture's vectors are found. Decoders never run it.
#pragma once

#include "kernels/motion/search_planes.hpp"
#include "kernels/motion/vector_coder.hpp"

namespace dcvc::motion {

// Finds tracks and blends for a motion that has vectors. lambda, coder, num_threads: as for search.
void search_tracks(const Plane& current, const SampledPlane& reference, const SampledPlane& long_term, double lambda,
                   const VectorCoder& coder, int num_threads, Motion& motion);

}  // namespace dcvc::motion
