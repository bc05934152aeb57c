// RotaryEmbedding: turns pairs of elements of each head by an angle per position; onnx/onnx docs/Operators.md.
#include <algorithm>

#include "compute/ops/attention/attention.h"
#include "compute/ops/support/dispatch.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"

namespace motet::ops {

Result<KernelPtr> plan_rotary(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 3, 4));
  const TensorSpec& x = request.inputs[0];
  const bool flat = x.shape.size() == 3;
  const int64_t told = request.node.int_or("num_heads", 0);
  if (x.shape.size() != 4 && (!flat || told < 1 || x.shape[2] % told != 0))
    return unsupported("of " + describe(x) + " with " + std::to_string(told) + " heads");
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, x.dtype, x.shape));
  const int64_t batch = x.shape[0], heads = flat ? told : x.shape[1], steps = flat ? x.shape[1] : x.shape[2];
  const int64_t size = flat ? x.shape[2] / told : x.shape[3];
  const int64_t asked = request.node.int_or("rotary_embedding_dim", 0);
  const int64_t turned = asked == 0 ? size : asked;
  const bool by_position = has_input(request, 3), pairs = request.node.int_or("interleaved", 0) != 0;
  if (turned % 2 != 0 || turned < 0 || turned > size)
    return unsupported("rotary_embedding_dim " + std::to_string(asked) + " of " + std::to_string(size));
  const int64_t half = turned / 2;
  const Shape& cache = request.inputs[1].shape;
  for (size_t i : {size_t{1}, size_t{2}}) {
    const bool fits = request.inputs[i].shape == cache && request.inputs[i].dtype == x.dtype &&
                      cache.size() == (by_position ? 2U : 3U) && cache.back() == half &&
                      (by_position || (cache[0] == batch && cache[1] == steps));
    if (!fits) return unsupported("cos_cache or sin_cache is " + describe(request.inputs[i]));
  }
  if (by_position && (request.inputs[3].dtype != DType::kI64 || request.inputs[3].shape != Shape{batch, steps}))
    return unsupported("position_ids is " + describe(request.inputs[3]));
  const int64_t positions = by_position ? cache[0] : batch * steps;
  KernelPtr kernel;
  for_float_type(x.dtype, [&]<class T>(T) {
    kernel = make_kernel([=](const KernelArgs& args, device::Team& team) {
      const T* from = input_data<T>(args, 0);
      T* to = output_data<T>(args, 0);
      team.for_range(batch * heads * steps, std::max<int64_t>(1, kGrain / std::max<int64_t>(size, 1)),
                     [&](int64_t begin, int64_t end) {
                       for (int64_t r = begin; r < end; ++r) {
                         // Rows of [batch, heads, steps] in memory order, or of [batch, steps, heads].
                         const int64_t b = r / (heads * steps), t = flat ? r / heads % steps : r % steps;
                         int64_t position = by_position ? input_data<int64_t>(args, 3)[b * steps + t] : b * steps + t;
                         if (position < 0 || position >= positions) {
                           args.report_fault("a position is beyond the cache");
                           position = 0;
                         }
                         const T* cosine = input_data<T>(args, 1) + position * half;
                         const T* sine = input_data<T>(args, 2) + position * half;
                         const T* in = from + r * size;
                         T* out = to + r * size;
                         for (int64_t i = 0; i < half; ++i) {
                           const int64_t a = pairs ? 2 * i : i, c = pairs ? 2 * i + 1 : i + half;
                           const T real = in[a], imaginary = in[c];
                           out[a] = real * cosine[i] - imaginary * sine[i];
                           out[c] = real * sine[i] + imaginary * cosine[i];
                         }
                         std::copy(in + turned, in + size, out + turned);
                       }
                     });
    });
  });
  if (kernel == nullptr) return unsupported("of " + describe(x));
  return kernel;
}

}  // namespace motet::ops
