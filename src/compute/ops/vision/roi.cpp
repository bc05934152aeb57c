// RoiAlign (He et al., "Mask R-CNN", arXiv 1703.06870, section 3) and MaxRoiPool (Girshick, "Fast R-CNN", arXiv
// 1504.08083, section 2.1).
#include <algorithm>
#include <cmath>
#include <limits>

#include "compute/ops/support/dispatch.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"
#include "compute/ops/vision/vision.h"

namespace motet::ops {
namespace {

struct Picture {
  int64_t batch, channels, height, width;
};

struct Bins {
  int64_t rois, height, width;
  int64_t cells() const { return height * width; }
};

struct Align {
  Picture in;
  Bins out;
  int64_t samples;  // per bin and axis; 0: as many as the bin has pixels
  double scale, offset;
  bool average, wide;  // wide: batch indices are INT64
};

// The four corners around (y, x) and their weights; all zero if it lies outside.
struct Corners {
  int64_t at[4] = {0, 0, 0, 0};
  double weight[4] = {0, 0, 0, 0};
};

Corners corners(const Picture& p, double y, double x) {
  Corners c;
  if (!(y >= -1 && y <= static_cast<double>(p.height) && x >= -1 && x <= static_cast<double>(p.width))) return c;
  auto place = [](double& v, int64_t extent, int64_t& low, int64_t& high) {
    v = std::max(v, 0.0);
    low = std::min(static_cast<int64_t>(v), extent - 1);
    high = std::min(low + 1, extent - 1);
    if (low == high) v = static_cast<double>(low);
  };
  int64_t y0 = 0, y1 = 0, x0 = 0, x1 = 0;
  place(y, p.height, y0, y1);
  place(x, p.width, x0, x1);
  const double ly = y - static_cast<double>(y0), lx = x - static_cast<double>(x0);
  const int64_t at[4] = {y0 * p.width + x0, y0 * p.width + x1, y1 * p.width + x0, y1 * p.width + x1};
  const double weight[4] = {(1 - ly) * (1 - lx), (1 - ly) * lx, ly * (1 - lx), ly * lx};
  std::copy_n(at, 4, c.at);
  std::copy_n(weight, 4, c.weight);
  return c;
}

template <class T>
struct Box {
  double y = 0, x = 0, bin_h = 0, bin_w = 0;
  int64_t rows = 0, columns = 0;  // samples per bin

  Box(const Align& a, const T* roi) {
    double edge[4];
    for (int i = 0; i < 4; ++i) edge[i] = static_cast<double>(roi[i]) * a.scale - a.offset;
    x = edge[0];
    y = edge[1];
    double w = edge[2] - edge[0], h = edge[3] - edge[1];
    if (a.offset == 0) {  // without half pixels, malformed regions are made one pixel large
      w = std::max(w, 1.0);
      h = std::max(h, 1.0);
    }
    bin_h = h / static_cast<double>(a.out.height);
    bin_w = w / static_cast<double>(a.out.width);
    // More samples than pixels tell nothing new; the bound keeps absurd regions from taking forever.
    auto samples = [&](double bin, int64_t extent) {
      if (a.samples > 0) return a.samples;
      const double wanted = std::ceil(bin);
      return wanted >= 0 ? static_cast<int64_t>(std::min(wanted, static_cast<double>(4 * extent + 16))) : 0;
    };
    rows = samples(bin_h, a.in.height);
    columns = samples(bin_w, a.in.width);
  }
};

template <class T>
void align_roi(const Align& a, const KernelArgs& args, int64_t n) {
  int64_t picture = a.wide ? input_data<int64_t>(args, 2)[n] : input_data<int32_t>(args, 2)[n];
  if (picture < 0 || picture >= a.in.batch) {
    args.report_fault("a batch index is out of range");
    picture = 0;
  }
  const Box<T> box(a, input_data<T>(args, 1) + n * 4);
  const int64_t plane = a.in.height * a.in.width;
  const auto count = static_cast<double>(std::max<int64_t>(box.rows * box.columns, 1));
  std::vector<Corners> samples(static_cast<size_t>(box.rows * box.columns));
  for (int64_t bin = 0; bin < a.out.cells(); ++bin) {
    const auto top = box.y + static_cast<double>(bin / a.out.width) * box.bin_h;
    const auto left = box.x + static_cast<double>(bin % a.out.width) * box.bin_w;
    for (int64_t i = 0; i < box.rows; ++i)
      for (int64_t j = 0; j < box.columns; ++j)
        samples[static_cast<size_t>(i * box.columns + j)] =
            corners(a.in, top + (static_cast<double>(i) + 0.5) * box.bin_h / static_cast<double>(box.rows),
                    left + (static_cast<double>(j) + 0.5) * box.bin_w / static_cast<double>(box.columns));
    for (int64_t c = 0; c < a.in.channels; ++c) {
      const T* x = input_data<T>(args, 0) + (picture * a.in.channels + c) * plane;
      double value = 0;
      bool first = true;
      for (const Corners& s : samples) {
        double seen = a.average ? 0 : -std::numeric_limits<double>::infinity();
        for (size_t k = 0; k < 4; ++k) {
          const double term = s.weight[k] * static_cast<double>(x[s.at[k]]);
          seen = a.average ? seen + term : std::max(seen, term);
        }
        value = a.average ? value + seen : first ? seen : std::max(value, seen);
        first = false;
      }
      output_data<T>(args, 0)[(n * a.in.channels + c) * a.out.cells() + bin] =
          static_cast<T>(a.average ? value / count : value);
    }
  }
}

Result<Picture> picture_of(const NodeRequest& request) {
  const Shape& in = request.inputs[0].shape;
  if (in.size() != 4 || in[2] < 1 || in[3] < 1) return unsupported("of " + describe(request.inputs[0]));
  return Picture{in[0], in[1], in[2], in[3]};
}

}  // namespace

Result<KernelPtr> plan_roi_align(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 3, 3));
  MOTET_RETURN_IF_ERROR(expect_type(request, 2, {DType::kI32, DType::kI64}));
  MOTET_ASSIGN(const Picture in, picture_of(request));
  const DType dtype = request.inputs[0].dtype;
  const Shape& rois = request.inputs[1].shape;
  if (rois.size() != 2 || rois[1] != 4 || request.inputs[1].dtype != dtype || request.inputs[2].shape != Shape{rois[0]})
    return unsupported("regions are " + describe(request.inputs[1]) + " with indices " + describe(request.inputs[2]));
  const graph::Node& node = request.node;
  const std::string mode = node.string_or("mode", "avg");
  const std::string half =
      node.string_or("coordinate_transformation_mode", node.opset < 16 ? "output_half_pixel" : "half_pixel");
  if ((mode != "avg" && mode != "max") || (half != "half_pixel" && half != "output_half_pixel"))
    return unsupported("mode " + mode + " with " + half);
  const Align a{.in = in,
                .out = {rois[0], node.int_or("output_height", 1), node.int_or("output_width", 1)},
                .samples = node.int_or("sampling_ratio", 0),
                .scale = static_cast<double>(node.float_or("spatial_scale", 1)),
                .offset = half == "half_pixel" ? 0.5 : 0,
                .average = mode == "avg",
                .wide = request.inputs[2].dtype == DType::kI64};
  constexpr int64_t kMostSamples = 1 << 10;
  if (a.out.height < 1 || a.out.width < 1 || a.samples < 0 || a.samples > kMostSamples)
    return unsupported("bins of " + std::to_string(a.out.height) + " by " + std::to_string(a.out.width) + " with " +
                       std::to_string(a.samples) + " samples");
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, dtype, {a.out.rois, in.channels, a.out.height, a.out.width}));
  KernelPtr kernel;
  for_float_type(dtype, [&]<class T>(T) {
    kernel = make_kernel([a](const KernelArgs& args, device::Team& team) {
      team.for_range(a.out.rois, 1, [&](int64_t begin, int64_t end) {
        for (int64_t n = begin; n < end; ++n) align_roi<T>(a, args, n);
      });
    });
  });
  if (kernel == nullptr) return unsupported("of " + describe(request.inputs[0]));
  return kernel;
}

