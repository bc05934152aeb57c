#include "compute/prep/npy.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <vector>

#include "compute/prep/npy_header.h"

namespace motet::prep {

namespace {

constexpr std::string_view kMagic("\x93NUMPY", 6);

std::optional<DType> dtype_of(const NpyHeader& h) {
  switch (h.kind) {
    case 'b': return h.element_bytes == 1 ? std::optional(DType::kBool) : std::nullopt;
    case 'V': return h.element_bytes == 2 ? std::optional(DType::kBF16) : std::nullopt;
    case 'f':
      if (h.element_bytes == 2) return DType::kF16;
      if (h.element_bytes == 4) return DType::kF32;
      if (h.element_bytes == 8) return DType::kF64;
      return std::nullopt;
    case 'u':
    case 'i':
      switch (h.element_bytes) {
        case 1: return h.kind == 'u' ? DType::kU8 : DType::kI8;
        case 2: return h.kind == 'u' ? DType::kU16 : DType::kI16;
        case 4: return h.kind == 'u' ? DType::kU32 : DType::kI32;
        case 8: return h.kind == 'u' ? DType::kU64 : DType::kI64;
        default: return std::nullopt;
      }
    case 'S':
    case 'U': return DType::kString;
    default: return std::nullopt;
  }
}

void append_utf8(uint32_t c, std::string& out) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xc0 | (c >> 6));
    out += static_cast<char>(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xe0 | (c >> 12));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3f));
    out += static_cast<char>(0x80 | (c & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | (c >> 18));
    out += static_cast<char>(0x80 | ((c >> 12) & 0x3f));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3f));
    out += static_cast<char>(0x80 | (c & 0x3f));
  }
}

// One element of kind S or U as text, without the NULs that pad it.
Result<std::string> read_text(const NpyHeader& h, const std::byte* element) {
  std::string text;
  if (h.kind == 'S') {
    text.assign(reinterpret_cast<const char*>(element), static_cast<size_t>(h.element_bytes));
    text.erase(text.find_last_not_of('\0') + 1);
    return text;
  }
  size_t used = 0;
  for (int64_t at = 0; at < h.element_bytes; at += 4) {
    uint32_t c = 0;
    std::memcpy(&c, element + at, 4);
    if (h.big_endian) c = __builtin_bswap32(c);
    if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
      return invalid_argument("a character outside Unicode in a .npy array");
    append_utf8(c, text);
    if (c != 0) used = text.size();
  }
  text.resize(used);
  return text;
}

// Where element `row_major` of `shape` lies in Fortran order.
int64_t fortran_index(const Shape& shape, int64_t row_major) {
  int64_t index = 0;
  int64_t stride = elements(shape);
  for (size_t d = shape.size(); d-- > 0;) {
    stride /= shape[d];
    index += row_major % shape[d] * stride;
    row_major /= shape[d];
  }
  return index;
}

// kString tensors own their elements and their characters.
Result<Tensor> read_strings(const NpyHeader& h, int64_t count, const std::byte* data) {
  struct Block {
    std::vector<std::string> texts;
    std::vector<std::string_view> elements;
  };
  auto block = std::make_shared<Block>();
  for (int64_t i = 0; i < count; ++i) {
    int64_t from = h.fortran_order ? fortran_index(h.shape, i) : i;
    MOTET_ASSIGN(std::string text, read_text(h, data + from * h.element_bytes));
    block->texts.push_back(std::move(text));
  }
  for (const std::string& text : block->texts) block->elements.emplace_back(text);
  TensorView view{DType::kString, h.shape, reinterpret_cast<std::byte*>(block->elements.data())};
  return Tensor(std::move(view), std::move(block));
}

Tensor copy_numbers(const NpyHeader& h, DType dtype, int64_t count, const std::byte* data) {
  Tensor tensor = Tensor::zeros(dtype, h.shape);
  auto size = static_cast<size_t>(h.element_bytes);
  for (int64_t i = 0; i < count; ++i) {
    const std::byte* from = data + static_cast<size_t>(h.fortran_order ? fortran_index(h.shape, i) : i) * size;
    std::byte* to = tensor.view().data + static_cast<size_t>(i) * size;
    if (h.big_endian) {
      std::reverse_copy(from, from + size, to);
    } else {
      std::memcpy(to, from, size);
    }
  }
  return tensor;
}

