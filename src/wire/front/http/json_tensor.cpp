#include "wire/front/http/json_tensor.h"

#include <cmath>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

namespace motet::http {
namespace {

constexpr int kMaxDepth = 64;

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\n' || text.back() == '\r'))
    text.remove_suffix(1);
  return text;
}

// NaN and the infinities, which JSON lacks and Triton takes.
bool special_number(ondemand::value value, double& out) {
  std::string_view token = trimmed(value.raw_json_token());
  bool negative = !token.empty() && token[0] == '-';
  if (negative) token.remove_prefix(1);
  if (token == "NaN") {
    out = std::numeric_limits<double>::quiet_NaN();
  } else if (token == "Infinity" || token == "Inf") {
    out = std::numeric_limits<double>::infinity();
  } else {
    return false;
  }
  if (negative) out = -out;
  return true;
}

// Each read_scalar: whether `value` holds a T; leaves it untouched if not.
bool read_scalar(ondemand::value value, bool& out) { return value.get_bool().get(out) == simdjson::SUCCESS; }

template <class T>
  requires std::is_floating_point_v<T>
bool read_scalar(ondemand::value value, T& out) {
  double wide = 0;
  if (value.get_double().get(wide) != simdjson::SUCCESS) {
    if (!special_number(value, wide)) return false;
  } else if (std::fabs(wide) > static_cast<double>(std::numeric_limits<T>::max())) {
    return false;
  }
  out = static_cast<T>(wide);
  return true;
}

template <class T>
  requires std::is_integral_v<T> && std::is_signed_v<T>
bool read_scalar(ondemand::value value, T& out) {
  int64_t wide = 0;
  if (value.get_int64().get(wide) != simdjson::SUCCESS) return false;
  out = static_cast<T>(wide);
  return out == wide;
}

template <class T>
  requires std::is_integral_v<T> && std::is_unsigned_v<T> && (!std::is_same_v<T, bool>)
bool read_scalar(ondemand::value value, T& out) {
  uint64_t wide = 0;
  if (value.get_uint64().get(wide) != simdjson::SUCCESS) return false;
  out = static_cast<T>(wide);
  return out == wide;
}

// BYTES elements on their way: characters first, since they move while the buffer grows.
struct StringSink {
  std::string characters;
  std::vector<size_t> ends;
};

class Reader {
 public:
  Reader(std::string_view name, DType dtype, const Shape& shape, int64_t expected)
      : name_(name), dtype_(dtype), shape_(shape), expected_(expected) {}

  // T: what a Reader writes to; `put(value)` -> Status takes one scalar.
  template <class Put>
  Status walk(ondemand::array array, int depth, Put& put) {
    if (depth > kMaxDepth)
      return invalid_argument("Unable to parse 'data' of input '" + std::string(name_) +
                              "': it is nested deeper than " + std::to_string(kMaxDepth) + " levels");
    for (auto step : array) {
      ondemand::value value;
      if (auto code = std::move(step).get(value)) return json_error(field(), code, "an array");
      if (put(value, at_)) {
        if (++at_ > expected_) return count_error();
        continue;
      }
      ondemand::array inner;
      if (value.get_array().get(inner) != simdjson::SUCCESS) return value_error(value);
      MOTET_RETURN_IF_ERROR(walk(inner, depth + 1, put));
    }
    return {};
  }

  Status finish() const { return at_ == expected_ ? Status() : Status(count_error()); }

 private:
  std::string field() const { return "data' of input '" + std::string(name_); }
  Error count_error() const {
    return invalid_argument("Unable to parse 'data' of input '" + std::string(name_) + "': shape " +
                            shape_to_string(shape_) + " has " + std::to_string(expected_) + " elements, 'data' has " +
                            (at_ > expected_ ? "more" : std::to_string(at_)));
  }
  Error value_error(ondemand::value value) const {
    std::string shown(trimmed(value.raw_json_token()).substr(0, 40));
    return invalid_argument("Unable to parse 'data' of input '" + std::string(name_) + "': element " +
                            std::to_string(at_) + " is " + shown + ", which is no " +
                            std::string(dtype_kserve_name(dtype_)) + " value");
  }