Result<KernelPtr> plan_max_roi_pool(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, 2));
  MOTET_ASSIGN(const Picture in, picture_of(request));
  const DType dtype = request.inputs[0].dtype;
  const Shape& rois = request.inputs[1].shape;
  const std::vector<int64_t> pooled = request.node.ints_or("pooled_shape", {});
  if (rois.size() != 2 || rois[1] != 5 || request.inputs[1].dtype != dtype || pooled.size() != 2 || pooled[0] < 1 ||
      pooled[1] < 1)
    return unsupported("regions are " + describe(request.inputs[1]) + " in bins of " + shape_to_string(pooled));
  const auto scale = static_cast<double>(request.node.float_or("spatial_scale", 1));
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, dtype, {rois[0], in.channels, pooled[0], pooled[1]}));
  KernelPtr kernel;
  for_float_type(dtype, [&]<class T>(T) {
    kernel = make_kernel([=](const KernelArgs& args, device::Team& team) {
      team.for_range(rois[0] * in.channels, 1, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          const int64_t n = r / in.channels, c = r % in.channels;
          const T* roi = input_data<T>(args, 1) + n * 5;
          auto picture = static_cast<int64_t>(std::clamp(static_cast<double>(roi[0]), -1.0, 1e9));
          if (picture < 0 || picture >= in.batch) {
            args.report_fault("a batch index is out of range");
            picture = 0;
          }
          auto edge = [&](int i) { return std::round(std::clamp(static_cast<double>(roi[i]) * scale, -1e9, 1e9)); };
          const double x0 = edge(1), y0 = edge(2);
          const double w = std::max(edge(3) - x0 + 1, 1.0) / static_cast<double>(pooled[1]);
          const double h = std::max(edge(4) - y0 + 1, 1.0) / static_cast<double>(pooled[0]);
          auto bound = [](double v, int64_t extent) {
            return static_cast<int64_t>(std::clamp(v, 0.0, static_cast<double>(extent)));
          };
          const T* x = input_data<T>(args, 0) + (picture * in.channels + c) * in.height * in.width;
          T* y = output_data<T>(args, 0) + r * pooled[0] * pooled[1];
          for (int64_t bin = 0; bin < pooled[0] * pooled[1]; ++bin) {
            const auto i = static_cast<double>(bin / pooled[1]), j = static_cast<double>(bin % pooled[1]);
            const int64_t top = bound(std::floor(i * h) + y0, in.height),
                          bottom = bound(std::ceil((i + 1) * h) + y0, in.height);
            const int64_t left = bound(std::floor(j * w) + x0, in.width),
                          right = bound(std::ceil((j + 1) * w) + x0, in.width);
            const bool empty = bottom <= top || right <= left;
            T best = empty ? T(0) : x[top * in.width + left];
            for (int64_t v = top; v < bottom; ++v)
              for (int64_t u = left; u < right; ++u) best = std::max(best, x[v * in.width + u]);
            y[bin] = best;
          }
        }
      });
    });
  });
  if (kernel == nullptr) return unsupported("of " + describe(request.inputs[0]));
  return kernel;
}

}  // namespace motet::ops
