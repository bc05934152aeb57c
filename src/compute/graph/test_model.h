// Test help: writes ONNX models byte by byte, without protobuf, so that tests can also write what no library would.
// Each function returns one encoded message. Not part of the library.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "compute/graph/onnx_reader.h"

namespace motet::graph::test {

inline void put_varint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out += static_cast<char>(value | 0x80);
    value >>= 7;
  }
  out += static_cast<char>(value);
}
inline std::string field(int number, int64_t value) {
  std::string out;
  put_varint(out, static_cast<uint64_t>(number) << 3);
  put_varint(out, static_cast<uint64_t>(value));
  return out;
}
inline std::string field(int number, std::string_view bytes) {
  std::string out;
  put_varint(out, (static_cast<uint64_t>(number) << 3) | 2);
  put_varint(out, bytes.size());
  return out.append(bytes);
}
inline std::string field(int number, float value) {
  std::string out;
  put_varint(out, (static_cast<uint64_t>(number) << 3) | 5);
  char raw[4];
  std::memcpy(raw, &value, 4);
  return out.append(raw, 4);
}
template <class T>
std::string raw(const std::vector<T>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

// TensorProto.
inline std::string tensor_head(std::string_view name, int64_t type, const std::vector<int64_t>& dims) {
  std::string out;
  for (int64_t d : dims) out += field(1, d);
  return out + field(2, type) + field(8, name);
}
inline std::string tensor(std::string_view name, const std::vector<int64_t>& dims, const std::vector<float>& values) {
  return tensor_head(name, 1, dims) + field(9, raw(values));
}
inline std::string tensor(std::string_view name, const std::vector<int64_t>& dims, const std::vector<int64_t>& values) {
  return tensor_head(name, 7, dims) + field(9, raw(values));
}

// AttributeProto.
inline std::string attribute(std::string_view name, int64_t value) {
  return field(1, name) + field(3, value) + field(20, int64_t{2});
}
inline std::string attribute(std::string_view name, float value) {
  return field(1, name) + field(2, value) + field(20, int64_t{1});
}
inline std::string attribute_text(std::string_view name, std::string_view value) {
  return field(1, name) + field(4, value) + field(20, int64_t{3});
}
inline std::string attribute_tensor(std::string_view name, std::string_view tensor) {
  return field(1, name) + field(5, tensor) + field(20, int64_t{4});
}
inline std::string attribute_graph(std::string_view name, std::string_view graph) {
  return field(1, name) + field(6, graph) + field(20, int64_t{5});
}
inline std::string attribute(std::string_view name, const std::vector<int64_t>& values) {
  std::string out = field(1, name);
  for (int64_t v : values) out += field(8, v);
  return out + field(20, int64_t{7});
}

// NodeProto.
inline std::string node(std::string_view op, const std::vector<std::string>& inputs,
                        const std::vector<std::string>& outputs, const std::vector<std::string>& attributes = {},
                        std::string_view domain = "") {
  std::string out;
  for (const auto& i : inputs) out += field(1, i);
  for (const auto& o : outputs) out += field(2, o);
  out += field(3, "node_" + (outputs.empty() ? std::string() : outputs[0])) + field(4, op);
  for (const auto& a : attributes) out += field(5, a);
  if (!domain.empty()) out += field(7, domain);
  return out;
}

// ValueInfoProto: dims are numbers or names; "?" is neither.
inline std::string info(std::string_view name, int64_t type, const std::vector<std::string>& dims) {
  std::string shape;
  for (const std::string& d : dims) {
    bool number = !d.empty() && (d[0] == '-' || (d[0] >= '0' && d[0] <= '9'));
    shape += field(1, d == "?" ? std::string() : number ? field(1, static_cast<int64_t>(std::stoll(d))) : field(2, d));
  }
  return field(1, name) + field(2, field(1, field(1, type) + field(2, shape)));
}

struct GraphParts {
  std::vector<std::string> nodes, initializers, inputs, outputs;
};
inline std::string graph(const GraphParts& parts) {
  std::string out = field(2, "test");
  for (const auto& n : parts.nodes) out += field(1, n);
  for (const auto& t : parts.initializers) out += field(5, t);
  for (const auto& i : parts.inputs) out += field(11, i);
  for (const auto& o : parts.outputs) out += field(12, o);
  return out;
}
inline std::string opset(std::string_view domain, int64_t version) {
  return field(8, field(1, domain) + field(2, version));
}
inline std::string model(const std::string& graph, int64_t version = 13, int64_t ir = 8) {
  return field(1, ir) + field(2, "test") + opset("", version) + field(7, graph);
}

// Reads from a buffer of its own, 64-byte aligned, that the weights keep alive.
inline Result<Model> read(const std::string& bytes) {
  Tensor copy = Tensor::of<uint8_t>({static_cast<int64_t>(bytes.size())},
                                    std::span(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
  return read_onnx_bytes({copy.view().data, bytes.size()}, copy.owner());
}

}  // namespace motet::graph::test
