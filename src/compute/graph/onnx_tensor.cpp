#include "compute/graph/onnx_tensor.h"

#include <charconv>
#include <cstring>
#include <system_error>

#include "compute/graph/onnx_parse.h"
#include "compute/graph/text.h"

namespace motet::graph {

Status Parser::tensor(Message m, size_t offset, TensorRecord& out) {
  MOTET_RETURN_IF_ERROR(count(m, offset));
  out.path = m.path().to_string();
  out.offset = offset;
  while (!m.done()) {
    MOTET_ASSIGN(Field f, m.next());
    switch (f.number) {
      case 1: MOTET_RETURN_IF_ERROR(m.append(f, out.dims)); break;
      case 2: {
        MOTET_ASSIGN(out.data_type, m.integer(f));
        break;
      }
      case 3: return m.error(f.offset, "segmented tensors are not supported");
      case 4: MOTET_RETURN_IF_ERROR(m.append(f, out.floats)); break;
      case 5:
      case 7:
      case 11: MOTET_RETURN_IF_ERROR(m.append(f, out.integers)); break;
      case 6: {
        MOTET_ASSIGN(auto bytes, m.bytes(f));
        out.strings.push_back(as_text(bytes));
        break;
      }
      case 8: {
        MOTET_ASSIGN(out.name, m.text(f));
        break;
      }
      case 9: {
        MOTET_ASSIGN(auto bytes, m.bytes(f));
        out.raw = bytes;
        break;
      }
      case 10: MOTET_RETURN_IF_ERROR(m.append(f, out.doubles)); break;
      case 13: {
        MOTET_ASSIGN(auto bytes, m.bytes(f));
        FieldPath path{&m.path(), "external_data"};
        Message entry(bytes, f.offset, path);
        std::string_view key, value;
        while (!entry.done()) {
          MOTET_ASSIGN(Field g, entry.next());
          if (g.number == 1) {
            MOTET_ASSIGN(key, entry.text(g));
          }
          if (g.number == 2) {
            MOTET_ASSIGN(value, entry.text(g));
          }
        }
        if (!out.external_entries.emplace(key, value).second)
          return m.error(f.offset, "two external_data entries " + in_quotes(key));
        break;
      }
      case 14: {
        MOTET_ASSIGN(int64_t location, m.integer(f));
        if (location != 0 && location != 1) {
          return m.error(
              f.offset, "data_location is " + std::to_string(location) + "; 0 (default) and 1 (external) are accepted");
        }
        out.external = location == 1;
        break;
      }
      default: break;
    }
    if (out.dims.size() > kMaxRank)
      return m.error(f.offset, "a tensor has more than " + std::to_string(kMaxRank) + " dimensions");
  }
  return {};
}

namespace {

Error tensor_error(const TensorRecord& record, const std::string& what) {
  return invalid_argument(record.path + ", byte " + std::to_string(record.offset) + ": tensor " +
                          in_quotes(record.name) + " " + what);
}

// A view if the bytes are aligned for the element, else a copy: a file's bytes lie where they happen to.
Tensor view_or_copy(std::span<const std::byte> bytes, DType dtype, const Shape& shape,
                    const std::shared_ptr<const void>& owner) {
  auto address = reinterpret_cast<uintptr_t>(bytes.data());
  if (!bytes.empty() && address % dtype_bytes(dtype) == 0) {
    return Tensor(TensorView{dtype, shape, const_cast<std::byte*>(bytes.data())}, owner);
  }
  return Tensor::deferred_copy(dtype, shape, bytes, owner);
}

// Bool bytes other than 0 and 1 would be undefined behaviour as C++ bools.
Tensor normalise_bools(Tensor tensor) {
  auto bytes = std::span(reinterpret_cast<const uint8_t*>(tensor.view().data), tensor.view().bytes());
  bool sound = true;
  for (uint8_t byte : bytes) sound = sound && byte <= 1;
  if (sound) return tensor;
  Tensor copy = Tensor::zeros(DType::kBool, tensor.shape());
  auto* out = reinterpret_cast<uint8_t*>(copy.view().data);
  for (size_t i = 0; i < bytes.size(); ++i) out[i] = bytes[i] != 0 ? 1 : 0;
  return copy;
}

template <class T, class From>
Result<Tensor> convert(const TensorRecord& record, DType dtype, const std::vector<From>& values) {
  Tensor out = Tensor::zeros(dtype, record.dims);
  auto to = out.view().as<T>();
  for (size_t i = 0; i < to.size(); ++i) {
    if constexpr (std::is_integral_v<T> && sizeof(T) < 8) {
      // int32_data carries uint32 and narrower; files in the wild sign-extend unsigned values, so only the bits count
      // for those, but a value that fits neither reading is refused.
      int64_t low = std::is_same_v<T, bool> ? 0 : -(int64_t{1} << (8 * sizeof(T) - 1));
      int64_t high = std::is_signed_v<T> ? -(low + 1) : (int64_t{1} << (8 * sizeof(T))) - 1;
      auto value = static_cast<int64_t>(values[i]);
      if (value < low || value > high)
        return tensor_error(record, "holds " + std::to_string(value) + ", out of its type's range");
    }
    to[i] = static_cast<T>(values[i]);
  }
  return out;
}

Tensor convert_strings(const TensorRecord& record, const std::shared_ptr<const void>& owner) {
  struct Block {
    std::vector<std::string_view> elements;
    std::shared_ptr<const void> characters;
  };
  auto block = std::make_shared<Block>(Block{record.strings, owner});
  TensorView view{DType::kString, record.dims, reinterpret_cast<std::byte*>(block->elements.data())};
  return Tensor(std::move(view), std::move(block));
}

// Decodes the typed *_data fields. REQUIRES: the right list holds as many elements as the shape.
Result<Tensor> convert_typed(const TensorRecord& record, DType dtype, const std::shared_ptr<const void>& owner) {
  switch (dtype) {
    case DType::kF32: return convert<float>(record, dtype, record.floats);
    case DType::kF64: return convert<double>(record, dtype, record.doubles);
    case DType::kI64: return convert<int64_t>(record, dtype, record.integers);
    case DType::kU64: return convert<uint64_t>(record, dtype, record.integers);
    case DType::kI32: return convert<int32_t>(record, dtype, record.integers);
    case DType::kU32: return convert<uint32_t>(record, dtype, record.integers);
    case DType::kI16: return convert<int16_t>(record, dtype, record.integers);
    case DType::kU16:
    case DType::kF16:
    case DType::kBF16: return convert<uint16_t>(record, dtype, record.integers);
    case DType::kI8: return convert<int8_t>(record, dtype, record.integers);
    case DType::kU8: return convert<uint8_t>(record, dtype, record.integers);
    case DType::kBool: return convert<bool>(record, dtype, record.integers);
    case DType::kString: return convert_strings(record, owner);
  }
  return internal_error("a DType outside its enumeration");
}

size_t typed_elements(const TensorRecord& record, DType dtype) {
  switch (dtype) {
    case DType::kF32: return record.floats.size();
    case DType::kF64: return record.doubles.size();
    case DType::kString: return record.strings.size();
    default: return record.integers.size();
  }
}

Result<size_t> entry_number(const TensorRecord& record, std::string_view key, size_t fallback) {
  auto found = record.external_entries.find(key);
  if (found == record.external_entries.end()) return fallback;
  std::string_view text = found->second;
  size_t value = 0;
  auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || code != std::errc() || end != text.data() + text.size()) {
    return tensor_error(
        record, "has external_data " + std::string(key) + " " + in_quotes(text) + ", expected a number of bytes");
  }
  return value;
}

}  // namespace

