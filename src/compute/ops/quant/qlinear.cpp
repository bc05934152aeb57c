// QLinearAdd, QLinearMul and QLinearGlobalAveragePool of com.microsoft with constant parameters, on u8 or i8, in f32 a
// block at a time.
#include <algorithm>

#include "compute/ops/elementwise/layout.h"
#include "compute/ops/quant/quant.h"
#include "compute/ops/support/adapt.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"
#include "compute/ops/support/strided.h"
#include "compute/ops/support/widened.h"
#include "compute/ops/vector/loops.h"

namespace motet::ops {
namespace {

// One scale and zero point, at inputs i and i + 1.
struct Scale {
  float scale = 1, zero = 0;
};

Result<Scale> scale_of(const NodeRequest& request, size_t i) {
  MOTET_ASSIGN(double scale, constant_scalar(request, i, "scale"));
  if (!has_input(request, i + 1)) return Scale{static_cast<float>(scale), 0};
  MOTET_ASSIGN(double zero, constant_scalar(request, i + 1, "zero point"));
  return Scale{static_cast<float>(scale), static_cast<float>(zero)};
}

const float* real(DType dtype, const std::byte* data, int64_t at, int64_t n, const Scale& s, Block& block) {
  if (dtype == DType::kU8)
    vec::loops().from_u8(reinterpret_cast<const uint8_t*>(data) + at, block.values, n, s.scale, s.zero);
  else
    vec::loops().from_i8(reinterpret_cast<const int8_t*>(data) + at, block.values, n, s.scale, s.zero);
  return block.values;
}

void store(DType dtype, const float* values, std::byte* data, int64_t at, int64_t n, const Scale& s) {
  if (dtype == DType::kU8)
    vec::loops().to_u8(values, reinterpret_cast<uint8_t*>(data) + at, n, s.scale, s.zero);
  else
    vec::loops().to_i8(values, reinterpret_cast<int8_t*>(data) + at, n, s.scale, s.zero);
}

Status expect_bytes(const NodeRequest& request, std::initializer_list<size_t> inputs) {
  for (size_t i : inputs) MOTET_RETURN_IF_ERROR(expect_type(request, i, {DType::kU8, DType::kI8}));
  for (size_t i : inputs)
    if (request.inputs[i].dtype != request.outputs[0].dtype) return unsupported("operands of different types");
  return {};
}

// Channels last if the operands, of one shape, lie so.
Layout layout_for(const NodeRequest& request, std::initializer_list<size_t> inputs) {
  Layout layout = Layout::kRowMajor;
  for (size_t i : inputs) {
    if (request.inputs[i].shape != request.outputs[0].shape || request.inputs[i].shape.size() != 4)
      return Layout::kRowMajor;
    if (request.inputs[i].layout == Layout::kNhwc) layout = Layout::kNhwc;
  }
  return layout;
}

// Activations among the post-ops, in place.
Status expect_activations(const NodeRequest& request) {
  for (const graph::PostOp& op : request.node.post_ops)
    if (op.kind == graph::PostOp::Kind::kAdd) return unsupported("a residual after " + request.node.op);
  return {};
}

}  // namespace

Result<KernelPtr> plan_qlinear_binary(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 7, 8));
  MOTET_RETURN_IF_ERROR(expect_bytes(request, {0, 3}));
  MOTET_RETURN_IF_ERROR(expect_activations(request));
  MOTET_ASSIGN(Shape shape, broadcast_shape(request.inputs[0].shape, request.inputs[3].shape));
  const DType dtype = request.outputs[0].dtype;
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, dtype, shape));
  MOTET_ASSIGN(const Scale a, scale_of(request, 1));
  MOTET_ASSIGN(const Scale b, scale_of(request, 4));
  MOTET_ASSIGN(const Scale y, scale_of(request, 6));
  const vec::Binary kind = request.node.op == "QLinearAdd" ? vec::Binary::kAdd : vec::Binary::kMul;
  const Layout layout = layout_for(request, {0, 3});
  BroadcastPlan plan = BroadcastPlan::make(shape, {request.inputs[0].shape, request.inputs[3].shape});
  const auto flops = static_cast<double>(plan.elements);
  return make_kernel(
      [plan = std::move(plan), a, b, y, kind, dtype, post_ops = request.node.post_ops](const KernelArgs& args,
                                                                                       device::Team& team) {
        const int64_t a_step = plan.inner_step(0), b_step = plan.inner_step(1);
        team.for_range(plan.elements, kGrain / 2, [&](int64_t begin, int64_t end) {
          Block left, right;
          plan.for_runs(begin, end, [&](int64_t at, int64_t n, const int64_t* offsets) {
            for_blocks(0, n, [&](int64_t first, int64_t count) {
              real(dtype, args.inputs[0].data, offsets[0] + first * a_step, a_step == 0 ? 1 : count, a, left);
              real(dtype, args.inputs[3].data, offsets[1] + first * b_step, b_step == 0 ? 1 : count, b, right);
              vec::loops().binary(kind, left.values, a_step, right.values, b_step, left.values, count);
              apply_post_ops(post_ops, args, left.values, at + first, count);
              store(dtype, left.values, args.outputs[0].data, at + first, count, y);
            });
          });
        });
      },
      {.implementation = "own",
       .flops = flops,
       .input_layouts = {layout, Layout::kRowMajor, Layout::kRowMajor, layout},
       .output_layout = layout});
}

