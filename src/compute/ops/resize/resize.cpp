#include "compute/ops/resize/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "compute/ops/resize/sampling.h"
#include "compute/ops/support/dispatch.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/mapped.h"
#include "compute/ops/support/request.h"
#include "compute/ops/vector/loops.h"

namespace motet::ops {
namespace {

Result<SamplingRule> rule_of(const graph::Node& node) {
  SamplingRule rule;
  rule.mode = node.string_or("mode", "nearest");
  if (node.op == "Upsample" || node.opset < 11) {
    rule.coordinates = "asymmetric";
    rule.nearest = "floor";
  } else {
    rule.coordinates = node.string_or("coordinate_transformation_mode", "half_pixel");
    rule.nearest = node.string_or("nearest_mode", "round_prefer_floor");
  }
  rule.cubic_a = node.float_or("cubic_coeff_a", -0.75f);
  rule.exclude_outside = node.int_or("exclude_outside", 0) != 0;
  rule.antialias = node.int_or("antialias", 0) != 0;
  if (rule.mode == "bilinear") rule.mode = "linear";
  if (rule.mode != "nearest" && rule.mode != "linear" && rule.mode != "cubic")
    return unsupported("mode '" + rule.mode + "'");
  if (!known_coordinates(rule.coordinates))
    return unsupported("coordinate_transformation_mode '" + rule.coordinates + "'");
  if (!known_nearest(rule.nearest)) return unsupported("nearest_mode '" + rule.nearest + "'");
  return rule;
}

// The four inputs' places: they moved when Resize got a region of interest.
struct Places {
  size_t roi, scales, sizes;
};

Places places_of(const NodeRequest& request) {
  constexpr size_t kNone = 99;
  if (request.node.op == "Upsample" || request.node.opset < 11) return {kNone, 1, kNone};
  return {1, 2, 3};
}

bool given(const NodeRequest& request, size_t i) {
  return has_input(request, i) && elements(request.inputs[i].shape) > 0;
}

Result<std::vector<size_t>> axes_of(const NodeRequest& request) {
  const size_t rank = request.inputs[0].shape.size();
  std::vector<size_t> axes;
  for (int64_t axis : request.node.ints_or("axes", {})) {
    MOTET_ASSIGN(size_t normal, normalise_axis(axis, rank));
    axes.push_back(normal);
  }
  const bool all = axes.empty();
  for (size_t d = 0; all && d < rank; ++d) axes.push_back(d);
  return axes;
}

Status scale_by_sizes(const NodeRequest& request, const std::vector<int64_t>& sizes, const std::vector<size_t>& named,
                      std::vector<SamplingAxis>& axes) {
  const std::string policy = request.node.string_or("keep_aspect_ratio_policy", "stretch");
  double common = policy == "not_smaller" ? 0 : 1e30;
  for (size_t i = 0; i < named.size(); ++i) {
    SamplingAxis& axis = axes[named[i]];
    if (sizes[i] < 0 || sizes[i] > (int64_t{1} << 32)) return unsupported("sizes " + shape_to_string(sizes));
    axis.out = sizes[i];
    axis.scale = static_cast<double>(axis.out) / static_cast<double>(axis.in);
    common = policy == "not_smaller" ? std::max(common, axis.scale) : std::min(common, axis.scale);
  }
  if (policy == "stretch") return {};
  if (policy != "not_smaller" && policy != "not_larger")
    return unsupported("keep_aspect_ratio_policy '" + policy + "'");
  for (size_t d : named) {
    axes[d].scale = common;
    axes[d].out = static_cast<int64_t>(std::floor(common * static_cast<double>(axes[d].in) + 0.5));
  }
  return {};
}

Result<std::vector<SamplingAxis>> sampling_axes(const NodeRequest& request, const SamplingRule& rule) {
  const Shape& in = request.inputs[0].shape;
  std::vector<SamplingAxis> axes(in.size());
  for (size_t d = 0; d < in.size(); ++d) {
    if (in[d] == 0) return unsupported("of " + describe(request.inputs[0]) + ", which is empty");
    axes[d].in = axes[d].out = in[d];
  }
  const Places places = places_of(request);
  MOTET_ASSIGN(const std::vector<size_t> named, axes_of(request));
  const Error lengths = unsupported("scales, sizes or roi do not fit " + std::to_string(named.size()) + " axes");
  const bool by_attribute = request.node.op == "Upsample" && request.node.opset < 9;
  if (by_attribute || given(request, places.scales)) {
    std::vector<float> scales = request.node.floats_or("scales", {});
    if (!by_attribute) {
      MOTET_ASSIGN(scales, constant_floats(request, places.scales, "scales"));
    }
    if (scales.size() != named.size()) return lengths;
    for (size_t i = 0; i < named.size(); ++i) {
      SamplingAxis& axis = axes[named[i]];
      const double extent = std::floor(static_cast<double>(axis.in) * static_cast<double>(scales[i]));
      if (!(scales[i] > 0) || !(extent < 4e9)) return unsupported("a scale of " + std::to_string(scales[i]));
      axis.scale = scales[i];
      axis.out = static_cast<int64_t>(extent);
    }
  } else if (given(request, places.sizes)) {
    MOTET_ASSIGN(std::vector<int64_t> sizes, constant_ints(request, places.sizes, "sizes"));
    if (sizes.size() != named.size()) return lengths;
    MOTET_RETURN_IF_ERROR(scale_by_sizes(request, sizes, named, axes));
  } else {
    return unsupported("neither scales nor sizes are given as constants");
  }
  if (rule.coordinates == "tf_crop_and_resize") {
    MOTET_ASSIGN(std::vector<float> roi, constant_floats(request, places.roi, "roi"));
    if (roi.size() != named.size() * 2) return lengths;
    for (size_t i = 0; i < named.size(); ++i) {
      axes[named[i]].roi_begin = roi[i];
      axes[named[i]].roi_end = roi[named.size() + i];
    }
  }
  return axes;
}

// One axis of [outer, in, inner] resampled; the others stay.
template <class T>
struct Pass {
  int64_t outer, in, out, inner;
  int64_t taps;
  std::vector<int64_t> index;
  std::vector<T> weight;

