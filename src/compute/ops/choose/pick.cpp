// NonZero and Compress.
#include <algorithm>
#include <cstring>

#include "compute/ops/choose/choose.h"
#include "compute/ops/support/dispatch.h"
#include "compute/ops/support/request.h"

namespace motet::ops {
namespace {

// Whether each element is other than zero.
Result<std::vector<bool>> holds(const Tensor& tensor) {
  std::vector<bool> result(static_cast<size_t>(tensor.view().elements()));
  auto look = [&]<class T>(T) {
    auto values = tensor.view().as<T>();
    for (size_t i = 0; i < values.size(); ++i) result[i] = values[i] != T(0);
  };
  if (for_number_type(tensor.dtype(), look)) return result;
  if (tensor.dtype() == DType::kBool) {
    look(bool{});
  } else if (tensor.dtype() == DType::kF16 || tensor.dtype() == DType::kBF16) {
    auto bits = tensor.view().as<uint16_t>();
    for (size_t i = 0; i < bits.size(); ++i) result[i] = (bits[i] & 0x7fff) != 0;
  } else {
    return unsupported("BYTES have no zero");
  }
  return result;
}

}  // namespace

Result<std::vector<Tensor>> non_zero(const graph::Node&, ChosenInputs inputs) {
  const Shape& shape = inputs[0]->shape();
  MOTET_ASSIGN(const std::vector<bool> chosen, holds(*inputs[0]));
  const int64_t count = std::count(chosen.begin(), chosen.end(), true);
  const auto rank = static_cast<int64_t>(shape.size());
  Tensor result = Tensor::zeros(DType::kI64, {rank, count});
  auto out = result.view().as<int64_t>();
  Shape index(shape.size(), 0);
  int64_t found = 0;
  for (size_t i = 0; i < chosen.size(); ++i) {
    if (chosen[i]) {
      for (size_t d = 0; d < index.size(); ++d)
        out[d * static_cast<size_t>(count) + static_cast<size_t>(found)] = index[d];
      ++found;
    }
    for (size_t d = index.size(); d-- > 0;) {
      if (++index[d] < shape[d]) break;
      index[d] = 0;
    }
  }
  return std::vector<Tensor>{std::move(result)};
}

Result<std::vector<Tensor>> compress(const graph::Node& node, ChosenInputs inputs) {
  const Tensor& data = *inputs[0];
  if (inputs[1]->dtype() != DType::kBool || inputs[1]->shape().size() != 1)
    return invalid_argument("its condition is " + describe({inputs[1]->dtype(), inputs[1]->shape()}) +
                            "; one list of BOOL is possible");
  const auto condition = inputs[1]->view().as<bool>();
  Shape shape = data.shape();
  size_t axis = 0;
  if (node.find("axis") == nullptr) {
    shape = {elements(shape)};
  } else {
    MOTET_ASSIGN(axis, normalise_axis(node.int_or("axis", 0), shape.size()));
  }
  const int64_t extent = shape[axis];
  std::vector<int64_t> chosen;
  for (size_t i = 0; i < condition.size(); ++i) {
    if (!condition[i]) continue;
    if (static_cast<int64_t>(i) >= extent)
      return invalid_argument("its condition chooses " + std::to_string(i) + " of " + std::to_string(extent));
    chosen.push_back(static_cast<int64_t>(i));
  }
  const int64_t outer = product(shape, 0, axis);
  const size_t row = static_cast<size_t>(product(shape, axis + 1, shape.size())) * dtype_bytes(data.dtype());
  shape[axis] = static_cast<int64_t>(chosen.size());
  Tensor result = Tensor::zeros(data.dtype(), shape);
  std::byte* to = result.view().data;
  for (int64_t o = 0; row > 0 && o < outer; ++o) {
    for (int64_t from : chosen) {
      std::memcpy(to, data.view().data + static_cast<size_t>(o * extent + from) * row, row);
      to += row;
    }
  }
  return std::vector<Tensor>{std::move(result)};
}

}  // namespace motet::ops
