#include "compute/graph/infer.h"

#include <unordered_map>

#include "compute/graph/fold.h"
#include "compute/graph/text.h"

namespace motet::graph {
namespace {

// Larger results are folded by the pass fold-constants, once, and not while inferring.
constexpr int64_t kMaxEagerBytes = 64 << 10;
// Bodies in bodies; the reader refuses deeper ones.
constexpr int kMaxDepth = 40;
constexpr int64_t kMaxVisits = 5'000'000;

using RuleMap = std::unordered_map<std::string_view, Rule>;

const RuleMap& standard_rules() {
  static const RuleMap map = [] {
    RuleMap out;
    for (auto table :
         {elementwise_rules(), window_rules(), linear_rules(), recurrent_rules(), shape_rules(), index_rules(),
          reduce_rules(), image_rules(), quantize_rules(), attention_rules(), control_rules()}) {
      for (const RuleRow& row : table) out.emplace(row.op, row.rule);
    }
    return out;
  }();
  return map;
}

const RuleMap& other_rules() {
  static const RuleMap map = [] {
    RuleMap out;
    for (const RuleRow& row : contrib_rules()) out.emplace(row.op, row.rule);
    return out;
  }();
  return map;
}

Rule find_rule(const Node& node) {
  const RuleMap& map = node.domain.empty() ? standard_rules() : other_rules();
  auto found = node.domain.empty() ? map.find(node.op) : map.find(node.domain + ":" + node.op);
  return found == map.end() ? nullptr : found->second;
}

// A list of known integers as a tensor of an integer type.
std::optional<Tensor> int_tensor(const IntData& data, DType dtype, const SymShape& shape) {
  Shape extents;
  extents.reserve(shape.size());
  for (const Dim& dim : shape) extents.push_back(dim.extent);
  std::vector<int64_t> values;
  values.reserve(data.size());
  for (const Int& item : data) values.push_back(*item.value);
  if (dtype == DType::kI64) return Tensor::of<int64_t>(std::move(extents), values);
  if (dtype != DType::kI32) return std::nullopt;
  std::vector<int32_t> narrow;
  narrow.reserve(values.size());
  for (int64_t value : values) {
    if (value > INT32_MAX || value < INT32_MIN) return std::nullopt;
    narrow.push_back(static_cast<int32_t>(value));
  }
  return Tensor::of<int32_t>(std::move(extents), narrow);
}

class Driver {
 public:
  Driver(Graph& graph, const PassContext& context, Nesting nesting)
      : graph_(graph), context_(context), nesting_(nesting), data_(graph.values.size()) {}

  Status run() {
    if (nesting_.depth > kMaxDepth)
      return invalid_argument("bodies are nested deeper than " + std::to_string(kMaxDepth) + " levels");
    MOTET_RETURN_IF_ERROR(bind());
    for (Node& node : graph_.nodes) MOTET_RETURN_IF_ERROR(visit(node));
    return {};
  }

 private:
  // Replaces bound symbols by their extents in everything already declared.
  Status bind() {
    if (context_.symbols.empty()) return {};
    for (Value& value : graph_.values) {
      if (!value.shape) continue;
      for (Dim& dim : *value.shape) {
        if (dim.known() || dim.symbol.empty()) continue;
        auto bound = context_.symbols.find(dim.symbol);
        if (bound == context_.symbols.end()) continue;
        if (bound->second < 0) {
          return invalid_argument("symbol " + in_quotes(dim.symbol) + " is bound to " + std::to_string(bound->second) +
                                  "; an extent is 0 or more");
        }
        dim = dim_of(bound->second);
      }
    }
    return {};
  }

  bool known_already(const Node& node) const {
    for (ValueId id : node.outputs)
      if (id != kNoValue && !graph_.value(id).constant) return false;
    return !node.outputs.empty();
  }

  Status visit(Node& node) {
    if (--*nesting_.visits_left < 0)
      return invalid_argument("its bodies need more than " + std::to_string(kMaxVisits) + " steps to infer");
    if (known_already(node)) return {};
    Rule rule = find_rule(node);
    if (rule == nullptr) return {};
    Inference inference(graph_, node, data_, context_, nesting_);
    MOTET_RETURN_IF_ERROR(rule(inference));
    for (ValueId id : node.outputs) MOTET_RETURN_IF_ERROR(settle(node, id));
    if (context_.evaluate && !known_already(node)) evaluate(node);
    return {};
  }

  // Turns a fully known list into a constant.
  Status settle(const Node& node, ValueId id) {
    if (id == kNoValue) return {};
    Value& value = graph_.value(id);
    if (value.shape && value.shape->size() > kMaxInferredRank) {
      return invalid_argument(node.op + " node " + in_quotes(node.name) + ": its result has rank " +
                              std::to_string(value.shape->size()) + "; up to " + std::to_string(kMaxInferredRank) +
                              " are accepted");
    }
    const auto& data = data_[static_cast<size_t>(id)];
    if (!data || !value.dtype || !value.shape || value.constant) return {};
    for (const Int& item : *data)
      if (!item.value) return {};
    auto count = value.static_shape() ? checked_elements(*value.static_shape()) : Result<int64_t>(-1);
    if (count.ok() && *count == static_cast<int64_t>(data->size()))
      value.constant = int_tensor(*data, *value.dtype, *value.shape);
    return {};
  }

