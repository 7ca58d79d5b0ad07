// Which instruction sets this machine has, and the kernels of one.
#pragma once

#include <string>
#include <vector>

#include "kernels/cpu/kernel_table.hpp"

namespace dcvc::kernels {

// Names of usable instruction sets, best last: "scalar", then "avx2", "avx512", "amx" or "neon".
std::vector<std::string> usable_isas();

// The kernels of `name`, or of the best one if it is empty; null if this machine cannot run them.
const KernelTable* kernels_for(const std::string& name);

}  // namespace dcvc::kernels
