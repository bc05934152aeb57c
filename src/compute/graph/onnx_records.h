// A model file as parsed, before it becomes a Graph: plain records whose texts and bytes are views on the file. Parsing
// checks the encoding only; meaning (names, order, types, sizes) is checked when the graph is built. One thread at a
// time; records are valid while the file's bytes are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace motet::graph {

// TensorProto. Exactly the storage that the file uses is filled.
struct TensorRecord {
  std::string_view name;
  std::vector<int64_t> dims;
  int64_t data_type = 0;
  std::optional<std::span<const std::byte>> raw;
  std::vector<float> floats;
  std::vector<double> doubles;
  std::vector<int64_t> integers;  // int32_data, int64_data and uint64_data (as bits)
  std::vector<std::string_view> strings;
  bool external = false;
  std::map<std::string_view, std::string_view> external_entries;
  std::string path;  // for messages: where it stands in the file
  size_t offset = 0;
};

// One dimension of a declared shape: a number, a name, or neither.
struct DimRecord {
  std::optional<int64_t> value;
  std::string_view param;
};

// ValueInfoProto with the parts of TypeProto that we hold.
struct ValueInfoRecord {
  std::string_view name;
  int64_t elem_type = 0;
  bool has_shape = false;
  std::vector<DimRecord> dims;
  std::string_view other_type;  // "sequence", "map", ...: what it is if not a tensor
  size_t offset = 0;
};

struct GraphRecord;

// AttributeProto, with its type made explicit.
struct AttributeRecord {
  enum class Type : uint8_t { kNone, kFloat, kInt, kString, kTensor, kGraph, kFloats, kInts, kStrings, kOther };
  std::string_view name;
  Type type = Type::kNone;
  std::string_view other_type;  // kOther: "tensors", "sparse_tensor", ...
  std::string_view reference;   // ref_attr_name: inside functions, the caller's attribute of that name
  float f = 0;
  int64_t i = 0;
  std::string_view s;
  std::unique_ptr<TensorRecord> tensor;
  std::unique_ptr<GraphRecord> graph;
  std::vector<float> floats;
  std::vector<int64_t> ints;
  std::vector<std::string_view> strings;
};

struct NodeRecord {
  std::string_view op, domain, overload, name;
  std::vector<std::string_view> inputs, outputs;
  std::vector<AttributeRecord> attributes;
  std::string path;
  size_t offset = 0;
};

struct GraphRecord {
  std::string_view name;
  std::vector<NodeRecord> nodes;
  std::vector<TensorRecord> initializers;
  std::vector<ValueInfoRecord> inputs, outputs;
  std::string path;
  size_t offset = 0;
};

// FunctionProto: a model's own op, defined by other nodes.
struct FunctionRecord {
  std::string_view name, domain, overload;
  std::vector<std::string_view> inputs, outputs;
  std::vector<AttributeRecord> defaults;  // attribute_proto
  std::vector<NodeRecord> nodes;
  std::map<std::string, int64_t> opsets;
  std::string path;
};

struct ModelRecord {
  int64_t ir_version = 0;
  std::map<std::string, int64_t> opsets;
  std::string_view producer, producer_version;
  std::map<std::string, std::string> metadata;
  std::optional<GraphRecord> graph;
  std::vector<FunctionRecord> functions;
};

// REQUIRES: `bytes` outlive the record. An Error names the field and the byte.
Result<ModelRecord> parse_model(std::span<const std::byte> bytes);
Result<TensorRecord> parse_tensor(std::span<const std::byte> bytes);

}  // namespace motet::graph
