#include "compute/graph/test_interpreter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace motet::graph::test {
namespace {

Shape shape_of(const Graph& g, ValueId id) { return g.value(id).static_shape().value(); }

// Walks every index of `shape`.
template <class F>
void each_index(const Shape& shape, F f) {
  std::vector<int64_t> index(shape.size(), 0);
  for (int64_t n = elements(shape); n > 0; --n) {
    f(index);
    for (size_t d = shape.size(); d-- > 0;) {
      if (++index[d] < shape[d]) break;
      index[d] = 0;
    }
  }
}

// Offset in a tensor that broadcasts to the index.
size_t offset(const Shape& shape, const std::vector<int64_t>& index) {
  size_t at = 0;
  for (size_t d = 0; d < shape.size(); ++d) {
    int64_t i = shape[d] == 1 ? 0 : index[d + index.size() - shape.size()];
    at = at * static_cast<size_t>(shape[d]) + static_cast<size_t>(i);
  }
  return at;
}

float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }
float gelu(float x, bool tanh_form) {
  if (tanh_form) return 0.5F * x * (1 + std::tanh(0.7978845608F * (x + 0.044715F * x * x * x)));
  return 0.5F * x * (1 + std::erf(x * 0.70710678F));
}
float hard_sigmoid(float x, float a, float b) { return std::clamp(a * x + b, 0.0F, 1.0F); }

struct Machine {
  const Graph& g;
  std::map<ValueId, Floats> values;

  const Floats& get(ValueId id) {
    auto found = values.find(id);
    if (found != values.end()) return found->second;
    const auto& constant = g.value(id).constant;
    EXPECT_TRUE(constant.has_value()) << g.value(id).name;
    auto list = constant->view().as<const float>();
    return values[id] = Floats(list.begin(), list.end());
  }
  bool has(const Node& n, size_t i) const { return i < n.inputs.size() && n.inputs[i] != kNoValue; }

  template <class F>
  Floats map(const Node& n, F f) {
    Floats out = get(n.inputs[0]);
    for (float& v : out) v = f(v);
    return out;
  }

  template <class F>
  Floats zip(const Node& n, F f) {
    Floats out;
    const Floats a = get(n.inputs[0]), b = get(n.inputs[1]);
    Shape sa = shape_of(g, n.inputs[0]), sb = shape_of(g, n.inputs[1]);
    each_index(shape_of(g, n.outputs[0]), [&](const auto& i) { out.push_back(f(a[offset(sa, i)], b[offset(sb, i)])); });
    return out;
  }

  // Conv and ConvTranspose as sums over pairs (input position, kernel position) -> output position.
  Floats conv(const Node& n, bool transposed) {
    Shape xs = shape_of(g, n.inputs[0]), ws = shape_of(g, n.inputs[1]), ys = shape_of(g, n.outputs[0]);
    const Floats x = get(n.inputs[0]), w = get(n.inputs[1]);
    Floats y(static_cast<size_t>(elements(ys)), 0.0F);
    auto strides = n.ints_or("strides", {1, 1}), pads = n.ints_or("pads", {0, 0, 0, 0});
    int64_t group = n.int_or("group", 1), in_each = xs[1] / group, out_each = ys[1] / group;
    Shape all = {xs[0], group, in_each, out_each, transposed ? xs[2] : ys[2], transposed ? xs[3] : ys[3], ws[2], ws[3]};
    each_index(all, [&](const auto& i) {
      int64_t c = i[1] * in_each + i[2], m = i[1] * out_each + i[3];
      int64_t far_h = i[4] * strides[0] + i[6] - pads[0], far_w = i[5] * strides[1] + i[7] - pads[1];
      std::vector<int64_t> from = {i[0], c, i[4], i[5]}, to = {i[0], m, i[4], i[5]};
      (transposed ? to : from)[2] = far_h;
      (transposed ? to : from)[3] = far_w;
      const Shape& bound = transposed ? ys : xs;
      if (far_h < 0 || far_w < 0 || far_h >= bound[2] || far_w >= bound[3]) return;
      size_t weight = transposed ? offset(ws, {c, i[3], i[6], i[7]}) : offset(ws, {m, i[2], i[6], i[7]});
      y[offset(ys, to)] += x[offset(xs, from)] * w[weight];
    });
    return y;
  }

