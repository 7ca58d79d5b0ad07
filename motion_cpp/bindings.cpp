// Python face of motion compensation: converts types, checks array sizes and releases the GIL. No logic.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstring>
#include <stdexcept>
#include <string_view>
#include <type_traits>

#include "compensate.hpp"
#include "search.hpp"
#include "vector_coder.hpp"

namespace py = pybind11;
namespace mo = dcvc::motion;

namespace {

template <class T>
using Array = py::array_t<T, py::array::c_style>;  // arguments are declared noconvert: a wrong type is an error, not a copy

void require(bool condition, const char* what) {
  if (!condition) throw std::invalid_argument(what);
}

void require_field(const Array<int16_t>& field) {
  require(field.ndim() == 3 && field.shape(2) == 2 && field.shape(0) > 0 && field.shape(1) > 0, "a field must be (rows, columns, 2)");
  const int16_t* values = field.data();
  for (py::ssize_t i = 0; i < field.size(); ++i) {
    require(values[i] >= -mo::kMaxVector && values[i] <= mo::kMaxVector, "a vector is longer than the format allows");
  }
}

mo::Field as_field(const Array<int16_t>& field) {
  static_assert(sizeof(mo::Vector) == 2 * sizeof(int16_t));
  return {reinterpret_cast<const mo::Vector*>(field.data()), static_cast<int>(field.shape(0)), static_cast<int>(field.shape(1))};
}

Array<int16_t> as_array(const std::vector<mo::Vector>& vectors, int rows, int columns) {
  Array<int16_t> out({rows, columns, 2});
  std::memcpy(out.mutable_data(), vectors.data(), vectors.size() * sizeof(mo::Vector));
  return out;
}

using Frame = py::array_t<int16_t, 0>;  // of any layout

template <class Sample>
mo::Squares<Sample> plane_of(Sample* samples, const Frame& frame, int plane) {
  const auto step = [&](int axis) { return static_cast<ptrdiff_t>(frame.strides(axis)) / static_cast<ptrdiff_t>(sizeof(int16_t)); };
  return {samples + plane * step(0), step(1), step(2), step(3)};
}

void require_layout(const Frame& frame) {
  for (int axis = 0; axis < 5; ++axis) require(frame.strides(axis) % static_cast<py::ssize_t>(sizeof(int16_t)) == 0, "samples must be aligned");
  require(frame.strides(4) == sizeof(int16_t), "the samples of a square's row must lie together");
}

Frame compensate(const Frame& frame, const Array<int16_t>& field, int max_value) {
  require_field(field);
  require(frame.ndim() == 5 && frame.shape(1) == field.shape(0) && frame.shape(2) == mo::kBlock && frame.shape(3) == field.shape(1) &&
              frame.shape(4) == mo::kBlock,
          "the field must have a vector for every square of the frame (planes, height / 8, 8, width / 8, 8)");
  require(max_value > 0 && max_value <= 8192, "max_value must be 1 to 8192");  // what the filters' 16 bits hold
  Frame out = py::module_::import("numpy").attr("empty_like")(frame);  // in the same layout
  require_layout(frame);
  require_layout(out);
  const int16_t* source = frame.data();
  int16_t* target = out.mutable_data();
  const mo::Field vectors = as_field(field);
  {
    py::gil_scoped_release release;
    for (int plane = 0; plane < frame.shape(0); ++plane) {
      mo::compensate_plane(plane_of(source, frame, plane), plane_of(target, out, plane), vectors, static_cast<int16_t>(max_value));
    }
  }
  return out;
}

Array<int16_t> search(mo::VectorCoder& coder, const Array<uint8_t>& current, const Array<uint8_t>& reference, double lambda) {
  require(current.ndim() == 2 && reference.ndim() == 2 && current.shape(0) == reference.shape(0) && current.shape(1) == reference.shape(1),
          "the planes must be (height, width), both of one size");
  require(current.shape(0) > 0 && current.shape(1) > 0 && current.shape(0) % 16 == 0 && current.shape(1) % 16 == 0, "sides must be multiples of 16");
  require(lambda >= 0, "lambda must not be negative");
  const int height = static_cast<int>(current.shape(0)), width = static_cast<int>(current.shape(1));
  const uint8_t *now = current.data(), *then = reference.data();
  std::vector<mo::Vector> found;
  {
    py::gil_scoped_release release;
    found = mo::search(now, then, height, width, lambda, coder);
  }
  return as_array(found, height / mo::kBlock, width / mo::kBlock);
}

py::bytes as_bytes(const std::vector<uint8_t>& bytes) { return py::bytes(reinterpret_cast<const char*>(bytes.data()), bytes.size()); }

void require_even_field(const Array<int16_t>& field) {
  require_field(field);
  require(field.shape(0) % 2 == 0 && field.shape(1) % 2 == 0, "rows and columns must be even");
}

void require_even(int rows, int columns) {
  require(rows > 0 && columns > 0 && rows % 2 == 0 && columns % 2 == 0, "rows and columns must be even");
}

py::bytes encode(mo::VectorCoder& coder, const Array<int16_t>& field) {
  require_even_field(field);
  return as_bytes(coder.encode(as_field(field)));
}

// (bytes so far, low, range) of the range coder behind the vectors.
py::tuple encode_open(mo::VectorCoder& coder, const Array<int16_t>& field) {
  require_even_field(field);
  dcvc::RangeEncoder range_coder;
  coder.encode_into(range_coder, as_field(field));
  return py::make_tuple(as_bytes(range_coder.bytes()), range_coder.low(), range_coder.range());
}

py::object decode(mo::VectorCoder& coder, const py::bytes& data, int rows, int columns) {
  require_even(rows, columns);
  const std::string_view view = data;
  const auto vectors = coder.decode(reinterpret_cast<const uint8_t*>(view.data()), view.size(), rows, columns);
  if (!vectors) return py::none();
  return as_array(*vectors, rows, columns);
}

// (field, (position, value, range) of the range coder behind the vectors).
py::object decode_open(mo::VectorCoder& coder, const py::bytes& data, int rows, int columns) {
  require_even(rows, columns);
  const std::string_view view = data;
  dcvc::RangeDecoder range_coder(reinterpret_cast<const uint8_t*>(view.data()), view.size());
  const auto vectors = coder.decode_from(range_coder, rows, columns);
  if (!vectors) return py::none();
  return py::make_tuple(as_array(*vectors, rows, columns), py::make_tuple(range_coder.position(), range_coder.value(), range_coder.range()));
}

// For tools: what the contexts have learned, as probabilities of zero in 1/65536, in the order of the struct.
Array<uint16_t> probabilities(const mo::VectorCoder& coder) {
  constexpr size_t count = sizeof(mo::Contexts) / sizeof(mo::Context);
  const auto* contexts = reinterpret_cast<const mo::Context*>(&coder.contexts());
  Array<uint16_t> out(static_cast<py::ssize_t>(count));
  for (size_t i = 0; i < count; ++i) out.mutable_data()[i] = contexts[i].slow();
  return out;
}

// (what the contexts have learned, the last field, without rows if there is none); `restore` takes them.
py::tuple state(const mo::VectorCoder& coder) {
  Array<uint8_t> learned(static_cast<py::ssize_t>(sizeof(mo::Contexts)));
  std::memcpy(learned.mutable_data(), &coder.contexts(), sizeof(mo::Contexts));
  const mo::Field field = coder.previous();
  Array<int16_t> previous({field.rows, field.columns, 2});
  if (field.rows) std::memcpy(previous.mutable_data(), field.vectors, static_cast<size_t>(previous.nbytes()));
  return py::make_tuple(learned, previous);
}

void restore(mo::VectorCoder& coder, const Array<uint8_t>& learned, const Array<int16_t>& previous) {
  static_assert(std::is_trivially_copyable_v<mo::Contexts>);
  require(learned.ndim() == 1 && static_cast<size_t>(learned.size()) == sizeof(mo::Contexts), "the state is of another version");
  require(previous.ndim() == 3 && previous.shape(2) == 2, "a field must be (rows, columns, 2)");
  if (previous.size()) require_even_field(previous);
  mo::Contexts contexts;
  std::memcpy(static_cast<void*>(&contexts), learned.data(), sizeof(mo::Contexts));
  coder.restore(contexts, as_field(previous));
}

}  // namespace

PYBIND11_MODULE(_motion, module) {
  module.doc() = "Motion search, compensation and vector coding.";
  module.attr("BLOCK") = mo::kBlock;
  module.attr("MAX_VECTOR") = mo::kMaxVector;
  module.def("compensate", &compensate, py::arg("frame").noconvert(), py::arg("field").noconvert(), py::arg("max_value"));
  py::class_<mo::VectorCoder>(module, "VectorCoder")
      .def(py::init<>())
      .def("reset", &mo::VectorCoder::reset)
      .def("probabilities", &probabilities)
      .def("state", &state)
      .def("restore", &restore, py::arg("learned").noconvert(), py::arg("previous").noconvert())
      .def("search", &search, py::arg("current").noconvert(), py::arg("reference").noconvert(), py::arg("lambda_"))
      .def("encode", &encode, py::arg("field").noconvert())
      .def("encode_open", &encode_open, py::arg("field").noconvert())
      .def("decode", &decode, py::arg("data"), py::arg("rows"), py::arg("columns"))
      .def("decode_open", &decode_open, py::arg("data"), py::arg("rows"), py::arg("columns"));
}
