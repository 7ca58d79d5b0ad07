// The Python bindings of the output filter: they convert types, check array sizes and release the GIL. They hold no
// logic.
#include <algorithm>
#include <array>
#include <optional>

#include "kernels/base/arrays.hpp"
#include "kernels/base/coder_states.hpp"
#include "kernels/filter/filter_coder.hpp"
#include "kernels/filter/filters.hpp"
#include "kernels/filter/fit.hpp"
#include "kernels/filter/kernel_table.hpp"

namespace py = pybind11;
namespace fi = dcvc::filter;

namespace {

using dcvc::Array;
using dcvc::as_bytes;
using dcvc::decoder_from;
using dcvc::encoder_from;
using dcvc::kCell;
using dcvc::require;
using Squares = py::array_t<int16_t, 0>;  // of any layout
using Planes = std::array<Array<int16_t>, 3>;
using EncoderStart = std::optional<dcvc::EncoderState>;
using DecoderStart = std::optional<dcvc::DecoderState>;

int side(const Array<int16_t>& plane, int axis) { return static_cast<int>(plane.shape(axis)); }

Array<int16_t> empty_plane(int height, int width) { return Array<int16_t>({height, width}); }

void require_planes(const Planes& planes) {
  for (const auto& plane : planes) {
    require(plane.ndim() == 2 && side(plane, 0) > 0 && side(plane, 1) > 0 && side(plane, 0) % fi::kClassBlock == 0 &&
                side(plane, 1) % fi::kClassBlock == 0,
            "planes must be (height, width), multiples of 4");
  }
  require(side(planes[1], 0) == side(planes[2], 0) && side(planes[1], 1) == side(planes[2], 1),
          "Cb and Cr must have one size");
  const bool same = side(planes[1], 0) == side(planes[0], 0) && side(planes[1], 1) == side(planes[0], 1);
  const bool half = 2 * side(planes[1], 0) == side(planes[0], 0) && 2 * side(planes[1], 1) == side(planes[0], 1);
  require(same || half, "chroma must be as large as luma, or half as large in both directions");
}

fi::Filters as_filters(const Array<int8_t>& luma, const Array<int8_t>& chroma) {
  require(luma.ndim() == 2 && luma.shape(0) == fi::kClasses && luma.shape(1) == fi::kLumaTerms,
          "filters of luma must be (24, 12)");
  require(chroma.ndim() == 2 && chroma.shape(0) == fi::kFilters - fi::kClasses && chroma.shape(1) == fi::kChromaTerms,
          "filters of chroma must be (2, 16)");
  fi::Filters filters{};
  for (int i = 0; i < fi::kFilters; ++i) {
    const int8_t* from =
        i < fi::kClasses ? luma.data() + i * fi::kLumaTerms : chroma.data() + (i - fi::kClasses) * fi::kChromaTerms;
    std::copy_n(from, fi::num_terms(i), filters[static_cast<size_t>(i)].begin());
    for (const int8_t value : filters[static_cast<size_t>(i)])
      require(value >= -fi::kMaxCoefficient, "a coefficient is -127..127");
  }
  return filters;
}

py::tuple as_tuple(const fi::Filters& filters) {
  Array<int8_t> luma({fi::kClasses, fi::kLumaTerms}), chroma({fi::kFilters - fi::kClasses, fi::kChromaTerms});
  for (int i = 0; i < fi::kFilters; ++i) {
    int8_t* to = i < fi::kClasses ? luma.mutable_data() + i * fi::kLumaTerms
                                  : chroma.mutable_data() + (i - fi::kClasses) * fi::kChromaTerms;
    std::copy_n(filters[static_cast<size_t>(i)].begin(), fi::num_terms(i), to);
  }
  return py::make_tuple(luma, chroma);
}

py::tuple planes_of_squares(const Squares& squares, bool halve_chroma) {
  require(squares.ndim() == 5 && squares.shape(0) == 3 && squares.shape(2) == kCell && squares.shape(4) == kCell &&
              squares.shape(1) > 0 && squares.shape(3) > 0,
          "squares must be (3, height / 8, 8, width / 8, 8)");
  const auto view = squares.unchecked<5>();
  const int height = static_cast<int>(squares.shape(1)) * kCell, width = static_cast<int>(squares.shape(3)) * kCell;
  py::tuple out(3);
  for (int plane = 0; plane < 3; ++plane) {
    Array<int16_t> lines = empty_plane(height, width);
    int16_t* to = lines.mutable_data();
    for (int y = 0; y < height; ++y) {
      for (int column = 0; column < width / kCell; ++column) {
        const int16_t* from = view.data(plane, y / kCell, y % kCell, column, 0);
        const auto step = squares.strides(4) / static_cast<py::ssize_t>(sizeof(int16_t));
        for (int x = 0; x < kCell; ++x) *to++ = from[x * step];
      }
    }
    if (plane > 0 && halve_chroma) {
      Array<int16_t> halved = empty_plane(height / 2, width / 2);
      fi::halve(lines.data(), height, width, halved.mutable_data());
      lines = halved;
    }
    out[static_cast<size_t>(plane)] = lines;
  }
  return out;
}

fi::Plane companion_of(const Planes& planes) {
  const int height = side(planes[0], 0), width = side(planes[0], 1);
  if (side(planes[1], 1) == width) return {planes[0].data(), height, width, fi::kReach};
  std::vector<int16_t> halved(static_cast<size_t>(height / 2) * (width / 2));
  fi::halve(planes[0].data(), height, width, halved.data());
  return {halved.data(), height / 2, width / 2, fi::kReach};
}

py::tuple filter_planes(const Planes& planes, const Array<int8_t>& luma, const Array<int8_t>& chroma) {
  require_planes(planes);
  const fi::Filters filters = as_filters(luma, chroma);
  Planes out;
  std::array<int16_t*, 3> to;
  for (size_t i = 0; i < 3; ++i) {
    out[i] = empty_plane(side(planes[i], 0), side(planes[i], 1));
    to[i] = out[i].mutable_data();
  }
  {
    py::gil_scoped_release release;
    fi::filter_luma({planes[0].data(), side(planes[0], 0), side(planes[0], 1), fi::kReach}, filters, to[0]);
    const fi::Plane companion = companion_of(planes);
    for (size_t i = 1; i < 3; ++i) {
      fi::filter_chroma({planes[i].data(), side(planes[i], 0), side(planes[i], 1), fi::kReach}, companion,
                        filters[fi::kClasses + i - 1], to[i]);
    }
  }
  return py::make_tuple(out[0], out[1], out[2]);
}

// Returns the upper left height x width samples as bytes.
Array<uint8_t> bytes_of_plane(const Array<int16_t>& plane, int height, int width) {
  require(plane.ndim() == 2 && height > 0 && width > 0 && height <= side(plane, 0) && width <= side(plane, 1),
          "the plane is smaller than that");
  Array<uint8_t> out({height, width});
  for (int y = 0; y < height; ++y) {
    const int16_t* from = plane.data() + static_cast<size_t>(y) * static_cast<size_t>(side(plane, 1));
    uint8_t* to = out.mutable_data() + static_cast<size_t>(y) * static_cast<size_t>(width);
    for (int x = 0; x < width; ++x)
      to[x] = static_cast<uint8_t>((from[x] * 255 + dcvc::kMaxSample / 2) >> dcvc::kSampleBits);
  }
  return out;
}

// Returns (bytes so far, low, range) of the range coder behind the filters.
dcvc::EncoderState encode_open(fi::FilterCoder& coder, const Array<int8_t>& luma, const Array<int8_t>& chroma,
                               const EncoderStart& start) {
  dcvc::RangeEncoder range_coder = encoder_from(start);
  coder.encode(range_coder, as_filters(luma, chroma));
  return dcvc::state_of(range_coder);
}

py::bytes encode(fi::FilterCoder& coder, const Array<int8_t>& luma, const Array<int8_t>& chroma,
                 const EncoderStart& start) {
  dcvc::RangeEncoder range_coder = encoder_from(start);
  coder.encode(range_coder, as_filters(luma, chroma));
  return as_bytes(range_coder.finish());
}

// Returns (filters, (position, value, range) of the range coder behind them); None if the bytes hold no filters.
py::object decode_open(fi::FilterCoder& coder, const py::bytes& data, const DecoderStart& start) {
  dcvc::RangeDecoder range_coder = decoder_from(data, start);
  if (!coder.decode(range_coder)) return py::none();
  return py::make_tuple(as_tuple(coder.filters()), dcvc::state_of(range_coder));
}

py::object decode(fi::FilterCoder& coder, const py::bytes& data, const DecoderStart& start) {
  dcvc::RangeDecoder range_coder = decoder_from(data, start);
  if (!coder.decode(range_coder) || !range_coder.is_whole()) return py::none();
  return as_tuple(coder.filters());
}

py::tuple fit(fi::FilterFit& fit, const Planes& planes, const std::array<Array<int16_t>, 3>& source,
              const fi::FilterCoder& coder, double lambda, double chroma_weight) {
  require_planes(planes);
  require(lambda >= 0 && chroma_weight >= 0, "lambda and weight must not be negative");
  std::array<fi::FitPlane, 3> fitted;
  for (size_t i = 0; i < 3; ++i) {
    const int height = side(planes[i], 0), width = side(planes[i], 1);
    require(source[i].ndim() == 2 && source[i].shape(0) == height && source[i].shape(1) == width,
            "source and planes must have one size");
    fitted[i] = {planes[i].data(), source[i].data(), height, width};
  }
  fi::Filters found;
  {
    py::gil_scoped_release release;
    found = fit.fit(fitted[0], fitted[1], fitted[2], coder, lambda, chroma_weight);
  }
  return as_tuple(found);
}

}  // namespace