  // Shape arithmetic that the rules do not follow: small results of constant inputs.
  void evaluate(const Node& node) {
    if (!foldable(graph_, node)) return;
    auto bytes = folded_bytes(graph_, node);
    if (!bytes || *bytes > kMaxEagerBytes) return;
    fold_node(graph_, node, context_.evaluate);
  }

  Graph& graph_;
  const PassContext& context_;
  Nesting nesting_;
  std::vector<std::optional<IntData>> data_;
};

}  // namespace

Status infer_graph(Graph& graph, const PassContext& context, Nesting nesting) {
  return Driver(graph, context, nesting).run();
}

Status infer_shapes(Graph& graph, const PassContext& context) {
  int64_t visits_left = kMaxVisits;
  return infer_graph(graph, context, Nesting{0, &visits_left});
}

std::optional<DType> Inference::dtype(size_t i) const {
  return has(i) ? graph_.value(node_.inputs[i]).dtype : std::nullopt;
}

const SymShape* Inference::shape(size_t i) const {
  if (!has(i)) return nullptr;
  const auto& shape = graph_.value(node_.inputs[i]).shape;
  return shape ? &*shape : nullptr;
}

const Tensor* Inference::constant(size_t i) const {
  if (!has(i)) return nullptr;
  const auto& tensor = graph_.value(node_.inputs[i]).constant;
  return tensor ? &*tensor : nullptr;
}

std::optional<size_t> Inference::rank(size_t i) const {
  const SymShape* s = shape(i);
  return s == nullptr ? std::nullopt : std::optional(s->size());
}

std::optional<IntData> Inference::data(size_t i) const {
  if (!has(i)) return std::nullopt;
  const auto& known = data_[static_cast<size_t>(node_.inputs[i])];
  if (known) return known;
  auto values = ints(i);
  if (!values) return std::nullopt;
  IntData out;
  out.reserve(values->size());
  for (int64_t value : *values) out.push_back(Int{value, ""});
  return out;
}

std::optional<std::vector<int64_t>> Inference::ints(size_t i) const {
  const Tensor* tensor = constant(i);
  if (tensor == nullptr || tensor->shape().size() > 1) return std::nullopt;
  auto count = static_cast<size_t>(tensor->elements());
  if (count > kMaxIntData) return std::nullopt;
  std::vector<int64_t> out(count);
  if (tensor->dtype() == DType::kI64) {
    auto from = tensor->view().as<const int64_t>();
    out.assign(from.begin(), from.end());
  } else if (tensor->dtype() == DType::kI32) {
    auto from = tensor->view().as<const int32_t>();
    out.assign(from.begin(), from.end());
  } else {
    return std::nullopt;
  }
  return out;
}

void Inference::set(size_t o, std::optional<DType> dtype, std::optional<SymShape> shape) {
  if (!makes(o)) return;
  ValueId id = node_.outputs[o];
  Value& value = graph_.value(id);
  if (dtype) value.dtype = dtype;
  bool declared = false;
  for (ValueId output : graph_.outputs) declared = declared || output == id;
  if (!declared) {
    value.shape = std::move(shape);
    return;
  }
  // What the model declares of its outputs fills in what cannot be inferred; where they differ, what was inferred
  // holds.
  if (!shape) return;
  if (value.shape && value.shape->size() == shape->size()) {
    for (size_t i = 0; i < shape->size(); ++i) (*shape)[i] = merge((*shape)[i], (*value.shape)[i]);
  }
  value.shape = std::move(shape);
}

void Inference::set_data(size_t o, IntData data) {
  if (!makes(o) || data.size() > kMaxIntData) return;
  data_[static_cast<size_t>(node_.outputs[o])] = std::move(data);
}

Error Inference::error(const std::string& what) const {
  return invalid_argument(node_.op + " node " + in_quotes(node_.name) + ": " + what);
}

Status Inference::check_rank(size_t i, size_t low, size_t high) const {
  const SymShape* s = shape(i);
  if (s == nullptr || (s->size() >= low && s->size() <= high)) return {};
  std::string wanted = low == high ? std::to_string(low) : std::to_string(low) + " to " + std::to_string(high);
  return error("input " + std::to_string(i) + " has shape " + shape_text(*s) + "; its rank must be " + wanted);
}

Result<size_t> Inference::axis(int64_t axis, size_t rank) const {
  auto limit = static_cast<int64_t>(rank);
  if (axis < -limit || axis >= limit) {
    return error("axis " + std::to_string(axis) + " is outside [" + std::to_string(-limit) + ", " +
                 std::to_string(limit - 1) + "]");
  }
  return static_cast<size_t>(axis < 0 ? axis + limit : axis);
}

Result<std::vector<size_t>> Inference::axes(const std::vector<int64_t>& list, size_t rank) const {
  std::vector<size_t> out;
  std::vector<bool> seen(rank, false);
  for (int64_t a : list) {
    MOTET_ASSIGN(size_t at, axis(a, rank));
    if (seen[at]) return error("axis " + std::to_string(a) + " is given twice");
    seen[at] = true;
    out.push_back(at);
  }
  return out;
}

AxisList axis_list(const Inference& n, std::string_view key, size_t i) {
  if (n.node().find(key) != nullptr) return {true, n.node().ints_or(key, {})};
  if (n.has(i)) return {true, n.ints(i)};
  return {};
}

}  // namespace motet::graph
