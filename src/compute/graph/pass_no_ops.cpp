// Nodes that hand on their input unchanged, and pairs of rearrangements that are one.
#include <algorithm>
#include <numeric>

#include "compute/graph/infer.h"
#include "compute/graph/passes.h"
#include "compute/graph/rewrite.h"

namespace motet::graph {
namespace {

bool same_shape(const Value& a, const Value& b) { return a.shape && b.shape && same(*a.shape, *b.shape); }
bool same_type(const Value& a, const Value& b) { return a.dtype && a.dtype == b.dtype; }

bool given(const Node& node, size_t i) { return i < node.inputs.size() && node.inputs[i] != kNoValue; }

// True if every element of the constant is `number`, in any of the usual types.
bool all_equal(const Value& value, double number) {
  if (!value.constant || value.constant->elements() > 4096) return false;
  const TensorView& view = value.constant->view();
  auto check = [&](auto list) {
    return std::all_of(list.begin(), list.end(), [&](auto v) { return static_cast<double>(v) == number; });
  };
  switch (view.dtype) {
    case DType::kF32: return check(view.as<const float>());
    case DType::kF64: return check(view.as<const double>());
    case DType::kI64: return check(view.as<const int64_t>());
    case DType::kI32: return check(view.as<const int32_t>());
    default: return false;
  }
}

std::optional<std::vector<int64_t>> ints_of(const Value& value) {
  if (!value.constant || value.constant->dtype() != DType::kI64 || value.constant->shape().size() > 1)
    return std::nullopt;
  auto list = value.constant->view().as<const int64_t>();
  return std::vector<int64_t>(list.begin(), list.end());
}

class NoOps {
 public:
  explicit NoOps(Graph& graph) : rewriter_(graph) {}

  int run() {
    int rewrites = 0;
    for (int i = 0; i < rewriter_.node_count(); ++i) {
      if (join_transposes(i) || join_reshapes(i)) ++rewrites;
      auto kept = passed_on(rewriter_.node(i));
      if (kept && drop(i, rewriter_.node(i).inputs[*kept])) ++rewrites;
    }
    rewriter_.finish();
    return rewrites;
  }

 private:
  const Value& in(const Node& node, size_t i) const { return rewriter_.value(node.inputs[i]); }

  // The number of the input that the node hands on, if it does.
  std::optional<size_t> passed_on(const Node& node) const {
    if (!node.domain.empty() || !node.post_ops.empty() || node.outputs.empty() || node.outputs[0] == kNoValue ||
        !given(node, 0))
      return std::nullopt;
    for (size_t o = 1; o < node.outputs.size(); ++o)
      if (node.outputs[o] != kNoValue && !rewriter_.unread(node.outputs[o])) return std::nullopt;
    if (auto neutral = neutral_operand(node)) return neutral;
    return is_copy(node) ? std::optional<size_t>(0) : std::nullopt;
  }

  bool is_copy(const Node& node) const {
    const Value& x = in(node, 0);
    const Value& y = rewriter_.value(node.outputs[0]);
    const std::string& op = node.op;
    if (op == "Identity") return true;
    if (op == "Dropout") return !given(node, 2) || all_false(in(node, 2));
    if (op == "Cast" || op == "CastLike") return same_type(x, y) && x.dtype != DType::kString;
    if (op == "Concat" || op == "Sum" || op == "Mean" || op == "Max" || op == "Min") return node.inputs.size() == 1;
    if (op == "Split") return node.outputs.size() == 1 && same_shape(x, y);
    if (op == "Pad")
      return (given(node, 1) ? all_equal(in(node, 1), 0)
                             : node.find("pads") != nullptr && all_zero(node.ints_or("pads", {})));
    if (op == "Transpose") return is_sorted(node, x);
    if (!same_shape(x, y)) return false;
    if (op == "Reshape" || op == "Flatten" || op == "Squeeze" || op == "Unsqueeze" || op == "Expand") return true;
    if (op == "Slice") return forward_slice(node);
    if (op == "Resize" || op == "Upsample") return unit_resize(node);
    return false;
  }

  static bool all_false(const Value& value) {
    return value.constant && value.constant->dtype() == DType::kBool && value.constant->elements() == 1 &&
           !value.constant->view().as<const bool>()[0];
  }
  static bool all_zero(const std::vector<int64_t>& list) {
    return std::all_of(list.begin(), list.end(), [](int64_t v) { return v == 0; });
  }

  static bool is_sorted(const Node& node, const Value& x) {
    auto perm = node.ints_or("perm", {});
    if (node.find("perm") == nullptr) return x.shape && x.shape->size() <= 1;
    return std::is_sorted(perm.begin(), perm.end());
  }

  // A slice as large as its input is the input, unless it runs backwards.
  bool forward_slice(const Node& node) const {
    if (!given(node, 4)) return true;
    auto steps = ints_of(in(node, 4));
    return steps && std::all_of(steps->begin(), steps->end(), [](int64_t s) { return s > 0; });
  }

