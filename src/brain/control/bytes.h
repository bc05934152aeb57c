// ByteWriter and ByteReader: integers, strings and lists as bytes, the same on every machine. Integers are LEB128
// (signed ones zigzagged), a double is its eight bytes, a list or string begins with its length. A reader never trusts:
// the first fault is kept, everything read after it is zero, and no length is believed beyond the bytes that remain.
// One thread at a time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace motet::brain {

class ByteWriter {
 public:
  // Appends to `out`, which outlives the writer.
  explicit ByteWriter(std::string& out) : out_(out) {}
  void u64(uint64_t v) {
    while (v >= 0x80) {
      out_.push_back(static_cast<char>(v | 0x80));
      v >>= 7;
    }
    out_.push_back(static_cast<char>(v));
  }
  void i64(int64_t v) { u64((static_cast<uint64_t>(v) << 1) ^ static_cast<uint64_t>(v >> 63)); }
  void fixed64(uint64_t v) {
    for (int i = 0; i < 8; ++i) out_.push_back(static_cast<char>(v >> (8 * i)));
  }
  void text(std::string_view s) {
    u64(s.size());
    out_.append(s);
  }

 private:
  std::string& out_;
};

class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : bytes_(bytes) {}
  uint64_t u64();
  int64_t i64();
  uint64_t fixed64();
  std::string_view text();
  std::string_view raw(size_t size);
  // A number that must be at most `limit`; `what` names it in the error.
  uint64_t at_most(uint64_t limit, std::string_view what);
  // The length of a list each of whose elements takes a byte or more.
  size_t list() { return static_cast<size_t>(at_most(bytes_.size() - at_, "the length of a list")); }

  size_t position() const { return at_; }
  size_t left() const { return bytes_.size() - at_; }
  bool at_end() const { return at_ == bytes_.size(); }
  bool ok() const { return error_.empty(); }
  // Says the first fault and its offset. REQUIRES: !ok().
  Error error() const { return invalid_argument(error_); }
  void fail(std::string what);

 private:
  std::string_view bytes_;
  size_t at_ = 0;
  std::string error_;
};

}  // namespace motet::brain
