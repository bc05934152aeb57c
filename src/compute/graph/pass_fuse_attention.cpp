// Scaled dot-product attention as exporters spell it out becomes one node, "motet:Attention"
// (compute/ops/attention/fused.h):
//
//   scores = MatMul(Q, K^T), Q and K^T or the scores times constants; plus a mask; Softmax over the last dimension;
//   where a weight is not a number, zero (PyTorch's guard for rows that are masked out); MatMul with V; Transpose
//
// Transposes, splits and scales in front of Q, K, V and the mask are read through as strides, and the Transpose behind
// is written through. Shapes must be known.
#include "compute/graph/passes.h"
#include "compute/graph/strided_view.h"

namespace motet::graph {
namespace {

// Everything between the two products.
struct Weights {
  ValueId left = kNoValue, right = kNoValue;  // operands of the first product
  ValueId mask = kNoValue;
  double scale = 1;
  bool zero_masked = false;
  std::vector<int> nodes;  // that the fused node replaces
};

class Attention {
 public:
  explicit Attention(Graph& graph) : rewriter_(graph) {}

  int run() {
    return rewrite_each(rewriter_, [&](int index) { return fuse(index); });
  }

 private:
  const Node* plain(int index, std::string_view op) const {
    if (index < 0 || rewriter_.removed(index)) return nullptr;
    const Node& node = rewriter_.node(index);
    return node.op == op && node.domain.empty() && node.post_ops.empty() ? &node : nullptr;
  }
  const Node* maker(ValueId id, std::string_view op) const { return plain(rewriter_.maker(id), op); }
  bool f32(ValueId id) const { return rewriter_.value(id).dtype == DType::kF32; }
  Shape shape(ValueId id) const { return rewriter_.value(id).static_shape().value_or(Shape{}); }

  // `id` without the guard Where(IsNaN(p), 0, p).
  ValueId without_guard(ValueId id, Weights& w) const {
    const Node* where = maker(id, "Where");
    if (where == nullptr || !rewriter_.read_once(id)) return id;
    const Node* test = maker(where->inputs[0], "IsNaN");
    auto zero = scalar_of(rewriter_.value(where->inputs[1]));
    const ValueId p = where->inputs[2];
    const bool alone = test != nullptr && rewriter_.read_once(where->inputs[0]) && test->inputs[0] == p &&
                       rewriter_.readers(p).size() == 2 && !rewriter_.seen_outside(p);
    if (!alone || !zero || *zero != 0) return id;
    w.zero_masked = true;
    w.nodes.push_back(rewriter_.maker(where->inputs[0]));
    w.nodes.push_back(rewriter_.maker(id));
    return p;
  }

  // Takes Mul and Div by a constant off `id`.
  ValueId without_scale(ValueId id, Weights& w) const {
    while (rewriter_.read_once(id)) {
      const int index = rewriter_.maker(id);
      if (plain(index, "Mul") == nullptr && plain(index, "Div") == nullptr) break;
      const Node& node = rewriter_.node(index);
      size_t number = 1;
      if (node.op == "Mul" && scalar_of(rewriter_.value(node.inputs[0]))) number = 0;
      auto factor = scalar_of(rewriter_.value(node.inputs[number]));
      const ValueId rest = node.inputs[1 - number];
      if (!factor || *factor == 0 || shape(rest) != shape(id)) break;
      w.scale *= node.op == "Div" ? 1.0 / *factor : *factor;
      w.nodes.push_back(index);
      id = rest;
    }
    return id;
  }

  // Reads weights = [guard] Softmax(scale (Q K^T) + mask); false if that is not what they are.
  bool read_weights(ValueId id, Weights& w) const {
    id = without_guard(id, w);
    const Node* softmax = maker(id, "Softmax");
    const bool own = w.zero_masked || rewriter_.read_once(id);
    if (softmax == nullptr || !own || softmax->opset < 13) return false;
    const auto rank = static_cast<int64_t>(shape(id).size());
    const int64_t axis = softmax->int_or("axis", -1);
    if (axis != -1 && axis != rank - 1) return false;
    w.nodes.push_back(rewriter_.maker(id));
    ValueId scores = softmax->inputs[0];
    if (!rewriter_.read_once(scores)) return false;
    if (const Node* add = maker(scores, "Add")) {
      // The scores are the addend that comes from a product.
      for (size_t i = 0; i < 2 && w.mask == kNoValue; ++i) {
        Weights tried = w;
        const ValueId rest = without_scale(add->inputs[i], tried);
        if (maker(rest, "MatMul") == nullptr || shape(add->inputs[i]) != shape(scores) || !f32(add->inputs[1 - i]))
          continue;
        tried.mask = add->inputs[1 - i];
        tried.nodes.push_back(rewriter_.maker(scores));
        w = tried;
        scores = rest;
      }
      if (w.mask == kNoValue) return false;
    } else {
      scores = without_scale(scores, w);
    }
    const Node* product = maker(scores, "MatMul");
    if (product == nullptr || !rewriter_.read_once(scores) || product->inputs.size() != 2) return false;
    w.nodes.push_back(rewriter_.maker(scores));
    w.left = product->inputs[0];
    w.right = product->inputs[1];
    return true;
  }