size_t TensorSource::external_bytes() const {
  size_t total = 0;
  for (const auto& [location, file] : maps_) total += file->bytes().size();
  return total;
}

std::vector<std::filesystem::path> TensorSource::external_files() const {
  std::vector<std::filesystem::path> files;
  for (const auto& [location, file] : maps_) files.push_back(directory_ / location);
  return files;
}

Result<std::shared_ptr<const FileMap>> TensorSource::map(const TensorRecord& record, std::string_view location) {
  namespace fs = std::filesystem;
  auto known = maps_.find(location);
  if (known != maps_.end()) return known->second;
  fs::path relative{std::string(location)};
  bool inside = !relative.empty() && !relative.is_absolute() && location.find('\0') == std::string_view::npos;
  for (const fs::path& part : relative) inside = inside && part != "..";
  std::error_code code;
  fs::path root = fs::canonical(directory_, code);
  fs::path target = code ? fs::path() : fs::canonical(root / relative, code);
  if (inside && code) {
    return not_found(tensor_error(record, "names the external data file " + in_quotes(location) +
                                              ", which cannot be found: " + code.message())
                         .message);
  }
  auto [in_root, in_target] = std::mismatch(root.begin(), root.end(), target.begin(), target.end());
  if (!inside || in_root != root.end() || in_target == target.end()) {
    return tensor_error(record, "names the external data file " + in_quotes(location) +
                                    "; only files in the model's own directory are accepted");
  }
  auto file = FileMap::open(target, false);
  if (!file.ok())
    return Error{file.error().code, tensor_error(record, "has external data: " + file.error().message).message};
  maps_.emplace(location, *file);
  return file;
}

