// The floor's transform: 8x8, integers, the cosines of H.265. Source: docs/floor.md.
#pragma once

#include <cstdint>

#include "kernels/floor/frame_floor.hpp"

namespace dcvc::floor {

// The size of a step in 1/8192, of coefficients with orthonormal transform.
int step_size(int step_index);

// Residual 8x8 of levels, both in raster order.
void residual_of_levels(const int16_t* levels, int step, int32_t* residual);

// Coefficients of a residual in -8192..8192; for encoders.
void coefficients_of_residual(const int16_t* residual, int32_t* coefficients);

}  // namespace dcvc::floor
