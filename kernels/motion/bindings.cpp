// The Python bindings of motion compensation: they convert types, check array sizes and release the GIL. They hold no
// logic.
#include <cstring>
#include <optional>
#include <string_view>
#include <type_traits>

#include "kernels/base/arrays.hpp"
#include "kernels/base/coder_states.hpp"
#include "kernels/motion/compensate.hpp"
#include "kernels/motion/kernel_table.hpp"
#include "kernels/motion/search.hpp"
#include "kernels/motion/vector_coder.hpp"

namespace py = pybind11;
namespace mo = dcvc::motion;

namespace {

using dcvc::Array;
using dcvc::as_bytes;
using dcvc::require;

void require_field(const Array<int16_t>& field) {
  require(field.ndim() == 3 && field.shape(2) == 2 && field.shape(0) > 0 && field.shape(1) > 0,
          "a field must be (rows, columns, 2)");
  const int16_t* values = field.data();
  for (py::ssize_t i = 0; i < field.size(); ++i) {
    require(values[i] >= -mo::kMaxVector && values[i] <= mo::kMaxVector, "a vector is longer than the format allows");
  }
}

std::vector<mo::Vector> as_vectors(const Array<int16_t>& field) {
  static_assert(sizeof(mo::Vector) == 2 * sizeof(int16_t));
  const auto* vectors = reinterpret_cast<const mo::Vector*>(field.data());
  return {vectors, vectors + field.size() / 2};
}

Array<int16_t> as_array(const std::vector<mo::Vector>& vectors, int rows, int columns) {
  Array<int16_t> out({rows, columns, 2});
  std::memcpy(out.mutable_data(), vectors.data(), vectors.size() * sizeof(mo::Vector));
  return out;
}

using Tracks = std::optional<Array<int16_t>>;  // none: the picture has no long-term reference
using Blends = std::optional<Array<uint8_t>>;

mo::Motion as_motion(const Array<int16_t>& field, const Tracks& tracks, const Blends& blends) {
  require_field(field);
  mo::Motion motion{static_cast<int>(field.shape(0)), static_cast<int>(field.shape(1)), as_vectors(field), {}, {}};
  require(tracks.has_value() == blends.has_value(), "tracks and blends come together");
  if (!blends) return motion;
  require_field(*tracks);
  require(tracks->shape(0) == field.shape(0) && tracks->shape(1) == field.shape(1),
          "there must be a track for every vector");
  require(blends->ndim() == 2 && 2 * blends->shape(0) == field.shape(0) && 2 * blends->shape(1) == field.shape(1),
          "blends must be (rows / 2, columns / 2)");
  motion.tracks = as_vectors(*tracks);
  motion.blends.assign(blends->data(), blends->data() + blends->size());
  for (const uint8_t blend : motion.blends) require(blend <= mo::kLongTerm, "a blend is 0, 1 or 2");
  return motion;
}

// (vectors, tracks or None, blends or None)
py::tuple as_tuple(const mo::Motion& motion) {
  const Array<int16_t> field = as_array(motion.vectors, motion.rows, motion.columns);
  if (motion.blends.empty()) return py::make_tuple(field, py::none(), py::none());
  Array<uint8_t> blends({motion.rows / 2, motion.columns / 2});
  std::memcpy(blends.mutable_data(), motion.blends.data(), motion.blends.size());
  return py::make_tuple(field, as_array(motion.tracks, motion.rows, motion.columns), blends);
}

using Frame = py::array_t<int16_t, 0>;  // of any layout

template <class Sample>
mo::Squares<Sample> plane_of(Sample* samples, const Frame& frame, int plane) {
  const auto step = [&](int axis) {
    return static_cast<ptrdiff_t>(frame.strides(axis)) / static_cast<ptrdiff_t>(sizeof(int16_t));
  };
  return {samples + plane * step(0), step(1), step(2), step(3)};
}

void require_layout(const Frame& frame) {
  for (int axis = 0; axis < 5; ++axis)
    require(frame.strides(axis) % static_cast<py::ssize_t>(sizeof(int16_t)) == 0, "samples must be aligned");
  require(frame.strides(4) == sizeof(int16_t), "the samples of a square's row must lie together");
}

void require_frame(const Frame& frame, const Array<int16_t>& field) {
  require(frame.ndim() == 5 && frame.shape(1) == field.shape(0) && frame.shape(2) == mo::kSquare &&
              frame.shape(3) == field.shape(1) && frame.shape(4) == mo::kSquare,
          "the field must have a vector for every square of the frame (planes, height / 8, 8, width / 8, 8)");
  require_layout(frame);
}

Frame compensate(const Frame& frame, const std::optional<Frame>& long_term, const Array<int16_t>& field,
                 const Tracks& tracks, const Blends& blends, int max_value) {
  const mo::Motion motion = as_motion(field, tracks, blends);
  require_frame(frame, field);
  require(max_value > 0 && max_value <= dcvc::kMaxSample, "max_value must be 1 to 8192");
  if (blends) {
    require(long_term.has_value(), "blends need a long-term reference");
    require_frame(*long_term, field);
    require(long_term->shape(0) == frame.shape(0), "frame and long-term reference must have the same planes");
  }
  Frame out = py::module_::import("numpy").attr("empty_like")(frame);  // in the same layout
  require_layout(out);
  const int16_t *source = frame.data(), *second = blends ? long_term->data() : nullptr;
  int16_t* target = out.mutable_data();
  {
    py::gil_scoped_release release;
    for (int plane = 0; plane < frame.shape(0); ++plane) {
      std::optional<mo::Squares<const int16_t>> other;
      if (second) other = plane_of(second, *long_term, plane);
      mo::compensate_plane(plane_of(source, frame, plane), other ? &*other : nullptr, plane_of(target, out, plane),
                           motion, static_cast<int16_t>(max_value));
    }
  }
  return out;
}

py::tuple search(const mo::VectorCoder& coder, const Array<uint8_t>& current, const Array<uint8_t>& reference,
                 const std::optional<Array<uint8_t>>& long_term, double lambda, int num_threads) {
  const auto same_shape = [&](const Array<uint8_t>& other) {
    return other.ndim() == 2 && other.shape(0) == current.shape(0) && other.shape(1) == current.shape(1);
  };
  require(current.ndim() == 2 && same_shape(reference) && (!long_term || same_shape(*long_term)),
          "the planes must be (height, width), all of one size");
  require(current.shape(0) > 0 && current.shape(1) > 0 && current.shape(0) % 16 == 0 && current.shape(1) % 16 == 0,
          "sides must be multiples of 16");
  require(lambda >= 0, "lambda must not be negative");
  require(num_threads >= 1 && num_threads <= 256, "the number of threads must be 1..256");
  require(!long_term || coder.has_long_term(), "the first picture after a reset has no long-term reference");
  const int height = static_cast<int>(current.shape(0)), width = static_cast<int>(current.shape(1));
  const uint8_t *now = current.data(), *then = reference.data(), *before = long_term ? long_term->data() : nullptr;
  mo::Motion found;
  {
    py::gil_scoped_release release;
    found = mo::search(now, then, before, height, width, lambda, coder, num_threads);
  }
  return as_tuple(found);
}

void require_even_field(const Array<int16_t>& field) {
  require_field(field);
  require(field.shape(0) % 2 == 0 && field.shape(1) % 2 == 0, "rows and columns must be even");
}

void require_even(int rows, int columns) {
  require(rows > 0 && columns > 0 && rows % 2 == 0 && columns % 2 == 0, "rows and columns must be even");
}

py::bytes encode(mo::VectorCoder& coder, const Array<int16_t>& field, const Tracks& tracks, const Blends& blends) {
  require_even_field(field);
  return as_bytes(coder.encode(as_motion(field, tracks, blends)));
}

// Returns (bytes so far, low, range) of the range coder behind the vectors.
dcvc::EncoderState encode_open(mo::VectorCoder& coder, const Array<int16_t>& field, const Tracks& tracks,
                               const Blends& blends) {
  require_even_field(field);
  dcvc::RangeEncoder range_coder;
  coder.encode_into(range_coder, as_motion(field, tracks, blends));
  return dcvc::state_of(range_coder);
}

py::object decode(mo::VectorCoder& coder, const py::bytes& data, int rows, int columns) {
  require_even(rows, columns);
  const std::string_view view = data;
  const auto motion = coder.decode(reinterpret_cast<const uint8_t*>(view.data()), view.size(), rows, columns);
  if (!motion) return py::none();
  return as_tuple(*motion);
}

// Returns (motion, (position, value, range) of the range coder behind the vectors).
py::object decode_open(mo::VectorCoder& coder, const py::bytes& data, int rows, int columns) {
  require_even(rows, columns);
  const std::string_view view = data;
  dcvc::RangeDecoder range_coder(reinterpret_cast<const uint8_t*>(view.data()), view.size());
  const auto motion = coder.decode_from(range_coder, rows, columns);
  if (!motion) return py::none();
  return py::make_tuple(as_tuple(*motion), dcvc::state_of(range_coder));
}

// Returns what the contexts have learned, as probabilities of zero in 1/65536, in the order of the struct. For tools.
Array<uint16_t> probabilities(const mo::VectorCoder& coder) {
  constexpr size_t count = sizeof(mo::Contexts) / sizeof(dcvc::Context);
  const auto* contexts = reinterpret_cast<const dcvc::Context*>(&coder.contexts());
  Array<uint16_t> out(static_cast<py::ssize_t>(count));
  for (size_t i = 0; i < count; ++i) out.mutable_data()[i] = contexts[i].slow();
  return out;
}

Array<int16_t> field_array(const mo::Field& field) {
  Array<int16_t> out({field.rows, field.columns, 2});
  if (field.rows) std::memcpy(out.mutable_data(), field.vectors, static_cast<size_t>(out.nbytes()));
  return out;
}

// Returns what `restore` takes: (what the contexts have learned, the last field, the kept tracks, the number of
// pictures). Field and tracks have no rows if there are none.
py::tuple state(const mo::VectorCoder& coder) {
  Array<uint8_t> learned(static_cast<py::ssize_t>(sizeof(mo::Contexts)));
  std::memcpy(learned.mutable_data(), &coder.contexts(), sizeof(mo::Contexts));
  return py::make_tuple(learned, field_array(coder.previous()), field_array(coder.kept()), coder.number());
}

void restore(mo::VectorCoder& coder, const Array<uint8_t>& learned, const Array<int16_t>& previous,
             const Array<int16_t>& kept, int number) {
  static_assert(std::is_trivially_copyable_v<mo::Contexts>);
  require(learned.ndim() == 1 && static_cast<size_t>(learned.size()) == sizeof(mo::Contexts),
          "the state is of another version");
  for (const auto* field : {&previous, &kept}) {
    require(field->ndim() == 3 && field->shape(2) == 2, "a field must be (rows, columns, 2)");
    if (field->size()) require_even_field(*field);
  }
  require(previous.shape(0) == kept.shape(0) && previous.shape(1) == kept.shape(1),
          "field and tracks must have one size");
  require(number >= 0 && (number > 0) == (previous.size() > 0), "a coder that has coded pictures has a field");
  mo::Contexts contexts;
  std::memcpy(static_cast<void*>(&contexts), learned.data(), sizeof(mo::Contexts));
  const auto field = [](const Array<int16_t>& array) {
    return mo::Field{reinterpret_cast<const mo::Vector*>(array.data()), static_cast<int>(array.shape(0)),
                     static_cast<int>(array.shape(1))};
  };
  coder.restore(contexts, field(previous), field(kept), number);
}

}  // namespace

