// If, Loop and Scan: infers their bodies with what is known outside, and joins what the bodies give.
#include <algorithm>
#include <unordered_map>

#include "compute/graph/impossible.h"
#include "compute/graph/infer.h"

namespace motet::graph {
namespace {

// A copy of `body` with its captures set to what is known of them in the node's graph.
Graph with_captures(Inference& n, const Graph& body) {
  Graph copy = body;
  std::unordered_map<std::string_view, ValueId> wanted;
  for (const auto& [name, id] : body.captures) wanted.emplace(name, kNoValue);
  for (size_t i = 0; i < n.graph().values.size(); ++i) {
    auto found = wanted.find(n.graph().values[i].name);
    if (found != wanted.end()) found->second = static_cast<ValueId>(i);
  }
  for (const auto& [name, id] : body.captures) {
    ValueId outer = wanted.at(name);
    if (outer == kNoValue) continue;
    const Value& from = n.graph().value(outer);
    Value& to = copy.value(id);
    to.dtype = from.dtype;
    to.shape = from.shape;
    to.constant = from.constant;
  }
  return copy;
}

std::optional<SymShape> either(const std::optional<SymShape>& a, const std::optional<SymShape>& b) {
  if (!a || !b || a->size() != b->size()) return std::nullopt;
  SymShape out;
  out.reserve(a->size());
  for (size_t i = 0; i < a->size(); ++i) out.push_back(either((*a)[i], (*b)[i]));
  return out;
}

// The scalar condition, if it is constant.
std::optional<bool> condition(const Inference& n, size_t i) {
  const Tensor* t = n.constant(i);
  if (t == nullptr || t->dtype() != DType::kBool || t->elements() != 1) return std::nullopt;
  return t->view().as<const bool>()[0];
}

Status infer_body(Inference& n, std::string_view key, Graph& body) {
  MOTET_RETURN_IF_ERROR(infer_graph(body, n.context(), n.deeper()));
  n.mutable_node().attributes.insert_or_assign(std::string(key),
                                               Attribute(std::shared_ptr<const Graph>(std::make_shared<Graph>(body))));
  return {};
}

// The condition is known: the other branch may well be impossible for these shapes, and is left alone.
Status one_branch(Inference& n, std::string_view key, const Graph& body) {
  Graph inferred = with_captures(n, body);
  MOTET_RETURN_IF_ERROR(infer_body(n, key, inferred));
  for (size_t o = 0; o < n.output_count(); ++o) {
    const Value& value = inferred.value(inferred.outputs[o]);
    n.set(o, value.dtype, value.shape);
  }
  return {};
}

// Puts a body that faults in place of a branch that cannot run, and takes what is known from the other.
void rule_out(Inference& n, std::string_view key, const Graph& possible, const Error& reason) {
  std::vector<Value> like;
  for (size_t o = 0; o < n.output_count(); ++o) {
    like.push_back(possible.value(possible.outputs[o]));
    n.set(o, like.back().dtype, like.back().shape);
  }
  auto body = impossible_body(n.graph().value(n.node().inputs[0]), key == "then_branch", like, reason.message);
  if (body) n.mutable_node().attributes.insert_or_assign(std::string(key), Attribute(std::move(body)));
}

Status two_branches(Inference& n, const Graph& then_body, const Graph& else_body) {
  Graph a = with_captures(n, then_body), b = with_captures(n, else_body);
  Status first = infer_body(n, "then_branch", a), second = infer_body(n, "else_branch", b);
  if (!first.ok() && !second.ok()) return first;
  if (!first.ok() || !second.ok()) {
    rule_out(n, first.ok() ? "else_branch" : "then_branch", first.ok() ? a : b,
             first.ok() ? second.error() : first.error());
    return {};
  }
  for (size_t o = 0; o < n.output_count(); ++o) {
    const Value& x = a.value(a.outputs[o]);
    const Value& y = b.value(b.outputs[o]);
    if (x.dtype && y.dtype && x.dtype != y.dtype)
      return n.error("its branches give different types for output " + std::to_string(o));
    n.set(o, x.dtype ? x.dtype : y.dtype, either(x.shape, y.shape));
  }
  return {};
}

Status if_rule(Inference& n) {
  auto then_body = n.node().graph_or_null("then_branch");
  auto else_body = n.node().graph_or_null("else_branch");
  if (!then_body || !else_body) return n.error("needs both then_branch and else_branch");
  for (const auto& body : {then_body, else_body}) {
    if (body->outputs.size() != n.output_count()) {
      return n.error("has " + std::to_string(n.output_count()) + " outputs, but a branch has " +
                     std::to_string(body->outputs.size()));
    }
  }
  auto taken = condition(n, 0);
  if (taken) return one_branch(n, *taken ? "then_branch" : "else_branch", *taken ? *then_body : *else_body);
  return two_branches(n, *then_body, *else_body);
}

std::optional<SymShape> scanned(const std::optional<SymShape>& element, const Dim& count, size_t axis) {
  if (!element || axis > element->size()) return std::nullopt;
  SymShape out = *element;
  out.insert(out.begin() + static_cast<std::ptrdiff_t>(axis), count);
  return out;
}

// Infers `body` until the shapes of its carried values (body input first_in + i, body output first_out + i, node input
// first_node + i) no longer change from one turn to the next; extents that do are left open.
Result<Graph> settle_carried(Inference& n, const Graph& body, size_t count, size_t first_node, size_t first_in,
                             size_t first_out) {
  std::vector<std::optional<SymShape>> shapes;
  for (size_t i = 0; i < count; ++i) {
    const SymShape* shape = n.shape(first_node + i);
    shapes.push_back(shape == nullptr ? std::nullopt : std::optional(*shape));
  }
  // Each turn opens at least one extent or rank, or is the last.
  while (true) {
    Graph turn = with_captures(n, body);
    for (size_t i = 0; i < count; ++i) {
      Value& input = turn.value(turn.inputs[first_in + i]);
      if (n.dtype(first_node + i)) input.dtype = n.dtype(first_node + i);
      input.shape = shapes[i];
      input.constant.reset();
    }
    MOTET_RETURN_IF_ERROR(infer_graph(turn, n.context(), n.deeper()));
    bool stable = true;
    for (size_t i = 0; i < count; ++i) {
      auto joined = either(shapes[i], turn.value(turn.outputs[first_out + i]).shape);
      bool equal = joined.has_value() == shapes[i].has_value() && (!joined || *joined == *shapes[i]);
      stable = stable && equal;
      shapes[i] = std::move(joined);
    }
    if (stable) return turn;
  }
}

// Inputs (trip count, condition, carried...); body (turn, condition, carried...) -> (condition, carried...,
// scanned...).
Status loop_rule(Inference& n) {
  auto body = n.node().graph_or_null("body");
  if (!body) return n.error("has no body");
  size_t carried = n.input_count() - 2;
  if (n.input_count() < 2 || body->inputs.size() != carried + 2 || body->outputs.size() != n.output_count() + 1 ||
      n.output_count() < carried) {
    return n.error("has " + std::to_string(n.input_count()) + " inputs and " + std::to_string(n.output_count()) +
                   " outputs, which do not fit its body of " + std::to_string(body->inputs.size()) + " inputs and " +
                   std::to_string(body->outputs.size()) + " outputs");
  }
  Graph start = *body;
  start.value(start.inputs[0]).dtype = DType::kI64;
  start.value(start.inputs[0]).shape = SymShape();
  start.value(start.inputs[1]).dtype = DType::kBool;
  start.value(start.inputs[1]).shape = SymShape();
  MOTET_ASSIGN(Graph settled, settle_carried(n, start, carried, 2, 2, 1));
  auto trips = n.data(0);
  bool for_ever = !n.has(1) || condition(n, 1) == true;
  const auto& still = settled.value(settled.outputs[0]).constant;
  bool fixed = for_ever && n.has(0) && trips && trips->size() == 1 && still && still->dtype() == DType::kBool &&
               still->elements() == 1 && still->view().as<const bool>()[0];
  Dim count = fixed ? (*trips)[0].dim() : unknown_dim();
  for (size_t o = 0; o < n.output_count(); ++o) {
    const Value& value = settled.value(settled.outputs[o + 1]);
    bool once = o < carried;
    // Without a turn, a carried value is its initial one: shapes join with it, as settle_carried has made sure.
    n.set(o, value.dtype, once ? settled.value(settled.inputs[o + 2]).shape : scanned(value.shape, count, 0));
  }
  n.mutable_node().attributes.insert_or_assign(
      "body", Attribute(std::shared_ptr<const Graph>(std::make_shared<Graph>(std::move(settled)))));
  return {};
}

// Inputs (states..., scanned inputs...), opset 9 and later.
Status scan_rule(Inference& n) {
  auto body = n.node().graph_or_null("body");
  int64_t told = n.node().int_or("num_scan_inputs", 0);
  if (!body || n.node().opset < 9) return body ? Status() : Status(n.error("has no body"));
  if (told < 1 || told > static_cast<int64_t>(n.input_count()) || body->inputs.size() != n.input_count() ||
      body->outputs.size() != n.output_count()) {
    return n.error("num_scan_inputs is " + std::to_string(told) + " of " + std::to_string(n.input_count()) +
                   " inputs, which do not fit its body");
  }
  auto scans = static_cast<size_t>(told);
  size_t states = n.input_count() - scans;
  if (states > n.output_count()) return n.error("has fewer outputs than states");
  std::vector<int64_t> in_axes = n.node().ints_or("scan_input_axes", std::vector<int64_t>(scans, 0));
  std::vector<int64_t> out_axes =
      n.node().ints_or("scan_output_axes", std::vector<int64_t>(n.output_count() - states, 0));
  if (in_axes.size() != scans || out_axes.size() != n.output_count() - states)
    return n.error("its scan axes do not fit its inputs and outputs");
  Graph start = *body;
  Dim count = unknown_dim();
  for (size_t i = 0; i < scans; ++i) {
    Value& input = start.value(start.inputs[states + i]);
    if (n.dtype(states + i)) input.dtype = n.dtype(states + i);
    const SymShape* shape = n.shape(states + i);
    input.shape.reset();
    if (shape == nullptr) continue;
    MOTET_ASSIGN(size_t axis, n.axis(in_axes[i], shape->size()));
    if (conflict(count, (*shape)[axis])) return n.error("its scanned inputs have different lengths");
    count = merge(count, (*shape)[axis]);
    input.shape = *shape;
    input.shape->erase(input.shape->begin() + static_cast<std::ptrdiff_t>(axis));
  }
  MOTET_ASSIGN(Graph settled, settle_carried(n, start, states, 0, 0, 0));
  for (size_t o = 0; o < n.output_count(); ++o) {
    const Value& value = settled.value(settled.outputs[o]);
    if (o < states) {
      n.set(o, value.dtype, settled.value(settled.inputs[o]).shape);
      continue;
    }
    std::optional<SymShape> whole;
    if (value.shape) {
      MOTET_ASSIGN(size_t axis, n.axis(out_axes[o - states], value.shape->size() + 1));
      whole = scanned(value.shape, count, axis);
    }
    n.set(o, value.dtype, whole);
  }
  n.mutable_node().attributes.insert_or_assign(
      "body", Attribute(std::shared_ptr<const Graph>(std::make_shared<Graph>(std::move(settled)))));
  return {};
}

constexpr RuleRow kRules[] = {{"If", if_rule}, {"Loop", loop_rule}, {"Scan", scan_rule}};

}  // namespace

std::span<const RuleRow> control_rules() { return kRules; }

}  // namespace motet::graph
