// The Python bindings of the word-wise coder and of the context model that runs on it.
#pragma once

#include <pybind11/pybind11.h>

namespace dcvc::entropy {

void bind_word_coder(pybind11::module_& m);

}  // namespace dcvc::entropy