  bool unit_resize(const Node& node) const {
    if (node.string_or("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize") return false;
    if (node.op == "Resize" && given(node, 3) && rewriter_.value(node.outputs[0]).static_shape()) return true;
    size_t scales = node.op == "Upsample" || node.opset < 11 ? 1 : 2;
    if (node.find("scales") != nullptr) {
      auto list = node.floats_or("scales", {});
      return std::all_of(list.begin(), list.end(), [](float s) { return s == 1; });
    }
    return given(node, scales) && in(node, scales).constant && in(node, scales).constant->elements() > 0 &&
           all_equal(in(node, scales), 1);
  }

  // x + 0, 0 + x, x - 0, x * 1, 1 * x, x / 1, where x has the result's shape.
  std::optional<size_t> neutral_operand(const Node& node) const {
    bool additive = node.op == "Add" || node.op == "Sub", multiplicative = node.op == "Mul" || node.op == "Div";
    if ((!additive && !multiplicative) || node.inputs.size() != 2) return std::nullopt;
    const Value& y = rewriter_.value(node.outputs[0]);
    double neutral = additive ? 0 : 1;
    bool commutes = node.op == "Add" || node.op == "Mul";
    if (all_equal(in(node, 1), neutral) && same_shape(in(node, 0), y) && same_type(in(node, 0), y)) return 0;
    if (commutes && all_equal(in(node, 0), neutral) && same_shape(in(node, 1), y) && same_type(in(node, 1), y))
      return 1;
    return std::nullopt;
  }

  // Takes the node out, so that its readers read `from`. Where the result is an output of the graph, `from` takes its
  // name; if it has to keep its own (it is an input, a constant or an output too), the node stays.
  bool drop(int index, ValueId from) {
    ValueId to = rewriter_.node(index).outputs[0];
    if (!rewriter_.is_output(to)) {
      rewriter_.remove(index);
      rewriter_.redirect(to, from);
      return true;
    }
    int maker = rewriter_.maker(from);
    if (maker < 0 || rewriter_.removed(maker) || rewriter_.is_output(from) || rewriter_.value(from).constant)
      return false;
    rewriter_.remove(index);
    rewriter_.rename(from, to);
    return true;
  }

  // Transpose of a transpose: one, with both permutations.
  bool join_transposes(int index) {
    Node outer = rewriter_.node(index);
    if (outer.op != "Transpose" || !outer.domain.empty()) return false;
    int maker = rewriter_.maker(outer.inputs[0]);
    if (maker < 0 || rewriter_.node(maker).op != "Transpose" || !rewriter_.node(maker).domain.empty()) return false;
    const Node& inner = rewriter_.node(maker);
    auto first = permutation(inner), second = permutation(outer);
    if (!first || !second || first->size() != second->size()) return false;
    std::vector<int64_t> both;
    both.reserve(second->size());
    for (int64_t axis : *second) both.push_back((*first)[static_cast<size_t>(axis)]);
    outer.inputs[0] = inner.inputs[0];
    outer.attributes.insert_or_assign("perm", Attribute(std::move(both)));
    rewriter_.put(index, std::move(outer));
    return true;
  }

  std::optional<std::vector<int64_t>> permutation(const Node& node) const {
    const auto& shape = in(node, 0).shape;
    if (!shape) return std::nullopt;
    std::vector<int64_t> reversed(shape->size());
    std::iota(reversed.rbegin(), reversed.rend(), 0);
    auto perm = node.ints_or("perm", std::move(reversed));
    auto rank = static_cast<int64_t>(shape->size());
    for (int64_t& axis : perm) {
      if (axis < 0) axis += rank;
      if (axis < 0 || axis >= rank) return std::nullopt;
    }
    return perm.size() == shape->size() ? std::optional(perm) : std::nullopt;
  }

  // Reshape to extents that say it all: whatever reshaped its input before does not matter.
  bool join_reshapes(int index) {
    Node outer = rewriter_.node(index);
    if (outer.op != "Reshape" || !outer.domain.empty() || !given(outer, 1)) return false;
    auto target = ints_of(in(outer, 1));
    if (!target || std::find(target->begin(), target->end(), 0) != target->end()) return false;
    int maker = rewriter_.maker(outer.inputs[0]);
    if (maker < 0 || !rewriter_.node(maker).domain.empty()) return false;
    const Node& inner = rewriter_.node(maker);
    if (inner.op != "Reshape" && inner.op != "Squeeze" && inner.op != "Unsqueeze" && inner.op != "Flatten")
      return false;
    outer.inputs[0] = inner.inputs[0];
    rewriter_.put(index, std::move(outer));
    return true;
  }

  Rewriter rewriter_;
};

}  // namespace

Result<int> remove_no_ops(Graph& graph, const PassContext& context) {
  (void)context;
  return NoOps(graph).run();
}

}  // namespace motet::graph
