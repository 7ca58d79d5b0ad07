// The Python bindings of the floor: they convert types, check array sizes and release the GIL. They hold no logic.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>

#include "kernels/base/arrays.hpp"
#include "kernels/base/coder_states.hpp"
#include "kernels/floor/choose.hpp"
#include "kernels/floor/floor_coder.hpp"
#include "kernels/floor/reconstruct.hpp"
#include "kernels/floor/transform.hpp"

namespace py = pybind11;
namespace fl = dcvc::floor;

namespace {

using dcvc::Array;
using dcvc::as_bytes;
using dcvc::decoder_from;
using dcvc::encoder_from;
using dcvc::require;
using Squares = py::array_t<int16_t, 0>;  // of any layout
using Planes = std::array<Array<int16_t>, 3>;
using Source = std::array<Array<int16_t>, 3>;
using EncoderStart = std::optional<dcvc::EncoderState>;
using DecoderStart = std::optional<dcvc::DecoderState>;

template <class T>
int side(const Array<T>& plane, int axis) {
  return static_cast<int>(plane.shape(axis));
}

// Whether the planes have halved chroma.
template <class T>
bool require_planes(const std::array<Array<T>, 3>& planes) {
  for (const auto& plane : planes) require(plane.ndim() == 2, "planes must be (height, width)");
  const int height = side(planes[0], 0), width = side(planes[0], 1);
  require(height > 0 && width > 0 && height % fl::kBlock == 0 && width % fl::kBlock == 0 && height <= dcvc::kMaxSide &&
              width <= dcvc::kMaxSide,
          "luma must be (height, width), multiples of 16");
  require(side(planes[1], 0) == side(planes[2], 0) && side(planes[1], 1) == side(planes[2], 1),
          "Cb and Cr must have one size");
  const bool is_same = side(planes[1], 0) == height && side(planes[1], 1) == width;
  require(is_same || (2 * side(planes[1], 0) == height && 2 * side(planes[1], 1) == width),
          "chroma must be as large as luma, or half as large in both directions");
  return !is_same;
}

void require_depth(int depth) { require(depth == 8 || depth == 10, "pictures have 8 or 10 bits"); }

fl::Planes view_of(Planes& planes) {
  fl::Planes view;
  for (size_t i = 0; i < 3; ++i) view[i] = {planes[i].mutable_data(), side(planes[i], 0), side(planes[i], 1)};
  return view;
}

// A view of planes that nothing writes.
fl::Planes view_of_const(const Planes& planes) {
  fl::Planes view;
  for (size_t i = 0; i < 3; ++i)
    view[i] = {const_cast<int16_t*>(planes[i].data()), side(planes[i], 0), side(planes[i], 1)};
  return view;
}

void require_same_size(const fl::FrameFloor& floor, const Planes& planes) {
  const bool is_halved = require_planes(planes);
  require(floor.is_halved == is_halved && floor.rows * fl::kBlock == side(planes[0], 0) &&
              floor.columns * fl::kBlock == side(planes[0], 1),
          "the floor belongs to planes of another size");
}

py::tuple reconstruct(const fl::FrameFloor& floor, const Planes& planes, const std::optional<Planes>& compensated) {
  require_same_size(floor, planes);
  if (compensated) require_same_size(floor, *compensated);
  const auto is_compensated = [](const fl::Block& block) {
    return block.is_touched && block.base == fl::Base::kCompensated;
  };
  require(compensated || std::none_of(floor.blocks.begin(), floor.blocks.end(), is_compensated),
          "the floor needs compensated planes");
  Planes out;
  for (size_t i = 0; i < 3; ++i) {
    out[i] = Array<int16_t>({side(planes[i], 0), side(planes[i], 1)});
    std::copy_n(planes[i].data(), planes[i].size(), out[i].mutable_data());
  }
  const fl::Planes view = view_of(out), base = compensated ? view_of_const(*compensated) : fl::Planes{};
  {
    py::gil_scoped_release release;
    fl::reconstruct(floor, view, base);
  }
  return py::make_tuple(out[0], out[1], out[2]);
}

// Copies the touched blocks of planes into squares of full-size planes. It repeats halved samples.
void put_back(const fl::FrameFloor& floor, const Planes& planes, Squares& squares) {
  require_same_size(floor, planes);
  require(squares.ndim() == 5 && squares.shape(0) == 3 && squares.shape(2) == fl::kPart &&
              squares.shape(4) == fl::kPart && squares.shape(1) == 2 * floor.rows &&
              squares.shape(3) == 2 * floor.columns,
          "squares must be (3, height / 8, 8, width / 8, 8)");
  auto view = squares.mutable_unchecked<5>();
  for (int row = 0; row < floor.rows; ++row) {
    for (int column = 0; column < floor.columns; ++column) {
      if (!floor.blocks[floor.index(row, column)].is_touched) continue;
      for (int plane = 0; plane < 3; ++plane) {
        const auto& from = planes[static_cast<size_t>(plane)];
        const int halved = plane > 0 && floor.is_halved ? 1 : 0;
        for (int y = row * fl::kBlock; y < (row + 1) * fl::kBlock; ++y) {
          const int16_t* line = from.data() + static_cast<size_t>(y >> halved) * static_cast<size_t>(side(from, 1));
          for (int x = column * fl::kBlock; x < (column + 1) * fl::kBlock; ++x)
            view(plane, y / 8, y % 8, x / 8, x % 8) = line[x >> halved];
        }
      }
    }
  }
}

// Returns (bytes so far, low, range) of the range coder behind the floor.
dcvc::EncoderState encode_open(fl::FloorCoder& coder, fl::FrameFloor& floor, const EncoderStart& start) {
  dcvc::RangeEncoder range_coder = encoder_from(start);
  coder.encode(range_coder, floor);
  return dcvc::state_of(range_coder);
}

py::bytes encode(fl::FloorCoder& coder, fl::FrameFloor& floor, const EncoderStart& start) {
  dcvc::RangeEncoder range_coder = encoder_from(start);
  coder.encode(range_coder, floor);
  return as_bytes(range_coder.finish());
}

// 0 untouched, else 1 + base.
Array<uint8_t> bases_of(const fl::FrameFloor& floor) {
  Array<uint8_t> out({floor.rows, floor.columns});
  std::transform(floor.blocks.begin(), floor.blocks.end(), out.mutable_data(), [](const fl::Block& block) {
    return static_cast<uint8_t>(block.is_touched ? 1 + static_cast<int>(block.base) : 0);
  });
  return out;
}

// Returns a floor as arrays: bases, levels of flat blocks, levels of parts.
py::tuple parts_of(const fl::FrameFloor& floor) {
  Array<uint16_t> flat({floor.rows, floor.columns, 3});
  Array<int16_t> levels({floor.rows, floor.columns, floor.num_parts(), fl::kPartSamples});
  std::fill_n(flat.mutable_data(), flat.size(), uint16_t{0});
  std::fill_n(levels.mutable_data(), levels.size(), int16_t{0});
  for (size_t i = 0; i < floor.blocks.size(); ++i) {
    const fl::Block& block = floor.blocks[i];
    if (block.is_touched && block.base == fl::Base::kFlat)
      std::copy_n(block.flat.begin(), 3, flat.mutable_data() + 3 * i);
    const int16_t* from = floor.levels.data() + block.first_level;
    for (int part = 0; part < floor.num_parts(); ++part) {
      if (!(block.coded >> part & 1)) continue;
      std::copy_n(from, fl::kPartSamples,
                  levels.mutable_data() +
                      (i * static_cast<size_t>(floor.num_parts()) + static_cast<size_t>(part)) * fl::kPartSamples);
      from += fl::kPartSamples;
    }
  }
  return py::make_tuple(bases_of(floor), flat, levels);
}

// Returns a floor in the form of the GPU's kernel: three words for each block, and the levels of all coded parts. The
// first word holds the base in 2 bits and three flat levels in 10 bits each.
py::tuple words_of(const fl::FrameFloor& floor) {
  Array<uint32_t> words({floor.rows, floor.columns, 3});
  Array<int16_t> levels(
      {static_cast<py::ssize_t>(floor.levels.size() / fl::kPartSamples), py::ssize_t{fl::kPartSamples}});
  uint32_t* to = words.mutable_data();
  for (const fl::Block& block : floor.blocks) {
    uint32_t base = block.is_touched ? 1 + static_cast<uint32_t>(block.base) : 0;
    for (size_t plane = 0; plane < 3; ++plane) base |= static_cast<uint32_t>(block.flat[plane]) << (2 + 10 * plane);
    *to++ = base;
    *to++ = block.is_touched ? block.coded : 0;
    *to++ = block.first_level / fl::kPartSamples;
  }
  std::copy_n(floor.levels.data(), floor.levels.size(), levels.mutable_data());
  return py::make_tuple(words, levels);
}

fl::FrameFloor floor_of_parts(int step_index, const Array<uint8_t>& bases, const Array<uint16_t>& flat,
                              const Array<int16_t>& levels, int depth) {
  require_depth(depth);
  require(step_index >= 0 && step_index < fl::kNumSteps, "the step is 0..63");
  require(bases.ndim() == 2 && bases.size() > 0, "bases must be (rows, columns)");
  const bool is_halved = levels.ndim() == 4 && levels.shape(2) == 6;
  fl::FrameFloor floor(static_cast<int>(bases.shape(0)), static_cast<int>(bases.shape(1)), is_halved, depth);
  require(levels.ndim() == 4 && levels.shape(0) == floor.rows && levels.shape(1) == floor.columns &&
              levels.shape(2) == floor.num_parts() && levels.shape(3) == fl::kPartSamples,
          "levels must be (rows, columns, 6 or 12, 64)");
  require(flat.ndim() == 3 && flat.shape(0) == floor.rows && flat.shape(1) == floor.columns && flat.shape(2) == 3,
          "flat must be (rows, columns, 3)");
  floor.is_used = true;
  floor.step_index = step_index;
  for (size_t i = 0; i < floor.blocks.size(); ++i) {
    fl::Block& block = floor.blocks[i];
    require(bases.data()[i] <= 3, "a base is 0..3");
    block.is_touched = bases.data()[i] > 0;
    if (!block.is_touched) continue;
    block.base = static_cast<fl::Base>(bases.data()[i] - 1);
    std::copy_n(flat.data() + 3 * i, 3, block.flat.begin());
    const auto is_level = [depth](uint16_t level) { return level <= fl::max_level(depth); };
    require(std::all_of(block.flat.begin(), block.flat.end(), is_level), "a flat level is deeper than the picture");
    block.first_level = static_cast<uint32_t>(floor.levels.size());
    for (int part = 0; part < floor.num_parts(); ++part) {
      const int16_t* from =
          levels.data() + (i * static_cast<size_t>(floor.num_parts()) + static_cast<size_t>(part)) * fl::kPartSamples;
      const auto is_legal = [](int16_t level) { return std::abs(level) < 1 << fl::kMaxLevelBits; };
      require(std::all_of(from, from + fl::kPartSamples, is_legal), "a level is longer than 14 bits");
      if (std::all_of(from, from + fl::kPartSamples, [](int16_t level) { return level == 0; })) continue;
      block.coded = static_cast<uint16_t>(block.coded | 1u << part);
      floor.levels.insert(floor.levels.end(), from, from + fl::kPartSamples);
    }
  }
  return floor;
}

int step_size(int step_index) {
  require(step_index >= 0 && step_index < fl::kExactStep, "a step of the transform is 0..62");
  return fl::step_size(step_index);
}

fl::FrameFloor empty_floor(int rows, int columns, bool is_halved, int depth) {
  require_depth(depth);
  require(rows > 0 && columns > 0 && rows <= dcvc::kMaxSide / fl::kBlock && columns <= dcvc::kMaxSide / fl::kBlock,
          "no picture has so many blocks");
  return {rows, columns, is_halved, depth};
}

// Returns (floor, (position, value, range) of the range coder behind it); None if the bytes hold no floor.
py::object decode_open(fl::FloorCoder& coder, const py::bytes& data, int rows, int columns, bool is_halved,
                       const DecoderStart& start, int depth) {
  fl::FrameFloor floor = empty_floor(rows, columns, is_halved, depth);
  dcvc::RangeDecoder range_coder = decoder_from(data, start);
  if (!coder.decode(range_coder, floor)) return py::none();
  return py::make_tuple(std::move(floor), dcvc::state_of(range_coder));
}

py::object decode(fl::FloorCoder& coder, const py::bytes& data, int rows, int columns, bool is_halved,
                  const DecoderStart& start, int depth) {
  fl::FrameFloor floor = empty_floor(rows, columns, is_halved, depth);
  dcvc::RangeDecoder range_coder = decoder_from(data, start);
  if (!coder.decode(range_coder, floor) || !range_coder.is_whole()) return py::none();
  return py::cast(std::move(floor));
}

fl::Choice choose(const fl::FloorChooser& chooser, const fl::FloorCoder& coder, const Planes& planes,
                  const std::optional<Planes>& compensated, const Source& source, int step_index, int64_t bit_price,
                  int chroma_weight, int depth, bool is_alone) {
  require_depth(depth);
  const bool is_halved = require_planes(planes);
  require(require_planes(source) == is_halved && source[0].shape(0) == planes[0].shape(0) &&
              source[0].shape(1) == planes[0].shape(1),
          "source and planes must have one size");
  if (compensated) {
    require(require_planes(*compensated) == is_halved && (*compensated)[0].shape(0) == planes[0].shape(0) &&
                (*compensated)[0].shape(1) == planes[0].shape(1),
            "both pictures must have one size");
  }
  require(step_index >= 0 && step_index < fl::kNumSteps, "the step is 0..63");
  require(bit_price >= 0 && bit_price < int64_t{1} << 32 && chroma_weight > 0 && chroma_weight < 256,
          "price or weight is out of range");
  const fl::Planes view = view_of_const(planes), base = compensated ? view_of_const(*compensated) : fl::Planes{};
  const std::array<fl::Source, 3> samples{{{source[0].data()}, {source[1].data()}, {source[2].data()}}};
  py::gil_scoped_release release;
  return chooser.choose(view, base, samples, coder, {step_index, bit_price, depth, chroma_weight, is_alone}, is_halved);
}

void remember(fl::FloorChooser& chooser, const Source& source) {
  require_planes(source);
  fl::Planes size;
  std::array<fl::Source, 3> samples;
  for (size_t i = 0; i < 3; ++i) {
    size[i] = {nullptr, side(source[i], 0), side(source[i], 1)};
    samples[i] = {source[i].data()};
  }
  chooser.remember(size, samples);
}

}  // namespace

