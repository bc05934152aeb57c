// ModelProto, GraphProto, NodeProto and what hangs below them: field numbers are those of onnx.proto3. Unknown fields
// are skipped, as protobuf does; fields that would change the answer and are not held are refused by name.
#include "compute/graph/onnx_parse.h"

#include "compute/graph/text.h"

namespace motet::graph {
namespace {

// "" and "ai.onnx" name the same domain.
std::string_view canonical_domain(std::string_view domain) { return domain == "ai.onnx" ? std::string_view() : domain; }

Status parse_string_pair(Message m, std::string_view& key, std::string_view& value) {
  while (!m.done()) {
    MOTET_ASSIGN(Field f, m.next());
    if (f.number == 1) {
      MOTET_ASSIGN(key, m.text(f));
    }
    if (f.number == 2) {
      MOTET_ASSIGN(value, m.text(f));
    }
  }
  return {};
}

Status parse_opset(Message m, std::map<std::string, int64_t>& out) {
  std::string_view domain;
  int64_t version = 0;
  size_t offset = 0;
  while (!m.done()) {
    MOTET_ASSIGN(Field f, m.next());
    offset = f.offset;
    if (f.number == 1) {
      MOTET_ASSIGN(domain, m.text(f));
    }
    if (f.number == 2) {
      MOTET_ASSIGN(version, m.integer(f));
    }
  }
  if (version < 1 || version > INT32_MAX) {
    return m.error(offset,
                   "opset version " + std::to_string(version) + " of domain " + in_quotes(domain) + " is not positive");
  }
  auto [at, fresh] = out.emplace(canonical_domain(domain), version);
  if (!fresh && at->second != version) {
    return m.error(offset, "domain " + in_quotes(domain) + " is imported as version " + std::to_string(at->second) +
                               " and as " + std::to_string(version));
  }
  return {};
}

Status parse_dim(Message m, DimRecord& out) {
  while (!m.done()) {
    MOTET_ASSIGN(Field f, m.next());
    if (f.number == 1) {
      MOTET_ASSIGN(int64_t value, m.integer(f));
      out.value = value;
    } else if (f.number == 2) {
      MOTET_ASSIGN(out.param, m.text(f));
    }
  }
  return {};
}

Status parse_shape(Message m, ValueInfoRecord& out) {
  out.has_shape = true;
  while (!m.done()) {
    MOTET_ASSIGN(Field f, m.next());
    if (f.number != 1) continue;
    if (out.dims.size() == kMaxRank)
      return m.error(f.offset, "a shape has more than " + std::to_string(kMaxRank) + " dimensions");
    MOTET_ASSIGN(auto bytes, m.bytes(f));
    FieldPath path{&m.path(), "dim", static_cast<int64_t>(out.dims.size())};
    MOTET_RETURN_IF_ERROR(parse_dim(Message(bytes, f.offset, path), out.dims.emplace_back()));
  }
  return {};
}

Status parse_type(Message m, ValueInfoRecord& out) {
  while (!m.done()) {
    MOTET_ASSIGN(Field f, m.next());
    switch (f.number) {
      case 1: {
        MOTET_ASSIGN(auto bytes, m.bytes(f));
        FieldPath path{&m.path(), "tensor_type"};
        Message tensor(bytes, f.offset, path);
        while (!tensor.done()) {
          MOTET_ASSIGN(Field g, tensor.next());
          if (g.number == 1) {
            MOTET_ASSIGN(out.elem_type, tensor.integer(g));
          }
          if (g.number != 2) continue;
          MOTET_ASSIGN(auto shape, tensor.bytes(g));
          FieldPath shape_path{&path, "shape"};
          MOTET_RETURN_IF_ERROR(parse_shape(Message(shape, g.offset, shape_path), out));
        }
        break;
      }
      case 4: out.other_type = "sequence"; break;
      case 5: out.other_type = "map"; break;
      case 8: out.other_type = "sparse tensor"; break;
      case 9: out.other_type = "optional"; break;
      default: break;
    }
  }
  return {};
}

Status parse_value_info(Message m, ValueInfoRecord& out, size_t offset) {
  out.offset = offset;
  while (!m.done()) {
    MOTET_ASSIGN(Field f, m.next());
    if (f.number == 1) {
      MOTET_ASSIGN(out.name, m.text(f));
    }
    if (f.number != 2) continue;
    MOTET_ASSIGN(auto bytes, m.bytes(f));
    FieldPath path{&m.path(), "type"};
    MOTET_RETURN_IF_ERROR(parse_type(Message(bytes, f.offset, path), out));
  }
  return {};
}

// The declared type, or the one that the filled field implies (old files leave `type` out).
Status settle_type(const Message& m, size_t offset, int64_t declared, AttributeRecord& out) {
  using Type = AttributeRecord::Type;
  static constexpr Type kDeclared[] = {Type::kNone,  Type::kFloat,  Type::kInt,  Type::kString, Type::kTensor,
                                       Type::kGraph, Type::kFloats, Type::kInts, Type::kStrings};
  static constexpr std::string_view kOthers[] = {"tensors",        "graphs",     "sparse_tensor",
                                                 "sparse_tensors", "type_proto", "type_protos"};
  if (declared == 0) return {};
  if (declared >= 1 && declared <= 8) {
    Type wanted = kDeclared[declared];
    bool empty_list = wanted == Type::kFloats || wanted == Type::kInts || wanted == Type::kStrings;
    bool zero = wanted == Type::kFloat || wanted == Type::kInt || wanted == Type::kString;
    if (out.type != wanted && !(out.type == Type::kNone && (empty_list || zero))) {
      return m.error(offset, "attribute " + in_quotes(out.name) + " declares type " + std::to_string(declared) +
                                 " but carries another");
    }
    out.type = wanted;
    return {};
  }
  if (declared < 1 || declared > 14) {
    return m.error(offset,
                   "attribute " + in_quotes(out.name) + " declares the unknown type " + std::to_string(declared));
  }
  out.type = Type::kOther;
  out.other_type = kOthers[declared - 9];
  return {};
}

}  // namespace

Status Parser::count(const Message& m, size_t offset) {
  if (++records_ > kMaxRecords)
    return m.error(offset, "the model has more than " + std::to_string(kMaxRecords) + " nodes, tensors and attributes");
  return {};
}

Status Parser::attribute(Message m, size_t offset, int depth, AttributeRecord& out) {
  using Type = AttributeRecord::Type;
  MOTET_RETURN_IF_ERROR(count(m, offset));
  int64_t declared = 0;
  while (!m.done()) {
    MOTET_ASSIGN(Field f, m.next());
    Type carried = Type::kNone;
    switch (f.number) {
      case 1: {
        MOTET_ASSIGN(out.name, m.text(f));
        break;
      }
      case 2: {
        MOTET_ASSIGN(out.f, m.real(f));
        carried = Type::kFloat;
        break;
      }
      case 3: {
        MOTET_ASSIGN(out.i, m.integer(f));
        carried = Type::kInt;
        break;
      }
      case 4: {
        MOTET_ASSIGN(auto b, m.bytes(f));
        out.s = as_text(b);
        carried = Type::kString;
        break;
      }
      case 5: {
        MOTET_ASSIGN(auto bytes, m.bytes(f));
        FieldPath path{&m.path(), "t"};
        out.tensor = std::make_unique<TensorRecord>();
        MOTET_RETURN_IF_ERROR(tensor(Message(bytes, f.offset, path), f.offset, *out.tensor));
        carried = Type::kTensor;
        break;
      }
      case 6: {
        MOTET_ASSIGN(auto bytes, m.bytes(f));
        FieldPath path{&m.path(), "g"};
        out.graph = std::make_unique<GraphRecord>();
        MOTET_RETURN_IF_ERROR(graph(Message(bytes, f.offset, path), f.offset, depth + 1, *out.graph));
        carried = Type::kGraph;
        break;
      }
      case 7:
        MOTET_RETURN_IF_ERROR(m.append(f, out.floats));
        carried = Type::kFloats;
        break;
      case 8:
        MOTET_RETURN_IF_ERROR(m.append(f, out.ints));
        carried = Type::kInts;
        break;
      case 9: {
        MOTET_ASSIGN(auto b, m.bytes(f));
        out.strings.push_back(as_text(b));
        carried = Type::kStrings;
        break;
      }
      case 10:
      case 11:
      case 14:
      case 15:
      case 22:
      case 23: carried = Type::kOther; break;
      case 20: {
        MOTET_ASSIGN(declared, m.integer(f));
        break;
      }
      case 21: {
        MOTET_ASSIGN(out.reference, m.text(f));
        break;
      }
      default: break;
    }
    if (carried == Type::kNone) continue;
    if (out.type != Type::kNone && out.type != carried) {
      return m.error(f.offset, "attribute " + in_quotes(out.name) + " carries values of two types");
    }
    out.type = carried;
    if (carried == Type::kOther) out.other_type = "a list of tensors or graphs, a sparse tensor or a type";
  }
  if (out.name.empty()) return m.error(offset, "an attribute has no name");
  return out.reference.empty() ? settle_type(m, offset, declared, out) : Status();
}

Status Parser::node(Message m, size_t offset, int depth, NodeRecord& out) {
  MOTET_RETURN_IF_ERROR(count(m, offset));
  out.path = m.path().to_string();
  out.offset = offset;
  while (!m.done()) {
    MOTET_ASSIGN(Field f, m.next());
    switch (f.number) {
      case 1: {
        MOTET_ASSIGN(auto text, m.text(f));
        out.inputs.push_back(text);
        break;
      }
      case 2: {
        MOTET_ASSIGN(auto text, m.text(f));
        out.outputs.push_back(text);
        break;
      }
      case 3: {
        MOTET_ASSIGN(out.name, m.text(f));
        break;
      }
      case 4: {
        MOTET_ASSIGN(out.op, m.text(f));
        break;
      }
      case 5: {
        MOTET_ASSIGN(auto bytes, m.bytes(f));
        FieldPath path{&m.path(), "attribute", static_cast<int64_t>(out.attributes.size())};
        MOTET_RETURN_IF_ERROR(
            attribute(Message(bytes, f.offset, path), f.offset, depth, out.attributes.emplace_back()));
        break;
      }
      case 7: {
        MOTET_ASSIGN(auto text, m.text(f));
        out.domain = canonical_domain(text);
        break;
      }
      case 8: {
        MOTET_ASSIGN(out.overload, m.text(f));
        break;
      }
      default: break;
    }
  }
  if (out.op.empty()) return m.error(offset, "a node has no op_type");
  return {};
}

Status Parser::graph(Message m, size_t offset, int depth, GraphRecord& out) {
  if (depth > kMaxGraphDepth) {
    return m.error(offset, "graphs are nested deeper than " + std::to_string(kMaxGraphDepth) + " levels");
  }
  out.path = m.path().to_string();
  out.offset = offset;
  while (!m.done()) {
    MOTET_ASSIGN(Field f, m.next());
    if (f.number == 2) {
      MOTET_ASSIGN(out.name, m.text(f));
      continue;
    }
    if (f.number == 15) return m.error(f.offset, "sparse_initializer is not supported; store the tensor densely");
    if (f.number != 1 && f.number != 5 && f.number != 11 && f.number != 12) continue;
    MOTET_ASSIGN(auto bytes, m.bytes(f));
    auto child = [&](std::string_view name, size_t index) {
      return FieldPath{&m.path(), name, static_cast<int64_t>(index)};
    };
    if (f.number == 1) {
      FieldPath path = child("node", out.nodes.size());
      MOTET_RETURN_IF_ERROR(node(Message(bytes, f.offset, path), f.offset, depth, out.nodes.emplace_back()));
    } else if (f.number == 5) {
      FieldPath path = child("initializer", out.initializers.size());
      MOTET_RETURN_IF_ERROR(tensor(Message(bytes, f.offset, path), f.offset, out.initializers.emplace_back()));
    } else {
      auto& list = f.number == 11 ? out.inputs : out.outputs;
      FieldPath path = child(f.number == 11 ? "input" : "output", list.size());
      Message info(bytes, f.offset, path);
      MOTET_RETURN_IF_ERROR(count(info, f.offset));
      MOTET_RETURN_IF_ERROR(parse_value_info(info, list.emplace_back(), f.offset));
    }
  }
  return {};
}

Status Parser::function(Message m, size_t offset, FunctionRecord& out) {
  MOTET_RETURN_IF_ERROR(count(m, offset));
  out.path = m.path().to_string();
  while (!m.done()) {
    MOTET_ASSIGN(Field f, m.next());
    switch (f.number) {
      case 1: {
        MOTET_ASSIGN(out.name, m.text(f));
        break;
      }
      case 4: {
        MOTET_ASSIGN(auto text, m.text(f));
        out.inputs.push_back(text);
        break;
      }
      case 5: {
        MOTET_ASSIGN(auto text, m.text(f));
        out.outputs.push_back(text);
        break;
      }
      case 7: {
        MOTET_ASSIGN(auto bytes, m.bytes(f));
        FieldPath path{&m.path(), "node", static_cast<int64_t>(out.nodes.size())};
        MOTET_RETURN_IF_ERROR(node(Message(bytes, f.offset, path), f.offset, 1, out.nodes.emplace_back()));
        break;
      }
      case 9: {
        MOTET_ASSIGN(auto bytes, m.bytes(f));
        FieldPath path{&m.path(), "opset_import"};
        MOTET_RETURN_IF_ERROR(parse_opset(Message(bytes, f.offset, path), out.opsets));
        break;
      }
      case 10: {
        MOTET_ASSIGN(auto text, m.text(f));
        out.domain = canonical_domain(text);
        break;
      }
      case 11: {
        MOTET_ASSIGN(auto bytes, m.bytes(f));
        FieldPath path{&m.path(), "attribute_proto", static_cast<int64_t>(out.defaults.size())};
        MOTET_RETURN_IF_ERROR(attribute(Message(bytes, f.offset, path), f.offset, 1, out.defaults.emplace_back()));
        break;
      }
      case 13: {
        MOTET_ASSIGN(out.overload, m.text(f));
        break;
      }
      default: break;
    }
  }
  if (out.name.empty()) return m.error(offset, "a function has no name");
  return {};
}

Status Parser::model(Message m, ModelRecord& out) {
  while (!m.done()) {
    MOTET_ASSIGN(Field f, m.next());
    switch (f.number) {
      case 1: {
        MOTET_ASSIGN(out.ir_version, m.integer(f));
        break;
      }
      case 2: {
        MOTET_ASSIGN(out.producer, m.text(f));
        break;
      }
      case 3: {
        MOTET_ASSIGN(out.producer_version, m.text(f));
        break;
      }
      case 7: {
        if (out.graph) return m.error(f.offset, "a second graph");
        MOTET_ASSIGN(auto bytes, m.bytes(f));
        FieldPath path{&m.path(), "graph"};
        MOTET_RETURN_IF_ERROR(graph(Message(bytes, f.offset, path), f.offset, 0, out.graph.emplace()));
        break;
      }
      case 8: {
        MOTET_ASSIGN(auto bytes, m.bytes(f));
        FieldPath path{&m.path(), "opset_import"};
        MOTET_RETURN_IF_ERROR(parse_opset(Message(bytes, f.offset, path), out.opsets));
        break;
      }
      case 14: {
        MOTET_ASSIGN(auto bytes, m.bytes(f));
        FieldPath path{&m.path(), "metadata_props"};
        std::string_view key, value;
        MOTET_RETURN_IF_ERROR(parse_string_pair(Message(bytes, f.offset, path), key, value));
        out.metadata.emplace(key, value);
        break;
      }
      case 25: {
        MOTET_ASSIGN(auto bytes, m.bytes(f));
        FieldPath path{&m.path(), "functions", static_cast<int64_t>(out.functions.size())};
        MOTET_RETURN_IF_ERROR(function(Message(bytes, f.offset, path), f.offset, out.functions.emplace_back()));
        break;
      }
      default: break;
    }
  }
  return {};
}

Result<ModelRecord> parse_model(std::span<const std::byte> bytes) {
  ModelRecord out;
  FieldPath path{nullptr, "model"};
  MOTET_RETURN_IF_ERROR(Parser().model(Message(bytes, 0, path), out));
  return out;
}

Result<TensorRecord> parse_tensor(std::span<const std::byte> bytes) {
  TensorRecord out;
  FieldPath path{nullptr, "tensor"};
  MOTET_RETURN_IF_ERROR(Parser().tensor(Message(bytes, 0, path), 0, out));
  return out;
}

}  // namespace motet::graph
