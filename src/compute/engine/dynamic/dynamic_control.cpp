// If, Loop and Scan of a DynamicRun.
#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "compute/engine/dynamic/dynamic_run.h"

namespace motet::engine {
namespace {

using graph::Node;

int64_t product(const Shape& shape, size_t from, size_t to) {
  int64_t result = 1;
  for (size_t d = from; d < to; ++d) result *= shape[d];
  return result;
}

Result<bool> condition_of(const Tensor* tensor) {
  if (tensor == nullptr || tensor->dtype() != DType::kBool || tensor->view().elements() != 1)
    return invalid_argument("its condition is not one BOOL");
  return tensor->view().as<bool>()[0];
}

Result<size_t> axis_of(int64_t axis, size_t rank) {
  auto limit = static_cast<int64_t>(rank);
  if (axis < -limit || axis >= limit)
    return invalid_argument("axis " + std::to_string(axis) + " is outside [" + std::to_string(-limit) + ", " +
                            std::to_string(limit - 1) + "]");
  return static_cast<size_t>(axis < 0 ? axis + limit : axis);
}

bool backward(const Node& node, std::string_view key, size_t i) {
  const std::vector<int64_t> directions = node.ints_or(key, {});
  return i < directions.size() && directions[i] != 0;
}

}  // namespace

Status DynamicRun::enter_if(const Node& node) {
  MOTET_ASSIGN(bool taken, condition_of(value(top(), node.inputs[0])));
  const DynamicBody::Step& step = top().body->steps[top().next];
  const DynamicBody& body = *step.bodies[taken ? 1 : 0];
  if (body.graph->outputs.size() != node.outputs.size())
    return invalid_argument("it has " + std::to_string(node.outputs.size()) + " outputs, but the branch taken has " +
                            std::to_string(body.graph->outputs.size()));
  push(body, done_ + step.longest);
  return {};
}

Status DynamicRun::enter_loop(const Node& node) {
  auto turns = std::make_unique<Turns>();
  turns->most = DynamicProgram::kMostTurns;
  if (const Tensor* trips = value(top(), node.inputs[0])) {
    if (trips->dtype() != DType::kI64 || trips->view().elements() != 1)
      return invalid_argument("its trip count is not one INT64");
    const int64_t count = trips->view().as<int64_t>()[0];
    turns->bounded = count <= turns->most;
    turns->most = std::clamp<int64_t>(count, 0, turns->most);
  }
  if (const Tensor* condition = value(top(), node.inputs[1])) {
    MOTET_ASSIGN(turns->go, condition_of(condition));
  }
  for (size_t i = 2; i < node.inputs.size(); ++i) {
    const Tensor* tensor = value(top(), node.inputs[i]);
    if (tensor == nullptr) return invalid_argument("input " + std::to_string(i) + " is left out");
    turns->carried.push_back(*tensor);
  }
  const DynamicBody::Step& step = top().body->steps[top().next];
  const DynamicBody& body = *step.bodies[0];
  if (body.graph->inputs.size() != turns->carried.size() + 2 || body.graph->outputs.size() <= turns->carried.size())
    return invalid_argument("its body does not fit its inputs");
  turns->scanned.resize(body.graph->outputs.size() - 1 - turns->carried.size());
  if (node.outputs.size() > turns->carried.size() + turns->scanned.size())
    return invalid_argument("it has more outputs than its body gives");
  push(body, done_ + step.longest);
  top().turns = std::move(turns);
  return begin_turn();
}

Status DynamicRun::enter_scan(const Node& node) {
  if (node.opset < 9)
    return unsupported("Scan (opset " + std::to_string(node.opset) + ") has another form; 9 and later are possible");
  const auto told = node.int_or("num_scan_inputs", 0);
  const DynamicBody::Step& step = top().body->steps[top().next];
  const DynamicBody& body = *step.bodies[0];
  if (told < 1 || told > static_cast<int64_t>(node.inputs.size()) || body.graph->inputs.size() != node.inputs.size() ||
      body.graph->outputs.size() != node.outputs.size())
    return invalid_argument("num_scan_inputs is " + std::to_string(told) + ", which does not fit its body");
  const auto scans = static_cast<size_t>(told);
  const size_t states = node.inputs.size() - scans;
  if (states > node.outputs.size()) return invalid_argument("it has fewer outputs than states");
  const std::vector<int64_t> axes = node.ints_or("scan_input_axes", std::vector<int64_t>(scans, 0));
  if (axes.size() != scans) return invalid_argument("scan_input_axes does not fit its inputs");
  auto turns = std::make_unique<Turns>();
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const Tensor* tensor = value(top(), node.inputs[i]);
    if (tensor == nullptr) return invalid_argument("input " + std::to_string(i) + " is left out");
    if (i < states) {
      turns->carried.push_back(*tensor);
      continue;
    }
    MOTET_ASSIGN(size_t axis, axis_of(axes[i - states], tensor->shape().size()));
    const int64_t length = tensor->shape()[axis];
    if (i > states && length != turns->most)
      return invalid_argument("its scanned inputs have " + std::to_string(turns->most) + " and " +
                              std::to_string(length) + " slices");
    turns->most = length;
    turns->sources.push_back(*tensor);
    turns->source_axes.push_back(axis);
  }
  if (turns->most > DynamicProgram::kMostTurns)
    return unsupported(std::to_string(turns->most) + " turns; up to " + std::to_string(DynamicProgram::kMostTurns) +
                       " are possible");
  turns->bounded = true;
  turns->scanned.resize(node.outputs.size() - states);
  push(body, done_ + step.longest);
  top().turns = std::move(turns);
  return begin_turn();
}