// The text of the header, and how many bytes lie before the data.
Result<std::pair<std::string_view, size_t>> find_header(std::span<const std::byte> bytes) {
  std::string_view file(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (!file.starts_with(kMagic)) return invalid_argument("not a .npy array: it does not begin with \\x93NUMPY");
  if (file.size() < 10) return invalid_argument("a .npy array cut off in its first 10 bytes");
  auto version = static_cast<unsigned char>(file[6]);
  if (version < 1 || version > 3)
    return unsupported(".npy version " + std::to_string(version) + "; accepted are 1 to 3");
  size_t length_bytes = version == 1 ? 2 : 4;
  if (file.size() < 8 + length_bytes) return invalid_argument("a .npy array cut off in its header's length");
  uint32_t length = 0;
  std::memcpy(&length, file.data() + 8, length_bytes);
  size_t begin = 8 + length_bytes;
  if (length > file.size() - begin) {
    return invalid_argument("a .npy header of " + std::to_string(length) + " bytes in a file of " +
                            std::to_string(file.size()));
  }
  return std::pair(file.substr(begin, length), begin + length);
}

std::string descr_of(const TensorView& view, int64_t string_bytes) {
  switch (view.dtype) {
    case DType::kBool: return "|b1";
    case DType::kU8: return "|u1";
    case DType::kU16: return "<u2";
    case DType::kU32: return "<u4";
    case DType::kU64: return "<u8";
    case DType::kI8: return "|i1";
    case DType::kI16: return "<i2";
    case DType::kI32: return "<i4";
    case DType::kI64: return "<i8";
    case DType::kF16: return "<f2";
    case DType::kBF16: return "<V2";
    case DType::kF32: return "<f4";
    case DType::kF64: return "<f8";
    case DType::kString: return "|S" + std::to_string(string_bytes);
  }
  return "";
}

}  // namespace

Result<Tensor> parse_npy(std::span<const std::byte> bytes, std::shared_ptr<const void> owner) {
  MOTET_ASSIGN(auto found, find_header(bytes));
  auto [text, data_at] = found;
  MOTET_ASSIGN(NpyHeader header, parse_npy_header(text));
  std::optional<DType> dtype = dtype_of(header);
  if (!dtype) {
    return unsupported(std::string("element type '") + header.kind + std::to_string(header.element_bytes) +
                       "' of a .npy array; accepted are bool, u1 to u8, i1 to i8, f2, f4, f8, V2 (bfloat16), S and U");
  }
  MOTET_ASSIGN(int64_t count, checked_elements(header.shape));
  std::optional<int64_t> needed = checked_multiply(count, header.element_bytes);
  auto have = static_cast<int64_t>(bytes.size() - data_at);
  // Strings of no characters take no bytes in the file but an element each in memory.
  if (!needed || *needed > have || (header.element_bytes == 0 && count > have)) {
    return invalid_argument("a .npy array of shape " + shape_to_string(header.shape) + " needs more than the " +
                            std::to_string(have) + " bytes that the file has after its header");
  }
  const std::byte* data = bytes.data() + data_at;
  if (*dtype == DType::kString) return read_strings(header, count, data);
  bool swap = header.big_endian && header.element_bytes > 1;
  bool aligned = reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(header.element_bytes) == 0;
  bool reorder = header.fortran_order && header.shape.size() > 1;
  if (swap || reorder || !aligned || owner == nullptr) return copy_numbers(header, *dtype, count, data);
  return Tensor(TensorView{*dtype, header.shape, const_cast<std::byte*>(data)}, std::move(owner));
}

std::string format_npy(const TensorView& view) {
  size_t string_bytes = 1;  // numpy has no S0
  if (view.dtype == DType::kString) {
    for (std::string_view text : view.as<std::string_view>()) string_bytes = std::max(string_bytes, text.size());
  }
  std::string shape = "(";
  for (int64_t extent : view.shape) shape += std::to_string(extent) + ", ";
  if (view.shape.size() == 1) shape.pop_back();
  if (view.shape.size() > 1) shape.erase(shape.size() - 2);
  std::string header = "{'descr': '" + descr_of(view, static_cast<int64_t>(string_bytes)) +
                       "', 'fortran_order': False, 'shape': " + shape + "), }";
  constexpr size_t kBefore = 10;  // magic, version, length
  header.append(63 - (kBefore + header.size()) % 64, ' ');
  header += '\n';
  MOTET_CHECK(header.size() <= std::numeric_limits<uint16_t>::max(), "a tensor's header fits version 1");
  std::string out(kMagic);
  out += '\x01';
  out += '\x00';
  out += static_cast<char>(header.size() & 0xff);
  out += static_cast<char>(header.size() >> 8);
  out += header;
  if (view.dtype == DType::kString) {
    for (std::string_view text : view.as<std::string_view>()) {
      out += text;
      out.append(string_bytes - text.size(), '\0');
    }
  } else {
    out.append(reinterpret_cast<const char*>(view.data), view.bytes());
  }
  return out;
}

}  // namespace motet::prep