  // The last two dimensions are multiplied; those before broadcast.
  Floats product(const Node& n) {
    Shape as = shape_of(g, n.inputs[0]), bs = shape_of(g, n.inputs[1]), ys = shape_of(g, n.outputs[0]);
    const Floats a = get(n.inputs[0]), b = get(n.inputs[1]);
    bool ta = n.int_or("transA", 0) != 0, tb = n.int_or("transB", 0) != 0;
    float alpha = n.float_or("alpha", 1);
    int64_t inner = as[as.size() - (ta ? 2 : 1)];
    Floats y;
    each_index(ys, [&](const std::vector<int64_t>& i) {
      std::vector<int64_t> left = i, right = i;
      size_t r = i.size();
      float sum = 0;
      for (int64_t k = 0; k < inner; ++k) {
        left[r - 2] = ta ? k : i[r - 2];
        left[r - 1] = ta ? i[r - 2] : k;
        right[r - 2] = tb ? i[r - 1] : k;
        right[r - 1] = tb ? k : i[r - 1];
        sum += a[offset(as, left)] * b[offset(bs, right)];
      }
      y.push_back(alpha * sum);
    });
    return y;
  }

  void add_bias(const Node& n, Floats& y, size_t axis, float beta) {
    if (!has(n, 2)) return;
    const Floats b = get(n.inputs[2]);
    Shape bs = shape_of(g, n.inputs[2]), ys = shape_of(g, n.outputs[0]);
    size_t at = 0;
    each_index(ys, [&](const auto& i) {
      y[at++] += beta * (axis == 1 && bs.size() == 1 ? b[static_cast<size_t>(i[1])] : b[offset(bs, i)]);
    });
  }

  Floats norm(const Node& n) {
    Floats y = get(n.inputs[0]);
    const Floats s = get(n.inputs[1]), b = get(n.inputs[2]), m = get(n.inputs[3]), v = get(n.inputs[4]);
    size_t at = 0;
    each_index(shape_of(g, n.outputs[0]), [&](const auto& i) {
      auto c = static_cast<size_t>(i[1]);
      y[at] = (y[at] - m[c]) / std::sqrt(v[c] + n.float_or("epsilon", 1e-5F)) * s[c] + b[c];
      ++at;
    });
    return y;
  }

  Floats transpose(const Node& n) {
    const Floats x = get(n.inputs[0]);
    Shape xs = shape_of(g, n.inputs[0]);
    std::vector<int64_t> perm(xs.size());
    std::iota(perm.rbegin(), perm.rend(), 0);
    perm = n.ints_or("perm", perm);
    Floats y;
    each_index(shape_of(g, n.outputs[0]), [&](const auto& i) {
      std::vector<int64_t> from(i.size());
      for (size_t d = 0; d < i.size(); ++d) from[static_cast<size_t>(perm[d])] = i[d];
      y.push_back(x[offset(xs, from)]);
    });
    return y;
  }

  // Over the last two of four dimensions, which the caller knows to be what is asked for.
  Floats pooled(const Node& n, bool mean) {
    const Floats x = get(n.inputs[0]);
    Shape xs = shape_of(g, n.inputs[0]);
    auto area = static_cast<size_t>(xs[2] * xs[3]);
    Floats y;
    for (size_t at = 0; at < x.size(); at += area) {
      float result = mean ? 0.0F : x[at];
      for (size_t i = at; i < at + area; ++i) result = mean ? result + x[i] : std::max(result, x[i]);
      y.push_back(mean ? result / static_cast<float>(area) : result);
    }
    return y;
  }