PYBIND11_MODULE(_filter, module) {
  module.doc() = "The output filter: filtering, coding of filters, their fit to a source.";
  module.attr("NUM_CLASSES") = fi::kClasses;
  module.attr("NUM_LUMA_TERMS") = fi::kLumaTerms;
  module.attr("NUM_CHROMA_TERMS") = fi::kChromaTerms;
  module.attr("MAX_COEFFICIENT") = fi::kMaxCoefficient;
  module.attr("MAX_SAMPLE") = dcvc::kMaxSample;
  module.attr("MAX_LIMITED_STEP") = fi::kClip;
  module.attr("MAX_COEFFICIENT_PREFIX") = fi::kMaxCoefficientPrefix;
  module.attr("CLASS_BLOCK") = fi::kClassBlock;
  module.attr("REACH") = fi::kReach;
  dcvc::bind_isa<fi::KernelTable, fi::dispatch>(module);
  module.def("planes_of_squares", &planes_of_squares, py::arg("squares").noconvert(), py::arg("halve_chroma"));
  module.def("filter_planes", &filter_planes, py::arg("planes").noconvert(), py::arg("luma").noconvert(),
             py::arg("chroma").noconvert());
  module.def("bytes_of_plane", &bytes_of_plane, py::arg("plane").noconvert(), py::arg("height"), py::arg("width"));
  py::class_<fi::FilterCoder>(module, "FilterCoder")
      .def(py::init<>())
      .def("__copy__", [](const fi::FilterCoder& coder) { return coder; })
      .def("reset", &fi::FilterCoder::reset)
      .def_property_readonly("filters", [](const fi::FilterCoder& coder) { return as_tuple(coder.filters()); })
      .def("encode_open", &encode_open, py::arg("luma").noconvert(), py::arg("chroma").noconvert(),
           py::arg("start") = py::none())
      .def("encode", &encode, py::arg("luma").noconvert(), py::arg("chroma").noconvert(), py::arg("start") = py::none())
      .def("decode_open", &decode_open, py::arg("data"), py::arg("start") = py::none())
      .def("decode", &decode, py::arg("data"), py::arg("start") = py::none());
  py::class_<fi::FilterFit>(module, "FilterFit")
      .def(py::init<>())
      .def("__copy__", [](const fi::FilterFit& fit) { return fit; })
      .def("reset", &fi::FilterFit::reset)
      .def("fit", &fit, py::arg("planes").noconvert(), py::arg("source").noconvert(), py::arg("coder"),
           py::arg("lambda_"), py::arg("chroma_weight"));
}
