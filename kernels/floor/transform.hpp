// The floor's transform: 8x8, integers, the cosines of H.265. Source: docs/floor.md.
#pragma once

#include <cstdint>

#include "kernels/floor/frame_floor.hpp"

namespace dcvc::floor {

// Returns a step in 1/8192, for coefficients of the orthonormal transform.
int step_size(int step_index);

// Computes the 8x8 residual of levels, both in raster order.
void residual_of_levels(const int16_t* levels, int step, int32_t* residual);

// Computes the coefficients of a residual in -8192..8192. Only encoders need them.
void coefficients_of_residual(const int16_t* residual, int32_t* coefficients);

}  // namespace dcvc::floor