  // InstanceNormalization, with groups of one channel, and GroupNormalization.
  Floats grouped_norm(const Node& n, int64_t groups) {
    Floats y = get(n.inputs[0]);
    const Floats s = get(n.inputs[1]), b = get(n.inputs[2]);
    Shape xs = shape_of(g, n.inputs[0]);
    size_t size = y.size() / static_cast<size_t>(xs[0] * groups), plane = y.size() / static_cast<size_t>(xs[0] * xs[1]);
    for (size_t at = 0; at < y.size(); at += size) {
      float mean = 0, variance = 0;
      for (size_t i = at; i < at + size; ++i) mean += y[i] / static_cast<float>(size);
      for (size_t i = at; i < at + size; ++i) variance += (y[i] - mean) * (y[i] - mean) / static_cast<float>(size);
      for (size_t i = at; i < at + size; ++i) {
        size_t c = i / plane % s.size();
        y[i] = (y[i] - mean) / std::sqrt(variance + n.float_or("epsilon", 1e-5F)) * s[c] + b[c];
      }
    }
    return y;
  }

  // Along axis 1.
  Floats concat(const Node& n) {
    Shape ys = shape_of(g, n.outputs[0]);
    Floats y;
    for (int64_t outer = 0; outer < ys[0]; ++outer)
      for (ValueId id : n.inputs) {
        const Floats x = get(id);
        size_t each = x.size() / static_cast<size_t>(ys[0]), at = static_cast<size_t>(outer) * each;
        for (size_t i = at; i < at + each; ++i) y.push_back(x[i]);
      }
    return y;
  }

  // Mode DCR.
  Floats depth_to_space(const Node& n) {
    const Floats x = get(n.inputs[0]);
    Shape xs = shape_of(g, n.inputs[0]), ys = shape_of(g, n.outputs[0]);
    int64_t b = n.int_or("blocksize", 1);
    Floats y;
    each_index(ys, [&](const auto& i) {
      y.push_back(x[offset(xs, {i[0], (i[2] % b * b + i[3] % b) * ys[1] + i[1], i[2] / b, i[3] / b})]);
    });
    return y;
  }

  Floats shuffle(const Node& n) {
    const Floats x = get(n.inputs[0]);
    Shape xs = shape_of(g, n.inputs[0]);
    int64_t groups = n.int_or("groups", 1), each = xs[1] / groups;
    Floats y;
    each_index(xs, [&](std::vector<int64_t> i) {
      i[1] = i[1] % groups * each + i[1] / groups;
      y.push_back(x[offset(xs, i)]);
    });
    return y;
  }

  float bound(const Node& n, const char* key, size_t i, float fallback) {
    return has(n, i) ? get(n.inputs[i])[0] : n.float_or(key, fallback);
  }

