#include "compute/graph/onnx_build.h"

#include <tuple>
#include <unordered_map>
#include <unordered_set>

#include "base/check.h"
#include "compute/graph/names.h"
#include "compute/graph/onnx_order.h"
#include "compute/graph/op_schema.h"
#include "compute/graph/text.h"

namespace motet::graph {
namespace {

// Nodes and calls after inlining: functions that call functions can grow without bound.
constexpr size_t kMaxNodes = 100'000;
constexpr int kMaxCallDepth = 32;

// The attributes that a function's body may refer to; nullptr values do not occur.
using CallAttributes = std::unordered_map<std::string_view, const AttributeRecord*>;

// What a name means at one place: in the main graph, in a body (which sees its parent), or in a function (which does
// not).
struct Scope {
  Graph* graph = nullptr;
  NamePool* taken = nullptr;  // value names in use in `graph`
  Scope* parent = nullptr;
  const std::map<std::string, int64_t>* opsets = nullptr;
  const CallAttributes* attributes = nullptr;                 // in functions
  std::string prefix;                                         // of new value and node names, in functions
  std::unordered_map<std::string_view, std::string> results;  // in functions: an output's name at the caller
  int call_depth = 0;
  std::unordered_map<std::string_view, ValueId> ids;
};

template <class Record>
Error at(const Record& record, const std::string& what) {
  return invalid_argument(record.path + ", byte " + std::to_string(record.offset) + ": " + what);
}

std::string title(const NodeRecord& node) { return std::string(node.op) + " node " + in_quotes(node.name); }

class Builder {
 public:
  Builder(const ModelRecord& model, TensorSource& source) : model_(model), source_(source) {}

  Status functions();
  Status fill(Scope& scope, const GraphRecord& record);

 private:
  ValueId add(Scope& scope, std::string_view name, Value value);
  ValueId resolve(Scope& scope, std::string_view name);
  Status initializers(Scope& scope, const GraphRecord& record);
  Status inputs(Scope& scope, const GraphRecord& record);
  Status outputs(Scope& scope, const GraphRecord& record);
  Status nodes(Scope& scope, const std::vector<NodeRecord>& records);
  Status node(Scope& scope, const NodeRecord& record);
  Status call(Scope& scope, const NodeRecord& record, const FunctionRecord& function);
  Status constant(Scope& scope, const NodeRecord& record);
  Result<int> opset(const Scope& scope, const NodeRecord& record) const;
  // The attribute, or the caller's that it refers to; nullptr if that is absent.
  Result<const AttributeRecord*> referred(const Scope& scope, const NodeRecord& record,
                                          const AttributeRecord& attribute) const;
  Result<Attribute> attribute(Scope& scope, const NodeRecord& record, const AttributeRecord& attribute);
  Status declare(const GraphRecord& record, const ValueInfoRecord& info, bool required, Value& value) const;

