#include "compute/graph/wire.h"

#include <bit>
#include <cstring>

#include "compute/graph/text.h"

namespace motet::graph {
namespace {

// Ten groups of seven bits hold 64 bits; the tenth may only carry the last one.
constexpr int kMaxVarintBytes = 10;

template <class T>
T load(std::span<const std::byte> bytes, size_t at) {
  static_assert(std::endian::native == std::endian::little, "protobuf numbers are little-endian");
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof(T));
  return value;
}

std::string_view wire_type_name(WireType type) {
  switch (type) {
    case WireType::kVarint: return "a varint";
    case WireType::kFixed64: return "a 64-bit number";
    case WireType::kBytes: return "a length-delimited field";
    case WireType::kFixed32: return "a 32-bit number";
  }
  return "an unknown wire type";
}

// Fixed-width elements, packed or single.
template <class T>
void append_fixed(const Field& field, std::vector<T>& out) {
  size_t count = field.bytes.size() / sizeof(T);
  size_t before = out.size();
  out.resize(before + count);
  if (count > 0) std::memcpy(out.data() + before, field.bytes.data(), count * sizeof(T));
}

}  // namespace

std::string FieldPath::to_string() const {
  std::string out = parent == nullptr ? std::string() : parent->to_string() + ".";
  out += name;
  if (index >= 0) out += "[" + std::to_string(index) + "]";
  return out;
}

Error Message::error(size_t offset, std::string_view what) const {
  return invalid_argument(path_->to_string() + ", byte " + std::to_string(offset) + ": " + std::string(what));
}

Error Message::wrong_type(const Field& field, std::string_view wanted) const {
  return error(field.offset, "field " + std::to_string(field.number) + " is " +
                                 std::string(wire_type_name(field.type)) + ", expected " + std::string(wanted));
}

Result<uint64_t> Message::varint() {
  uint64_t value = 0;
  size_t start = at_;
  for (int i = 0; i < kMaxVarintBytes; ++i) {
    if (at_ == bytes_.size()) return error(base_ + start, "the message ends inside a varint");
    auto byte = static_cast<uint64_t>(bytes_[at_++]);
    if (i == kMaxVarintBytes - 1 && byte > 1) return error(base_ + start, "a varint does not fit 64 bits");
    value |= (byte & 0x7F) << (7 * i);
    if (byte < 0x80) return value;
  }
  return error(base_ + start, "a varint is longer than 10 bytes");
}

Result<Field> Message::next() {
  size_t start = at_;
  MOTET_ASSIGN(uint64_t tag, varint());
  uint64_t number = tag >> 3;
  if (number == 0 || number > 0x1FFFFFFF) {
    return error(base_ + start, "field number " + std::to_string(number) + " is outside 1..536870911");
  }
  Field field;
  field.number = static_cast<uint32_t>(number);
  field.offset = base_ + at_;
  size_t left = bytes_.size() - at_;
  size_t size = 0;
  switch (tag & 7) {
    case 0: {
      field.type = WireType::kVarint;
      MOTET_ASSIGN(field.scalar, varint());
      return field;
    }
    case 1:
      field.type = WireType::kFixed64;
      size = 8;
      break;
    case 2: {
      field.type = WireType::kBytes;
      MOTET_ASSIGN(uint64_t length, varint());
      left = bytes_.size() - at_;
      if (length > left) {
        return error(base_ + start, "field " + std::to_string(number) + " has length " + std::to_string(length) +
                                        " but " + std::to_string(left) + " bytes are left");
      }
      field.offset = base_ + at_;
      size = static_cast<size_t>(length);
      break;
    }
    case 5:
      field.type = WireType::kFixed32;
      size = 4;
      break;
    default:
      return error(base_ + start, "field " + std::to_string(number) + " has wire type " + std::to_string(tag & 7) +
                                      "; 0, 1, 2 and 5 are accepted");
  }
  if (size > left) return error(base_ + start, "the message ends inside field " + std::to_string(number));
  field.bytes = bytes_.subspan(at_, size);
  if (field.type == WireType::kFixed64) field.scalar = load<uint64_t>(bytes_, at_);
  if (field.type == WireType::kFixed32) field.scalar = load<uint32_t>(bytes_, at_);
  at_ += size;
  return field;
}

Result<int64_t> Message::integer(const Field& field) const {
  if (field.type != WireType::kVarint) return wrong_type(field, "a varint");
  return static_cast<int64_t>(field.scalar);
}

Result<float> Message::real(const Field& field) const {
  if (field.type != WireType::kFixed32) return wrong_type(field, "a 32-bit number");
  return std::bit_cast<float>(static_cast<uint32_t>(field.scalar));
}

Result<std::span<const std::byte>> Message::bytes(const Field& field) const {
  if (field.type != WireType::kBytes) return wrong_type(field, "a length-delimited field");
  return field.bytes;
}

Result<std::string_view> Message::text(const Field& field) const {
  MOTET_ASSIGN(std::span<const std::byte> raw, bytes(field));
  std::string_view out(reinterpret_cast<const char*>(raw.data()), raw.size());
  if (!valid_utf8(out)) return error(field.offset, "the text " + in_quotes(out) + " is not UTF-8");
  return out;
}

Status Message::append(const Field& field, std::vector<int64_t>& out) const {
  if (field.type == WireType::kVarint) {
    out.push_back(static_cast<int64_t>(field.scalar));
    return {};
  }
  if (field.type != WireType::kBytes) return wrong_type(field, "a varint or packed varints");
  Message packed(field.bytes, field.offset, *path_);
  while (!packed.done()) {
    MOTET_ASSIGN(uint64_t value, packed.varint());
    out.push_back(static_cast<int64_t>(value));
  }
  return {};
}

Status Message::append(const Field& field, std::vector<float>& out) const {
  if (field.type != WireType::kBytes && field.type != WireType::kFixed32)
    return wrong_type(field, "packed 32-bit numbers");
  if (field.bytes.size() % sizeof(float) != 0) return error(field.offset, "packed 32-bit numbers end inside one");
  append_fixed(field, out);
  return {};
}

Status Message::append(const Field& field, std::vector<double>& out) const {
  if (field.type != WireType::kBytes && field.type != WireType::kFixed64)
    return wrong_type(field, "packed 64-bit numbers");
  if (field.bytes.size() % sizeof(double) != 0) return error(field.offset, "packed 64-bit numbers end inside one");
  append_fixed(field, out);
  return {};
}

}  // namespace motet::graph