  Floats run(const Node& n) {
    const std::string& op = n.op;
    if (op == "Add" || op == "Sum") return zip(n, [](float a, float b) { return a + b; });
    if (op == "Sub") return zip(n, [](float a, float b) { return a - b; });
    if (op == "Mul") return zip(n, [](float a, float b) { return a * b; });
    if (op == "Div") return zip(n, [](float a, float b) { return a / b; });
    if (op == "Pow") return zip(n, [](float a, float b) { return std::pow(a, b); });
    if (op == "Relu") return map(n, [](float x) { return std::max(x, 0.0F); });
    if (op == "Sigmoid") return map(n, sigmoid);
    if (op == "Tanh") return map(n, [](float x) { return std::tanh(x); });
    if (op == "Erf") return map(n, [](float x) { return std::erf(x); });
    if (op == "Swish") return map(n, [](float x) { return x * sigmoid(x); });
    if (op == "HardSwish") return map(n, [](float x) { return x * hard_sigmoid(x, 1.0F / 6, 0.5F); });
    if (op == "HardSigmoid")
      return map(n, [&](float x) { return hard_sigmoid(x, n.float_or("alpha", 0.2F), n.float_or("beta", 0.5F)); });
    if (op == "LeakyRelu") return map(n, [&](float x) { return x < 0 ? x * n.float_or("alpha", 0.01F) : x; });
    if (op == "Elu") return map(n, [&](float x) { return x < 0 ? n.float_or("alpha", 1) * (std::exp(x) - 1) : x; });
    if (op == "Gelu") return map(n, [&](float x) { return gelu(x, n.string_or("approximate", "none") == "tanh"); });
    if (op == "Clip") {
      float low = bound(n, "min", 1, -1e30F), high = bound(n, "max", 2, 1e30F);
      return map(n, [&](float x) { return std::clamp(x, low, high); });
    }
    if (op == "Identity" || op == "Dropout" || op == "Reshape" || op == "Squeeze" || op == "Unsqueeze" ||
        op == "Flatten")
      return get(n.inputs[0]);
    if (op == "Transpose") return transpose(n);
    if (op == "GlobalAveragePool" || op == "ReduceMean") return pooled(n, true);
    if (op == "GlobalMaxPool" || op == "ReduceMax") return pooled(n, false);
    if (op == "ChannelShuffle") return shuffle(n);
    if (op == "Concat") return concat(n);
    if (op == "DepthToSpace") return depth_to_space(n);
    if (op == "InstanceNormalization") return grouped_norm(n, shape_of(g, n.inputs[0])[1]);
    if (op == "GroupNormalization") return grouped_norm(n, n.int_or("num_groups", 1));
    if (op == "BatchNormalization") return norm(n);
    if (op == "Conv" || op == "ConvTranspose") {
      Floats y = conv(n, op == "ConvTranspose");
      add_bias(n, y, 1, 1);
      return y;
    }
    if (op == "Gemm" || op == "MatMul") {
      Floats y = product(n);
      add_bias(n, y, 0, op == "Gemm" ? n.float_or("beta", 1) : 1);
      return y;
    }
    ADD_FAILURE() << "the interpreter does not know " << op;
    return {};
  }

  void finish(const Node& n, Floats& y) {
    using Kind = PostOp::Kind;
    for (const PostOp& p : n.post_ops) {
      for (size_t i = 0; i < y.size(); ++i) {
        float& v = y[i];
        switch (p.kind) {
          case Kind::kRelu: v = std::max(v, 0.0F); break;
          case Kind::kClip: v = std::clamp(v, p.alpha, p.beta); break;
          case Kind::kSigmoid: v = sigmoid(v); break;
          case Kind::kTanh: v = std::tanh(v); break;
          case Kind::kHardSigmoid: v = hard_sigmoid(v, p.alpha, p.beta); break;
          case Kind::kHardSwish: v *= hard_sigmoid(v, 1.0F / 6, 0.5F); break;
          case Kind::kSwish: v *= sigmoid(v); break;
          case Kind::kLeakyRelu: v = v < 0 ? v * p.alpha : v; break;
          case Kind::kElu: v = v < 0 ? p.alpha * (std::exp(v) - 1) : v; break;
          case Kind::kGeluErf: v = gelu(v, false); break;
          case Kind::kGeluTanh: v = gelu(v, true); break;
          case Kind::kAdd: v += get(n.inputs[static_cast<size_t>(p.input)])[i]; break;
        }
      }
    }
  }
};

}  // namespace

std::vector<Floats> interpret(const Graph& graph, const std::vector<Floats>& inputs) {
  Machine machine{graph, {}};
  for (size_t i = 0; i < graph.inputs.size(); ++i) machine.values[graph.inputs[i]] = inputs[i];
  for (const Node& node : graph.nodes) {
    Floats y = machine.run(node);
    machine.finish(node, y);
    machine.values[node.outputs[0]] = std::move(y);
  }
  std::vector<Floats> out;
  for (ValueId id : graph.outputs) out.push_back(machine.get(id));
  return out;
}

}  // namespace motet::graph::test