  // The view of `id` with four dimensions, traced back as far as `good` allows.
  template <class Good>
  std::optional<StridedView> trace(ValueId id, const Shape& broadcast_to, Good good) const {
    auto view = view_of(rewriter_, id);
    if (!view || view->extents.size() > 4) return std::nullopt;
    while (view->extents.size() < 4) {
      // A product of rank 3 has one head; a mask of lower rank repeats.
      view->extents.insert(view->extents.begin(), 1);
      view->strides.insert(view->strides.begin(), 0);
    }
    std::optional<StridedView> best;
    for (auto at = view; at; at = step_back(rewriter_, *at)) {
      if (good(*at) && f32(at->source)) best = at;
    }
    for (size_t d = 0; best && d < 4; ++d)
      if (best->extents[d] != broadcast_to[d] && best->extents[d] != 1) return std::nullopt;
    return best;
  }

  static std::vector<int64_t> numbers(const StridedView& view, size_t row, size_t column) {
    return {view.offset, view.strides[0], view.strides[1], view.strides[row], view.strides[column]};
  }

  bool fuse(int index) {
    const Node* last = plain(index, "MatMul");
    if (last == nullptr || last->inputs.size() != 2 || last->outputs[0] == kNoValue) return false;
    Weights w;
    if (!read_weights(last->inputs[0], w)) return false;
    ValueId made = last->outputs[0];
    Shape q = shape(w.left), k = shape(w.right), v = shape(last->inputs[1]), y = shape(made);
    const size_t rank = q.size();
    if (rank < 3 || rank > 4 || k.size() != rank || v.size() != rank || y.size() != rank || elements(y) == 0)
      return false;
    for (Shape* s : {&q, &k, &v, &y})
      if (rank == 3) s->insert(s->begin(), 1);
    const int64_t batch = y[0], heads = y[1], rows = q[2], keys = k[3], depth = q[3], width = v[3];
    if (keys < 1 || depth < 1) return false;
    auto lies = [](int64_t stride, int64_t extent) { return stride == 1 || extent == 1; };
    auto q_view =
        trace(w.left, {batch, heads, rows, depth}, [&](const StridedView& at) { return lies(at.strides[3], depth); });
    auto k_view = trace(w.right, {batch, heads, depth, keys},
                        [&](const StridedView& at) { return lies(at.strides[2], depth) || at.strides[3] == 1; });
    auto v_view = trace(last->inputs[1], {batch, heads, keys, width},
                        [&](const StridedView& at) { return at.scale == 1 && lies(at.strides[3], width); });
    if (!q_view || !k_view || !v_view) return false;
    Node node{.op = "Attention", .domain = "motet", .name = last->name, .opset = 1};
    node.inputs = {q_view->source, k_view->source, v_view->source};
    node.attributes.emplace("extents", Shape{batch, heads, rows, keys, depth, width});
    node.attributes.emplace("q", numbers(*q_view, 2, 3));
    node.attributes.emplace("k", numbers(*k_view, 3, 2));
    node.attributes.emplace("v", numbers(*v_view, 2, 3));
    node.attributes.emplace("scale", static_cast<float>(w.scale * q_view->scale * k_view->scale));
    node.attributes.emplace("zero_masked", int64_t{w.zero_masked});
    if (w.mask != kNoValue) {
      auto mask = trace(w.mask, {batch, heads, rows, keys},
                        [&](const StridedView& at) { return at.scale == 1 && at.strides[3] <= 1; });
      if (!mask) return false;
      node.inputs.push_back(mask->source);
      node.attributes.emplace("mask", numbers(*mask, 2, 3));
    }
    int place = index;
    write_through(made, y, rank, node, place);
    for (int each : w.nodes) rewriter_.remove(each);
    if (place != index) rewriter_.remove(index);
    rewriter_.put(place, std::move(node));
    return true;
  }

  // Sets the node's result: the product's, or that of a Transpose which is all that reads it.
  void write_through(ValueId made, const Shape& y, size_t rank, Node& node, int& place) {
    Shape strides{y[1] * y[2] * y[3], y[2] * y[3], y[3], 1}, shape = y;
    const Node* turned = rewriter_.read_once(made) ? plain(rewriter_.only_reader(made), "Transpose") : nullptr;
    const std::vector<int64_t> order = turned == nullptr ? std::vector<int64_t>() : turned->ints_or("perm", {});
    const bool keeps_columns = order.size() == rank && order.back() == static_cast<int64_t>(rank) - 1;
    if (keeps_columns && turned->outputs[0] != kNoValue) {
      const size_t lead = 4 - rank;
      for (size_t d = 0; d < rank; ++d) shape[lead + d] = y[lead + static_cast<size_t>(order[d])];
      int64_t stride = 1;
      for (size_t d = rank; d-- > 0;) {
        strides[lead + static_cast<size_t>(order[d])] = stride;
        stride *= shape[lead + d];
      }
      place = rewriter_.only_reader(made);
      made = turned->outputs[0];
    }
    node.outputs = {made};
    node.attributes.emplace("out", Shape{0, strides[0], strides[1], strides[2], strides[3]});
    node.attributes.emplace("shape", Shape(shape.begin() + static_cast<std::ptrdiff_t>(4 - rank), shape.end()));
  }

  Rewriter rewriter_;
};

}  // namespace

Result<int> fuse_attention(Graph& graph, const PassContext& context) {
  (void)context;
  return Attention(graph).run();
}

}  // namespace motet::graph
