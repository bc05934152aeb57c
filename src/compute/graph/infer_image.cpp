// Ops on images: resizing, rearranging blocks of pixels, sampling.
#include <cmath>

#include "compute/graph/infer.h"

namespace motet::graph {
namespace {

std::optional<std::vector<float>> floats(const Inference& n, size_t i) {
  const Tensor* t = n.constant(i);
  if (t == nullptr || t->dtype() != DType::kF32 || t->shape().size() != 1 ||
      t->elements() > int64_t{kMaxInferredRank})
    return std::nullopt;
  auto values = t->view().as<const float>();
  return std::vector<float>(values.begin(), values.end());
}

// floor(extent * scale), as ONNX says, in float64 as its reference does.
Result<Dim> scaled(const Inference& n, const Dim& dim, float scale) {
  if (!(scale > 0) || scale > 1e9f)
    return n.error("scales by " + std::to_string(scale) + "; accepted are finite numbers above 0");
  if (scale == 1) return dim;
  if (!dim.known()) return unknown_dim();
  double extent = std::floor(static_cast<double>(dim.extent) * static_cast<double>(scale));
  if (extent > 9e15) return n.error("scales extent " + std::to_string(dim.extent) + " by " + std::to_string(scale));
  return dim_of(static_cast<int64_t>(extent));
}

Result<SymShape> scaled(const Inference& n, const SymShape& from, const std::vector<size_t>& where,
                        const std::vector<float>& scales) {
  if (scales.size() != where.size()) {
    return n.error("has " + std::to_string(scales.size()) + " scales for shape " + shape_text(from) + " and " +
                   std::to_string(where.size()) + " axes");
  }
  SymShape to = from;
  for (size_t i = 0; i < where.size(); ++i) {
    MOTET_ASSIGN(to[where[i]], scaled(n, from[where[i]], scales[i]));
  }
  return to;
}

std::vector<size_t> all_axes(size_t rank) {
  std::vector<size_t> out(rank);
  for (size_t i = 0; i < rank; ++i) out[i] = i;
  return out;
}

// not_larger and not_smaller scale all axes alike, by the least or greatest wanted ratio.
void keep_ratio(const SymShape& from, const std::vector<size_t>& where, bool larger, SymShape& to) {
  double ratio = 0;
  for (size_t i = 0; i < where.size(); ++i) {
    const Dim& a = from[where[i]];
    const Dim& b = to[where[i]];
    if (!a.known() || a.extent == 0 || !b.known()) {
      for (size_t w : where) to[w] = unknown_dim();
      return;
    }
    double r = static_cast<double>(b.extent) / static_cast<double>(a.extent);
    if (i == 0 || (larger ? r > ratio : r < ratio)) ratio = r;
  }
  for (size_t w : where)
    to[w] = dim_of(static_cast<int64_t>(std::floor(ratio * static_cast<double>(from[w].extent) + 0.5)));
}

Status resize(Inference& n) {
  const SymShape* from = n.shape(0);
  if (from == nullptr) {
    n.set(0, n.dtype(0), std::nullopt);
    return {};
  }
  // Opset 10 has (X, scales); later ones (X, roi, scales, sizes).
  size_t scales_at = n.node().opset < 11 ? 1 : 2;
  std::vector<size_t> where = all_axes(from->size());
  if (n.node().find("axes") != nullptr) {
    MOTET_ASSIGN(where, n.axes(n.node().ints_or("axes", {}), from->size()));
  }
  auto sizes = n.node().opset < 11 ? std::nullopt : n.data(3);
  auto scales = floats(n, scales_at);
  bool sized = n.node().opset >= 11 && n.has(3) && !(sizes && sizes->empty());
  SymShape to = unknown_shape(from->size());
  if (sized && sizes) {
    if (sizes->size() != where.size())
      return n.error("has " + std::to_string(sizes->size()) + " sizes for shape " + shape_text(*from));
    to = *from;
    for (size_t i = 0; i < where.size(); ++i) to[where[i]] = (*sizes)[i].dim();
    std::string policy = n.node().string_or("keep_aspect_ratio_policy", "stretch");
    if (policy != "stretch") keep_ratio(*from, where, policy == "not_smaller", to);
  } else if (!sized && scales && !scales->empty()) {
    MOTET_ASSIGN(to, scaled(n, *from, where, *scales));
  }
  n.set(0, n.dtype(0), to);
  return {};
}

Status upsample(Inference& n) {
  const SymShape* from = n.shape(0);
  auto scales = n.node().find("scales") != nullptr ? std::optional(n.node().floats_or("scales", {})) : floats(n, 1);
  std::optional<SymShape> to;
  if (from != nullptr && scales) {
    MOTET_ASSIGN(to, scaled(n, *from, all_axes(from->size()), *scales));
  } else if (from != nullptr) {
    to = unknown_shape(from->size());
  }
  n.set(0, n.dtype(0), to);
  return {};
}

Result<int64_t> block_size(const Inference& n) {
  int64_t block = n.node().int_or("blocksize", 0);
  if (block < 1 || block > INT32_MAX)
    return n.error("blocksize is " + std::to_string(block) + "; 1 and up are accepted");
  return block;
}

Result<Dim> divided(const Inference& n, const Dim& dim, int64_t by) {
  if (!dim.known()) return unknown_dim();
  if (dim.extent % by != 0)
    return n.error("extent " + std::to_string(dim.extent) + " does not divide by " + std::to_string(by));
  return dim_of(dim.extent / by);
}

Status depth_to_space(Inference& n) {
  MOTET_RETURN_IF_ERROR(n.check_rank(0, 4, 4));
  MOTET_ASSIGN(int64_t block, block_size(n));
  const SymShape* x = n.shape(0);
  std::optional<SymShape> to;
  if (x != nullptr) {
    MOTET_ASSIGN(Dim channels, divided(n, (*x)[1], block * block));
    to = SymShape{(*x)[0], channels, multiply((*x)[2], dim_of(block)), multiply((*x)[3], dim_of(block))};
  }
  n.set(0, n.dtype(0), to);
  return {};
}

Status space_to_depth(Inference& n) {
  MOTET_RETURN_IF_ERROR(n.check_rank(0, 4, 4));
  MOTET_ASSIGN(int64_t block, block_size(n));
  const SymShape* x = n.shape(0);
  std::optional<SymShape> to;
  if (x != nullptr) {
    MOTET_ASSIGN(Dim height, divided(n, (*x)[2], block));
    MOTET_ASSIGN(Dim width, divided(n, (*x)[3], block));
    to = SymShape{(*x)[0], multiply((*x)[1], dim_of(block * block)), height, width};
  }
  n.set(0, n.dtype(0), to);
  return {};
}

// X [N, C, spatial...], grid [N, out..., k].
Status grid_sample(Inference& n) {
  MOTET_RETURN_IF_ERROR(n.check_rank(0, 3));
  const SymShape* x = n.shape(0);
  const SymShape* grid = n.shape(1);
  std::optional<SymShape> to;
  if (x != nullptr && grid != nullptr) {
    if (grid->size() != x->size())
      return n.error("its grid has shape " + shape_text(*grid) + " for data of shape " + shape_text(*x));
    to = SymShape{(*x)[0], (*x)[1]};
    to->insert(to->end(), grid->begin() + 1, grid->end() - 1);
  }
  n.set(0, n.dtype(0), to);
  return {};
}

Status roi_align(Inference& n) {
  MOTET_RETURN_IF_ERROR(n.check_rank(0, 4, 4));
  MOTET_RETURN_IF_ERROR(n.check_rank(1, 2, 2));
  const SymShape* x = n.shape(0);
  const SymShape* rois = n.shape(1);
  int64_t height = n.node().int_or("output_height", 1), width = n.node().int_or("output_width", 1);
  if (height < 1 || width < 1)
    return n.error("its output is " + std::to_string(height) + " by " + std::to_string(width));
  n.set(0, n.dtype(0),
        SymShape{rois == nullptr ? unknown_dim() : (*rois)[0], x == nullptr ? unknown_dim() : (*x)[1], dim_of(height),
                 dim_of(width)});
  return {};
}

Status affine_grid(Inference& n) {
  auto size = n.data(1);
  std::optional<SymShape> to;
  if (size && (size->size() == 4 || size->size() == 5)) {
    to = SymShape{(*size)[0].dim()};
    for (size_t i = 2; i < size->size(); ++i) to->push_back((*size)[i].dim());
    to->push_back(dim_of(static_cast<int64_t>(size->size()) - 2));
  }
  n.set(0, n.dtype(0), to);
  return {};
}

Status center_crop_pad(Inference& n) {
  const SymShape* from = n.shape(0);
  auto wanted = n.data(1);
  std::optional<SymShape> to;
  if (from != nullptr) {
    std::vector<size_t> where = all_axes(from->size());
    if (n.node().find("axes") != nullptr) {
      MOTET_ASSIGN(where, n.axes(n.node().ints_or("axes", {}), from->size()));
    }
    to = *from;
    if (wanted && wanted->size() != where.size())
      return n.error("has " + std::to_string(wanted->size()) + " extents for " + std::to_string(where.size()) +
                     " axes");
    for (size_t i = 0; i < where.size(); ++i) (*to)[where[i]] = wanted ? (*wanted)[i].dim() : unknown_dim();
  }
  n.set(0, n.dtype(0), to);
  return {};
}

// Input [N, C * product(block), L] becomes [N, C, image...].
Status col2im(Inference& n) {
  MOTET_RETURN_IF_ERROR(n.check_rank(0, 3, 3));
  const SymShape* x = n.shape(0);
  auto image = n.data(1), block = n.data(2);
  std::optional<SymShape> to;
  if (x != nullptr && image && block) {
    Dim volume = dim_of(1);
    for (const Int& item : *block) volume = multiply(volume, item.dim());
    if (volume.known() && volume.extent < 1) return n.error("its block is empty");
    Dim channels = unknown_dim();
    if (volume.known()) {
      MOTET_ASSIGN(channels, divided(n, (*x)[1], volume.extent));
    }
    to = SymShape{(*x)[0], channels};
    for (const Int& item : *image) to->push_back(item.dim());
  }
  n.set(0, n.dtype(0), to);
  return {};
}

Status max_roi_pool(Inference& n) {
  MOTET_RETURN_IF_ERROR(n.check_rank(0, 4, 4));
  MOTET_RETURN_IF_ERROR(n.check_rank(1, 2, 2));
  const SymShape* x = n.shape(0);
  const SymShape* rois = n.shape(1);
  std::vector<int64_t> pooled = n.node().ints_or("pooled_shape", {});
  if (pooled.size() != 2 || pooled[0] < 1 || pooled[1] < 1)
    return n.error("pooled_shape has " + std::to_string(pooled.size()) + " extents; two of 1 and up are accepted");
  n.set(0, n.dtype(0),
        SymShape{rois == nullptr ? unknown_dim() : (*rois)[0], x == nullptr ? unknown_dim() : (*x)[1],
                 dim_of(pooled[0]), dim_of(pooled[1])});
  return {};
}

constexpr RuleRow kRules[] = {
    {"MaxRoiPool", max_roi_pool},
    {"Resize", resize},
    {"Upsample", upsample},
    {"DepthToSpace", depth_to_space},
    {"SpaceToDepth", space_to_depth},
    {"GridSample", grid_sample},
    {"RoiAlign", roi_align},
    {"AffineGrid", affine_grid},
    {"CenterCropPad", center_crop_pad},
    {"Col2Im", col2im},
};

}  // namespace

std::span<const RuleRow> image_rules() { return kRules; }

}  // namespace motet::graph
