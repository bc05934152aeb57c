#include "compute/ops/elementwise/converted.h"
#include "compute/ops/elementwise/elementwise.h"
#include "compute/ops/support/dispatch.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"

namespace motet::ops {
namespace {

template <class From, class To>
void convert(const std::byte* from, std::byte* to, int64_t begin, int64_t end) {
  const From* x = reinterpret_cast<const From*>(from);
  To* y = reinterpret_cast<To*>(to);
  for (int64_t i = begin; i < end; ++i) y[i] = converted<To>(x[i]);
}

using Convert = void (*)(const std::byte* from, std::byte* to, int64_t begin, int64_t end);

Convert converter(DType from, DType to) {
  Convert result = nullptr;
  auto with_from = [&]<class From>(From) {
    for_number_type(to, [&]<class To>(To) { result = convert<From, To>; });
    if (to == DType::kBool) result = convert<From, bool>;
  };
  for_number_type(from, with_from);
  if (from == DType::kBool) with_from(bool{});
  return result;
}

}  // namespace

Result<KernelPtr> plan_cast(const NodeRequest& request) {
  const bool like = request.node.op == "CastLike";
  MOTET_RETURN_IF_ERROR(expect_inputs(request, like ? 2 : 1, like ? 2 : 1));
  const TensorSpec& in = request.inputs[0];
  const DType to = request.outputs[0].dtype;
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, to, in.shape));
  const Convert convert = converter(in.dtype, to);
  if (convert == nullptr) return unsupported("from " + describe(in) + " to " + std::string(dtype_kserve_name(to)));
  return make_kernel([convert, count = elements(in.shape)](const KernelArgs& args, device::Team& team) {
    team.for_range(count, kGrain,
                   [&](int64_t begin, int64_t end) { convert(args.inputs[0].data, args.outputs[0].data, begin, end); });
  });
}

}  // namespace motet::ops
