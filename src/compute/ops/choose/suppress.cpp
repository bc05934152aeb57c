// NonMaxSuppression: per batch and class, boxes by falling score, less those that overlap one chosen before.
#include <algorithm>
#include <cmath>

#include "compute/ops/choose/choose.h"
#include "compute/ops/support/request.h"

namespace motet::ops {
namespace {

struct Box {
  float y0, x0, y1, x1;
  float area() const { return (y1 - y0) * (x1 - x0); }
};

Box box_of(const float* v, bool by_centre) {
  if (by_centre) return {v[1] - v[3] / 2, v[0] - v[2] / 2, v[1] + v[3] / 2, v[0] + v[2] / 2};
  return {std::min(v[0], v[2]), std::min(v[1], v[3]), std::max(v[0], v[2]), std::max(v[1], v[3])};
}

// Intersection over union.
float overlap(const Box& a, const Box& b) {
  const float height = std::min(a.y1, b.y1) - std::max(a.y0, b.y0);
  const float width = std::min(a.x1, b.x1) - std::max(a.x0, b.x0);
  if (height <= 0 || width <= 0) return 0;
  const float both = height * width, either = a.area() + b.area() - both;
  return either > 0 ? both / either : 0;
}

template <class T>
Result<std::optional<T>> scalar(ChosenInputs inputs, size_t i, const char* what) {
  if (i >= inputs.size() || inputs[i] == nullptr) return std::optional<T>();
  if (inputs[i]->dtype() != DTypeOf<T>::value || inputs[i]->view().elements() != 1)
    return invalid_argument(std::string(what) + " is " + describe({inputs[i]->dtype(), inputs[i]->shape()}) +
                            ", not one " + std::string(dtype_kserve_name(DTypeOf<T>::value)));
  return std::optional<T>(inputs[i]->view().as<T>()[0]);
}

}  // namespace

Result<std::vector<Tensor>> non_max_suppression(const graph::Node& node, ChosenInputs inputs) {
  const Tensor& boxes = *inputs[0];
  const Tensor& scores = *inputs[1];
  const Shape& b = boxes.shape();
  const Shape& s = scores.shape();
  if (boxes.dtype() != DType::kF32 || scores.dtype() != DType::kF32 || b.size() != 3 || s.size() != 3 || b[2] != 4 ||
      s[0] != b[0] || s[2] != b[1])
    return invalid_argument("boxes " + describe({boxes.dtype(), b}) + " and scores " + describe({scores.dtype(), s}) +
                            "; FP32[batches,boxes,4] and FP32[batches,classes,boxes] are possible");
  MOTET_ASSIGN(auto most, scalar<int64_t>(inputs, 2, "max_output_boxes_per_class"));
  MOTET_ASSIGN(auto iou, scalar<float>(inputs, 3, "iou_threshold"));
  MOTET_ASSIGN(auto least, scalar<float>(inputs, 4, "score_threshold"));
  const bool by_centre = node.int_or("center_point_box", 0) != 0;
  const int64_t wanted = std::min(most.value_or(0), b[1]);
  std::vector<int64_t> chosen;
  std::vector<Box> all(static_cast<size_t>(b[1]));
  for (int64_t batch = 0; batch < b[0]; ++batch) {
    for (size_t i = 0; i < all.size(); ++i)
      all[i] = box_of(boxes.view().as<float>().data() + (static_cast<size_t>(batch) * all.size() + i) * 4, by_centre);
    for (int64_t c = 0; c < s[1]; ++c) {
      const float* score = scores.view().as<float>().data() + (batch * s[1] + c) * s[2];
      std::vector<int64_t> order;
      for (int64_t i = 0; i < b[1]; ++i)
        if (!std::isnan(score[i]) && (!least || score[i] > *least)) order.push_back(i);
      std::sort(order.begin(), order.end(),
                [&](int64_t x, int64_t y) { return score[x] > score[y] || (score[x] == score[y] && x < y); });
      std::vector<int64_t> kept;
      for (int64_t i : order) {
        if (static_cast<int64_t>(kept.size()) >= wanted) break;
        const Box& box = all[static_cast<size_t>(i)];
        const bool free = std::none_of(kept.begin(), kept.end(), [&](int64_t other) {
          return overlap(box, all[static_cast<size_t>(other)]) > iou.value_or(0);
        });
        if (free) kept.push_back(i);
      }
      for (int64_t i : kept) chosen.insert(chosen.end(), {batch, c, i});
    }
  }
  return std::vector<Tensor>{
      Tensor::of<int64_t>({static_cast<int64_t>(chosen.size() / 3), 3}, std::span<const int64_t>(chosen))};
}

}  // namespace motet::ops
