#include "base/tensor/tensor.h"

#include <sys/mman.h>

#include <atomic>
#include <cstdlib>
#include <mutex>

namespace motet {
namespace {
// Below it, address space of its own costs more than the copy.
constexpr int64_t kDeferredBytes = int64_t{16} << 10;
}  // namespace

Tensor Tensor::zeros(DType dtype, Shape shape) {
  TensorView view{dtype, std::move(shape), nullptr};
  size_t bytes = (view.bytes() + 63) / 64 * 64;
  if (bytes == 0) bytes = 64;
  void* block = std::aligned_alloc(64, bytes);
  MOTET_CHECK(block != nullptr, "out of memory");
  std::memset(block, 0, bytes);
  view.data = static_cast<std::byte*>(block);
  return Tensor(std::move(view), std::shared_ptr<const void>(block, [](const void* p) { std::free(const_cast<void*>(p)); }));
}

// Address space of its own, which takes memory only once it is written.
class Tensor::Deferred {
 public:
  Deferred(size_t bytes, std::function<void(std::byte*)> fill) : bytes_(bytes == 0 ? 1 : bytes), fill_(std::move(fill)) {
    void* block = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    MOTET_CHECK(block != MAP_FAILED, "address space for a deferred tensor");
    data_ = static_cast<std::byte*>(block);
  }
  ~Deferred() { ::munmap(data_, bytes_); }
  Deferred(const Deferred&) = delete;
  Deferred& operator=(const Deferred&) = delete;

  std::byte* data() const { return data_; }
  void make() const {
    std::call_once(once_, [this] {
      fill_(data_);
      made_.store(true, std::memory_order_release);
    });
  }
  Reading read(const std::shared_ptr<const void>& owner) const {
    if (made_.load(std::memory_order_acquire)) return {data_, owner};
    if (source_.data != nullptr) return source_;
    std::shared_ptr<std::byte> block(static_cast<std::byte*>(std::aligned_alloc(64, (bytes_ + 63) / 64 * 64)), std::free);
    MOTET_CHECK(block != nullptr, "out of memory");
    fill_(block.get());
    return {block.get(), block};
  }
  void set_source(Reading source) { source_ = std::move(source); }

 private:
  const size_t bytes_;
  const std::function<void(std::byte*)> fill_;
  std::byte* data_ = nullptr;
  Reading source_;  // what it is a copy of, if it is one
  mutable std::once_flag once_;
  mutable std::atomic<bool> made_{false};
};

Tensor Tensor::deferred(DType dtype, Shape shape, std::function<void(std::byte*)> fill) {
  if (motet::elements(shape) * static_cast<int64_t>(dtype_bytes(dtype)) < kDeferredBytes) {
    Tensor made = zeros(dtype, std::move(shape));
    fill(made.view_.data);
    return made;
  }
  Tensor out;
  out.view_ = {dtype, std::move(shape), nullptr};
  auto block = std::make_shared<Deferred>(out.view_.bytes(), std::move(fill));
  out.view_.data = block->data();
  out.deferred_ = block.get();
  out.owner_ = std::move(block);
  return out;
}

Tensor Tensor::deferred_copy(DType dtype, Shape shape, std::span<const std::byte> bytes, std::shared_ptr<const void> owner) {
  MOTET_CHECK(bytes.size() == static_cast<size_t>(motet::elements(shape)) * dtype_bytes(dtype), "as many bytes as the tensor takes");
  if (static_cast<int64_t>(bytes.size()) < kDeferredBytes) {
    Tensor made = zeros(dtype, std::move(shape));
    if (!bytes.empty()) std::memcpy(made.view_.data, bytes.data(), bytes.size());
    return made;
  }
  Tensor out;
  out.view_ = {dtype, std::move(shape), nullptr};
  auto block = std::make_shared<Deferred>(bytes.size(), [bytes](std::byte* to) { std::memcpy(to, bytes.data(), bytes.size()); });
  block->set_source({bytes.data(), std::move(owner)});
  out.view_.data = block->data();
  out.deferred_ = block.get();
  out.owner_ = std::move(block);
  return out;
}

void Tensor::make() const { deferred_->make(); }

Reading Tensor::read() const { return deferred_ == nullptr ? Reading{view_.data, owner_} : deferred_->read(owner_); }

}  // namespace motet
