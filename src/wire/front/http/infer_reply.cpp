#include "wire/front/http/infer_reply.h"

#include "wire/front/http/json_text.h"

namespace motet::http {
namespace {

template <class T, class Append>
void append_values(std::string& out, const TensorView& view, Append append) {
  out += '[';
  bool first = true;
  for (const T& value : view.as<T>()) {
    if (!first) out += ',';
    first = false;
    append(value);
  }
  out += ']';
}

template <class T>
void append_ints(std::string& out, const TensorView& view) {
  append_values<T>(out, view, [&out](T value) { append_json_int(out, value); });
}

template <class T>
void append_floats(std::string& out, const TensorView& view) {
  append_values<T>(out, view, [&out](T value) { append_json_float(out, value); });
}

Status append_strings(std::string& out, const TensorView& view, std::string_view name) {
  for (std::string_view text : view.as<std::string_view>()) {
    if (!is_utf8(text)) {
      return invalid_argument(
          "output '" + std::string(name) +
          "' holds bytes that are not UTF-8, which JSON cannot carry. Please use the binary data format for output");
    }
  }
  append_values<std::string_view>(out, view, [&out](std::string_view text) { append_json_string(out, text); });
  return {};
}

Status append_data(std::string& out, const NamedTensor& output) {
  const TensorView& view = output.tensor.view();
  switch (view.dtype) {
    case DType::kBool:
      append_values<bool>(out, view, [&out](bool value) { out += value ? "true" : "false"; });
      return {};
    case DType::kU8: append_ints<uint8_t>(out, view); return {};
    case DType::kU16: append_ints<uint16_t>(out, view); return {};
    case DType::kU32: append_ints<uint32_t>(out, view); return {};
    case DType::kU64: append_ints<uint64_t>(out, view); return {};
    case DType::kI8: append_ints<int8_t>(out, view); return {};
    case DType::kI16: append_ints<int16_t>(out, view); return {};
    case DType::kI32: append_ints<int32_t>(out, view); return {};
    case DType::kI64: append_ints<int64_t>(out, view); return {};
    case DType::kF32: append_floats<float>(out, view); return {};
    case DType::kF64: append_floats<double>(out, view); return {};
    case DType::kString: return append_strings(out, view, output.name);
    case DType::kF16:
    case DType::kBF16: break;
  }
  return invalid_argument("sending " + std::string(dtype_kserve_name(view.dtype)) +
                          " data via JSON is not supported. Please use the binary data format for output '" +
                          output.name + "'");
}

Piece binary_piece(const Tensor& tensor) {
  const TensorView& view = tensor.view();
  if (view.dtype != DType::kString) return {view.data, view.bytes(), tensor.owner()};
  auto text = std::make_shared<std::string>();
  text->reserve(serialised_bytes(view));
  serialise_strings(view, *text);
  return {text->data(), text->size(), text};
}

}  // namespace

HttpReply infer_reply(const api::InferResponse& response, const OutputFormat& format) {
  HttpReply reply;
  std::string& out = reply.text;
  out += '{';
  if (!response.id.empty()) {
    out += "\"id\":";
    append_json_string(out, response.id);
    out += ',';
  }
  out += "\"model_name\":";
  append_json_string(out, response.model);
  out += ",\"model_version\":";
  append_json_string(out, response.version);
  out += ',';
  if (!response.parameters.empty()) {
    out += "\"parameters\":";
    append_json_parameters(out, response.parameters);
    out += ',';
  }
  out += "\"outputs\":[";
  for (size_t i = 0; i < response.outputs.size(); ++i) {
    const NamedTensor& output = response.outputs[i];
    out += i > 0 ? ",{\"name\":" : "{\"name\":";
    append_json_string(out, output.name);
    out.append(",\"datatype\":\"").append(dtype_kserve_name(output.tensor.dtype())).append("\",\"shape\":");
    append_json_shape(out, output.tensor.shape());
    if (format.is_binary(output.name)) {
      reply.pieces.push_back(binary_piece(output.tensor));
      out += ",\"parameters\":{\"binary_data_size\":";
      append_json_int(out, reply.pieces.back().bytes);
      out += "}}";
    } else {
      out += ",\"data\":";
      if (auto written = append_data(out, output); !written.ok()) return error_reply(written.error());
      out += '}';
    }
  }
  out += "]}";
  if (!reply.pieces.empty()) {
    reply.content_type = "application/octet-stream";
    reply.json_length = out.size();
  }
  return reply;
}

}  // namespace motet::http