PYBIND11_MODULE(_floor, module) {
  module.doc() = "The floor: coding, reconstruction, the encoder's choice.";
  module.attr("BLOCK") = fl::kBlock;
  module.attr("PART") = fl::kPart;
  module.attr("MAX_SAMPLE") = dcvc::kMaxSample;
  module.attr("MAX_SIDE") = dcvc::kMaxSide;
  module.attr("MAX_LEVEL_BITS") = fl::kMaxLevelBits;
  module.attr("MAX_DEPTH") = fl::kMaxDepth;
  module.attr("EXACT_STEP") = fl::kExactStep;
  module.def("step_size", &step_size, py::arg("step_index"));
  py::class_<fl::FrameFloor>(module, "FrameFloor")
      .def_readonly("is_used", &fl::FrameFloor::is_used)
      .def_readonly("step_index", &fl::FrameFloor::step_index)
      .def_readonly("depth", &fl::FrameFloor::depth)
      .def_property_readonly("bases", &bases_of)
      .def("parts", &parts_of)
      .def("words", &words_of);
  module.def("unused_floor", &empty_floor, py::arg("rows"), py::arg("columns"), py::arg("is_halved"),
             py::arg("depth") = 8);
  module.def("floor_of_parts", &floor_of_parts, py::arg("step_index"), py::arg("bases").noconvert(),
             py::arg("flat").noconvert(), py::arg("levels").noconvert(), py::arg("depth") = 8);
  py::class_<fl::Choice>(module, "Choice")
      .def_readonly("floor", &fl::Choice::floor)
      .def_readonly("error", &fl::Choice::error)
      .def_readonly("cost", &fl::Choice::cost)
      .def_readonly("cost_without", &fl::Choice::cost_without)
      .def_readonly("bits", &fl::Choice::bits)
      .def_readonly("num_touched", &fl::Choice::num_touched)
      .def_readonly("num_replaced", &fl::Choice::num_replaced);
  module.def("reconstruct", &reconstruct, py::arg("floor"), py::arg("planes").noconvert(),
             py::arg("compensated").noconvert() = py::none());
  module.def("put_back", &put_back, py::arg("floor"), py::arg("planes").noconvert(), py::arg("squares").noconvert());
  py::class_<fl::FloorCoder>(module, "FloorCoder")
      .def(py::init<>())
      .def("__copy__", [](const fl::FloorCoder& coder) { return coder; })
      .def("reset", &fl::FloorCoder::reset)
      .def("encode_open", &encode_open, py::arg("floor"), py::arg("start") = py::none())
      .def("encode", &encode, py::arg("floor"), py::arg("start") = py::none())
      .def("decode_open", &decode_open, py::arg("data"), py::arg("rows"), py::arg("columns"), py::arg("is_halved"),
           py::arg("start") = py::none(), py::arg("depth") = 8)
      .def("decode", &decode, py::arg("data"), py::arg("rows"), py::arg("columns"), py::arg("is_halved"),
           py::arg("start") = py::none(), py::arg("depth") = 8);
  py::class_<fl::FloorChooser>(module, "FloorChooser")
      .def(py::init<>())
      .def("__copy__", [](const fl::FloorChooser& chooser) { return chooser; })
      .def("remember", &remember, py::arg("source").noconvert())
      .def("choose", &choose, py::arg("coder"), py::arg("planes").noconvert(), py::arg("compensated").noconvert(),
           py::arg("source").noconvert(), py::arg("step_index"), py::arg("bit_price"), py::arg("chroma_weight"),
           py::arg("depth") = 8, py::arg("is_alone") = false);
}
