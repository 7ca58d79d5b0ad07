// The Python bindings of the kernels: they check types and shapes, put results into recycled memory and release the
// GIL. They hold no arithmetic.
#include <memory>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>

#include "kernels/base/pooled_array.hpp"
#include "kernels/cpu/engine.hpp"
#include "kernels/cpu/isa.hpp"
#include "kernels/cpu/layer_bindings.hpp"

namespace py = pybind11;
namespace k = dcvc::kernels;

namespace {

using dcvc::Array;
using dcvc::require;
using Tensor = Array<int16_t>;

constexpr int kMostThreads = 256;

k::Size size_of(const Tensor& x) {
  require(x.ndim() == 3 && x.size() > 0, "a tensor must be int16 (height, width, channels) and not empty");
  require(x.size() < (ssize_t{1} << 31), "a tensor has 2^31 or more elements");
  return {static_cast<int>(x.shape(0)), static_cast<int>(x.shape(1))};
}

int channels_of(const Tensor& x) { return static_cast<int>(x.shape(2)); }

void require_channels(const Tensor& x, int channels, const char* layer) {
  require(x.ndim() == 3 && x.shape(2) == channels,
          std::string(layer) + " takes " + std::to_string(channels) + " channels");
}

// The instruction set of the kernels that an engine takes for `isa`; none if this machine cannot run `isa`.
std::optional<std::string> isa_for(const std::string& isa) {
  const k::KernelTable* table = k::kernels_for(isa);
  return table ? std::optional<std::string>(table->name) : std::nullopt;
}

Tensor make_tensor(k::Engine& engine, k::Size size, int channels) {
  return dcvc::pooled_array<int16_t>({size.height, size.width, channels}, engine.shared_buffers());
}

std::unique_ptr<k::Engine> make_engine(const std::string& isa, int num_threads, const Array<int16_t>& nodes) {
  require(num_threads >= 1 && num_threads <= kMostThreads, "threads must be 1..256");
  require(nodes.ndim() == 1 && nodes.size() == 65, "the activation table needs 65 nodes");
  const k::KernelTable* kernels = k::kernels_for(isa);
  if (!kernels) throw std::runtime_error("this machine has no " + isa);
  k::ActivationTable table{};
  for (int i = 0; i < 64; ++i) {
    const int rise = nodes.data()[i + 1] - nodes.data()[i];
    // The activation's 16-bit steps stay in range for such tables.
    require(nodes.data()[i] >= 0 && nodes.data()[i] < 20000 && rise > -8192 && rise < 8192,
            "an activation node is out of range");
    table.nodes[i] = nodes.data()[i];
    table.rises[i] = static_cast<int16_t>(rise);
    table.node_and_rise[i] = nodes.data()[i] + rise * 65536;
  }
  return std::make_unique<k::Engine>(*kernels, num_threads, table);
}

Tensor conv(k::Engine& engine, const k::ConvLayer& layer, const Tensor& x) {
  const k::Size size = size_of(x);
  require_channels(x, layer.channels, "the convolution");
  require(size.height + 2 * layer.padding >= layer.kernel && size.width + 2 * layer.padding >= layer.kernel,
          "the input is smaller than the kernel");
  Tensor out = make_tensor(engine, k::Engine::conv_size(layer, size), layer.matrix.num_outputs());
  const int16_t* in = x.data();
  int16_t* to = out.mutable_data();
  const py::gil_scoped_release release;
  engine.conv(layer, in, size, to);
  return out;
}

Tensor depthwise(k::Engine& engine, const k::DepthwiseLayer& layer, const Tensor& x) {
  const k::Size size = size_of(x);
  require_channels(x, layer.channels(), "the depthwise layer");
  Tensor out = make_tensor(engine, size, layer.channels());
  const int16_t* in = x.data();
  int16_t* to = out.mutable_data();
  const py::gil_scoped_release release;
  engine.depthwise(layer, in, size, to);
  return out;
}

// The parts of a value, which must be of one size.
k::Parts parts_of(const std::vector<Tensor>& tensors) {
  require(!tensors.empty(), "nothing to concatenate");
  const k::Size size = size_of(tensors[0]);
  k::Parts parts;
  int64_t total = 0;
  for (const Tensor& tensor : tensors) {
    const k::Size other = size_of(tensor);
    require(other.height == size.height && other.width == size.width, "the parts of a concatenation differ in size");
    parts.tensors.push_back(tensor.data());
    parts.channels.push_back(channels_of(tensor));
    total += parts.channels.back();
  }
  require(total <= k::kMostChannels && total * size.num_pixels() < (int64_t{1} << 31),
          "the concatenation is too large");
  return parts;
}

Tensor depth_conv_block(k::Engine& engine, const k::BoundBlock& block, const std::vector<Tensor>& tensors) {
  const k::Parts parts = parts_of(tensors);
  const k::Size size = size_of(tensors[0]);
  const int channels = block.layers.channels();
  const int inputs = std::accumulate(parts.channels.begin(), parts.channels.end(), 0);
  require(inputs == (block.adaptor ? block.adaptor->channels : channels),
          "the block does not take " + std::to_string(inputs) + " channels");
  require(block.adaptor || tensors.size() == 1, "a block without an adaptor takes one tensor");
  Tensor out = make_tensor(engine, size, channels);
  int16_t* to = out.mutable_data();
  const py::gil_scoped_release release;
  engine.depth_conv_block(block.layers, parts, size, to);
  return out;
}

Tensor activate(k::Engine& engine, const Tensor& x, int exponent) {
  const k::Size size = size_of(x);
  require(k::is_activation_exponent(exponent), "the activation's exponent must be 5..13");
  Tensor out = make_tensor(engine, size, channels_of(x));
  const int16_t* in = x.data();
  int16_t* to = out.mutable_data();
  const size_t count = static_cast<size_t>(x.size());
  const py::gil_scoped_release release;
  engine.activate(in, count, exponent, to);
  return out;
}

Tensor add(k::Engine& engine, const Tensor& x, const Tensor& y) {
  const k::Size size = size_of(x), other = size_of(y);
  require(size.height == other.height && size.width == other.width && channels_of(x) == channels_of(y),
          "a sum needs two tensors of one shape");
  Tensor out = make_tensor(engine, size, channels_of(x));
  const int16_t *a = x.data(), *b = y.data();
  int16_t* to = out.mutable_data();
  const size_t count = static_cast<size_t>(x.size());
  const py::gil_scoped_release release;
  engine.add(a, b, count, to);
  return out;
}

Tensor scale(k::Engine& engine, const Tensor& x, const Array<int16_t>& factors, int shift) {
  const k::Size size = size_of(x);
  const int channels = channels_of(x);
  require(factors.ndim() == 1 && factors.size() == channels && shift >= 1 && shift <= 30,
          "factors must be (channels,) and the shift 1..30");
  Tensor out = make_tensor(engine, size, channels);
  const int16_t *in = x.data(), *factor = factors.data();
  int16_t* to = out.mutable_data();
  const py::gil_scoped_release release;
  engine.scale(in, static_cast<size_t>(size.num_pixels()), channels, factor, shift, to);
  return out;
}

Tensor multiply(k::Engine& engine, const Tensor& x, const Tensor& y, int shift) {
  const k::Size size = size_of(x), other = size_of(y);
  const int channels = channels_of(x), y_channels = channels_of(y);
  require(size.height == other.height && size.width == other.width && (y_channels == 1 || y_channels == channels),
          "the factors have another shape");
  require(shift >= -30 && shift <= 30, "the shift must be -30..30");
  Tensor out = make_tensor(engine, size, channels);
  const int16_t *a = x.data(), *b = y.data();
  int16_t* to = out.mutable_data();
  const py::gil_scoped_release release;
  engine.multiply(a, b, static_cast<size_t>(size.num_pixels()), channels, y_channels, shift, to);
  return out;
}

Tensor add_fours(k::Engine& engine, const Tensor& x) {
  const k::Size size = size_of(x);
  require(channels_of(x) % 4 == 0, "the channels do not divide by 4");
  Tensor out = make_tensor(engine, size, channels_of(x) / 4);
  const int16_t* in = x.data();
  int16_t* to = out.mutable_data();
  const size_t num_sums = static_cast<size_t>(out.size());
  const py::gil_scoped_release release;
  engine.add_fours(in, num_sums, to);
  return out;
}

Tensor clamp(k::Engine& engine, const Tensor& x, int shift, int lowest, int highest, int offset) {
  const k::Size size = size_of(x);
  require(shift >= -15 && shift <= 15 && lowest >= -32768 && lowest <= highest && highest <= 32767,
          "shift or limits out of range");
  require(offset >= -32768 - lowest && offset <= 32767 - highest, "the offset leaves 16 bits");
  Tensor out = make_tensor(engine, size, channels_of(x));
  const int16_t* in = x.data();
  int16_t* to = out.mutable_data();
  const size_t count = static_cast<size_t>(x.size());
  const py::gil_scoped_release release;
  engine.clamp(in, count, shift, lowest, highest, offset, to);
  return out;
}

Tensor pixel_shuffle(k::Engine& engine, const Tensor& x, int factor) {
  const k::Size size = size_of(x);
  require(factor >= 1 && factor <= 16 && channels_of(x) % (factor * factor) == 0,
          "the channels do not divide by factor * factor");
  const int channels = channels_of(x) / (factor * factor);
  require(size.height <= (1 << 24) && size.width <= (1 << 24), "the tensor is too large");
  Tensor out = make_tensor(engine, {size.height * factor, size.width * factor}, channels);
  const int16_t* in = x.data();
  int16_t* to = out.mutable_data();
  const py::gil_scoped_release release;
  engine.pixel_shuffle(in, size, channels, factor, to);
  return out;
}

Tensor concat(k::Engine& engine, const std::vector<Tensor>& tensors) {
  const k::Parts parts = parts_of(tensors);
  const k::Size size = size_of(tensors[0]);
  Tensor out = make_tensor(engine, size, std::accumulate(parts.channels.begin(), parts.channels.end(), 0));
  int16_t* to = out.mutable_data();
  const py::gil_scoped_release release;
  engine.concat(parts, size.num_pixels(), to);
  return out;
}

k::StepGroups step_groups(const std::array<int, 4>& group_at, int num_groups, int channels) {
  require(num_groups >= 1 && num_groups <= 4 && channels % num_groups == 0,
          "the channels do not divide into the step's groups");
  for (const int group : group_at) require(group >= 0 && group < num_groups, "a position class has no group");
  return {group_at, num_groups};
}

py::tuple step_index(k::Engine& engine, const Tensor& scales, const std::array<int, 4>& group_at, int num_groups,
                     const Array<uint8_t>& row_of_scale, int largest_skipped) {
  const k::Size size = size_of(scales);
  const int channels = channels_of(scales);
  const k::StepGroups step = step_groups(group_at, num_groups, channels);
  require(row_of_scale.ndim() == 1 && row_of_scale.size() == 65536, "the table of rows must have 65536 entries");
  const std::vector<ssize_t> shape{channels / num_groups, size.height, size.width};
  auto rows = dcvc::pooled_array<uint8_t>(shape, engine.shared_buffers());
  auto coded = dcvc::pooled_array<bool>(shape, engine.shared_buffers());
  const int16_t* in = scales.data();
  const uint8_t* table = row_of_scale.data();
  uint8_t* to_rows = rows.mutable_data();
  bool* to_coded = coded.mutable_data();
  {
    const py::gil_scoped_release release;
    engine.step_index(in, size, channels, step, table, largest_skipped, to_rows, to_coded);
  }
  return py::make_tuple(rows, coded);
}

Tensor restore_step(k::Engine& engine, const Array<int8_t>& symbols, const Tensor& means,
                    const std::array<int, 4>& group_at, int num_groups, int exponent) {
  const k::Size size = size_of(means);
  const int channels = channels_of(means);
  const k::StepGroups step = step_groups(group_at, num_groups, channels);
  require(symbols.ndim() == 3 && symbols.shape(0) == channels / num_groups && symbols.shape(1) == size.height &&
              symbols.shape(2) == size.width,
          "symbols must be (channels / groups, height, width)");
  require(exponent >= 0 && exponent <= 15, "the exponent must be 0..15");
  Tensor out = make_tensor(engine, size, channels);
  const int8_t* in = symbols.data();
  const int16_t* mean = means.data();
  int16_t* to = out.mutable_data();
  const py::gil_scoped_release release;
  engine.restore_step(in, mean, size, channels, step, exponent, to);
  return out;
}

py::tuple export_planes(k::Engine& engine, const Tensor& cells, int exponent, bool halve_chroma, bool truncate_chroma) {
  const k::Size size = size_of(cells);
  require_channels(cells, 192, "output");
  require(exponent >= 1 && exponent <= 14, "the picture's exponent must be 1..14");
  const ssize_t chroma = halve_chroma ? 4 : 8;
  const auto plane = [&](ssize_t side) {
    return dcvc::pooled_array<uint8_t>({size.height * side, size.width * side}, engine.shared_buffers());
  };
  auto y = plane(8), cb = plane(chroma), cr = plane(chroma);
  uint8_t* const planes[3] = {y.mutable_data(), cb.mutable_data(), cr.mutable_data()};
  const int16_t* in = cells.data();
  {
    const py::gil_scoped_release release;
    engine.export_planes(in, size, exponent, halve_chroma, truncate_chroma, planes);
  }
  return py::make_tuple(y, cb, cr);
}

}  // namespace

