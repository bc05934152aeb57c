#include "wire/client/http_message.h"

namespace motet::client {
namespace {

void append_json_string(std::string& out, std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20) {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

size_t wire_bytes(const TensorView& view) {
  return view.dtype == DType::kString ? serialised_bytes(view) : view.bytes();
}

void append_inputs(std::string& out, const std::vector<NamedTensor>& inputs) {
  out += "\"inputs\":[";
  for (const NamedTensor& input : inputs) {
    if (out.back() != '[') out += ',';
    out += "{\"name\":";
    append_json_string(out, input.name);
    out += ",\"shape\":" + shape_to_string(input.tensor.shape()) + ",\"datatype\":\"" +
           std::string(dtype_kserve_name(input.tensor.dtype())) +
           "\",\"parameters\":{\"binary_data_size\":" + std::to_string(wire_bytes(input.tensor.view())) + "}}";
  }
  out += ']';
}

void append_outputs(std::string& out, const std::vector<std::string>& outputs) {
  if (outputs.empty()) return;
  out += ",\"outputs\":[";
  for (const std::string& output : outputs) {
    if (out.back() != '[') out += ',';
    out += "{\"name\":";
    append_json_string(out, output);
    out += ",\"parameters\":{\"binary_data\":true}}";
  }
  out += ']';
}

}  // namespace

std::string percent_encode(std::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (char c : text) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
        c == '_' || c == '~') {
      out += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
  }
  return out;
}

std::string infer_path(const Request& request) {
  std::string path = "/v2/models/" + percent_encode(request.model);
  if (!request.version.empty()) path += "/versions/" + percent_encode(request.version);
  return path + "/infer";
}

InferBody encode_infer(const Request& request) {
  std::string out = "{";
  if (!request.id.empty()) {
    out += "\"id\":";
    append_json_string(out, request.id);
    out += ',';
  }
  out += "\"parameters\":{\"binary_data_output\":true";
  if (request.timeout_us != 0) out += ",\"timeout\":" + std::to_string(request.timeout_us);
  if (request.priority != 0) out += ",\"priority\":" + std::to_string(request.priority);
  out += "},";
  append_inputs(out, request.inputs);
  append_outputs(out, request.outputs);
  out += '}';
  InferBody body;
  body.json_bytes = out.size();
  size_t total = out.size();
  for (const NamedTensor& input : request.inputs) total += wire_bytes(input.tensor.view());
  out.reserve(total);
  for (const NamedTensor& input : request.inputs) {
    const TensorView& view = input.tensor.view();
    if (view.dtype == DType::kString) {
      serialise_strings(view, out);
    } else {
      out.append(reinterpret_cast<const char*>(view.data), view.bytes());
    }
  }
  body.bytes = std::move(out);
  return body;
}

}  // namespace motet::client
