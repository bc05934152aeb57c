#include "brain/control/bytes.h"

namespace motet::brain {

void ByteReader::fail(std::string what) {
  if (!error_.empty()) return;
  error_ = "byte " + std::to_string(at_) + ": " + what;
  at_ = bytes_.size();
}

uint64_t ByteReader::u64() {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (at_ >= bytes_.size()) {
      fail("the bytes end inside a number");
      return 0;
    }
    auto byte = static_cast<unsigned char>(bytes_[at_++]);
    uint64_t part = byte & 0x7F;
    if (shift == 63 && part > 1) {
      fail("a number needs more than 64 bits");
      return 0;
    }
    value |= part << shift;
    if ((byte & 0x80) == 0) return value;
  }
  fail("a number is longer than ten bytes");
  return 0;
}

int64_t ByteReader::i64() {
  uint64_t v = u64();
  return static_cast<int64_t>((v >> 1) ^ (0 - (v & 1)));
}

uint64_t ByteReader::fixed64() {
  std::string_view b = raw(8);
  uint64_t value = 0;
  for (size_t i = 0; i < b.size(); ++i) value |= static_cast<uint64_t>(static_cast<unsigned char>(b[i])) << (8 * i);
  return value;
}

std::string_view ByteReader::raw(size_t size) {
  if (size > bytes_.size() - at_) {
    fail("wanted " + std::to_string(size) + " bytes, " + std::to_string(bytes_.size() - at_) + " remain");
    return {};
  }
  std::string_view part = bytes_.substr(at_, size);
  at_ += size;
  return part;
}

std::string_view ByteReader::text() { return raw(list()); }

uint64_t ByteReader::at_most(uint64_t limit, std::string_view what) {
  uint64_t value = u64();
  if (value <= limit) return value;
  fail(std::string(what) + " is " + std::to_string(value) + "; at most " + std::to_string(limit) + " is accepted");
  return 0;
}

}  // namespace motet::brain
