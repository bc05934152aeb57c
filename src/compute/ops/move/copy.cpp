#include <cstring>

#include "compute/ops/move/move.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"

namespace motet::ops {
namespace {

void copy_bytes(const std::byte* from, std::byte* to, int64_t bytes, device::Team& team) {
  if (from == to) return;
  constexpr int64_t kBytesPerPart = 262144;
  team.for_range(bytes, kBytesPerPart, [&](int64_t begin, int64_t end) {
    std::memcpy(to + begin, from + begin, static_cast<size_t>(end - begin));
  });
}

}  // namespace

Result<KernelPtr> plan_copy(const NodeRequest& request) {
  const size_t most = request.node.op == "Dropout"                                    ? 3
                      : request.node.op == "Identity" || request.node.op == "Flatten" ? 1
                                                                                      : 2;
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 1, most));
  const TensorSpec& in = request.inputs[0];
  const TensorSpec& out = request.outputs[0];
  if (in.dtype != out.dtype || elements(in.shape) != elements(out.shape)) {
    return unsupported("from " + describe(in) + " to " + describe(out));
  }
  // The second input decides the result's extents: it must be what they were inferred from.
  if (has_input(request, 1) && request.node.op != "Dropout" && constant_input(request, 1) == nullptr) {
    return unsupported("its second input is not a constant");
  }
  if (request.node.op == "Dropout" && has_input(request, 2)) {
    MOTET_ASSIGN(double training, constant_scalar(request, 2, "training_mode"));
    if (training != 0) return unsupported("training_mode 1; only inference is done here");
  }
  // In row-major order, whatever layout the input has now.
  const int64_t bytes = elements(in.shape) * static_cast<int64_t>(dtype_bytes(in.dtype));
  const bool mask = has_output(request, 1);
  if (mask) {
    // Before opset 10 the mask has the input's type.
    const DType type = request.outputs[1].dtype;
    if (type != DType::kBool) return unsupported("a mask of type " + std::string(dtype_kserve_name(type)));
    MOTET_RETURN_IF_ERROR(expect_output(request, 1, DType::kBool, in.shape));
  }
  return make_kernel(
      [bytes, mask, count = elements(in.shape)](const KernelArgs& args, device::Team& team) {
        copy_bytes(args.inputs[0].data, args.outputs[0].data, bytes, team);
        if (!mask || args.outputs.size() < 2) return;
        auto set = [&](int, int) { std::memset(args.outputs[1].data, 1, static_cast<size_t>(count)); };
        team.run(1, set);
      },
      {.in_place_of = 0});
}

Result<KernelPtr> plan_bit_cast(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 1, 1));
  const TensorSpec& in = request.inputs[0];
  const DType to = request.outputs[0].dtype;
  const bool strings = in.dtype == DType::kString || to == DType::kString;
  if (strings || dtype_bytes(in.dtype) != dtype_bytes(to))
    return unsupported("from " + describe(in) + " to " + std::string(dtype_kserve_name(to)) + "; a type of " +
                       std::to_string(dtype_bytes(in.dtype)) + " bytes is possible");
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, to, in.shape));
  const int64_t bytes = elements(in.shape) * static_cast<int64_t>(dtype_bytes(to));
  return make_kernel([bytes](const KernelArgs& args, device::Team& team) {
    copy_bytes(args.inputs[0].data, args.outputs[0].data, bytes, team);
  });
}

Result<KernelPtr> plan_data_dependent(const NodeRequest& request) {
  return unsupported("the shape of the result of " + request.node.op + " depends on the data");
}

}  // namespace motet::ops
