#include "compute/ops/norm/norm.h"

#include <algorithm>

#include "compute/ops/norm/row.h"
#include "compute/ops/support/dispatch.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"

namespace motet::ops {
namespace {

Status expect_vector(const NodeRequest& request, size_t i, int64_t n) {
  const TensorSpec& spec = request.inputs[i];
  if (spec.dtype == request.inputs[0].dtype && spec.shape == Shape{n}) return {};
  return unsupported("input " + std::to_string(i) + " is " + describe(spec) + ", not " + std::to_string(n) +
                     " elements of the type of " + describe(request.inputs[0]));
}

int64_t rows_grain(int64_t n) { return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, n)); }

}  // namespace

Result<KernelPtr> plan_batch_norm(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 5, 5));
  MOTET_RETURN_IF_ERROR(expect_type(request, 0, {DType::kF32, DType::kF64}));
  const TensorSpec& in = request.inputs[0];
  if (in.shape.size() < 2) return unsupported("of " + describe(in));
  if (request.node.int_or("training_mode", 0) != 0) return unsupported("training_mode 1; only inference is done here");
  if (request.node.int_or("spatial", 1) == 0) return unsupported("spatial 0");
  const int64_t channels = in.shape[1];
  for (size_t i = 1; i < 5; ++i) MOTET_RETURN_IF_ERROR(expect_vector(request, i, channels));
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, in.dtype, in.shape));
  for (size_t o = 1; o < request.outputs.size(); ++o) {
    if (has_output(request, o)) return unsupported("more outputs than one, which only training has");
  }
  const int64_t batch = in.shape[0], plane = product(in.shape, 2, in.shape.size());
  const float epsilon = request.node.float_or("epsilon", 1e-5f);
  KernelPtr kernel;
  for_float_type(in.dtype, [&]<class T>(T) {
    KernelTraits traits{.scratch_bytes = static_cast<size_t>(channels) * 2 * sizeof(T), .in_place_of = 0};
    kernel = make_kernel(
        [=](const KernelArgs& args, device::Team& team) {
          const T *x = input_data<T>(args, 0), *gamma = input_data<T>(args, 1), *beta = input_data<T>(args, 2);
          const T *mean = input_data<T>(args, 3), *variance = input_data<T>(args, 4);
          T* y = output_data<T>(args, 0);
          T* a = reinterpret_cast<T*>(args.scratch);
          T* b = a + channels;
          for (int64_t c = 0; c < channels; ++c) {
            a[c] = gamma[c] / std::sqrt(variance[c] + static_cast<T>(epsilon));
            b[c] = beta[c] - mean[c] * a[c];
          }
          if (plane == 1) {
            team.for_range(batch, rows_grain(channels), [&](int64_t begin, int64_t end) {
              for (int64_t i = begin; i < end; ++i)
                row_normalise<T>(x + i * channels, y + i * channels, channels, T(0), T(1), a, b);
            });
            return;
          }
          team.for_range(batch * channels, rows_grain(plane), [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i)
              row_affine<T>(x + i * plane, y + i * plane, plane, a[i % channels], b[i % channels]);
          });
        },
        traits);
  });
  return kernel;
}

Result<KernelPtr> plan_layer_norm(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, 3));
  MOTET_RETURN_IF_ERROR(expect_type(request, 0, {DType::kF32, DType::kF64}));
  const TensorSpec& in = request.inputs[0];
  MOTET_ASSIGN(size_t axis, normalise_axis(request.node.int_or("axis", -1), in.shape.size()));
  const Shape normalised(in.shape.begin() + static_cast<std::ptrdiff_t>(axis), in.shape.end());
  const int64_t n = elements(normalised), rows = product(in.shape, 0, axis);
  for (size_t i = 1; i < request.inputs.size(); ++i) {
    if (has_input(request, i) && (request.inputs[i].dtype != in.dtype || request.inputs[i].shape != normalised)) {
      return unsupported("input " + std::to_string(i) + " is " + describe(request.inputs[i]) + "; " +
                         shape_to_string(normalised) + " is possible");
    }
  }
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, in.dtype, in.shape));
  Shape moments = in.shape;
  std::fill(moments.begin() + static_cast<std::ptrdiff_t>(axis), moments.end(), 1);
  const bool with_mean = has_output(request, 1), with_scale = has_output(request, 2);
  MOTET_RETURN_IF_ERROR(expect_output(request, 1, in.dtype, moments));
  MOTET_RETURN_IF_ERROR(expect_output(request, 2, in.dtype, moments));
  if (n == 0) return unsupported("of " + describe(in) + ": nothing to normalise over");
  const bool shifted = has_input(request, 2);
  const float epsilon = request.node.float_or("epsilon", 1e-5f);
  KernelPtr kernel;
  for_float_type(in.dtype, [&]<class T>(T) {
    kernel = make_kernel(
        [=](const KernelArgs& args, device::Team& team) {
          const T *x = input_data<T>(args, 0), *gamma = input_data<T>(args, 1);
          const T* beta = shifted ? input_data<T>(args, 2) : nullptr;
          team.for_range(rows, rows_grain(n), [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) {
              const T mean = row_mean<T>(x + i * n, n);
              const T scale = 1 / std::sqrt(row_variance<T>(x + i * n, n, mean) + static_cast<T>(epsilon));
              row_normalise<T>(x + i * n, output_data<T>(args, 0) + i * n, n, mean, scale, gamma, beta);
              if (with_mean) output_data<T>(args, 1)[i] = mean;
              if (with_scale) output_data<T>(args, 2)[i] = scale;
            }
          });
        },
        {.in_place_of = 0, .flops = 8.0 * static_cast<double>(rows * n)});
  });
  return kernel;
}