Result<Tensor> DynamicRun::slice(const Tensor& source, size_t axis, int64_t at) {
  Shape shape = source.shape();
  const int64_t extent = shape[axis];
  const int64_t outer = product(shape, 0, axis);
  shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(axis));
  MOTET_ASSIGN(Tensor result, growth_.make(source.dtype(), shape));
  const size_t row =
      static_cast<size_t>(product(source.shape(), axis + 1, source.shape().size())) * dtype_bytes(source.dtype());
  for (int64_t o = 0; row > 0 && o < outer; ++o)
    std::memcpy(result.view().data + static_cast<size_t>(o) * row,
                source.view().data + static_cast<size_t>(o * extent + at) * row, row);
  return result;
}

Status DynamicRun::begin_turn() {
  Frame& frame = top();
  Turns& turns = *frame.turns;
  const auto& inputs = frame.body->graph->inputs;
  const bool loop = turns.sources.empty();
  if (!turns.go || turns.turn >= turns.most) {
    // No turn at all, or none more: what is carried is the result.
    frame.next = frame.body->steps.size();
    return {};
  }
  auto bind = [&](size_t input, Tensor tensor) {
    frame.values[static_cast<size_t>(inputs[input])] = std::move(tensor);
  };
  if (loop) {
    bind(0, Tensor::of<int64_t>({}, std::vector<int64_t>{turns.turn}));
    Tensor go = Tensor::zeros(DType::kBool, {});
    go.view().as<bool>()[0] = true;
    bind(1, std::move(go));
  }
  for (size_t i = 0; i < turns.carried.size(); ++i) bind(i + (loop ? 2 : 0), turns.carried[i]);
  const Frame& outer = frames_[frames_.size() - 2];
  const Node& scan = outer.body->graph->nodes[outer.next];
  for (size_t i = 0; i < turns.sources.size(); ++i) {
    const bool last_first = backward(scan, "scan_input_directions", i);
    MOTET_ASSIGN(Tensor part,
                 slice(turns.sources[i], turns.source_axes[i], last_first ? turns.most - 1 - turns.turn : turns.turn));
    bind(turns.carried.size() + i, std::move(part));
  }
  return {};
}

Result<bool> DynamicRun::finish_frame() {
  Frame& frame = top();
  if (frame.turns && (!frame.turns->go || frame.turns->turn >= frame.turns->most)) {
    MOTET_RETURN_IF_ERROR(finish_loop(*frame.turns));
    return false;
  }
  std::vector<Tensor> results;
  for (graph::ValueId id : frame.body->graph->outputs) {
    const Tensor* tensor = value(frame, id);
    if (tensor == nullptr)
      return invalid_argument("a body gives nothing for '" + frame.body->graph->value(id).name + "'");
    results.push_back(*tensor);
  }
  if (frame.turns) return finish_turn(std::move(results));
  MOTET_RETURN_IF_ERROR(conclude(std::move(results)));
  return false;
}