PYBIND11_MODULE(_motion, module) {
  module.doc() = "Motion search, compensation and vector coding.";
  dcvc::bind_isa<mo::KernelTable, mo::dispatch>(module);
  module.attr("SQUARE") = mo::kSquare;
  module.attr("SUBPEL") = mo::kSubpel;
  module.attr("MAX_CANDIDATES") = mo::kMaxCandidates;
  module.attr("MAX_VECTOR_PREFIX") = mo::kMaxVectorPrefix;
  module.attr("MAX_SAMPLE") = dcvc::kMaxSample;
  module.attr("KEPT_INTERVAL") = mo::kKeptInterval;
  module.attr("MAX_VECTOR") = mo::kMaxVector;
  module.def("compensate", &compensate, py::arg("frame").noconvert(), py::arg("long_term").noconvert(),
             py::arg("field").noconvert(), py::arg("tracks").noconvert(), py::arg("blends").noconvert(),
             py::arg("max_value"));
  py::class_<mo::VectorCoder>(module, "VectorCoder")
      .def(py::init<>())
      .def("__copy__", [](const mo::VectorCoder& coder) { return coder; })
      .def("reset", &mo::VectorCoder::reset)
      .def("probabilities", &probabilities)
      .def("state", &state)
      .def("restore", &restore, py::arg("learned").noconvert(), py::arg("previous").noconvert(),
           py::arg("kept").noconvert(), py::arg("number"))
      .def_property_readonly("number", [](const mo::VectorCoder& coder) { return coder.number(); })
      .def("search", &search, py::arg("current").noconvert(), py::arg("reference").noconvert(),
           py::arg("long_term").noconvert(), py::arg("lambda_"), py::arg("num_threads") = 1)
      .def("encode", &encode, py::arg("field").noconvert(), py::arg("tracks").noconvert(),
           py::arg("blends").noconvert())
      .def("encode_open", &encode_open, py::arg("field").noconvert(), py::arg("tracks").noconvert(),
           py::arg("blends").noconvert())
      .def("decode", &decode, py::arg("data"), py::arg("rows"), py::arg("columns"))
      .def("decode_open", &decode_open, py::arg("data"), py::arg("rows"), py::arg("columns"));
}