Result<KernelPtr> plan_rms_norm(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, 2));
  MOTET_RETURN_IF_ERROR(expect_type(request, 0, {DType::kF32, DType::kF64}));
  const TensorSpec& in = request.inputs[0];
  MOTET_ASSIGN(size_t axis, normalise_axis(request.node.int_or("axis", -1), in.shape.size()));
  const Shape normalised(in.shape.begin() + static_cast<std::ptrdiff_t>(axis), in.shape.end());
  const int64_t n = elements(normalised), rows = product(in.shape, 0, axis);
  if (request.inputs[1].dtype != in.dtype || request.inputs[1].shape != normalised || n == 0) {
    return unsupported("scale " + describe(request.inputs[1]) + " for " + describe(in));
  }
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, in.dtype, in.shape));
  for (size_t o = 1; o < request.outputs.size(); ++o) {
    if (has_output(request, o)) return unsupported("more outputs than one");
  }
  const float epsilon = request.node.float_or("epsilon", 1e-5f);
  KernelPtr kernel;
  for_float_type(in.dtype, [&]<class T>(T) {
    kernel = make_kernel(
        [=](const KernelArgs& args, device::Team& team) {
          const T *x = input_data<T>(args, 0), *gamma = input_data<T>(args, 1);
          team.for_range(rows, rows_grain(n), [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) {
              // About zero the variance is the mean square.
              const T scale = 1 / std::sqrt(row_variance<T>(x + i * n, n, T(0)) + static_cast<T>(epsilon));
              row_normalise<T>(x + i * n, output_data<T>(args, 0) + i * n, n, T(0), scale, gamma, nullptr);
            }
          });
        },
        {.in_place_of = 0});
  });
  return kernel;
}

namespace {

// Normalises groups of `each` consecutive channels by their common moments, then scales and shifts channel c by
// gamma[c / share], beta[c / share].
Result<KernelPtr> plan_grouped(const NodeRequest& request, int64_t each, int64_t share) {
  const TensorSpec& in = request.inputs[0];
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, in.dtype, in.shape));
  const int64_t batch = in.shape[0], channels = in.shape[1], plane = product(in.shape, 2, in.shape.size());
  if (each * plane == 0) return unsupported("of " + describe(in) + ": nothing to normalise over");
  const float epsilon = request.node.float_or("epsilon", 1e-5f);
  KernelPtr kernel;
  for_float_type(in.dtype, [&]<class T>(T) {
    kernel = make_kernel(
        [=](const KernelArgs& args, device::Team& team) {
          const T *gamma = input_data<T>(args, 1), *beta = input_data<T>(args, 2);
          const int64_t n = each * plane;
          team.for_range(batch * channels / each, rows_grain(n), [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) {
              const T* x = input_data<T>(args, 0) + i * n;
              T* y = output_data<T>(args, 0) + i * n;
              const T mean = row_mean<T>(x, n);
              const T scale = 1 / std::sqrt(row_variance<T>(x, n, mean) + static_cast<T>(epsilon));
              for (int64_t k = 0; k < each; ++k) {
                const int64_t c = (i * each + k) % channels / share;
                row_affine<T>(x + k * plane, y + k * plane, plane, scale * gamma[c], beta[c] - mean * scale * gamma[c]);
              }
            }
          });
        },
        {.in_place_of = 0});
  });
  return kernel;
}

}  // namespace

Result<KernelPtr> plan_instance_norm(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 3, 3));
  MOTET_RETURN_IF_ERROR(expect_type(request, 0, {DType::kF32, DType::kF64}));
  const TensorSpec& in = request.inputs[0];
  if (in.shape.size() < 3) return unsupported("of " + describe(in));
  MOTET_RETURN_IF_ERROR(expect_vector(request, 1, in.shape[1]));
  MOTET_RETURN_IF_ERROR(expect_vector(request, 2, in.shape[1]));
  return plan_grouped(request, 1, 1);
}

