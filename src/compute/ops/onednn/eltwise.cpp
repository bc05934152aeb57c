// Functions of one element and of two, in whatever layout the inputs have.
#include <algorithm>
#include <limits>
#include <map>
#include <string_view>

#include "compute/ops/onednn/common.h"

namespace motet::ops::onednn {
namespace {

using dnnl::algorithm;

struct Function {
  algorithm kind;
  float alpha = 0;
  float beta = 0;
};

// A bound of Clip: an input since opset 11, an attribute before.
Result<float> bound(const NodeRequest& request, size_t input, std::string_view attribute, float fallback) {
  if (request.inputs.size() <= input || !request.present[input]) return request.node.float_or(attribute, fallback);
  const Tensor* constant = request.constants[input];
  if (constant == nullptr) return unsupported("a Clip bound that is not constant");
  return constant->view().as<float>()[0];
}

// The op as oneDNN's functions in turn; more than one where ours has no single counterpart.
Result<std::vector<Function>> functions(const NodeRequest& request) {
  const graph::Node& node = request.node;
  const std::string& op = node.op;
  using F = std::vector<Function>;
  static const std::map<std::string_view, Function> plain = {
      {"Relu", {algorithm::eltwise_relu}},
      {"Sigmoid", {algorithm::eltwise_logistic}},
      {"Tanh", {algorithm::eltwise_tanh}},
      {"Exp", {algorithm::eltwise_exp}},
      {"Log", {algorithm::eltwise_log}},
      {"Sqrt", {algorithm::eltwise_sqrt}},
      {"Abs", {algorithm::eltwise_abs}},
      {"Round", {algorithm::eltwise_round}},
      {"HardSwish", {algorithm::eltwise_hardswish}},
      {"Mish", {algorithm::eltwise_mish}},
      {"Neg", {algorithm::eltwise_linear, -1.0F, 0.0F}},
  };
  if (auto found = plain.find(op); found != plain.end()) return F{found->second};
  if (op == "LeakyRelu") return F{{algorithm::eltwise_relu, node.float_or("alpha", 0.01F)}};
  if (op == "Elu") return F{{algorithm::eltwise_elu, node.float_or("alpha", 1.0F)}};
  if (op == "Swish") return F{{algorithm::eltwise_swish, node.float_or("alpha", 1.0F)}};
  if (op == "Gelu") {
    bool tanh = node.string_or("approximate", "none") == "tanh";
    return F{{tanh ? algorithm::eltwise_gelu_tanh : algorithm::eltwise_gelu_erf}};
  }
  if (op == "HardSigmoid") {
    Function line{algorithm::eltwise_linear, node.float_or("alpha", 0.2F), node.float_or("beta", 0.5F)};
    return F{line, {algorithm::eltwise_clip, 0.0F, 1.0F}};
  }
  if (op == "Clip") {
    MOTET_ASSIGN(float low, bound(request, 1, "min", std::numeric_limits<float>::lowest()));
    MOTET_ASSIGN(float high, bound(request, 2, "max", std::numeric_limits<float>::max()));
    return F{{algorithm::eltwise_clip, low, high}};
  }
  return unsupported("no function for " + op);
}

Result<KernelPtr> build_eltwise(const NodeRequest& request, std::span<const Function> list, Layout layout) {
  const Shape& shape = request.inputs[0].shape;
  Desc desc = layout == Layout::kRowMajor ? row_major({elements(shape)}) : in_layout(shape, layout);
  MOTET_ASSIGN(FusedOps after, fuse(request.node.post_ops));
  if (after.sum_input >= 0) return unsupported("a residual after an element-wise op");
  dnnl::post_ops ops;
  for (size_t i = 1; i < list.size(); ++i) ops.append_eltwise(1.0F, list[i].kind, list[i].alpha, list[i].beta);
  for (int i = 0; i < after.ops.len(); ++i) {
    float scale = 1;
    algorithm kind{};
    float alpha = 0;
    float beta = 0;
    after.ops.get_params_eltwise(i, scale, kind, alpha, beta);
    ops.append_eltwise(scale, kind, alpha, beta);
  }
  auto description = with_width(request.max_width, [&] {
    dnnl::eltwise_forward::desc d(dnnl::prop_kind::forward_inference, list[0].kind, desc, list[0].alpha, list[0].beta);
    return dnnl::eltwise_forward::primitive_desc(d, attributes(ops), cpu_engine());
  });
  if (is_slow(description.impl_info_str()))
    return unsupported("only oneDNN's own " + std::string(description.impl_info_str()));
  auto kernel = std::make_unique<PrimitiveKernel>(request.inputs.size(), request.outputs.size());
  kernel->set_input_layout(0, layout);
  kernel->set_output_layout(0, layout);
  kernel->allow_in_place(0);
  kernel->set_flops(static_cast<double>(elements(shape)));
  kernel->add(description, dnnl::eltwise_forward(description),
              {{DNNL_ARG_SRC, Operand::input(0), desc}, {DNNL_ARG_DST, Operand::output(0), desc}});
  return KernelPtr(std::move(kernel));
}

std::optional<algorithm> binary_kind(const std::string& op) {
  if (op == "Add" || op == "Sum") return algorithm::binary_add;
  if (op == "Sub") return algorithm::binary_sub;
  if (op == "Mul") return algorithm::binary_mul;
  if (op == "Div") return algorithm::binary_div;
  if (op == "Max") return algorithm::binary_max;
  if (op == "Min") return algorithm::binary_min;
  return std::nullopt;
}

// Two inputs, the first as large as the output; `swapped` says that it is the node's second.
struct Pair {
  Dims first, second;
  Layout layout = Layout::kRowMajor;
  bool swapped = false;
};

// Runs of dimensions in which the second input is whole, or broadcast, become one: [2,3,4] with [4] is [6,4] with
// [1,4].
void merge_dimensions(Pair& pair) {
  Dims first;
  Dims second;
  for (size_t i = 0; i < pair.first.size(); ++i) {
    if (pair.first[i] == 1) continue;
    bool whole = pair.second[i] == pair.first[i];
    bool previous_whole = !first.empty() && first.back() == second.back();
    if (!first.empty() && whole == previous_whole) {
      first.back() *= pair.first[i];
      second.back() *= pair.second[i];
    } else {
      first.push_back(pair.first[i]);
      second.push_back(pair.second[i]);
    }
  }
  if (first.empty()) first = second = {1};
  pair.first = first;
  pair.second = second;
}

Result<Pair> read_pair(const NodeRequest& request) {
  if (request.inputs.size() != 2) return unsupported(std::to_string(request.inputs.size()) + " inputs");
  const Shape& out = request.outputs[0].shape;
  Pair pair;
  pair.swapped = request.inputs[0].shape != out;
  if (pair.swapped && (request.inputs[1].shape != out || request.node.op == "Sub" || request.node.op == "Div"))
    return unsupported("a first input that is broadcast");
  const TensorSpec& large = request.inputs[pair.swapped ? 1 : 0];
  const TensorSpec& small = request.inputs[pair.swapped ? 0 : 1];
  pair.first = large.shape;
  pair.second = small.shape;
  while (pair.second.size() < pair.first.size()) pair.second.insert(pair.second.begin(), 1);
  bool same = pair.first == pair.second;
  pair.layout = large.layout;
  if (same && pair.layout == Layout::kRowMajor) pair.layout = small.layout;
  return pair;
}

Result<KernelPtr> build_binary(const NodeRequest& request, algorithm kind, Pair pair) {
  bool same = pair.first == pair.second;
  if (pair.layout == Layout::kRowMajor) merge_dimensions(pair);
  Desc first = in_layout(pair.first, pair.layout);
  Desc second = same ? first : row_major(pair.second);
  MOTET_ASSIGN(FusedOps fused, fuse(request.node.post_ops));
  if (fused.sum_input >= 0) return unsupported("a residual after an element-wise op");
  auto description = with_width(request.max_width, [&] {
    return dnnl::binary::primitive_desc({kind, first, second, first}, attributes(fused.ops), cpu_engine());
  });
  if (is_slow(description.impl_info_str()))
    return unsupported("only oneDNN's own " + std::string(description.impl_info_str()));
  auto kernel = std::make_unique<PrimitiveKernel>(request.inputs.size(), request.outputs.size());
  size_t large = pair.swapped ? 1 : 0;
  kernel->set_input_layout(large, pair.layout);
  if (same) kernel->set_input_layout(1 - large, pair.layout);
  kernel->set_output_layout(0, pair.layout);
  kernel->allow_in_place(static_cast<int>(large));
  kernel->set_flops(static_cast<double>(elements(pair.first)));
  kernel->add(description, dnnl::binary(description),
              {{DNNL_ARG_SRC_0, Operand::input(large), first},
               {DNNL_ARG_SRC_1, Operand::input(1 - large), second},
               {DNNL_ARG_DST, Operand::output(0), first}});
  return KernelPtr(std::move(kernel));
}

}  // namespace

Result<KernelPtr> plan_eltwise(const NodeRequest& request) {
  // Clip's bounds are scalars of the same type: what holds for them holds for the rest.
  if (auto error = refuse_unless_f32(request)) return *error;
  MOTET_ASSIGN(auto list, functions(request));
  Layout given = request.inputs[0].layout;
  auto kernel = guarded([&] { return build_eltwise(request, list, given); });
  if (kernel.ok() || given == Layout::kRowMajor) return kernel;
  return guarded([&] { return build_eltwise(request, list, Layout::kRowMajor); });
}

Result<KernelPtr> plan_binary(const NodeRequest& request) {
  if (auto error = refuse_unless_f32(request)) return *error;
  auto kind = binary_kind(request.node.op);
  if (!kind) return unsupported("no function for " + request.node.op);
  MOTET_ASSIGN(Pair pair, read_pair(request));
  auto kernel = guarded([&] { return build_binary(request, *kind, pair); });
  if (kernel.ok() || pair.layout == Layout::kRowMajor) return kernel;
  pair.layout = Layout::kRowMajor;
  return guarded([&] { return build_binary(request, *kind, pair); });
}

}  // namespace motet::ops::onednn
