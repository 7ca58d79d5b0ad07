// The integer kernels of the instruction sets that this machine has.
#pragma once

#include <string>
#include <vector>

#include "kernels/cpu/kernel_table.hpp"

namespace dcvc::kernels {

// Names of usable tables, best last: "scalar", then "avx2", "avx512", "amx" or "neon".
std::vector<std::string> usable_isas();

// The best kernels up to instruction set `name`, or the best of all if the name is empty. Null if this machine cannot
// run that set.
const KernelTable* kernels_for(const std::string& name);

}  // namespace dcvc::kernels