  std::string_view name_;
  DType dtype_;
  const Shape& shape_;
  int64_t expected_;
  int64_t at_ = 0;
};

template <class T>
Result<Tensor> read_numbers(ondemand::array data, Reader reader, DType dtype, const Shape& shape, int64_t expected) {
  Tensor tensor = Tensor::zeros(dtype, shape);
  T* out = tensor.view().as<T>().data();
  auto put = [out, expected](ondemand::value value, int64_t at) {
    T scalar{};
    if (!read_scalar(value, scalar)) return false;
    if (at < expected) out[at] = scalar;
    return true;
  };
  MOTET_RETURN_IF_ERROR(reader.walk(data, 1, put));
  MOTET_RETURN_IF_ERROR(reader.finish());
  return tensor;
}

Result<Tensor> read_strings(ondemand::array data, Reader reader, const Shape& shape) {
  struct Block {
    std::string characters;
    std::vector<std::string_view> elements;
  };
  StringSink sink;
  auto put = [&sink](ondemand::value value, int64_t) {
    std::string_view text;
    if (value.get_string().get(text) != simdjson::SUCCESS) return false;
    sink.characters.append(text);
    sink.ends.push_back(sink.characters.size());
    return true;
  };
  MOTET_RETURN_IF_ERROR(reader.walk(data, 1, put));
  MOTET_RETURN_IF_ERROR(reader.finish());
  auto block = std::make_shared<Block>();
  block->characters = std::move(sink.characters);
  std::string_view all = block->characters;
  size_t begin = 0;
  for (size_t end : sink.ends) {
    block->elements.push_back(all.substr(begin, end - begin));
    begin = end;
  }
  TensorView view{DType::kString, shape, reinterpret_cast<std::byte*>(block->elements.data())};
  return Tensor(std::move(view), std::move(block));
}

}  // namespace

Result<Tensor> read_json_tensor(ondemand::array data, std::string_view name, DType dtype, const Shape& shape,
                                size_t text_bytes) {
  MOTET_ASSIGN(int64_t expected, checked_elements(shape));
  if (expected > static_cast<int64_t>(text_bytes)) {
    return invalid_argument("Unable to parse 'data' of input '" + std::string(name) + "': shape " +
                            shape_to_string(shape) + " has " + std::to_string(expected) +
                            " elements, more than its JSON text of " + std::to_string(text_bytes) + " bytes can hold");
  }
  Reader reader(name, dtype, shape, expected);
  switch (dtype) {
    case DType::kBool: return read_numbers<bool>(data, reader, dtype, shape, expected);
    case DType::kU8: return read_numbers<uint8_t>(data, reader, dtype, shape, expected);
    case DType::kU16: return read_numbers<uint16_t>(data, reader, dtype, shape, expected);
    case DType::kU32: return read_numbers<uint32_t>(data, reader, dtype, shape, expected);
    case DType::kU64: return read_numbers<uint64_t>(data, reader, dtype, shape, expected);
    case DType::kI8: return read_numbers<int8_t>(data, reader, dtype, shape, expected);
    case DType::kI16: return read_numbers<int16_t>(data, reader, dtype, shape, expected);
    case DType::kI32: return read_numbers<int32_t>(data, reader, dtype, shape, expected);
    case DType::kI64: return read_numbers<int64_t>(data, reader, dtype, shape, expected);
    case DType::kF32: return read_numbers<float>(data, reader, dtype, shape, expected);
    case DType::kF64: return read_numbers<double>(data, reader, dtype, shape, expected);
    case DType::kString: return read_strings(data, reader, shape);
    case DType::kF16:
    case DType::kBF16: break;
  }
  return invalid_argument("receiving " + std::string(dtype_kserve_name(dtype)) +
                          " data via JSON is not supported. Please use the binary data format for input '" +
                          std::string(name) + "'");
}

}  // namespace motet::http