Result<KernelPtr> plan_group_norm(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 3, 3));
  MOTET_RETURN_IF_ERROR(expect_type(request, 0, {DType::kF32, DType::kF64}));
  const TensorSpec& in = request.inputs[0];
  const int64_t groups = request.node.int_or("num_groups", 0);
  if (in.shape.size() < 3 || groups < 1 || in.shape[1] % groups != 0) {
    return unsupported(std::to_string(groups) + " groups of " + describe(in));
  }
  // Until opset 20 scale and bias are given per group, then per channel.
  const bool per_group = request.node.opset < 21;
  const int64_t each = in.shape[1] / groups;
  MOTET_RETURN_IF_ERROR(expect_vector(request, 1, per_group ? groups : in.shape[1]));
  MOTET_RETURN_IF_ERROR(expect_vector(request, 2, per_group ? groups : in.shape[1]));
  return plan_grouped(request, each, per_group ? each : 1);
}

namespace {

// One image: y = x / (bias + alpha / size * sum over neighbouring channels of x^2)^beta.
template <class T>
void lrn_image(const T* x, T* y, int64_t channels, int64_t plane, int64_t size, T alpha, T beta, T bias) {
  constexpr int64_t kBlock = 512;
  T sum[kBlock];
  const int64_t below = (size - 1) / 2, above = size - 1 - below;
  for (int64_t at = 0; at < plane; at += kBlock) {
    const int64_t n = std::min(kBlock, plane - at);
    for (int64_t c = 0; c < channels; ++c) {
      std::fill(sum, sum + n, T(0));
      for (int64_t k = std::max<int64_t>(0, c - below); k <= std::min(channels - 1, c + above); ++k) {
        const T* from = x + k * plane + at;
        for (int64_t i = 0; i < n; ++i) sum[i] += from[i] * from[i];
      }
      const T* from = x + c * plane + at;
      T* to = y + c * plane + at;
      if (beta == T(0.75)) {
        for (int64_t i = 0; i < n; ++i) {
          const T root = std::sqrt(bias + alpha * sum[i]);
          to[i] = from[i] / (root * std::sqrt(root));
        }
      } else {
        for (int64_t i = 0; i < n; ++i) to[i] = from[i] / std::pow(bias + alpha * sum[i], beta);
      }
    }
  }
}

}  // namespace

Result<KernelPtr> plan_lrn(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 1, 1));
  MOTET_RETURN_IF_ERROR(expect_type(request, 0, {DType::kF32, DType::kF64}));
  const TensorSpec& in = request.inputs[0];
  const int64_t size = request.node.int_or("size", 0);
  if (in.shape.size() < 2 || size < 1 || size > 1 << 20)
    return unsupported("size " + std::to_string(size) + " over " + describe(in));
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, in.dtype, in.shape));
  const int64_t channels = in.shape[1], plane = product(in.shape, 2, in.shape.size());
  const float alpha = request.node.float_or("alpha", 1e-4f) / static_cast<float>(size);
  const float beta = request.node.float_or("beta", 0.75f), bias = request.node.float_or("bias", 1.0f);
  KernelPtr kernel;
  for_float_type(in.dtype, [&]<class T>(T) {
    kernel = make_kernel([=, batch = in.shape[0]](const KernelArgs& args, device::Team& team) {
      team.for_range(batch, 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const int64_t skip = i * channels * plane;
          lrn_image<T>(input_data<T>(args, 0) + skip, output_data<T>(args, 0) + skip, channels, plane, size, alpha,
                       beta, bias);
        }
      });
    });
  });
  return kernel;
}

Result<KernelPtr> plan_lp_norm(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 1, 1));
  MOTET_RETURN_IF_ERROR(expect_type(request, 0, {DType::kF32, DType::kF64}));
  const TensorSpec& in = request.inputs[0];
  const int64_t p = request.node.int_or("p", 2);
  if (p != 1 && p != 2) return unsupported("p " + std::to_string(p) + "; 1 and 2 are possible");
  MOTET_ASSIGN(size_t axis, normalise_axis(request.node.int_or("axis", -1), in.shape.size()));
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, in.dtype, in.shape));
  const int64_t outer = product(in.shape, 0, axis), n = in.shape[axis],
                inner = product(in.shape, axis + 1, in.shape.size());
  KernelPtr kernel;
  for_float_type(in.dtype, [&]<class T>(T) {
    kernel = make_kernel(
        [=](const KernelArgs& args, device::Team& team) {
          team.for_range(outer * inner, rows_grain(n), [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) {
              const int64_t skip = i / inner * n * inner + i % inner;
              const T* x = input_data<T>(args, 0) + skip;
              T* y = output_data<T>(args, 0) + skip;
              T norm = 0;
              for (int64_t k = 0; k < n; ++k) norm += p == 1 ? std::abs(x[k * inner]) : x[k * inner] * x[k * inner];
              if (p == 2) norm = std::sqrt(norm);
              // What is all zeros stays so.
              for (int64_t k = 0; k < n; ++k) y[k * inner] = norm == 0 ? T(0) : x[k * inner] / norm;
            }
          });
        },
        {.in_place_of = 0});
  });
  return kernel;
}

}  // namespace motet::ops
