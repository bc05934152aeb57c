#include "compute/ops/quant/unscaled.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"
#include "compute/ops/support/window.h"

namespace motet::ops {
namespace {

bool is_byte(DType dtype) { return dtype == DType::kU8 || dtype == DType::kI8; }

// A list of bytes of either sign.
struct Bytes8 {
  const std::byte* data = nullptr;
  bool negative = false;
  int32_t operator[](int64_t i) const {
    return negative ? static_cast<int32_t>(reinterpret_cast<const int8_t*>(data)[i])
                    : static_cast<int32_t>(reinterpret_cast<const uint8_t*>(data)[i]);
  }
};

// Zero points of one element or one a slice; zero where absent.
struct ZeroPoints {
  bool present = false, each = false, negative = false;
  size_t input = 0;
  int32_t at(const KernelArgs& args, int64_t slice) const {
    return present ? Bytes8{args.inputs[input].data, negative}[each ? slice : 0] : 0;
  }
};

Result<ZeroPoints> zero_points(const NodeRequest& request, size_t i, int64_t slices) {
  ZeroPoints z{.input = i};
  if (!has_input(request, i)) return z;
  const TensorSpec& spec = request.inputs[i];
  const int64_t count = elements(spec.shape);
  if (!is_byte(spec.dtype) || (count != 1 && count != slices))
    return unsupported("input " + std::to_string(i) + " is " + describe(spec) + "; one element or " +
                       std::to_string(slices) + " are possible");
  z.present = true;
  z.each = count != 1;
  z.negative = spec.dtype == DType::kI8;
  return z;
}

}  // namespace

Result<KernelPtr> plan_integer_product(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, 4));
  for (size_t i : {size_t{0}, size_t{1}}) MOTET_RETURN_IF_ERROR(expect_type(request, i, {DType::kU8, DType::kI8}));
  Shape a = request.inputs[0].shape, b = request.inputs[1].shape;
  if (a.empty() || b.empty())
    return unsupported("of " + describe(request.inputs[0]) + " and " + describe(request.inputs[1]));
  const bool row = a.size() == 1, column = b.size() == 1;
  if (row) a.insert(a.begin(), 1);
  if (column) b.push_back(1);
  const int64_t m = a[a.size() - 2], k = a.back(), n = b.back();
  if (b[b.size() - 2] != k)
    return unsupported("of " + describe(request.inputs[0]) + " and " + describe(request.inputs[1]));
  const Shape a_outer(a.begin(), a.end() - 2), b_outer(b.begin(), b.end() - 2);
  MOTET_ASSIGN(Shape shape, broadcast_shape(a_outer, b_outer));
  const Shape outer = shape;
  if (!row) shape.push_back(m);
  if (!column) shape.push_back(n);
  MOTET_ASSIGN(const ZeroPoints a_zero, zero_points(request, 2, m));
  MOTET_ASSIGN(const ZeroPoints b_zero, zero_points(request, 3, n));
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, DType::kI32, shape));
  const int64_t batches = elements(outer);
  // The matrix of an operand for each of the result's.
  auto places = [&](const Shape& own) {
    std::vector<int64_t> list;
    const Shape strides = strides_of(own);
    for (int64_t i = 0; i < batches; ++i) {
      int64_t rest = i, place = 0;
      for (size_t d = outer.size(); d-- > 0; rest /= outer[d]) {
        const size_t back = outer.size() - d;
        if (back <= own.size() && own[own.size() - back] != 1) place += rest % outer[d] * strides[own.size() - back];
      }
      list.push_back(place);
    }
    return list;
  };
  const bool a_signed = request.inputs[0].dtype == DType::kI8, b_signed = request.inputs[1].dtype == DType::kI8;
  return make_kernel([=, a_at = places(a_outer), b_at = places(b_outer)](const KernelArgs& args, device::Team& team) {
    const Bytes8 x{args.inputs[0].data, a_signed}, y{args.inputs[1].data, b_signed};
    team.for_range(batches * m, std::max<int64_t>(1, kGrain / std::max<int64_t>(1, k * n)),
                   [&](int64_t begin, int64_t end) {
                     for (int64_t r = begin; r < end; ++r) {
                       const auto batch = static_cast<size_t>(r / m);
                       const int64_t i = r % m, from = a_at[batch] * m * k + i * k;
                       for (int64_t j = 0; j < n; ++j) {
                         uint32_t sum = 0;
                         for (int64_t l = 0; l < k; ++l)
                           sum += static_cast<uint32_t>((x[from + l] - a_zero.at(args, i)) *
                                                        (y[b_at[batch] * k * n + l * n + j] - b_zero.at(args, j)));
                         output_data<int32_t>(args, 0)[r * n + j] = static_cast<int32_t>(sum);
                       }
                     }
                   });
  });
}

