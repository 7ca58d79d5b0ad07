// The Python bindings of the entropy coder: they convert types, check array sizes and release the GIL. They hold no
// coding logic.
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>

#include "entropy_cpp/compact.hpp"
#include "entropy_cpp/frame_coder.hpp"
#include "entropy_cpp/wide_coder.hpp"
#include "entropy_cpp/word_bindings.hpp"
#include "entropy_cpp/zigzag_coder.hpp"
#include "kernels/base/arrays.hpp"
#include "kernels/base/coder_states.hpp"

namespace py = pybind11;
namespace ec = dcvc::entropy;

namespace {

using dcvc::Array;
using dcvc::as_bytes;
using dcvc::require;

using TablePtr = std::shared_ptr<ec::CodingTable>;
using PartTuple = std::tuple<TablePtr, Array<int8_t>, Array<uint8_t>>;

TablePtr make_table(const Array<int32_t>& cdf, const Array<int32_t>& lengths, const Array<int32_t>& offsets) {
  if (cdf.ndim() != 2 || lengths.ndim() != 1 || offsets.ndim() != 1 || lengths.size() != cdf.shape(0) ||
      offsets.size() != cdf.shape(0)) {
    throw std::invalid_argument("cdf must be (rows, width), cdf_length and offset (rows,)");
  }
  return std::make_shared<ec::CodingTable>(cdf.data(), static_cast<size_t>(cdf.shape(0)),
                                           static_cast<size_t>(cdf.shape(1)), lengths.data(), offsets.data());
}

template <class Table>
void require_rows(const Table& table, const Array<uint8_t>& rows) {
  if (rows.ndim() != 1) throw std::invalid_argument("table rows must be one-dimensional");
  if (!ec::check_rows(rows.data(), static_cast<size_t>(rows.size()), table.num_rows())) {
    throw std::invalid_argument("a table row index is beyond the table's " + std::to_string(table.num_rows()) +
                                " rows");
  }
}

std::vector<ec::Part> as_parts(const std::vector<PartTuple>& tuples) {
  std::vector<ec::Part> parts;
  parts.reserve(tuples.size());
  for (const auto& [table, symbols, rows] : tuples) {
    if (!table || symbols.ndim() != 1 || symbols.size() != rows.size()) {
      throw std::invalid_argument("a part needs a table, and symbols and rows of one length");
    }
    require_rows(*table, rows);
    parts.push_back({table.get(), symbols.data(), rows.data(), static_cast<size_t>(symbols.size())});
  }
  return parts;
}

py::bytes encode_frame(const std::vector<PartTuple>& tuples, ec::Format format) {
  const std::vector<ec::Part> parts = as_parts(tuples);
  std::vector<uint8_t> bytes;
  {
    py::gil_scoped_release release;
    bytes = ec::encode_frame(parts, format);
  }
  return as_bytes(bytes);
}

py::bytes encode_partitioned(const std::vector<PartTuple>& tuples, bool interleaved, int log2_partitions) {
  if (log2_partitions < 0 || log2_partitions > ec::kMaxLog2Partitions)
    throw std::invalid_argument("log2_partitions must be 0 to 6");
  const std::vector<ec::Part> parts = as_parts(tuples);
  std::vector<uint8_t> bytes;
  {
    py::gil_scoped_release release;
    bytes = ec::encode_partitioned(parts, {interleaved, log2_partitions});
  }
  return as_bytes(bytes);
}

py::bytes encode_compact(const std::vector<PartTuple>& tuples, const dcvc::EncoderState& state) {
  dcvc::RangeEncoder coder = dcvc::encoder_from(state);
  const std::vector<ec::Part> parts = as_parts(tuples);
  std::vector<uint8_t> bytes;
  {
    py::gil_scoped_release release;
    bytes = ec::encode_compact(parts, std::move(coder));
  }
  return as_bytes(bytes);
}

std::unique_ptr<ec::FrameDecoder> continue_decoder(const py::bytes& data, const dcvc::DecoderState& state) {
  dcvc::require_state(state);
  const auto& [position, value, range] = state;
  const std::string_view view = data;
  return std::make_unique<ec::FrameDecoder>(reinterpret_cast<const uint8_t*>(view.data()), view.size(), position, value,
                                            range);
}

std::unique_ptr<ec::FrameDecoder> make_decoder(const py::bytes& data, ec::Format format) {
  const std::string_view view = data;
  return std::make_unique<ec::FrameDecoder>(reinterpret_cast<const uint8_t*>(view.data()), view.size(), format);
}

ec::Status decode(ec::FrameDecoder& decoder, const ec::CodingTable& table, const Array<uint8_t>& rows,
                  Array<int8_t>& symbols) {
  require_rows(table, rows);
  if (symbols.ndim() != 1 || symbols.size() != rows.size())
    throw std::invalid_argument("symbols and rows must have one length");
  const uint8_t* row_data = rows.data();
  int8_t* symbol_data = symbols.mutable_data();
  const size_t num_symbols = static_cast<size_t>(rows.size());
  py::gil_scoped_release release;
  return decoder.decode(table, row_data, num_symbols, symbol_data);
}

using ZigzagTablePtr = std::shared_ptr<ec::ZigzagTable>;
using ZigzagTuple = std::tuple<ZigzagTablePtr, Array<int8_t>, Array<uint8_t>>;

ZigzagTablePtr make_zigzag_table(const Array<int32_t>& cdf, const Array<int32_t>& lengths) {
  if (cdf.ndim() != 2 || lengths.ndim() != 1 || lengths.size() != cdf.shape(0)) {
    throw std::invalid_argument("cdf must be (rows, width) and cdf_length (rows,)");
  }
  return std::make_shared<ec::ZigzagTable>(cdf.data(), static_cast<size_t>(cdf.shape(0)),
                                           static_cast<size_t>(cdf.shape(1)), lengths.data());
}

void require_coders(int num_coders) {
  if (num_coders < 1 || num_coders > ec::kMaxZigzagCoders) throw std::invalid_argument("a payload has 1 to 8 coders");
}

py::bytes encode_zigzag(const std::vector<ZigzagTuple>& tuples, int num_coders) {
  require_coders(num_coders);
  std::vector<ec::ZigzagPart> parts;
  parts.reserve(tuples.size());
  for (const auto& [table, symbols, rows] : tuples) {
    if (!table || symbols.ndim() != 1 || symbols.size() != rows.size()) {
      throw std::invalid_argument("a part needs a table, and symbols and rows of one length");
    }
    require_rows(*table, rows);
    parts.push_back({table.get(), symbols.data(), rows.data(), static_cast<size_t>(symbols.size())});
  }
  std::vector<uint8_t> bytes;
  {
    py::gil_scoped_release release;
    bytes = ec::encode_zigzag(parts, num_coders);
  }
  return as_bytes(bytes);
}

std::unique_ptr<ec::ZigzagDecoder> make_zigzag_decoder(const py::bytes& data, int num_coders) {
  require_coders(num_coders);
  const std::string_view view = data;
  return std::make_unique<ec::ZigzagDecoder>(reinterpret_cast<const uint8_t*>(view.data()), view.size(), num_coders);
}

ec::Status decode_zigzag(ec::ZigzagDecoder& decoder, const ec::ZigzagTable& table, const Array<uint8_t>& rows,
                         Array<int8_t>& symbols) {
  require_rows(table, rows);
  if (symbols.ndim() != 1 || symbols.size() != rows.size()) {
    throw std::invalid_argument("symbols and rows must have one length");
  }
  const uint8_t* row_data = rows.data();
  int8_t* symbol_data = symbols.mutable_data();
  const size_t num_symbols = static_cast<size_t>(rows.size());
  py::gil_scoped_release release;
  return decoder.decode(table, row_data, num_symbols, symbol_data);
}

using WideTablePtr = std::shared_ptr<ec::WideTable>;
using WideTuple = std::tuple<WideTablePtr, Array<int16_t>, Array<uint8_t>>;

WideTablePtr make_wide_table(const Array<int32_t>& cdf, const Array<int32_t>& lengths, const Array<int32_t>& offsets) {
  if (cdf.ndim() != 2 || lengths.ndim() != 1 || offsets.ndim() != 1 || lengths.size() != cdf.shape(0) ||
      offsets.size() != cdf.shape(0)) {
    throw std::invalid_argument("cdf must be (rows, width), cdf_length and offset (rows,)");
  }
  return std::make_shared<ec::WideTable>(cdf.data(), static_cast<size_t>(cdf.shape(0)),
                                         static_cast<size_t>(cdf.shape(1)), lengths.data(), offsets.data());
}

void require_wide_coders(size_t num_coders) {
  if (num_coders < 1 || num_coders > ec::kMaxWideCoders) throw std::invalid_argument("a frame has 1 to 16 coders");
}

std::vector<py::bytes> encode_wide(const std::vector<WideTuple>& tuples, ec::WideKind kind, size_t num_coders) {
  require_wide_coders(num_coders);
  std::vector<ec::WidePart> parts;
  parts.reserve(tuples.size());
  for (const auto& [table, symbols, rows] : tuples) {
    if (!table || symbols.ndim() != 1 || symbols.size() != rows.size()) {
      throw std::invalid_argument("a part needs a table, and symbols and rows of one length");
    }
    require_rows(*table, rows);
    parts.push_back({table.get(), symbols.data(), rows.data(), static_cast<size_t>(symbols.size())});
  }
  std::vector<std::vector<uint8_t>> strings;
  {
    py::gil_scoped_release release;
    strings = ec::encode_wide(parts, kind, num_coders);
  }
  std::vector<py::bytes> made;
  for (const auto& one : strings) made.push_back(as_bytes(one));
  return made;
}

std::unique_ptr<ec::WideDecoder> make_wide_decoder(const std::vector<py::bytes>& strings, ec::WideKind kind) {
  require_wide_coders(strings.size());
  std::vector<std::vector<uint8_t>> copies;
  for (const py::bytes& one : strings) {
    const std::string_view view = one;
    copies.emplace_back(view.begin(), view.end());
  }
  return std::make_unique<ec::WideDecoder>(std::move(copies), kind);
}

ec::Status decode_wide(ec::WideDecoder& decoder, const ec::WideTable& table, const Array<uint8_t>& rows,
                       Array<int16_t>& symbols) {
  require_rows(table, rows);
  if (symbols.ndim() != 1 || symbols.size() != rows.size()) {
    throw std::invalid_argument("symbols and rows must have one length");
  }
  const uint8_t* row_data = rows.data();
  int16_t* symbol_data = symbols.mutable_data();
  const size_t num_symbols = static_cast<size_t>(rows.size());
  py::gil_scoped_release release;
  return decoder.decode(table, row_data, num_symbols, symbol_data);
}

}  // namespace