Result<KernelPtr> plan_qlinear_global_pool(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 4, 5));
  MOTET_RETURN_IF_ERROR(expect_bytes(request, {0}));
  const TensorSpec& in = request.inputs[0];
  if (in.shape.size() < 3 || !request.node.post_ops.empty() || elements(in.shape) == 0)
    return unsupported("of " + describe(in));
  if (request.node.int_or("channels_last", 0) != 0) return unsupported("channels_last");
  const int64_t batch = in.shape[0], channels = in.shape[1], plane = product(in.shape, 2, in.shape.size());
  Shape pooled(in.shape.size(), 1);
  pooled[0] = batch;
  pooled[1] = channels;
  const DType dtype = in.dtype;
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, dtype, pooled));
  MOTET_ASSIGN(const Scale x, scale_of(request, 1));
  MOTET_ASSIGN(const Scale y, scale_of(request, 3));
  // Strides of a channel and of a pixel.
  const bool last = in.layout == Layout::kNhwc;
  const int64_t channel = last ? 1 : plane, pixel = last ? channels : 1;
  return make_kernel(
      [=](const KernelArgs& args, device::Team& team) {
        team.for_range(batch * channels, std::max<int64_t>(64, kGrain / plane), [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) {
            const std::byte* from = args.inputs[0].data + i / channels * channels * plane + i % channels * channel;
            int64_t sum = 0;
            for (int64_t p = 0; p < plane; ++p) {
              const std::byte number = from[p * pixel];
              sum += dtype == DType::kU8 ? static_cast<int64_t>(number) : static_cast<int8_t>(number);
            }
            const float mean = (static_cast<float>(sum) / static_cast<float>(plane) - x.zero) * x.scale;
            store(dtype, &mean, args.outputs[0].data, i, 1, y);
          }
        });
      },
      {.implementation = "own",
       .flops = static_cast<double>(batch * channels * plane),
       .input_layouts = {last ? Layout::kNhwc : Layout::kRowMajor}});
}

namespace {

// Per-tensor constant parameters; the result lies as the input does, if padding of blocks cannot be met.
struct Conversion {
  Scale scale;
  Layout layout = Layout::kRowMajor;
};

Result<Conversion> read_conversion(const NodeRequest& request, DType bytes) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, 3));
  if (bytes != DType::kU8 && bytes != DType::kI8) return unsupported("other types than UINT8 and INT8");
  Conversion c;
  MOTET_ASSIGN(c.scale, scale_of(request, 1));
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, request.outputs[0].dtype, request.inputs[0].shape));
  if (!request.node.post_ops.empty()) return unsupported("post-ops");
  const TensorSpec& in = request.inputs[0];
  if (in.layout == Layout::kNhwc) c.layout = Layout::kNhwc;
  return c;
}

}  // namespace

Result<KernelPtr> plan_quantize_tensor(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_type(request, 0, {DType::kF32, DType::kBF16}));
  const DType from = request.inputs[0].dtype, to = request.outputs[0].dtype;
  MOTET_ASSIGN(const Conversion c, read_conversion(request, to));
  return make_kernel(
      [=, scale = c.scale, count = elements(request.inputs[0].shape)](const KernelArgs& args, device::Team& team) {
        team.for_range(count, kGrain, [&](int64_t begin, int64_t end) {
          Block block;
          for_blocks(begin, end, [&](int64_t at, int64_t n) {
            store(to, widened(from, args.inputs[0].data, at, n, block), args.outputs[0].data, at, n, scale);
          });
        });
      },
      {.implementation = "own", .input_layouts = {c.layout}, .output_layout = c.layout});
}

Result<KernelPtr> plan_dequantize_tensor(const NodeRequest& request) {
  const DType from = request.inputs[0].dtype, to = request.outputs[0].dtype;
  if (to != DType::kF32 && to != DType::kBF16) return unsupported("to " + describe(request.outputs[0]));
  MOTET_ASSIGN(const Conversion c, read_conversion(request, from));
  return make_kernel(
      [=, scale = c.scale, count = elements(request.inputs[0].shape)](const KernelArgs& args, device::Team& team) {
        team.for_range(count, kGrain, [&](int64_t begin, int64_t end) {
          Block block;
          for_blocks(begin, end, [&](int64_t at, int64_t n) {
            const float* values = real(from, args.inputs[0].data, at, n, scale, block);
            if (to == DType::kF32)
              std::copy_n(values, n, output_data<float>(args, 0) + at);
            else
              store_widened(to, values, args.outputs[0].data, at, n);
          });
        });
      },
      {.implementation = "own", .input_layouts = {c.layout}, .output_layout = c.layout});
}

}  // namespace motet::ops
