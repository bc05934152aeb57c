// Body: the bytes of a received request, allocated so that tensors can be views on them: the byte after the JSON part
// is 64-byte aligned, and kBodyPadding readable bytes follow the end (simdjson reads past it). Grows only while one
// thread fills it; immutable, and shared through shared_ptr by the tensors that view it, from then on.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

namespace motet::http {

inline constexpr size_t kBodyPadding = 64;

class Body {
 public:
  // Empty, with room for `capacity` bytes; the byte at `aligned_at` (the length of the JSON part) will be aligned.
  explicit Body(size_t capacity = 0, size_t aligned_at = 0);
  ~Body();
  Body(const Body&) = delete;
  Body& operator=(const Body&) = delete;

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  size_t capacity() const { return capacity_; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }

  // Moves the content when there is no room left.
  void append(const void* bytes, size_t count);
  // Room for `count` more bytes at the end; says where, to be followed by grow(written). The room is at least `count`.
  std::span<std::byte> room(size_t count);
  // REQUIRES: count bytes of the room are written.
  void grow(size_t count);

 private:
  void reserve(size_t capacity);

  const size_t aligned_at_;
  void* block_ = nullptr;
  std::byte* data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

}  // namespace motet::http
