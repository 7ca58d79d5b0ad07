// The Python bindings of the lossless layer: they convert types, check array sizes and release the GIL.
#include <array>
#include <optional>

#include "kernels/base/arrays.hpp"
#include "kernels/base/coder_states.hpp"
#include "kernels/base/samples.hpp"
#include "kernels/lossless/layer.hpp"

namespace py = pybind11;
namespace ll = dcvc::lossless;

namespace {

using dcvc::Array;
using dcvc::as_bytes;
using dcvc::require;
using Planes = std::array<Array<int16_t>, 3>;
using Levels = std::array<Array<uint16_t>, 3>;

void require_depth(int depth) {
  require(depth >= ll::kMinDepth && depth <= ll::kMaxDepth, "the depth is 8 to 12 bits");
}

// Planes are as large as the levels or larger: they may be padded.
std::array<ll::PictureView, 3> views_of(const Planes& planes, const std::array<ll::LevelsView, 3>& levels) {
  std::array<ll::PictureView, 3> views;
  for (size_t i = 0; i < 3; ++i) {
    require(planes[i].ndim() == 2 && planes[i].shape(0) >= levels[i].height && planes[i].shape(1) >= levels[i].width,
            "a plane of the picture must be (height, width), no smaller than that of the levels");
    views[i] = {planes[i].data(), static_cast<size_t>(planes[i].shape(1))};
    const int16_t* end = planes[i].data() + planes[i].size();
    for (const int16_t* sample = planes[i].data(); sample != end; ++sample)
      require(*sample >= 0 && *sample <= dcvc::kMaxSample, "samples of the picture are 0..8192");
  }
  return views;
}

std::array<ll::LevelsView, 3> views_of(Levels& levels) {
  std::array<ll::LevelsView, 3> views;
  for (size_t i = 0; i < 3; ++i) {
    require(levels[i].ndim() == 2, "levels must be (height, width)");
    const auto height = levels[i].shape(0), width = levels[i].shape(1);
    require(height > 0 && width > 0 && height <= dcvc::kMaxSide && width <= dcvc::kMaxSide,
            "no picture has these sides");
    views[i] = {levels[i].mutable_data(), static_cast<int>(height), static_cast<int>(width)};
  }
  const int height = views[0].height, width = views[0].width;
  const bool is_same = views[1].height == height && views[1].width == width;
  require(views[1].height == views[2].height && views[1].width == views[2].width &&
              (is_same || (views[1].height == (height + 1) / 2 && views[1].width == (width + 1) / 2)),
          "chroma must be as large as luma, or half as large in both directions");
  return views;
}

ll::Frame frame_of(Levels& levels, const Planes& picture, const std::optional<Planes>& compensated, int depth) {
  require_depth(depth);
  ll::Frame frame;
  frame.levels = views_of(levels);
  frame.picture = views_of(picture, frame.levels);
  if (compensated) frame.compensated = views_of(*compensated, frame.levels);
  frame.depth = depth;
  return frame;
}

py::bytes encode(ll::LayerCoder& coder, const Levels& levels, const Planes& picture,
                 const std::optional<Planes>& compensated, int depth) {
  require_depth(depth);
  Levels copy;  // the coder writes the levels that it codes
  for (size_t i = 0; i < 3; ++i) {
    copy[i] = Array<uint16_t>(levels[i].request().shape);
    uint16_t* out = copy[i].mutable_data();
    for (py::ssize_t at = 0; at < levels[i].size(); ++at) {
      out[at] = levels[i].data()[at];
      require(out[at] >> depth == 0, "a level is above the largest of this depth");
    }
  }
  const ll::Frame frame = frame_of(copy, picture, compensated, depth);
  std::vector<uint8_t> bytes;
  {
    py::gil_scoped_release release;
    dcvc::RangeEncoder range;
    coder.encode(range, frame);
    bytes = range.finish();
  }
  return as_bytes(bytes);
}

// None where the bytes hold no layer or something else as well; the coder must then be reset.
std::optional<Levels> decode(ll::LayerCoder& coder, const py::bytes& data,
                             const std::array<std::pair<int, int>, 3>& sizes, const Planes& picture,
                             const std::optional<Planes>& compensated, int depth) {
  Levels levels;
  for (size_t i = 0; i < 3; ++i) {
    const auto [height, width] = sizes[i];
    require(height > 0 && width > 0 && height <= dcvc::kMaxSide && width <= dcvc::kMaxSide,
            "no picture has these sides");
    levels[i] = Array<uint16_t>({height, width});
    std::fill_n(levels[i].mutable_data(), levels[i].size(), uint16_t{0});
  }
  const ll::Frame frame = frame_of(levels, picture, compensated, depth);
  const std::string_view bytes = data;
  bool is_intact = false;
  {
    py::gil_scoped_release release;
    dcvc::RangeDecoder range(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    is_intact = coder.decode(range, frame) && range.is_whole();
  }
  return is_intact ? std::optional<Levels>(levels) : std::nullopt;
}

}  // namespace

PYBIND11_MODULE(_lossless, module) {
  module.doc() = "The lossless layer: coding of what a picture lacks of its source.";
  module.attr("MIN_DEPTH") = ll::kMinDepth;
  module.attr("MAX_DEPTH") = ll::kMaxDepth;
  py::class_<ll::LayerCoder>(module, "LayerCoder")
      .def(py::init<>())
      .def("__copy__", [](const ll::LayerCoder& coder) { return coder; })
      .def("reset", &ll::LayerCoder::reset)
      .def("encode", &encode, py::arg("levels").noconvert(), py::arg("picture").noconvert(),
           py::arg("compensated").noconvert(), py::arg("depth"))
      .def("decode", &decode, py::arg("data"), py::arg("sizes"), py::arg("picture").noconvert(),
           py::arg("compensated").noconvert(), py::arg("depth"));
}
