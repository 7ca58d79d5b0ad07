#include "entropy_cpp/word_bindings.hpp"

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "entropy_cpp/context_coder.hpp"
#include "entropy_cpp/word_coder.hpp"
#include "kernels/base/arrays.hpp"

namespace py = pybind11;

namespace dcvc::entropy {

namespace {

using TablePtr = std::shared_ptr<WordTable>;
using PartTuple = std::tuple<TablePtr, Array<int32_t>, Array<uint8_t>>;

template <class A>
size_t size_of(const A& array) {
  return static_cast<size_t>(array.size());
}

TablePtr make_table(const Array<int32_t>& cdf, const Array<int32_t>& lengths, const Array<int32_t>& offsets) {
  require(cdf.ndim() == 2 && lengths.ndim() == 1 && offsets.ndim() == 1 && lengths.size() == cdf.shape(0) &&
              offsets.size() == cdf.shape(0),
          "cdf must be (rows, width), cdf_length and offset (rows,)");
  return std::make_shared<WordTable>(cdf.data(), static_cast<size_t>(cdf.shape(0)), static_cast<size_t>(cdf.shape(1)),
                                     lengths.data(), offsets.data());
}

void require_part(const WordTable& table, const Array<int32_t>& symbols, const Array<uint8_t>& rows) {
  require(symbols.ndim() == 1 && rows.ndim() == 1 && symbols.size() == rows.size(),
          "symbols and rows must have one dimension and one length");
  require(check_rows(rows.data(), size_of(rows), table.num_rows()), "a table row index is beyond the table");
}

py::bytes encode(const std::vector<PartTuple>& tuples) {
  std::vector<WordPart> parts;
  parts.reserve(tuples.size());
  for (const auto& [table, symbols, rows] : tuples) {
    require(table != nullptr, "a part needs a table");
    require_part(*table, symbols, rows);
    require(check_symbols(symbols.data(), size_of(symbols)), "a symbol is too large for the coder");
    parts.push_back({table.get(), symbols.data(), rows.data(), size_of(symbols)});
  }
  std::vector<uint8_t> bytes;
  {
    py::gil_scoped_release release;
    bytes = encode_words(parts);
  }
  return as_bytes(bytes);
}

std::unique_ptr<WordDecoder> make_decoder(const py::bytes& data) {
  const std::string_view view = data;
  return std::make_unique<WordDecoder>(reinterpret_cast<const uint8_t*>(view.data()), view.size());
}

Status decode(WordDecoder& decoder, const WordTable& table, const Array<uint8_t>& rows, Array<int32_t>& symbols) {
  require_part(table, symbols, rows);
  const uint8_t* const row_data = rows.data();
  int32_t* const symbol_data = symbols.mutable_data();
  const size_t num_symbols = size_of(rows);
  py::gil_scoped_release release;
  return decoder.decode(table, row_data, num_symbols, symbol_data);
}

template <class T>
Dense<T> make_dense(const Array<T>& weight, const Array<T>* bias, py::ssize_t num_outputs, py::ssize_t num_inputs) {
  require(weight.ndim() == 2 && weight.shape(0) == num_outputs && weight.shape(1) == num_inputs,
          "a layer's weight has another shape than its neighbours ask for");
  require(bias == nullptr || (bias->ndim() == 1 && bias->shape(0) == num_outputs), "a layer has another bias");
  return Dense<T>(weight.data(), bias == nullptr ? nullptr : bias->data(), static_cast<size_t>(num_outputs),
                  static_cast<size_t>(num_inputs));
}

template <class T>
std::unique_ptr<ContextModel<T>> make_model(const Array<T>& above, const Array<T>& above_bias, const Array<T>& left,
                                            const Array<T>& first, const Array<T>& second, const Array<T>& second_bias,
                                            const Array<T>& third, const Array<T>& third_bias,
                                            const Array<T>& thresholds, bool means_first, double smallest_scale) {
  require(above.ndim() == 2 && first.ndim() == 2 && second.ndim() == 2 && thresholds.ndim() == 1,
          "weights must be matrices and thresholds a vector");
  const py::ssize_t doubled = above.shape(0);
  require(doubled > 0 && doubled % 2 == 0, "a context model predicts two values a channel");
  require(thresholds.size() < kMaxRows, "a table has 256 rows at most");
  const py::ssize_t hidden[2] = {first.shape(0), second.shape(0)};
  const ContextSizes sizes{static_cast<size_t>(doubled / 2),
                           {static_cast<size_t>(hidden[0]), static_cast<size_t>(hidden[1])},
                           means_first,
                           smallest_scale};
  const auto inputs = [&](size_t taps) { return static_cast<py::ssize_t>(taps) * doubled / 2; };
  return std::make_unique<ContextModel<T>>(
      sizes, make_dense(above, &above_bias, doubled, inputs(kTapsAbove)),
      make_dense<T>(left, nullptr, doubled, inputs(kTapsLeft)), make_dense<T>(first, nullptr, hidden[0], doubled),
      make_dense(second, &second_bias, hidden[1], hidden[0]), make_dense(third, &third_bias, doubled, hidden[1]),
      std::vector<T>(thresholds.data(), thresholds.data() + thresholds.size()));
}

// (positions x channels) arrays that a pass fills.
template <class T>
struct Outputs {
  Outputs(py::ssize_t positions, py::ssize_t channels)
      : symbols({positions, channels}), rows({positions, channels}), restored({positions, channels}) {}
  Array<int32_t> symbols;
  Array<uint8_t> rows;
  Array<T> restored;
};

template <class T>
void require_grid(const ContextModel<T>& model, const Array<T>& base, size_t height, size_t width) {
  require(base.ndim() == 2 && static_cast<size_t>(base.shape(1)) == model.sizes().hidden[0] &&
              static_cast<size_t>(base.shape(0)) == height * width,
          "base must be (height * width, outputs of the first layer)");
}

template <class T>
py::object encode_context(const ContextModel<T>& model, const Array<T>& base, const Array<T>& values, size_t height,
                          size_t width) {
  require_grid(model, base, height, width);
  require(values.ndim() == 2 && values.shape(0) == base.shape(0) &&
              static_cast<size_t>(values.shape(1)) == model.sizes().channels,
          "values must be (height * width, channels)");
  Outputs<T> out(values.shape(0), values.shape(1));
  bool fits = false;
  {
    const T* const base_data = base.data();
    const T* const value_data = values.data();
    int32_t* const symbols = out.symbols.mutable_data();
    uint8_t* const rows = out.rows.mutable_data();
    T* const restored = out.restored.mutable_data();
    py::gil_scoped_release release;
    fits = model.encode(base_data, value_data, height, width, symbols, rows, restored);
  }
  if (!fits) return py::none();
  return py::make_tuple(std::move(out.symbols), std::move(out.rows), std::move(out.restored));
}

template <class T>
py::tuple decode_context(const ContextModel<T>& model, const Array<T>& base, size_t height, size_t width,
                         WordDecoder& decoder, const WordTable& table) {
  require_grid(model, base, height, width);
  require(model.num_rows() <= table.num_rows(), "the table has fewer rows than the model names");
  Outputs<T> out(base.shape(0), static_cast<py::ssize_t>(model.sizes().channels));
  Status status = Status::kOk;
  {
    const T* const base_data = base.data();
    int32_t* const symbols = out.symbols.mutable_data();
    uint8_t* const rows = out.rows.mutable_data();
    T* const restored = out.restored.mutable_data();
    py::gil_scoped_release release;
    status = model.decode(base_data, height, width, decoder, table, restored, symbols, rows);
  }
  return py::make_tuple(status, std::move(out.symbols), std::move(out.rows), std::move(out.restored));
}

template <class T>
void bind_context_model(py::module_& m, const char* name) {
  py::class_<ContextModel<T>>(m, name)
      .def(py::init(&make_model<T>), py::arg("above").noconvert(), py::arg("above_bias").noconvert(),
           py::arg("left").noconvert(), py::arg("first").noconvert(), py::arg("second").noconvert(),
           py::arg("second_bias").noconvert(), py::arg("third").noconvert(), py::arg("third_bias").noconvert(),
           py::arg("thresholds").noconvert(), py::arg("means_first"), py::arg("smallest_scale"))
      .def("encode", &encode_context<T>, py::arg("base").noconvert(), py::arg("values").noconvert(), py::arg("height"),
           py::arg("width"))
      .def("decode", &decode_context<T>, py::arg("base").noconvert(), py::arg("height"), py::arg("width"),
           py::arg("decoder"), py::arg("table"));
}

}  // namespace

void bind_word_coder(py::module_& m) {
  m.attr("MAX_WORD_SYMBOL") = kMaxWordSymbol;
  py::class_<WordTable, TablePtr>(m, "WordTable")
      .def(py::init(&make_table), py::arg("cdf").noconvert(), py::arg("cdf_length").noconvert(),
           py::arg("offset").noconvert());
  m.def("encode_words", &encode, py::arg("parts"));
  py::class_<WordDecoder>(m, "WordDecoder")
      .def(py::init(&make_decoder), py::arg("data"))
      .def("decode", &decode, py::arg("table"), py::arg("rows").noconvert(), py::arg("symbols").noconvert())
      .def("finish", &WordDecoder::finish);
  bind_context_model<float>(m, "ContextModel32");
  bind_context_model<double>(m, "ContextModel64");
}

}  // namespace dcvc::entropy