Result<bool> DynamicRun::finish_turn(std::vector<Tensor> results) {
  Frame& frame = top();
  Turns& turns = *frame.turns;
  const size_t first = turns.sources.empty() ? 1 : 0;
  if (first == 1) {
    MOTET_ASSIGN(turns.go, condition_of(&results[0]));
  }
  for (size_t i = 0; i < turns.carried.size(); ++i) {
    if (results[first + i].dtype() != turns.carried[i].dtype())
      return invalid_argument("a carried value changes its type from one turn to the next");
    turns.carried[i] = results[first + i];
  }
  for (size_t i = 0; i < turns.scanned.size(); ++i)
    turns.scanned[i].push_back(results[first + turns.carried.size() + i]);
  ++turns.turn;
  if (turns.go && turns.turn >= turns.most && !turns.bounded)
    return resource_exhausted("a loop took " + std::to_string(turns.turn) +
                              " turns and would go on; that many are possible");
  // A fresh frame but for what it captures.
  Frame fresh;
  fresh.body = frame.body;
  fresh.values.resize(frame.values.size());
  fresh.ends_at = frame.ends_at;
  fresh.turns = std::move(frame.turns);
  const Frame& outer = frames_[frames_.size() - 2];
  for (const auto& [from, to] : fresh.body->captures)
    if (const Tensor* seen = value(outer, from)) fresh.values[static_cast<size_t>(to)] = *seen;
  frames_.back() = std::move(fresh);
  MOTET_RETURN_IF_ERROR(begin_turn());
  return top().next < top().body->steps.size() || top().body->steps.empty();
}

Result<Tensor> DynamicRun::stack(const std::vector<Tensor>& slices, size_t axis, bool reversed,
                                 const graph::Value& element) {
  const auto count = static_cast<int64_t>(slices.size());
  Shape shape;
  DType dtype = element.dtype.value_or(DType::kF32);
  if (!slices.empty()) {
    shape = slices[0].shape();
    dtype = slices[0].dtype();
  } else if (element.shape) {
    for (const graph::Dim& dim : *element.shape) shape.push_back(dim.known() ? dim.extent : 0);
  }
  for (const Tensor& s : slices)
    if (s.shape() != shape || s.dtype() != dtype)
      return invalid_argument("turns give " + shape_to_string(shape) + " and " + shape_to_string(s.shape()) + " for '" +
                              element.name + "'; they must be alike");
  const int64_t outer = product(shape, 0, axis);
  const size_t row = static_cast<size_t>(product(shape, axis, shape.size())) * dtype_bytes(dtype);
  Shape whole = shape;
  whole.insert(whole.begin() + static_cast<std::ptrdiff_t>(axis), count);
  MOTET_ASSIGN(Tensor result, growth_.make(dtype, whole));
  for (int64_t t = 0; row > 0 && t < count; ++t) {
    const std::byte* from = slices[static_cast<size_t>(reversed ? count - 1 - t : t)].view().data;
    for (int64_t o = 0; o < outer; ++o)
      std::memcpy(result.view().data + static_cast<size_t>(o * count + t) * row, from + static_cast<size_t>(o) * row,
                  row);
  }
  if (dtype != DType::kString) return result;
  struct Parts {
    Tensor memory;
    std::vector<Tensor> slices;
  };
  TensorView view = result.view();
  return Tensor(std::move(view), std::make_shared<Parts>(Parts{result, slices}));
}

Status DynamicRun::finish_loop(Turns& turns) {
  const Frame& outer = frames_[frames_.size() - 2];
  const Node& node = outer.body->graph->nodes[outer.next];
  const graph::Graph& body = *top().body->graph;
  const bool loop = turns.sources.empty();
  std::vector<Tensor> results = turns.carried;
  const std::vector<int64_t> axes = node.ints_or("scan_output_axes", {});
  for (size_t i = 0; i < turns.scanned.size(); ++i) {
    const graph::Value& element = body.value(body.outputs[results.size() + (loop ? 1 : 0)]);
    size_t axis = 0;
    if (i < axes.size() && !loop) {
      const size_t rank =
          turns.scanned[i].empty() ? element.shape ? element.shape->size() : 0 : turns.scanned[i][0].shape().size();
      MOTET_ASSIGN(axis, axis_of(axes[i], rank + 1));
    }
    const bool last_first = !loop && backward(node, "scan_output_directions", i);
    MOTET_ASSIGN(Tensor whole, stack(turns.scanned[i], axis, last_first, element));
    results.push_back(std::move(whole));
  }
  return conclude(std::move(results));
}

Status DynamicRun::conclude(std::vector<Tensor> results) {
  done_ = top().ends_at;
  frames_.pop_back();
  if (frames_.empty()) return deliver(std::move(results));
  Frame& outer = top();
  const Node& node = outer.body->graph->nodes[outer.next];
  for (size_t o = 0; o < results.size(); ++o) give(outer, node, o, std::move(results[o]));
  forget_dead(outer, outer.next);
  ++outer.next;
  return {};
}

}  // namespace motet::engine
