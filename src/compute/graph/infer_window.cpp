// Ops that slide a window: convolutions and pools.
#include <algorithm>

#include "compute/graph/infer.h"

namespace motet::graph {
namespace {

// kernel_shape, strides, dilations, pads and auto_pad of one node, made complete and checked.
struct Window {
  std::vector<int64_t> kernel, strides, dilations, pads;
  std::string auto_pad;
  bool ceil = false;
};

Result<std::vector<int64_t>> list_of(const Inference& n, std::string_view key, size_t count, int64_t fallback,
                                     int64_t least) {
  std::vector<int64_t> out = n.node().ints_or(key, std::vector<int64_t>(count, fallback));
  if (out.empty()) out.assign(count, fallback);
  if (out.size() != count)
    return n.error(std::string(key) + " has " + std::to_string(out.size()) + " entries; expected " +
                   std::to_string(count));
  for (int64_t value : out) {
    if (value < least || value > INT32_MAX) {
      return n.error(std::string(key) + " holds " + std::to_string(value) + "; accepted are " + std::to_string(least) +
                     " to 2147483647");
    }
  }
  return out;
}

Result<Window> window(const Inference& n, size_t spatial, std::vector<int64_t> kernel) {
  Window w;
  w.kernel = std::move(kernel);
  for (int64_t extent : w.kernel)
    if (extent < 1 || extent > INT32_MAX)
      return n.error("kernel extent " + std::to_string(extent) + " is outside 1..2147483647");
  MOTET_ASSIGN(w.strides, list_of(n, "strides", spatial, 1, 1));
  MOTET_ASSIGN(w.dilations, list_of(n, "dilations", spatial, 1, 1));
  // Negative pads crop; some exporters write them.
  MOTET_ASSIGN(w.pads, list_of(n, "pads", 2 * spatial, 0, -INT32_MAX));
  w.auto_pad = n.node().string_or("auto_pad", "NOTSET");
  if (w.auto_pad != "NOTSET" && w.auto_pad != "VALID" && w.auto_pad != "SAME_UPPER" && w.auto_pad != "SAME_LOWER" &&
      !w.auto_pad.empty()) {
    return n.error("auto_pad is '" + w.auto_pad + "'; accepted are NOTSET, VALID, SAME_UPPER and SAME_LOWER");
  }
  w.ceil = n.node().int_or("ceil_mode", 0) != 0;
  return w;
}

// Extent of the result along spatial axis i (ONNX Conv and MaxPool: output shape).
Result<Dim> slid(const Inference& n, const Window& w, size_t i, const Dim& in) {
  size_t spatial = w.kernel.size();
  int64_t reach = (w.kernel[i] - 1) * w.dilations[i] + 1;  // < 2^62 by the limits above
  if (w.auto_pad == "SAME_UPPER" || w.auto_pad == "SAME_LOWER") {
    if (w.strides[i] == 1) return in;
    return in.known() ? dim_of((in.extent + w.strides[i] - 1) / w.strides[i]) : unknown_dim();
  }
  bool padded = w.auto_pad != "VALID";
  int64_t pads = padded ? w.pads[i] + w.pads[i + spatial] : 0;
  if (!in.known()) return pads + 1 == reach && w.strides[i] == 1 ? in : unknown_dim();
  auto total = checked_add(in.extent, pads);
  if (!total || *total < reach) {
    return n.error("its window of " + std::to_string(reach) + " does not fit extent " + std::to_string(in.extent) +
                   " padded by " + std::to_string(pads) + " (spatial axis " + std::to_string(i) + ")");
  }
  int64_t room = *total - reach;
  int64_t out = room / w.strides[i] + 1;
  // A window that would start in the end padding is left out (ONNX MaxPool, ceil_mode).
  bool rest = room % w.strides[i] != 0;
  if (w.ceil && rest && out * w.strides[i] < in.extent + (padded ? w.pads[i] : 0)) ++out;
  return dim_of(out);
}

// Extents of weights W [M, C/group, k...], or nothing.
Result<std::optional<std::vector<int64_t>>> kernel_of(const Inference& n, size_t weights, size_t spatial) {
  const SymShape* w = n.shape(weights);
  std::vector<int64_t> kernel = n.node().ints_or("kernel_shape", {});
  if (!kernel.empty() && kernel.size() != spatial) {
    return n.error("kernel_shape has " + std::to_string(kernel.size()) + " entries; expected " +
                   std::to_string(spatial));
  }
  if (w != nullptr) {
    if (w->size() != spatial + 2)
      return n.error("weights have shape " + shape_text(*w) + "; expected rank " + std::to_string(spatial + 2));
    for (size_t i = 0; i < spatial; ++i) {
      const Dim& extent = (*w)[i + 2];
      if (!kernel.empty() && conflict(extent, dim_of(kernel[i]))) {
        return n.error("kernel_shape says " + std::to_string(kernel[i]) + " but the weights have shape " +
                       shape_text(*w));
      }
    }
    if (kernel.empty()) {
      for (size_t i = 0; i < spatial; ++i) {
        if (!(*w)[i + 2].known()) return std::optional<std::vector<int64_t>>();
        kernel.push_back((*w)[i + 2].extent);
      }
    }
  }
  if (kernel.empty()) return std::optional<std::vector<int64_t>>();
  return std::optional(std::move(kernel));
}

Status conv_at(Inference& n, size_t data, size_t weights, std::optional<DType> dtype) {
  MOTET_RETURN_IF_ERROR(n.check_rank(data, 3));
  const SymShape* x = n.shape(data);
  const SymShape* w = n.shape(weights);
  if (x == nullptr) {
    n.set(0, dtype, std::nullopt);
    return {};
  }
  size_t spatial = x->size() - 2;
  int64_t group = n.node().int_or("group", 1);
  if (group < 1 || group > INT32_MAX) return n.error("group is " + std::to_string(group));
  MOTET_ASSIGN(auto kernel, kernel_of(n, weights, spatial));
  SymShape to = unknown_shape(x->size());
  to[0] = (*x)[0];
  if (w != nullptr) {
    const Dim channels = multiply((*w)[1], dim_of(group));
    if (conflict((*x)[1], channels)) {
      return n.error("its input has " + std::to_string((*x)[1].extent) + " channels, but weights " + shape_text(*w) +
                     " in " + std::to_string(group) + " groups take " + std::to_string(channels.extent));
    }
    to[1] = (*w)[0];
    if (to[1].known() && to[1].extent % group != 0) {
      return n.error("its " + std::to_string(to[1].extent) + " filters do not divide into " + std::to_string(group) +
                     " groups");
    }
  }
  if (kernel) {
    MOTET_ASSIGN(Window win, window(n, spatial, std::move(*kernel)));
    for (size_t i = 0; i < spatial; ++i) {
      MOTET_ASSIGN(to[i + 2], slid(n, win, i, (*x)[i + 2]));
    }
  }
  n.set(0, dtype, to);
  return {};
}

Status conv(Inference& n) { return conv_at(n, 0, 1, n.dtype(0)); }
Status conv_integer(Inference& n) { return conv_at(n, 0, 1, DType::kI32); }
Status qlinear_conv(Inference& n) { return conv_at(n, 0, 3, n.dtype(7)); }

Status conv_transpose(Inference& n) {
  MOTET_RETURN_IF_ERROR(n.check_rank(0, 3));
  const SymShape* x = n.shape(0);
  const SymShape* w = n.shape(1);
  if (x == nullptr) {
    n.set(0, n.dtype(0), std::nullopt);
    return {};
  }
  size_t spatial = x->size() - 2;
  int64_t group = n.node().int_or("group", 1);
  if (group < 1 || group > INT32_MAX) return n.error("group is " + std::to_string(group));
  MOTET_ASSIGN(auto kernel, kernel_of(n, 1, spatial));
  SymShape to = unknown_shape(x->size());
  to[0] = (*x)[0];
  if (w != nullptr) {
    if (conflict((*x)[1], (*w)[0])) {
      return n.error("its input has " + std::to_string((*x)[1].extent) + " channels, but its weights have shape " +
                     shape_text(*w));
    }
    to[1] = multiply((*w)[1], dim_of(group));
  }
  if (!kernel) {
    n.set(0, n.dtype(0), to);
    return {};
  }
  MOTET_ASSIGN(Window win, window(n, spatial, std::move(*kernel)));
  MOTET_ASSIGN(auto extra, list_of(n, "output_padding", spatial, 0, 0));
  std::vector<int64_t> wanted = n.node().ints_or("output_shape", {});
  if (!wanted.empty() && wanted.size() != spatial && wanted.size() != spatial + 2) {
    return n.error("output_shape has " + std::to_string(wanted.size()) + " entries; expected " +
                   std::to_string(spatial));
  }
  for (size_t i = 0; i < spatial; ++i) {
    const Dim& in = (*x)[i + 2];
    if (!wanted.empty()) {
      int64_t extent = wanted[wanted.size() - spatial + i];
      if (extent < 1) return n.error("output_shape holds " + std::to_string(extent));
      to[i + 2] = dim_of(extent);
    } else if (in.known()) {
      bool same_pad = win.auto_pad == "SAME_UPPER" || win.auto_pad == "SAME_LOWER";
      auto scaled = checked_multiply(in.extent - (same_pad ? 0 : 1), win.strides[i]);
      int64_t rest = same_pad ? 0 : extra[i] + (win.kernel[i] - 1) * win.dilations[i] + 1;
      if (!same_pad && win.auto_pad != "VALID") rest -= win.pads[i] + win.pads[i + spatial];
      auto extent = scaled ? checked_add(*scaled, rest) : std::nullopt;
      if (!extent || *extent < 0)
        return n.error("its result has no sound extent along spatial axis " + std::to_string(i));
      to[i + 2] = dim_of(*extent);
    }
  }
  n.set(0, n.dtype(0), to);
  return {};
}

Status pool(Inference& n) {
  MOTET_RETURN_IF_ERROR(n.check_rank(0, 3));
  const SymShape* x = n.shape(0);
  std::optional<SymShape> to;
  if (x != nullptr) {
    size_t spatial = x->size() - 2;
    std::vector<int64_t> kernel = n.node().ints_or("kernel_shape", {});
    if (kernel.size() != spatial) {
      return n.error("kernel_shape has " + std::to_string(kernel.size()) + " entries for an input of shape " +
                     shape_text(*x));
    }
    MOTET_ASSIGN(Window win, window(n, spatial, std::move(kernel)));
    to = *x;
    for (size_t i = 0; i < spatial; ++i) {
      MOTET_ASSIGN((*to)[i + 2], slid(n, win, i, (*x)[i + 2]));
    }
  }
  n.set(0, n.dtype(0), to);
  n.set(1, DType::kI64, to);  // MaxPool's indices
  return {};
}

Status global_pool(Inference& n) {
  MOTET_RETURN_IF_ERROR(n.check_rank(0, 2));
  const SymShape* x = n.shape(0);
  std::optional<SymShape> to;
  if (x != nullptr) {
    to = *x;
    for (size_t i = 2; i < to->size(); ++i) (*to)[i] = dim_of(1);
  }
  n.set(0, n.dtype(0), to);
  return {};
}

Status max_unpool(Inference& n) {
  MOTET_RETURN_IF_ERROR(n.check_rank(0, 3));
  const SymShape* x = n.shape(0);
  if (x == nullptr) {
    n.set(0, n.dtype(0), std::nullopt);
    return {};
  }
  size_t spatial = x->size() - 2;
  MOTET_ASSIGN(Window win, window(n, spatial, n.node().ints_or("kernel_shape", {})));
  if (win.kernel.size() != spatial)
    return n.error("kernel_shape has " + std::to_string(win.kernel.size()) + " entries");
  SymShape to = *x;
  auto wanted = n.ints(2);
  for (size_t i = 0; i < spatial; ++i) {
    Dim& d = to[i + 2];
    if (n.has(2)) {
      d = wanted && wanted->size() == x->size() ? Int{(*wanted)[i + 2], ""}.dim() : unknown_dim();
    } else if (d.known()) {
      auto scaled = checked_multiply(d.extent - 1, win.strides[i]);
      auto extent = scaled ? checked_add(*scaled, win.kernel[i] - win.pads[i] - win.pads[i + spatial]) : std::nullopt;
      if (!extent || *extent < 0) return n.error("its result has no sound extent");
      d = dim_of(*extent);
    }
  }
  n.set(0, n.dtype(0), to);
  return {};
}

constexpr RuleRow kRules[] = {
    {"Conv", conv},
    {"ConvInteger", conv_integer},
    {"QLinearConv", qlinear_conv},
    {"ConvTranspose", conv_transpose},
    {"DeformConv", conv},
    {"MaxPool", pool},
    {"AveragePool", pool},
    {"LpPool", pool},
    {"MaxUnpool", max_unpool},
    {"GlobalAveragePool", global_pool},
    {"GlobalMaxPool", global_pool},
    {"GlobalLpPool", global_pool},
};

}  // namespace

std::span<const RuleRow> window_rules() { return kRules; }

}  // namespace motet::graph
