#include "compute/engine/compile/draft.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "compute/engine/compile/copy_kernel.h"
#include "compute/engine/compile/work.h"
#include "compute/graph/file_map.h"
#include "compute/ops/registry.h"

namespace motet::engine {
namespace {

using graph::kNoValue;
using graph::Node;
using graph::ValueId;
using ops::Layout;
using ops::TensorSpec;

constexpr int kForever = std::numeric_limits<int>::max();

int64_t block_of(Layout layout) { return layout == Layout::kNChw8c ? 8 : layout == Layout::kNChw16c ? 16 : 1; }

// True if the two layouts of `shape` are the same bytes: pictures of one pixel, or of one channel unblocked.
bool same_bytes(const Shape& shape, Layout a, Layout b) {
  if (a == b) return true;
  if (shape.size() != 4) return false;
  bool one_pixel = shape[2] == 1 && shape[3] == 1;
  bool whole = shape[1] % block_of(a) == 0 && shape[1] % block_of(b) == 0;
  if (one_pixel && whole) return true;
  bool unblocked = block_of(a) == 1 && block_of(b) == 1;
  return unblocked && shape[1] == 1;
}

std::string order_name(Layout layout) {
  return layout == Layout::kRowMajor ? "row-major" : std::string(layout_name(layout));
}

std::string copy_name(const TensorSpec& from, const TensorSpec& to) {
  std::string name = "reorder";
  if (from.layout != to.layout) name += " " + order_name(from.layout) + "->" + order_name(to.layout);
  if (from.dtype != to.dtype)
    name += " " + std::string(dtype_kserve_name(from.dtype)) + "->" + std::string(dtype_kserve_name(to.dtype));
  return name;
}

}  // namespace

Status Draft::take_values() {
  size_t count = graph_.values.size();
  shapes_.resize(count);
  dtypes_.resize(count);
  locations_.resize(count);
  for (size_t i = 0; i < count; ++i) {
    const graph::Value& value = graph_.values[i];
    by_name_.emplace(value.name, static_cast<ValueId>(i));
    shapes_[i] = value.constant ? std::optional<Shape>(value.constant->shape()) : value.static_shape();
    dtypes_[i] = value.constant ? std::optional<DType>(value.constant->dtype()) : value.dtype;
    if (shapes_[i]) {
      auto sound = checked_elements(*shapes_[i]);
      if (!sound.ok()) return invalid_argument("value '" + value.name + "': " + sound.error().message);
    }
  }
  find_last_uses();
  return {};
}

void Draft::find_last_uses() {
  last_use_.assign(graph_.values.size(), -1);
  for (size_t i = 0; i < graph_.nodes.size(); ++i) {
    const Node& node = graph_.nodes[i];
    auto use = [&](ValueId id) {
      if (id != kNoValue) last_use_[static_cast<size_t>(id)] = static_cast<int>(i);
    };
    for (ValueId id : node.inputs) use(id);
    for (const auto& [key, attribute] : node.attributes) {
      const auto* body = std::get_if<std::shared_ptr<const graph::Graph>>(&attribute);
      if (body == nullptr || *body == nullptr) continue;
      for (const auto& capture : (*body)->captures) use(find(capture.first));
    }
  }
  for (ValueId id : graph_.outputs) last_use_[static_cast<size_t>(id)] = kForever;
}

ValueId Draft::find(const std::string& name) const {
  auto found = by_name_.find(name);
  return found == by_name_.end() ? kNoValue : found->second;
}

Result<TensorSpec> Draft::spec_of(ValueId id) const {
  auto i = static_cast<size_t>(id);
  const std::string& name = graph_.values[i].name;
  if (!shapes_[i])
    return unsupported("the shape of value '" + name + "' depends on data; shapes must follow from the inputs' shapes");
  if (!dtypes_[i]) return unsupported("the type of value '" + name + "' is not known");
  if (locations_[i].empty()) return TensorSpec{*dtypes_[i], *shapes_[i]};
  return TensorSpec{locations_[i].front().dtype, *shapes_[i], locations_[i].front().layout};
}

StepOperand Draft::operand(ValueId id, int buffer, DType dtype) const {
  return {buffer, TensorView{dtype, *shapes_[static_cast<size_t>(id)], nullptr}};
}

int Draft::add_buffer(Buffer buffer, ValueId holder) {
  program_.buffers.push_back(std::move(buffer));
  holders_.emplace_back();
  if (holder != kNoValue) holders_.back().push_back(holder);
  return static_cast<int>(program_.buffers.size()) - 1;
}

void Draft::add_step(Step step, StepInfo info, Nanos estimate) {
  auto count = [&](const std::vector<StepOperand>& operands) {
    for (const StepOperand& o : operands)
      if (o.buffer != kNoBuffer) info.bytes_moved += program_.buffers[static_cast<size_t>(o.buffer)].bytes;
  };
  count(step.inputs);
  count(step.outputs);
  program_.body.push_back(std::move(step));
  program_.infos.push_back(std::move(info));
  estimates_.push_back(estimate);
}

int Draft::parts_of(const std::string& key, Nanos estimate) const {
  auto known = options_.parts.find(key);
  return known != options_.parts.end() ? known->second : parts_for(estimate, options_.quantum, options_.max_width);
}

void Draft::add_copy(const StepOperand& from, const StepOperand& to, Layout layout, const std::string& name) {
  Step step;
  const size_t bytes = program_.buffers[static_cast<size_t>(to.buffer)].bytes;
  step.key = name + " copied";
  const Nanos estimate = time_to_move(2 * bytes);
  step.parts = parts_of(step.key, estimate);
  step.kernel = std::make_unique<CopyKernel>(bytes, layout);
  step.inputs = {from};
  step.outputs = {to};
  add_step(std::move(step), {.node = name, .op = "copy", .implementation = "copy"}, estimate);
}

Result<int> Draft::deliver_constant(ValueId id, const TensorSpec& plain, Layout layout) {
  const Tensor& constant = *graph_.value(id).constant;
  if (layout == Layout::kRowMajor && constant.deferred() && options_.weights != nullptr) {
    auto copy = [constant](std::byte* to) {
      Reading from = constant.read();
      // By pieces: of a large table never both the file's pages and the copy take memory.
      constexpr size_t kPiece = size_t{4} << 20;
      for (size_t at = 0; at < constant.bytes(); at += kPiece) {
        const size_t bytes = std::min(kPiece, constant.bytes() - at);
        std::memcpy(to + at, from.data + at, bytes);
        graph::FileMap::release({from.data + at, bytes});
      }
    };
    return add_buffer({.kind = Buffer::Kind::kConstant,
                       .bytes = plain.bytes(),
                       .packed = options_.weights->get_or_pack(constant, "plain", constant.bytes(), std::move(copy))},
                      id);
  }
  if (layout == Layout::kRowMajor)
    return add_buffer({.kind = Buffer::Kind::kConstant, .bytes = plain.bytes(), .constant = constant}, id);
  TensorSpec wanted = plain;
  wanted.layout = layout;
  MOTET_ASSIGN(ops::KernelPtr kernel, ops::plan_reorder(plain, wanted, 1));
  Tensor copy = Tensor::zeros(DType::kU8, {static_cast<int64_t>(wanted.bytes())});
  Tensor scratch = Tensor::zeros(DType::kU8, {static_cast<int64_t>(kernel->scratch_bytes())});
  TensorView from = constant.view();
  TensorView to{plain.dtype, plain.shape, copy.view().data};
  kernel->run({.inputs = {&from, 1}, .outputs = {&to, 1}, .scratch = scratch.view().data}, device::Team::serial());
  return add_buffer({.kind = Buffer::Kind::kConstant, .bytes = wanted.bytes(), .constant = std::move(copy)}, id);
}

Result<int> Draft::deliver(ValueId id, Layout layout, DType dtype) {
  auto i = static_cast<size_t>(id);
  MOTET_ASSIGN(TensorSpec spec, spec_of(id));
  for (const Location& location : locations_[i])
    if (location.dtype == dtype && same_bytes(spec.shape, location.layout, layout)) return location.buffer;
  if (graph_.value(id).constant) {
    MOTET_ASSIGN(int buffer, deliver_constant(id, {*dtypes_[i], *shapes_[i]}, layout));
    locations_[i].push_back({buffer, layout, *dtypes_[i]});
    return buffer;
  }
  if (locations_[i].empty()) return internal_error("value '" + graph_.value(id).name + "' is used before it is made");
  TensorSpec wanted = spec;
  wanted.layout = layout;
  wanted.dtype = dtype;
  const std::string form = copy_name(spec, wanted);
  Step step;
  step.key = graph_.value(id).name + " by " + form;
  const Nanos estimate = time_to_move(spec.bytes() + wanted.bytes());
  step.parts = parts_of(step.key, estimate);
  MOTET_ASSIGN(ops::KernelPtr kernel, ops::plan_reorder(spec, wanted, step.parts));
  int buffer = add_buffer({.kind = Buffer::Kind::kArena, .bytes = wanted.bytes()}, id);
  StepInfo info{.node = graph_.value(id).name, .op = form, .implementation = kernel->implementation()};
  step.inputs = {operand(id, locations_[i].front().buffer, spec.dtype)};
  step.outputs = {operand(id, buffer, dtype)};
  if (kernel->scratch_bytes() > 0)
    step.scratch = add_buffer({.kind = Buffer::Kind::kArena, .bytes = kernel->scratch_bytes()}, kNoValue);
  step.kernel = std::move(kernel);
  add_step(std::move(step), std::move(info), estimate);
  locations_[i].push_back({buffer, layout, dtype});
  return buffer;
}

bool Draft::may_destroy(int buffer, int index) const {
  if (program_.buffers[static_cast<size_t>(buffer)].kind != Buffer::Kind::kArena) return false;
  const auto& holders = holders_[static_cast<size_t>(buffer)];
  return std::all_of(holders.begin(), holders.end(),
                     [&](ValueId id) { return last_use_[static_cast<size_t>(id)] <= index; });
}

}  // namespace motet::engine
