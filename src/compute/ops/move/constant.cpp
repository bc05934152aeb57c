// Constant, ConstantOfShape, Shape, Size, Range, EyeLike: results known when planned, copied out at each run.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "compute/ops/move/move.h"
#include "compute/ops/support/dispatch.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"

namespace motet::ops {
namespace {

KernelPtr value_kernel(Tensor value) {
  const size_t bytes = value.view().bytes();
  return make_kernel(
      [value = std::move(value), bytes](const KernelArgs& args, device::Team&) {
        if (bytes > 0) std::memcpy(args.outputs[0].data, value.view().data, bytes);
      },
      {.packed_bytes = bytes});
}

template <class T>
Tensor tensor_of(Shape shape, const std::vector<T>& values) {
  return Tensor::of<T>(std::move(shape), std::span<const T>(values));
}

// Strings and the views on them, kept alive together.
Tensor string_tensor(Shape shape, std::vector<std::string> strings) {
  struct Holder {
    std::vector<std::string> strings;
    std::vector<std::string_view> views;
  };
  auto holder = std::make_shared<Holder>();
  holder->strings = std::move(strings);
  holder->views.assign(holder->strings.begin(), holder->strings.end());
  TensorView view{DType::kString, std::move(shape), reinterpret_cast<std::byte*>(holder->views.data())};
  return Tensor(std::move(view), holder);
}

std::optional<Tensor> constant_value(const graph::Node& node) {
  if (const auto* a = node.find("value"); a != nullptr && std::holds_alternative<Tensor>(*a))
    return std::get<Tensor>(*a);
  if (node.find("value_float") != nullptr) return tensor_of<float>({}, {node.float_or("value_float", 0)});
  if (node.find("value_int") != nullptr) return tensor_of<int64_t>({}, {node.int_or("value_int", 0)});
  if (node.find("value_string") != nullptr) return string_tensor({}, {node.string_or("value_string", "")});
  if (node.find("value_floats") != nullptr) {
    const auto values = node.floats_or("value_floats", {});
    return tensor_of<float>({static_cast<int64_t>(values.size())}, values);
  }
  if (node.find("value_ints") != nullptr) {
    const auto values = node.ints_or("value_ints", {});
    return tensor_of<int64_t>({static_cast<int64_t>(values.size())}, values);
  }
  if (const auto* a = node.find("value_strings");
      a != nullptr && std::holds_alternative<std::vector<std::string>>(*a)) {
    const auto& values = std::get<std::vector<std::string>>(*a);
    return string_tensor({static_cast<int64_t>(values.size())}, values);
  }
  return std::nullopt;
}

}  // namespace

Result<KernelPtr> plan_constant(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 0, 0));
  std::optional<Tensor> value = constant_value(request.node);
  if (!value) return unsupported("none of value, value_float(s), value_int(s), value_string(s) is given");
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, value->dtype(), value->shape()));
  return value_kernel(*std::move(value));
}

Result<KernelPtr> plan_constant_of_shape(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 1, 1));
  MOTET_ASSIGN(Shape shape, constant_ints(request, 0, "shape"));
  Tensor value = Tensor::zeros(DType::kF32, {1});
  if (const auto* a = request.node.find("value"); a != nullptr) value = std::get<Tensor>(*a);
  if (value.view().elements() != 1)
    return unsupported("value has " + shape_to_string(value.shape()) + " elements, not one");
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, value.dtype(), shape));
  const int64_t count = elements(request.outputs[0].shape);
  return make_kernel([value, count](const KernelArgs& args, device::Team& team) {
    for_element_size(dtype_bytes(value.dtype()), [&]<class T>(T) {
      T element;
      std::memcpy(&element, value.view().data, sizeof(T));
      T* y = output_data<T>(args, 0);
      team.for_range(count, kGrain, [&](int64_t begin, int64_t end) { std::fill(y + begin, y + end, element); });
    });
  });
}

Result<KernelPtr> plan_shape(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 1, 1));
  const Shape& shape = request.inputs[0].shape;
  std::vector<int64_t> values;
  Shape out;
  if (request.node.op == "Size") {
    values.push_back(elements(shape));
  } else {
    const auto rank = static_cast<int64_t>(shape.size());
    auto bound = [&](std::string_view name, int64_t fallback) {
      const int64_t v = request.node.int_or(name, fallback);
      return std::clamp<int64_t>(v < 0 ? v + rank : v, 0, rank);
    };
    const int64_t start = bound("start", 0);
    const int64_t end = std::max(start, bound("end", rank));
    values.assign(shape.begin() + start, shape.begin() + end);
    out.push_back(end - start);
  }
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, DType::kI64, out));
  return value_kernel(tensor_of<int64_t>(out, values));
}

Result<KernelPtr> plan_range(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 3, 3));
  const DType dtype = request.inputs[0].dtype;
  std::optional<Tensor> value;
  std::optional<Error> error;
  for_number_type(dtype, [&]<class T>(T) {
    T at[3];
    for (size_t i = 0; i < 3; ++i) {
      const Tensor* tensor = constant_input(request, i);
      if (tensor == nullptr || tensor->dtype() != dtype || tensor->view().elements() != 1) {
        error =
            unsupported("input " + std::to_string(i) + " is not a constant of one element of the first input's type");
        return;
      }
      at[i] = tensor->view().as<T>()[0];
    }
    const double steps =
        std::ceil((static_cast<double>(at[1]) - static_cast<double>(at[0])) / static_cast<double>(at[2]));
    constexpr double kMost = 1e9;
    if (!(steps <= kMost)) {
      error = unsupported("a range of " + std::to_string(steps) + " elements; at most 1e9 are possible");
      return;
    }
    const auto count = static_cast<int64_t>(std::max(0.0, steps));
    value = Tensor::zeros(dtype, {count});
    auto values = value->view().as<T>();
    for (int64_t i = 0; i < count; ++i) {
      if constexpr (std::is_floating_point_v<T>) {
        values[static_cast<size_t>(i)] = at[0] + static_cast<T>(i) * at[2];
      } else {
        values[static_cast<size_t>(i)] =
            static_cast<T>(static_cast<uint64_t>(at[0]) + static_cast<uint64_t>(i) * static_cast<uint64_t>(at[2]));
      }
    }
  });
  if (error) return *error;
  if (!value) return unsupported("a range of " + describe(request.inputs[0]));
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, dtype, value->shape()));
  return value_kernel(*std::move(value));
}

Result<KernelPtr> plan_eye_like(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 1, 1));
  const Shape& shape = request.inputs[0].shape;
  const DType dtype = request.outputs[0].dtype;
  if (shape.size() != 2) return unsupported("of " + describe(request.inputs[0]) + "; two extents are possible");
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, dtype, shape));
  const int64_t k = request.node.int_or("k", 0);
  Tensor value = Tensor::zeros(dtype, shape);
  auto fill = [&]<class T>(T) {
    auto values = value.view().as<T>();
    for (int64_t r = 0; r < shape[0]; ++r) {
      const auto column = checked_add(r, k);
      if (column && *column >= 0 && *column < shape[1]) values[static_cast<size_t>(r * shape[1] + *column)] = T(1);
    }
  };
  if (dtype == DType::kBool) {
    fill(bool{});
  } else if (!for_number_type(dtype, fill)) {
    return unsupported("of type " + std::string(dtype_kserve_name(dtype)));
  }
  return value_kernel(std::move(value));
}

}  // namespace motet::ops