Result<KernelPtr> plan_integer_conv(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, 4));
  for (size_t i : {size_t{0}, size_t{1}}) MOTET_RETURN_IF_ERROR(expect_type(request, i, {DType::kU8, DType::kI8}));
  const Shape& x = request.inputs[0].shape;
  const Shape& w = request.inputs[1].shape;
  const int64_t group = request.node.int_or("group", 1);
  if (x.size() < 3 || x.size() > 5 || w.size() != x.size() || group < 1 || x[1] != w[1] * group || w[0] % group != 0)
    return unsupported("of " + describe(request.inputs[0]) + " and " + describe(request.inputs[1]) + " in " +
                       std::to_string(group) + " groups");
  MOTET_ASSIGN(const Window window, window_of(request, Shape(w.begin() + 2, w.end())));
  const int64_t channels = w[1], filters = w[0];
  MOTET_ASSIGN(const ZeroPoints x_zero, zero_points(request, 2, 1));
  MOTET_ASSIGN(const ZeroPoints w_zero, zero_points(request, 3, filters));
  Shape shape = {x[0], filters};
  for (size_t d = 3 - window.spatial; d < 3; ++d) shape.push_back(window.axes[d].out);
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, DType::kI32, shape));
  const bool x_signed = request.inputs[0].dtype == DType::kI8, w_signed = request.inputs[1].dtype == DType::kI8;
  const int64_t planes = x[0] * filters, all_channels = x[1];
  return make_kernel([=](const KernelArgs& args, device::Team& team) {
    const Bytes8 in{args.inputs[0].data, x_signed}, taps{args.inputs[1].data, w_signed};
    const auto& [p, q, r] = window.axes;
    const int32_t zero = x_zero.at(args, 0);
    auto element = [&](int64_t n, int64_t f, int64_t i, int64_t j, int64_t k) {
      uint32_t sum = 0;
      const int32_t own_zero = w_zero.at(args, f);
      for (int64_t c = 0; c < channels; ++c) {
        const int64_t plane = (n * all_channels + f / (filters / group) * channels + c) * window.in_plane();
        const int64_t kernel = (f * channels + c) * window.taps();
        for (int64_t a = p.first_tap(i); a < p.end_tap(i); ++a)
          for (int64_t b = q.first_tap(j); b < q.end_tap(j); ++b)
            for (int64_t d = r.first_tap(k); d < r.end_tap(k); ++d) {
              const int64_t from = ((p.origin(i) + a * p.dilation) * q.in + q.origin(j) + b * q.dilation) * r.in +
                                   r.origin(k) + d * r.dilation;
              sum += static_cast<uint32_t>((in[plane + from] - zero) *
                                           (taps[kernel + (a * q.kernel + b) * r.kernel + d] - own_zero));
            }
      }
      return static_cast<int32_t>(sum);
    };
    team.for_range(planes, 1, [&](int64_t begin, int64_t end) {
      for (int64_t plane = begin; plane < end; ++plane) {
        int64_t to = plane * window.out_plane();
        for (int64_t i = 0; i < p.out; ++i)
          for (int64_t j = 0; j < q.out; ++j)
            for (int64_t k = 0; k < r.out; ++k)
              output_data<int32_t>(args, 0)[to++] = element(plane / filters, plane % filters, i, j, k);
      }
    });
  });
}

Result<KernelPtr> plan_dynamic_quantize(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 1, 1));
  MOTET_RETURN_IF_ERROR(expect_type(request, 0, {DType::kF32}));
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, DType::kU8, request.inputs[0].shape));
  MOTET_RETURN_IF_ERROR(expect_output(request, 1, DType::kF32, {}));
  MOTET_RETURN_IF_ERROR(expect_output(request, 2, DType::kU8, {}));
  const int64_t count = elements(request.inputs[0].shape);
  return make_kernel([count](const KernelArgs& args, device::Team& team) {
    // One part: every element waits for the range of all.
    auto body = [&](int, int) {
      const float* x = input_data<float>(args, 0);
      float low = 0, high = 0;
      for (int64_t i = 0; i < count; ++i) {
        low = std::min(low, x[i]);
        high = std::max(high, x[i]);
      }
      const float range = (high - low) / 255;
      const float scale = range > 0 ? range : 1;  // all zeros: any scale will do
      const float zero = std::clamp(std::nearbyint(-low / scale), 0.0F, 255.0F);
      for (int64_t i = 0; i < count; ++i)
        output_data<uint8_t>(args, 0)[i] =
            static_cast<uint8_t>(std::clamp(std::nearbyint(x[i] / scale) + zero, 0.0F, 255.0F));
      if (args.outputs[1].data != nullptr) *output_data<float>(args, 1) = scale;
      if (args.outputs[2].data != nullptr) *output_data<uint8_t>(args, 2) = static_cast<uint8_t>(zero);
    };
    team.run(1, device::PartFunction(body));
  });
}

}  // namespace motet::ops