PYBIND11_MODULE(_entropy, m) {
  m.doc() = "Coder of quantised latents; use dcvc_cli.entropy";
  m.attr("NUM_LANES") = ec::kNumLanes;
  m.attr("PROBABILITY_BITS") = ec::kProbabilityBits;
  m.attr("MAX_ROWS") = ec::kMaxRows;
  m.attr("MAX_LOG2_PARTITIONS") = ec::kMaxLog2Partitions;
  m.attr("MAX_ESCAPE_DIGITS") = ec::kMaxEscapeDigits;
  m.attr("WORD_BITS") = dcvc::kRangeUnitBits;
  m.attr("MIN_RANGE") = dcvc::kMinRange;
  m.attr("MIN_INTERLEAVED_SYMBOLS") = ec::kMinInterleavedSymbols;
  py::enum_<ec::Format>(m, "Format")
      .value("PUBLISHED_ONE", ec::Format::kPublishedOne)
      .value("PUBLISHED_TWO", ec::Format::kPublishedTwo)
      .value("PARTITIONED", ec::Format::kPartitioned)
      .value("COMPACT", ec::Format::kCompact);
  py::enum_<ec::Status>(m, "Status")
      .value("OK", ec::Status::kOk)
      .value("TRUNCATED", ec::Status::kTruncated)
      .value("CORRUPT_STATE", ec::Status::kCorruptState)
      .value("CORRUPT_ESCAPE", ec::Status::kCorruptEscape)
      .value("UNUSED_BYTES", ec::Status::kUnusedBytes)
      .value("CORRUPT_HEADER", ec::Status::kCorruptHeader)
      .value("CORRUPT_TAIL", ec::Status::kCorruptTail)
      .value("NOT_SHORTEST", ec::Status::kNotShortest);
  m.def("describe", [](ec::Status status) { return std::string(ec::describe(status)); });
  py::class_<ec::CodingTable, TablePtr>(m, "CodingTable")
      .def(py::init(&make_table), py::arg("cdf").noconvert(), py::arg("cdf_length").noconvert(),
           py::arg("offset").noconvert());
  m.def("encode_frame", &encode_frame, py::arg("parts"), py::arg("format"));
  m.def("encode_compact", &encode_compact, py::arg("parts"), py::arg("state"));
  m.def("encode_partitioned", &encode_partitioned, py::arg("parts"), py::arg("interleaved"),
        py::arg("log2_partitions"));
  py::class_<ec::FrameDecoder>(m, "FrameDecoder")
      .def(py::init(&make_decoder), py::arg("data"), py::arg("format"))
      .def(py::init(&continue_decoder), py::arg("data"), py::arg("state"))
      .def("decode", &decode, py::arg("table"), py::arg("rows").noconvert(), py::arg("symbols").noconvert())
      .def("finish", &ec::FrameDecoder::finish);
  py::class_<ec::ZigzagTable, ZigzagTablePtr>(m, "ZigzagTable")
      .def(py::init(&make_zigzag_table), py::arg("cdf").noconvert(), py::arg("cdf_length").noconvert());
  m.def("encode_zigzag", &encode_zigzag, py::arg("parts"), py::arg("num_coders"));
  py::class_<ec::ZigzagDecoder>(m, "ZigzagDecoder")
      .def(py::init(&make_zigzag_decoder), py::arg("data"), py::arg("num_coders"))
      .def("decode", &decode_zigzag, py::arg("table"), py::arg("rows").noconvert(), py::arg("symbols").noconvert())
      .def("finish", &ec::ZigzagDecoder::finish);
  py::enum_<ec::WideKind>(m, "WideKind")
      .value("LONG_WORDS", ec::WideKind::kLongWords)
      .value("BYTES", ec::WideKind::kBytes);
  m.attr("MAX_WIDE_CODERS") = ec::kMaxWideCoders;
  m.attr("MAX_ZIGZAG_CODERS") = ec::kMaxZigzagCoders;
  py::class_<ec::WideTable, WideTablePtr>(m, "WideTable")
      .def(py::init(&make_wide_table), py::arg("cdf").noconvert(), py::arg("cdf_length").noconvert(),
           py::arg("offset").noconvert());
  m.def("encode_wide", &encode_wide, py::arg("parts"), py::arg("kind"), py::arg("num_coders"));
  py::class_<ec::WideDecoder>(m, "WideDecoder")
      .def(py::init(&make_wide_decoder), py::arg("strings"), py::arg("kind"))
      .def("decode", &decode_wide, py::arg("table"), py::arg("rows").noconvert(), py::arg("symbols").noconvert())
      .def("finish", &ec::WideDecoder::finish);
  ec::bind_word_coder(m);
}
