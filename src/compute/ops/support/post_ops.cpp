#include <algorithm>

#include "compute/ops/support/adapt.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"
#include "compute/ops/vector/loops.h"

namespace motet::ops {
namespace {

using Kind = graph::PostOp::Kind;

vec::Unary activation(Kind kind) {
  switch (kind) {
    case Kind::kRelu: return vec::Unary::kRelu;
    case Kind::kClip: return vec::Unary::kClip;
    case Kind::kSigmoid: return vec::Unary::kSigmoid;
    case Kind::kTanh: return vec::Unary::kTanh;
    case Kind::kHardSigmoid: return vec::Unary::kHardSigmoid;
    case Kind::kHardSwish: return vec::Unary::kHardSwish;
    case Kind::kSwish: return vec::Unary::kSwish;
    case Kind::kLeakyRelu: return vec::Unary::kLeakyRelu;
    case Kind::kElu: return vec::Unary::kElu;
    case Kind::kGeluErf: return vec::Unary::kGeluErf;
    case Kind::kGeluTanh: return vec::Unary::kGeluTanh;
    case Kind::kAdd: break;
  }
  MOTET_CHECK(false, "not an activation");
}

// Elements that stay in the first-level cache while one post-op after another passes over them.
constexpr int64_t kBlock = 2048;

Status check(const NodeRequest& request) {
  const TensorSpec& out = request.outputs[0];
  if (out.dtype != DType::kF32) return unsupported("post-ops on " + describe(out) + "; FP32 is possible");
  for (const graph::PostOp& op : request.node.post_ops) {
    if (op.kind != Kind::kAdd) continue;
    const auto i = static_cast<size_t>(op.input);
    if (op.input < 0 || !has_input(request, i))
      return unsupported("a fused addition of absent input " + std::to_string(op.input));
    if (request.inputs[i].shape != out.shape || request.inputs[i].dtype != out.dtype) {
      return unsupported("a fused addition of " + describe(request.inputs[i]) + " to " + describe(out));
    }
  }
  return {};
}

}  // namespace

void apply_post_ops(std::span<const graph::PostOp> post_ops, const KernelArgs& args, float* y, int64_t first,
                    int64_t n) {
  const vec::Loops& loops = vec::loops();
  for (int64_t at = 0; at < n; at += kBlock) {
    const int64_t count = std::min(kBlock, n - at);
    for (const graph::PostOp& op : post_ops) {
      if (op.kind == Kind::kAdd) {
        const float* other = input_data<float>(args, static_cast<size_t>(op.input)) + first + at;
        loops.binary(vec::Binary::kAdd, y + at, 1, other, 1, y + at, count);
      } else {
        // The only activation whose parameter is implied.
        const float alpha = op.kind == Kind::kSwish ? 1.0f : op.alpha;
        loops.unary(activation(op.kind), y + at, y + at, count, alpha, op.beta);
      }
    }
  }
}

Result<KernelPtr> plan_with_post_ops(const NodeRequest& request, PlanFunction plan) {
  if (request.node.post_ops.empty()) return plan(request);
  MOTET_RETURN_IF_ERROR(check(request));
  // The plain node ends before the first input that only an addition reads.
  size_t inputs = request.inputs.size();
  for (const graph::PostOp& op : request.node.post_ops) {
    if (op.kind == Kind::kAdd) inputs = std::min(inputs, static_cast<size_t>(op.input));
  }
  graph::Node plain = request.node;
  plain.post_ops.clear();
  plain.inputs.resize(inputs);
  std::vector<TensorSpec> specs(request.inputs.begin(), request.inputs.begin() + static_cast<std::ptrdiff_t>(inputs));
  for (TensorSpec& spec : specs) spec.layout = Layout::kRowMajor;
  const NodeRequest inner{plain,
                          specs,
                          request.present.first(inputs),
                          request.constants.first(inputs),
                          request.outputs,
                          Layout::kRowMajor,
                          request.max_width};
  MOTET_ASSIGN(KernelPtr kernel, plan(inner));
  KernelTraits traits{.implementation = kernel->implementation(),
                      .scratch_bytes = kernel->scratch_bytes(),
                      .packed_bytes = kernel->packed_bytes(),
                      .flops = kernel->flops()};
  const int64_t count = elements(request.outputs[0].shape);
  return make_kernel(
      [kernel = std::move(kernel), post_ops = request.node.post_ops, count, inputs](const KernelArgs& args,
                                                                                    device::Team& team) {
        KernelArgs plain_args = args;
        plain_args.inputs = args.inputs.first(inputs);
        kernel->run(plain_args, team);
        float* y = output_data<float>(args, 0);
        team.for_range(count, kGrain, [&](int64_t begin, int64_t end) {
          apply_post_ops(post_ops, args, y + begin, begin, end - begin);
        });
      },
      traits);
}

}  // namespace motet::ops