  void run(const T* x, T* y, device::Team& team) const {
    const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, inner * taps));
    team.for_range(outer * out, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const T* from = x + i / out * in * inner;
        T* to = y + i * inner;
        const auto first = static_cast<size_t>(i % out * taps);
        if (inner == 1) {
          T sum = 0;
          for (int64_t k = 0; k < taps; ++k)
            sum += weight[first + static_cast<size_t>(k)] * from[index[first + static_cast<size_t>(k)]];
          *to = sum;
          continue;
        }
        std::fill(to, to + inner, T(0));
        for (int64_t k = 0; k < taps; ++k) {
          const T w = weight[first + static_cast<size_t>(k)];
          if (w == T(0)) continue;
          const T* row = from + index[first + static_cast<size_t>(k)] * inner;
          if constexpr (std::is_same_v<T, float>) {
            vec::loops().axpy(w, row, to, inner);
          } else {
            for (int64_t j = 0; j < inner; ++j) to[j] += w * row[j];
          }
        }
      }
    });
  }
};

// Sets the elements whose sample lies outside the image on any axis.
template <class T>
void extrapolate(const std::vector<Samples>& samples, const Shape& shape, T value, T* y) {
  const int64_t count = elements(shape);
  for (int64_t i = 0; i < count; ++i) {
    bool outside = false;
    int64_t rest = i;
    for (size_t d = shape.size(); d-- > 0;) {
      outside = outside || samples[d].outside[static_cast<size_t>(rest % shape[d])];
      rest /= shape[d];
    }
    if (outside) y[i] = value;
  }
}

template <class T>
KernelPtr interpolation(const Shape& in, const Shape& out, const std::vector<Samples>& samples, bool crop, float fill) {
  std::vector<Pass<T>> passes;
  Shape now = in;
  int64_t most = 0;
  // Innermost first: later passes then add whole rows.
  for (size_t d = in.size(); d-- > 0;) {
    const Samples& s = samples[d];
    bool identity = in[d] == out[d];
    for (int64_t x = 0; x < out[d] && identity; ++x) {
      for (int64_t k = 0; k < s.taps; ++k) {
        const auto at = static_cast<size_t>(x * s.taps + k);
        if (s.weight[at] != 0 && (s.weight[at] != 1 || s.index[at] != x)) identity = false;
      }
    }
    if (identity) continue;
    passes.push_back({product(now, 0, d), in[d], out[d], product(now, d + 1, now.size()), s.taps, s.index,
                      std::vector<T>(s.weight.begin(), s.weight.end())});
    now[d] = out[d];
    most = std::max(most, elements(now));
  }
  const size_t buffer = (static_cast<size_t>(most) * sizeof(T) + 63) / 64 * 64;
  KernelTraits traits{.scratch_bytes = passes.size() > 1 ? 2 * buffer : 0};
  return make_kernel(
      [=, count = elements(out)](const KernelArgs& args, device::Team& team) {
        const T* x = input_data<T>(args, 0);
        T* y = output_data<T>(args, 0);
        if (passes.empty()) std::memcpy(y, x, static_cast<size_t>(count) * sizeof(T));
        for (size_t i = 0; i < passes.size(); ++i) {
          T* to = i + 1 == passes.size() ? y : reinterpret_cast<T*>(args.scratch + (i % 2) * buffer);
          passes[i].run(x, to, team);
          x = to;
        }
        if (crop) extrapolate<T>(samples, out, static_cast<T>(fill), y);
      },
      traits);
}

}  // namespace

Result<KernelPtr> plan_resize(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 1, 4));
  const TensorSpec& in = request.inputs[0];
  MOTET_ASSIGN(const SamplingRule rule, rule_of(request.node));
  MOTET_ASSIGN(const std::vector<SamplingAxis> axes, sampling_axes(request, rule));
  Shape out;
  for (const SamplingAxis& axis : axes) out.push_back(axis.out);
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, in.dtype, out));
  const bool crop = rule.coordinates == "tf_crop_and_resize";
  std::vector<Samples> samples;
  for (const SamplingAxis& axis : axes) {
    // An axis that keeps its extent is left alone, unless it is cropped.
    const bool kept = !crop && axis.in == axis.out && axis.scale == 1;
    samples.push_back(samples_of(kept ? SamplingRule{.coordinates = "asymmetric"} : rule, axis));
  }
  if (rule.mode == "nearest" && !crop) {
    std::vector<std::vector<int64_t>> maps;
    for (Samples& s : samples) maps.push_back(std::move(s.index));
    MappedCopy copy(in.shape, std::move(maps), dtype_bytes(in.dtype));
    return make_kernel([copy = std::move(copy)](const KernelArgs& args, device::Team& team) {
      copy.run(args.inputs[0].data, args.outputs[0].data, team);
    });
  }
  KernelPtr kernel;
  for_float_type(in.dtype, [&]<class T>(T) {
    kernel = interpolation<T>(in.shape, out, samples, crop, request.node.float_or("extrapolation_value", 0));
  });
  if (kernel == nullptr) return unsupported("mode '" + rule.mode + "' of " + describe(in));
  return kernel;
}

}  // namespace motet::ops