  using FunctionKey = std::tuple<std::string_view, std::string_view, std::string_view>;
  const ModelRecord& model_;
  TensorSource& source_;
  std::map<FunctionKey, const FunctionRecord*> functions_;
  size_t nodes_ = 0;
};

Status Builder::functions() {
  for (const FunctionRecord& function : model_.functions) {
    if (!functions_.emplace(FunctionKey(function.domain, function.name, function.overload), &function).second) {
      return invalid_argument(function.path + ": a second function named " + in_quotes(function.name));
    }
  }
  return {};
}

ValueId Builder::add(Scope& scope, std::string_view name, Value value) {
  auto result = scope.results.find(name);
  value.name = result != scope.results.end() ? result->second : scope.taken->fresh(scope.prefix + std::string(name));
  ValueId id = scope.graph->add_value(std::move(value));
  scope.ids.emplace(name, id);
  return id;
}

ValueId Builder::resolve(Scope& scope, std::string_view name) {
  auto found = scope.ids.find(name);
  if (found != scope.ids.end()) return found->second;
  if (scope.parent == nullptr) return kNoValue;
  ValueId outer = resolve(*scope.parent, name);
  if (outer == kNoValue) return kNoValue;
  Value value = scope.parent->graph->value(outer);
  std::string outer_name = value.name;
  ValueId id = add(scope, name, std::move(value));
  scope.graph->captures.emplace_back(std::move(outer_name), id);
  return id;
}

Status Builder::initializers(Scope& scope, const GraphRecord& record) {
  for (const TensorRecord& tensor : record.initializers) {
    if (tensor.name.empty()) return at(tensor, "an initializer has no name");
    if (scope.ids.contains(tensor.name)) return at(tensor, "a second initializer named " + in_quotes(tensor.name));
    MOTET_ASSIGN(Tensor loaded, source_.load(tensor));
    Value value;
    value.dtype = loaded.dtype();
    value.shape.emplace();
    for (int64_t extent : loaded.shape()) value.shape->push_back(Dim{extent, ""});
    value.constant = std::move(loaded);
    add(scope, tensor.name, std::move(value));
  }
  return {};
}

Status Builder::declare(const GraphRecord& record, const ValueInfoRecord& info, bool required, Value& value) const {
  std::string who = record.path + ", byte " + std::to_string(info.offset) + ": " + in_quotes(info.name);
  if (!info.other_type.empty())
    return unsupported(who + " is a " + std::string(info.other_type) + "; only tensors are supported");
  if (info.elem_type == 0) return required ? Status(invalid_argument(who + " has no element type")) : Status();
  auto dtype =
      info.elem_type > 0 && info.elem_type < 1000 ? dtype_from_onnx(static_cast<int>(info.elem_type)) : std::nullopt;
  if (!dtype)
    return unsupported(who + " has element type " + std::to_string(info.elem_type) + "; accepted are 1 to 13 and 16");
  value.dtype = dtype;
  if (!info.has_shape) return {};
  value.shape.emplace();
  for (const DimRecord& dim : info.dims) {
    // Exporters write negative extents for "any".
    bool known = dim.value.has_value() && *dim.value >= 0;
    value.shape->push_back(known ? Dim{*dim.value, ""} : Dim{-1, std::string(dim.param)});
  }
  return {};
}

Status Builder::inputs(Scope& scope, const GraphRecord& record) {
  std::unordered_set<std::string_view> seen;
  for (const ValueInfoRecord& info : record.inputs) {
    if (info.name.empty()) return at(record, "a graph input has no name");
    if (!seen.insert(info.name).second) return at(record, "a second graph input named " + in_quotes(info.name));
    Value value;
    MOTET_RETURN_IF_ERROR(declare(record, info, scope.parent == nullptr, value));
    auto initializer = scope.ids.find(info.name);
    if (initializer == scope.ids.end()) {
      scope.graph->inputs.push_back(add(scope, info.name, std::move(value)));
      continue;
    }
    const Value& constant = scope.graph->value(initializer->second);
    if (value.dtype && value.dtype != constant.dtype) {
      return at(record, "input " + in_quotes(info.name) + " is declared as " +
                            std::string(dtype_kserve_name(*value.dtype)) + ", but its initializer is " +
                            std::string(dtype_kserve_name(*constant.dtype)));
    }
  }
  return {};
}

Status Builder::outputs(Scope& scope, const GraphRecord& record) {
  std::unordered_set<std::string_view> seen;
  for (const ValueInfoRecord& info : record.outputs) {
    if (!seen.insert(info.name).second && scope.parent == nullptr) {
      return at(record, "a second graph output named " + in_quotes(info.name));
    }
    ValueId id = resolve(scope, info.name);
    if (id == kNoValue)
      return at(record, "graph output " + in_quotes(info.name) + " is made by no node, input or initializer");
    scope.graph->outputs.push_back(id);
    Value& value = scope.graph->value(id);
    Value declared;
    MOTET_RETURN_IF_ERROR(declare(record, info, false, declared));
    if (value.dtype && declared.dtype && value.dtype != declared.dtype) {
      return at(record, "output " + in_quotes(info.name) + " is declared as " +
                            std::string(dtype_kserve_name(*declared.dtype)) + ", but is " +
                            std::string(dtype_kserve_name(*value.dtype)));
    }
    if (!value.dtype) value.dtype = declared.dtype;
    if (!value.shape) value.shape = declared.shape;
  }
  return {};
}

Status Builder::nodes(Scope& scope, const std::vector<NodeRecord>& records) {
  std::unordered_map<std::string_view, size_t> makers;
  for (size_t i = 0; i < records.size(); ++i) {
    for (std::string_view name : records[i].outputs) {
      if (name.empty()) continue;
      if (scope.ids.contains(name))
        return at(records[i], title(records[i]) + " makes " + in_quotes(name) + ", which is an input or initializer");
      if (!makers.emplace(name, i).second)
        return at(records[i], title(records[i]) + " makes " + in_quotes(name) + ", which another node makes");
    }
  }
  MOTET_ASSIGN(std::vector<size_t> order, topological_order(records, makers));
  for (size_t i : order) MOTET_RETURN_IF_ERROR(node(scope, records[i]));
  return {};
}

Result<int> Builder::opset(const Scope& scope, const NodeRecord& record) const {
  auto found = scope.opsets->find(std::string(record.domain));
  if (found == scope.opsets->end()) {
    // Ops of a domain that is not imported are kept, and refused by name when someone must run them.
    if (!record.domain.empty()) return 1;
    return at(record, title(record) + " needs an opset_import of domain 'ai.onnx'; the model has none");
  }
  if (record.domain.empty() && (found->second < kMinOpset || found->second > kMaxOpset)) {
    return unsupported("opset " + std::to_string(found->second) + " of domain 'ai.onnx'; opsets " +
                       std::to_string(kMinOpset) + " to " + std::to_string(kMaxOpset) + " are accepted");
  }
  return static_cast<int>(found->second);
}

Result<const AttributeRecord*> Builder::referred(const Scope& scope, const NodeRecord& record,
                                                 const AttributeRecord& attribute) const {
  if (attribute.reference.empty()) return &attribute;
  if (scope.attributes == nullptr) {
    return at(record, title(record) + ": attribute " + in_quotes(attribute.name) +
                          " refers to a function's attribute outside of a function");
  }
  auto found = scope.attributes->find(attribute.reference);
  return found == scope.attributes->end() ? nullptr : found->second;
}

Result<Attribute> Builder::attribute(Scope& scope, const NodeRecord& record, const AttributeRecord& a) {
  using Type = AttributeRecord::Type;
  switch (a.type) {
    case Type::kFloat: return Attribute(a.f);
    case Type::kInt: return Attribute(a.i);
    case Type::kString: return Attribute(std::string(a.s));
    case Type::kFloats: return Attribute(a.floats);
    case Type::kInts: return Attribute(a.ints);
    case Type::kStrings: return Attribute(std::vector<std::string>(a.strings.begin(), a.strings.end()));
    case Type::kTensor: {
      if (!a.tensor) return at(record, title(record) + ": attribute " + in_quotes(a.name) + " has no tensor");
      MOTET_ASSIGN(Tensor tensor, source_.load(*a.tensor));
      return Attribute(std::move(tensor));
    }
    case Type::kGraph: {
      if (!a.graph) return at(record, title(record) + ": attribute " + in_quotes(a.name) + " has no graph");
      auto body = std::make_shared<Graph>();
      NamePool taken;
      Scope inner;
      inner.graph = body.get();
      inner.taken = &taken;
      inner.parent = &scope;
      inner.opsets = scope.opsets;
      inner.attributes = scope.attributes;
      inner.call_depth = scope.call_depth;
      MOTET_RETURN_IF_ERROR(fill(inner, *a.graph));
      return Attribute(std::shared_ptr<const Graph>(std::move(body)));
    }
    case Type::kOther:
      return unsupported(record.path + ": " + title(record) + ": attribute " + in_quotes(a.name) + " is " +
                         std::string(a.other_type) + ", which is not supported");
    case Type::kNone: break;
  }
  return at(record, title(record) + ": attribute " + in_quotes(a.name) + " has no value");
}

Status Builder::constant(Scope& scope, const NodeRecord& record) {
  if (record.outputs.size() != 1 || record.outputs[0].empty() || record.attributes.size() != 1) {
    return at(record, title(record) + " must have one output and one attribute");
  }
  MOTET_ASSIGN(const AttributeRecord* source, referred(scope, record, record.attributes[0]));
  if (source == nullptr) return at(record, title(record) + " refers to an attribute that its function was not given");
  MOTET_ASSIGN(Attribute value, attribute(scope, record, *source));
  Value out;
  struct Visitor {
    std::optional<Tensor> operator()(int64_t v) const { return Tensor::of<int64_t>({}, {{v}}); }
    std::optional<Tensor> operator()(float v) const { return Tensor::of<float>({}, {{v}}); }
    std::optional<Tensor> operator()(const Tensor& v) const { return v; }
    std::optional<Tensor> operator()(const std::vector<int64_t>& v) const {
      return Tensor::of<int64_t>({static_cast<int64_t>(v.size())}, v);
    }
    std::optional<Tensor> operator()(const std::vector<float>& v) const {
      return Tensor::of<float>({static_cast<int64_t>(v.size())}, v);
    }
    std::optional<Tensor> operator()(const std::string& v) const { return strings({v}, {}); }
    std::optional<Tensor> operator()(const std::vector<std::string>& v) const {
      return strings(v, {static_cast<int64_t>(v.size())});
    }
    std::optional<Tensor> operator()(const std::shared_ptr<const Graph>&) const { return std::nullopt; }
    static Tensor strings(std::vector<std::string> texts, Shape shape) {
      struct Block {
        std::vector<std::string> texts;
        std::vector<std::string_view> elements;
      };
      auto block = std::make_shared<Block>();
      block->texts = std::move(texts);
      block->elements.assign(block->texts.begin(), block->texts.end());
      TensorView view{DType::kString, std::move(shape), reinterpret_cast<std::byte*>(block->elements.data())};
      return Tensor(std::move(view), std::move(block));
    }
  };
  out.constant = std::visit(Visitor(), value);
  std::string_view key = record.attributes[0].name;
  if (!out.constant || !key.starts_with("value")) {
    return at(record, title(record) + ": attribute " + in_quotes(key) +
                          " is not supported; value, value_float, value_int and so on are");
  }
  out.dtype = out.constant->dtype();
  out.shape.emplace();
  for (int64_t extent : out.constant->shape()) out.shape->push_back(Dim{extent, ""});
  add(scope, record.outputs[0], std::move(out));
  return {};
}

Status Builder::node(Scope& scope, const NodeRecord& record) {
  if (++nodes_ > kMaxNodes)
    return at(record, "the model has more than " + std::to_string(kMaxNodes) + " nodes with functions inlined");
  auto function = functions_.find(FunctionKey(record.domain, record.op, record.overload));
  if (function != functions_.end()) return call(scope, record, *function->second);
  Node out;
  MOTET_ASSIGN(out.opset, opset(scope, record));
  if (record.domain.empty() && record.op == "Constant") return constant(scope, record);
  out.op = record.op;
  out.domain = record.domain;
  out.name = record.name.empty() ? std::string() : scope.prefix + std::string(record.name);
  for (std::string_view name : record.inputs) {
    out.inputs.push_back(name.empty() ? kNoValue : resolve(scope, name));
    if (!name.empty() && out.inputs.back() == kNoValue) {
      return at(record, title(record) + " reads " + in_quotes(name) + ", which no node, input or initializer makes");
    }
  }
  for (const AttributeRecord& a : record.attributes) {
    MOTET_ASSIGN(const AttributeRecord* source, referred(scope, record, a));
    if (source == nullptr) continue;
    MOTET_ASSIGN(Attribute value, attribute(scope, record, *source));
    if (!out.attributes.emplace(a.name, std::move(value)).second) {
      return at(record, title(record) + " has two attributes " + in_quotes(a.name));
    }
  }
  for (std::string_view name : record.outputs)
    out.outputs.push_back(name.empty() ? kNoValue : add(scope, name, Value()));
  Status sound = check_node(out);
  if (!sound.ok()) return Error{sound.error().code, at(record, sound.error().message).message};
  scope.graph->nodes.push_back(std::move(out));
  return {};
}

Status Builder::call(Scope& scope, const NodeRecord& record, const FunctionRecord& function) {
  if (scope.call_depth >= kMaxCallDepth)
    return at(record, "functions call each other deeper than " + std::to_string(kMaxCallDepth) + " levels");
  if (record.inputs.size() > function.inputs.size() || record.outputs.size() > function.outputs.size()) {
    return at(record, title(record) + " has " + std::to_string(record.inputs.size()) + " inputs and " +
                          std::to_string(record.outputs.size()) + " outputs; its function has " +
                          std::to_string(function.inputs.size()) + " and " + std::to_string(function.outputs.size()));
  }
  CallAttributes attributes;
  for (const AttributeRecord& a : function.defaults) attributes[a.name] = &a;
  for (const AttributeRecord& a : record.attributes) {
    if (a.graph)
      return unsupported(record.path + ": " + title(record) + " gives a graph to a function, which is not supported");
    MOTET_ASSIGN(const AttributeRecord* source, referred(scope, record, a));
    if (source != nullptr) attributes[a.name] = source;
  }
  Scope inner;
  inner.graph = scope.graph;
  inner.taken = scope.taken;
  inner.opsets = function.opsets.empty() ? scope.opsets : &function.opsets;
  inner.attributes = &attributes;
  inner.prefix = scope.prefix + std::string(record.name.empty() ? record.op : record.name) + "/";
  inner.call_depth = scope.call_depth + 1;
  for (size_t i = 0; i < function.inputs.size(); ++i) {
    bool given = i < record.inputs.size() && !record.inputs[i].empty();
    ValueId id = given ? resolve(scope, record.inputs[i]) : kNoValue;
    if (given && id == kNoValue)
      return at(record, title(record) + " reads " + in_quotes(record.inputs[i]) + ", which no one makes");
    if (!inner.ids.emplace(function.inputs[i], id).second)
      return at(record, "its function has two inputs " + in_quotes(function.inputs[i]));
  }
  // The caller's names, unique in the graph, are fixed first, so that results carry them.
  std::vector<std::string> names(record.outputs.size());
  for (size_t i = 0; i < record.outputs.size(); ++i) {
    if (record.outputs[i].empty()) continue;
    auto renamed = scope.results.find(record.outputs[i]);
    names[i] = renamed != scope.results.end() ? renamed->second
                                              : scope.taken->fresh(scope.prefix + std::string(record.outputs[i]));
    if (!inner.ids.contains(function.outputs[i])) inner.results.emplace(function.outputs[i], names[i]);
  }
  MOTET_RETURN_IF_ERROR(nodes(inner, function.nodes));
  for (size_t i = 0; i < record.outputs.size(); ++i) {
    if (record.outputs[i].empty()) continue;
    ValueId id = resolve(inner, function.outputs[i]);
    if (id == kNoValue) return at(record, "its function does not make its output " + in_quotes(function.outputs[i]));
    if (scope.graph->value(id).name != names[i]) {  // an input passed through, or one result under two names
      Value copy;
      copy.name = names[i];
      Node identity;
      identity.op = "Identity";
      identity.opset = static_cast<int>(kMaxOpset);
      identity.inputs = {id};
      id = scope.graph->add_value(std::move(copy));
      identity.outputs = {id};
      scope.graph->nodes.push_back(std::move(identity));
    }
    scope.ids.emplace(record.outputs[i], id);
  }
  return {};
}

Status Builder::fill(Scope& scope, const GraphRecord& record) {
  scope.graph->name = record.name;
  MOTET_RETURN_IF_ERROR(initializers(scope, record));
  MOTET_RETURN_IF_ERROR(inputs(scope, record));
  MOTET_RETURN_IF_ERROR(nodes(scope, record.nodes));
  return outputs(scope, record);
}

}  // namespace

Result<std::shared_ptr<Graph>> build_graph(const ModelRecord& record, TensorSource& source) {
  MOTET_CHECK(record.graph.has_value(), "build_graph without a graph");
  auto graph = std::make_shared<Graph>();
  NamePool taken;
  Scope scope;
  scope.graph = graph.get();
  scope.taken = &taken;
  scope.opsets = &record.opsets;
  Builder builder(record, source);
  MOTET_RETURN_IF_ERROR(builder.functions());
  MOTET_RETURN_IF_ERROR(builder.fill(scope, *record.graph));
  return graph;
}

}  // namespace motet::graph
