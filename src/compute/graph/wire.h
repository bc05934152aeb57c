// Protobuf's wire format, read in place: a Message walks the fields of one encoded message and decodes each with every
// length, varint and wire type checked. It copies nothing and allocates only for errors and for the repeated numbers it
// is asked to decode. Errors name the field path and the byte offset in the file. One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace motet::graph {

// Where in the file's nest of messages a reader is: "model.graph.node[12].attribute[0]". Lives on the stack of the
// parser.
struct FieldPath {
  const FieldPath* parent = nullptr;
  std::string_view name;
  int64_t index = -1;

  std::string to_string() const;
};

enum class WireType : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

struct Field {
  uint32_t number = 0;
  WireType type = WireType::kVarint;
  uint64_t scalar = 0;               // kVarint, kFixed64, kFixed32
  std::span<const std::byte> bytes;  // kBytes
  size_t offset = 0;                 // of the content, in the file
};

class Message {
 public:
  // `offset` is where `bytes` begin in the file. `path` must outlive the Message.
  Message(std::span<const std::byte> bytes, size_t offset, const FieldPath& path)
      : bytes_(bytes), base_(offset), path_(&path) {}

  bool done() const { return at_ == bytes_.size(); }
  // REQUIRES: !done().
  Result<Field> next();

  // The field's content as what the schema says, or an Error that names both.
  Result<int64_t> integer(const Field& field) const;
  Result<float> real(const Field& field) const;
  Result<std::span<const std::byte>> bytes(const Field& field) const;
  // Text that must be UTF-8.
  Result<std::string_view> text(const Field& field) const;
  // Appends the elements of a repeated field, packed or not.
  Status append(const Field& field, std::vector<int64_t>& out) const;
  Status append(const Field& field, std::vector<float>& out) const;
  Status append(const Field& field, std::vector<double>& out) const;

  const FieldPath& path() const { return *path_; }
  Error error(size_t offset, std::string_view what) const;

 private:
  Result<uint64_t> varint();
  Error wrong_type(const Field& field, std::string_view wanted) const;

  std::span<const std::byte> bytes_;
  size_t at_ = 0;
  size_t base_;
  const FieldPath* path_;
};

}  // namespace motet::graph