Result<Tensor> TensorSource::load_external(const TensorRecord& record, DType dtype, size_t bytes) {
  if (directory_.empty()) return tensor_error(record, "has external data, which a model held in memory cannot have");
  if (dtype == DType::kString)
    return tensor_error(record, "is a string tensor with external data; strings must be in the file");
  auto location = record.external_entries.find("location");
  if (location == record.external_entries.end()) return tensor_error(record, "is external but names no location");
  MOTET_ASSIGN(std::shared_ptr<const FileMap> file, map(record, location->second));
  size_t size = file->bytes().size();
  MOTET_ASSIGN(size_t offset, entry_number(record, "offset", 0));
  MOTET_ASSIGN(size_t length, entry_number(record, "length", bytes));
  if (length != bytes) {
    return tensor_error(record, "has external_data length " + std::to_string(length) +
                                    ", but its type and shape take " + std::to_string(bytes) + " bytes");
  }
  if (offset > size || bytes > size - offset) {
    return tensor_error(record, "needs bytes " + std::to_string(offset) + " to " + std::to_string(offset) + "+" +
                                    std::to_string(bytes) + " of " + in_quotes(location->second) + ", which has " +
                                    std::to_string(size));
  }
  return view_or_copy(file->bytes().subspan(offset, bytes), dtype, record.dims, file);
}

Result<Tensor> TensorSource::load(const TensorRecord& record) {
  auto dtype = record.data_type > 0 && record.data_type < 1000 ? dtype_from_onnx(static_cast<int>(record.data_type))
                                                               : std::nullopt;
  if (!dtype) {
    Error error = tensor_error(
        record, "has data_type " + std::to_string(record.data_type) +
                    "; accepted are 1 to 13 and 16 (float, ints, string, bool, float16, double, bfloat16)");
    return Error{Code::kUnsupported, error.message};
  }
  auto count = checked_elements(record.dims);
  if (!count.ok()) return tensor_error(record, "has an impossible shape: " + count.error().message);
  auto bytes = static_cast<size_t>(*count) * dtype_bytes(*dtype);
  Result<Tensor> out = [&]() -> Result<Tensor> {
    if (record.external) return load_external(record, *dtype, bytes);
    if (record.raw && *dtype != DType::kString) {
      if (record.raw->size() != bytes) {
        return tensor_error(record, "has " + std::to_string(record.raw->size()) + " bytes of raw_data; shape " +
                                        shape_to_string(record.dims) + " of " + std::string(dtype_kserve_name(*dtype)) +
                                        " takes " + std::to_string(bytes));
      }
      return view_or_copy(*record.raw, *dtype, record.dims, owner_);
    }
    size_t have = typed_elements(record, *dtype);
    if (have != static_cast<size_t>(*count)) {
      return tensor_error(record, "has " + std::to_string(have) + " elements; shape " + shape_to_string(record.dims) +
                                      " takes " + std::to_string(*count));
    }
    return convert_typed(record, *dtype, owner_);
  }();
  if (out.ok() && *dtype == DType::kBool) return normalise_bools(*std::move(out));
  return out;
}

}  // namespace motet::graph