PYBIND11_MODULE(_kernels, m) {
  m.doc() = "Integer kernels of the exact profile; use dcvc_cli.backend.exact_native";
  m.attr("MAX_THREADS") = kMostThreads;
  m.attr("MAX_ROW_SUM") = k::kMostRowSum;
  m.attr("MIN_ACTIVATION_EXPONENT") = k::kLeastExponent;
  m.attr("MAX_ACTIVATION_EXPONENT") = k::kMostExponent;
  m.def("usable_isas", &k::usable_isas);
  m.def("isa_for", &isa_for, py::arg("isa"));
  py::class_<k::ConvLayer, k::ConvPtr>(m, "Conv").def(py::init(&k::make_conv), py::arg("weights").noconvert(),
                                                      py::arg("multiplier").noconvert(), py::arg("addend").noconvert(),
                                                      py::arg("stride"), py::arg("padding"));
  py::class_<k::DepthwiseLayer, k::DepthwisePtr>(m, "Depthwise")
      .def(py::init(&k::make_depthwise), py::arg("weights").noconvert(), py::arg("multiplier").noconvert(),
           py::arg("addend").noconvert());
  py::class_<k::BoundBlock, std::shared_ptr<k::BoundBlock>>(m, "Block")
      .def(py::init(&k::make_block), py::arg("adaptor").none(true), py::arg("dc_in"), py::arg("dc_spatial"),
           py::arg("dc_out"), py::arg("ffn_first"), py::arg("ffn_second").none(true), py::arg("ffn_out"),
           py::arg("dc_exponent"), py::arg("ffn_exponent"), py::arg("shortcut"));
  py::class_<k::Engine>(m, "Engine")
      .def(py::init(&make_engine), py::arg("isa"), py::arg("num_threads"), py::arg("nodes").noconvert())
      .def_property_readonly("isa", [](const k::Engine& engine) { return std::string(engine.kernels().name); })
      .def_property_readonly("num_threads", &k::Engine::num_threads)
      .def("conv", &conv, py::arg("layer"), py::arg("x").noconvert())
      .def("depthwise", &depthwise, py::arg("layer"), py::arg("x").noconvert())
      .def("depth_conv_block", &depth_conv_block, py::arg("block"), py::arg("parts"))
      .def("activate", &activate, py::arg("x").noconvert(), py::arg("exponent"))
      .def("add", &add, py::arg("x").noconvert(), py::arg("y").noconvert())
      .def("scale", &scale, py::arg("x").noconvert(), py::arg("factors").noconvert(), py::arg("shift"))
      .def("multiply", &multiply, py::arg("x").noconvert(), py::arg("y").noconvert(), py::arg("shift"))
      .def("add_fours", &add_fours, py::arg("x").noconvert())
      .def("clamp", &clamp, py::arg("x").noconvert(), py::arg("shift"), py::arg("lowest"), py::arg("highest"),
           py::arg("offset") = 0)
      .def("pixel_shuffle", &pixel_shuffle, py::arg("x").noconvert(), py::arg("factor"))
      .def("concat", &concat, py::arg("parts"))
      .def("step_index", &step_index, py::arg("scales").noconvert(), py::arg("group_at"), py::arg("num_groups"),
           py::arg("row_of_scale").noconvert(), py::arg("largest_skipped"))
      .def("restore_step", &restore_step, py::arg("symbols").noconvert(), py::arg("means").noconvert(),
           py::arg("group_at"), py::arg("num_groups"), py::arg("exponent"))
      .def("export_planes", &export_planes, py::arg("cells").noconvert(), py::arg("exponent"), py::arg("halve_chroma"),
           py::arg("truncate_chroma"));
}
