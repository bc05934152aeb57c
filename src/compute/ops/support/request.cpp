#include "compute/ops/support/request.h"

#include <algorithm>

namespace motet::ops {

std::string describe(const TensorSpec& spec) {
  return std::string(dtype_kserve_name(spec.dtype)) + shape_to_string(spec.shape);
}

Status expect_inputs(const NodeRequest& request, size_t least, size_t most) {
  size_t count = request.inputs.size();
  if (count < least || count > most) {
    return unsupported(std::to_string(count) + " inputs; " + std::to_string(least) + " to " + std::to_string(most) +
                       " are possible");
  }
  for (size_t i = 0; i < least; ++i) {
    if (!request.present[i]) return unsupported("input " + std::to_string(i) + " is absent");
  }
  if (request.outputs.empty()) return unsupported("it has no output");
  return {};
}

Status expect_type(const NodeRequest& request, size_t i, std::initializer_list<DType> allowed) {
  if (!has_input(request, i)) return unsupported("input " + std::to_string(i) + " is absent");
  if (std::find(allowed.begin(), allowed.end(), request.inputs[i].dtype) != allowed.end()) return {};
  std::string list;
  for (DType dtype : allowed) list += (list.empty() ? "" : ", ") + std::string(dtype_kserve_name(dtype));
  return unsupported("input " + std::to_string(i) + " is " + describe(request.inputs[i]) + "; possible types: " + list);
}

Status expect_output(const NodeRequest& request, size_t o, DType dtype, const Shape& shape) {
  if (!has_output(request, o)) return {};
  const TensorSpec& spec = request.outputs[o];
  if (spec.dtype == dtype && spec.shape == shape) return {};
  return unsupported("output " + std::to_string(o) + " would be " + describe({dtype, shape}) + ", not " +
                     describe(spec));
}

Result<std::vector<int64_t>> constant_ints(const NodeRequest& request, size_t i, std::string_view what) {
  const Tensor* tensor = constant_input(request, i);
  if (tensor == nullptr) return unsupported(std::string(what) + " (input " + std::to_string(i) + ") is not a constant");
  std::vector<int64_t> values;
  if (tensor->dtype() == DType::kI64) {
    auto span = tensor->view().as<int64_t>();
    values.assign(span.begin(), span.end());
  } else if (tensor->dtype() == DType::kI32) {
    auto span = tensor->view().as<int32_t>();
    values.assign(span.begin(), span.end());
  } else {
    return unsupported(std::string(what) + " is " + std::string(dtype_kserve_name(tensor->dtype())) +
                       ", not INT64 or INT32");
  }
  return values;
}

namespace {

Result<std::vector<double>> constant_numbers(const NodeRequest& request, size_t i, std::string_view what) {
  const Tensor* tensor = constant_input(request, i);
  if (tensor == nullptr) return unsupported(std::string(what) + " (input " + std::to_string(i) + ") is not a constant");
  const TensorView& view = tensor->view();
  std::vector<double> values;
  auto take = [&]<class T>(T) {
    for (T v : view.as<T>()) values.push_back(static_cast<double>(v));
  };
  switch (view.dtype) {
    case DType::kBool: take(bool{}); break;
    case DType::kU8: take(uint8_t{}); break;
    case DType::kU16: take(uint16_t{}); break;
    case DType::kU32: take(uint32_t{}); break;
    case DType::kU64: take(uint64_t{}); break;
    case DType::kI8: take(int8_t{}); break;
    case DType::kI16: take(int16_t{}); break;
    case DType::kI32: take(int32_t{}); break;
    case DType::kI64: take(int64_t{}); break;
    case DType::kF32: take(float{}); break;
    case DType::kF64: take(double{}); break;
    case DType::kF16:
      for (uint16_t bits : view.as<uint16_t>()) values.push_back(f16_to_float(bits));
      break;
    case DType::kBF16:
      for (uint16_t bits : view.as<uint16_t>()) values.push_back(bf16_to_float(bits));
      break;
    case DType::kString: return unsupported(std::string(what) + " is BYTES, not a number");
  }
  return values;
}

}  // namespace

Result<std::vector<float>> constant_floats(const NodeRequest& request, size_t i, std::string_view what) {
  MOTET_ASSIGN(std::vector<double> numbers, constant_numbers(request, i, what));
  if (!is_float(request.inputs[i].dtype)) {
    return unsupported(std::string(what) + " is " + describe(request.inputs[i]) + ", not floating-point");
  }
  std::vector<float> values;
  for (double v : numbers) values.push_back(static_cast<float>(v));
  return values;
}

Result<double> constant_scalar(const NodeRequest& request, size_t i, std::string_view what) {
  MOTET_ASSIGN(std::vector<double> numbers, constant_numbers(request, i, what));
  if (numbers.size() != 1) {
    return unsupported(std::string(what) + " has " + std::to_string(numbers.size()) + " elements, not one");
  }
  return numbers[0];
}

Result<std::optional<std::vector<int64_t>>> ints_of_input_or_attribute(const NodeRequest& request, size_t i,
                                                                       std::string_view attribute) {
  if (has_input(request, i)) {
    MOTET_ASSIGN(std::vector<int64_t> values, constant_ints(request, i, attribute));
    return std::optional(std::move(values));
  }
  if (request.node.find(attribute) == nullptr) return std::optional<std::vector<int64_t>>();
  return std::optional(request.node.ints_or(attribute, {}));
}

Result<size_t> normalise_axis(int64_t axis, size_t rank) {
  auto r = static_cast<int64_t>(rank);
  if (axis < -r || axis >= r) {
    return unsupported("axis " + std::to_string(axis) + " is not in [" + std::to_string(-r) + ", " + std::to_string(r) +
                       ")");
  }
  return static_cast<size_t>(axis < 0 ? axis + r : axis);
}

Result<std::vector<size_t>> normalise_axes(const std::vector<int64_t>& axes, size_t rank) {
  std::vector<size_t> result;
  for (int64_t axis : axes) {
    MOTET_ASSIGN(size_t normal, normalise_axis(axis, rank));
    result.push_back(normal);
  }
  std::sort(result.begin(), result.end());
  auto twice = std::adjacent_find(result.begin(), result.end());
  if (twice != result.end()) return unsupported("axis " + std::to_string(*twice) + " is given twice");
  return result;
}

int64_t product(const Shape& shape, size_t from, size_t to) {
  int64_t result = 1;
  for (size_t d = from; d < to; ++d) result *= shape[d];
  return result;
}

Shape strides_of(const Shape& shape) {
  Shape strides(shape.size());
  int64_t stride = 1;
  for (size_t d = shape.size(); d-- > 0;) {
    strides[d] = stride;
    stride *= shape[d];
  }
  return strides;
}

Result<Shape> broadcast_shape(const Shape& a, const Shape& b) {
  Shape result(std::max(a.size(), b.size()));
  for (size_t d = 0; d < result.size(); ++d) {
    // Aligned at the innermost extent.
    size_t back = result.size() - d;
    int64_t p = back <= a.size() ? a[a.size() - back] : 1;
    int64_t q = back <= b.size() ? b[b.size() - back] : 1;
    if (p != q && p != 1 && q != 1) {
      return unsupported("shapes " + shape_to_string(a) + " and " + shape_to_string(b) + " cannot be broadcast");
    }
    result[d] = p == 1 ? q : p;
  }
  return result;
}

bool is_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF64 || dtype == DType::kF16 || dtype == DType::kBF16;
}

bool is_integer(DType dtype) { return !is_float(dtype) && dtype != DType::kBool && dtype != DType::kString; }

}  // namespace motet::ops
