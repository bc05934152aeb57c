#include "wire/front/http/body.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/check.h"

namespace motet::http {
namespace {
constexpr size_t kAlignment = 64;
}

Body::Body(size_t capacity, size_t aligned_at) : aligned_at_(aligned_at) { reserve(capacity); }

Body::~Body() { std::free(block_); }

void Body::reserve(size_t capacity) {
  // malloc, not new: large blocks come as untouched pages, so a declared length costs nothing until its bytes arrive.
  size_t shift = (kAlignment - aligned_at_ % kAlignment) % kAlignment;
  size_t wanted = (shift + capacity + kBodyPadding + kAlignment - 1) / kAlignment * kAlignment;
  void* block = std::aligned_alloc(kAlignment, wanted);
  MOTET_CHECK(block != nullptr, "out of memory for a request body");
  std::byte* data = static_cast<std::byte*>(block) + shift;
  if (size_ > 0) std::memcpy(data, data_, size_);
  std::free(block_);
  block_ = block;
  data_ = data;
  capacity_ = capacity;
  std::memset(data_ + capacity_, 0, kBodyPadding);
}

std::span<std::byte> Body::room(size_t count) {
  if (capacity_ - size_ < count) reserve(std::max(size_ + count, size_ * 2));
  return {data_ + size_, capacity_ - size_};
}

void Body::grow(size_t count) {
  MOTET_CHECK(count <= capacity_ - size_, "a body grows within its room");
  size_ += count;
}

void Body::append(const void* bytes, size_t count) {
  if (count == 0) return;
  std::memcpy(room(count).data(), bytes, count);
  grow(count);
}

}  // namespace motet::http
