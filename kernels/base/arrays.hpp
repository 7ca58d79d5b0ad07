// The kit that the Python bindings of all extensions share: arrays as arguments, checks, bytes.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/base/isa.hpp"

namespace dcvc {

// An array argument. Bindings declare it noconvert: a wrong type is an error, not a copy.
template <class T>
using Array = pybind11::array_t<T, pybind11::array::c_style>;

// Raises ValueError in Python unless the condition holds.
inline void require(bool condition, const char* what) {
  if (!condition) throw std::invalid_argument(what);
}
inline void require(bool condition, const std::string& what) { require(condition, what.c_str()); }

inline pybind11::bytes as_bytes(const std::vector<uint8_t>& bytes) {
  return pybind11::bytes(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

// Adds usable_isas(), the names of the instruction sets, the best last; isa(), the name of the one in use; and
// choose_isa(name), which is false if this machine cannot run that set.
template <class Table, Dispatch<Table>& (*dispatch)()>
void bind_isa(pybind11::module_& module) {
  module.def("usable_isas", [] { return names_of(dispatch().usable()); });
  module.def("isa", [] { return std::string(dispatch().current().name); });
  module.def("choose_isa", [](const std::string& name) { return dispatch().choose(name); }, pybind11::arg("name"));
}

}  // namespace dcvc
