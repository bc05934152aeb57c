// Tensors in row-major order. TensorView looks at bytes that someone else keeps alive; Tensor shares ownership of its bytes
// (a heap buffer, a mapped file, a received message: whatever `owner` holds). Blocked layouts exist only inside compute/ops.
//
// A large constant may be deferred: its bytes are made when they are first looked at, so that whoever only needs its extents,
// or a copy in another form, never pays for them. view() makes them and keeps them; read() makes them for as long as the
// Reading lives, or hands out the bytes that they are a copy of.
// Threads: immutable content may be read from any thread; writers need exclusive access.
#pragma once

#include <cstddef>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <utility>

#include "base/check.h"
#include "base/tensor/dtype.h"
#include "base/tensor/shape.h"

namespace motet {

struct TensorView {
  DType dtype = DType::kF32;
  Shape shape;
  std::byte* data = nullptr;  // aligned to the element; may be null only if bytes() is 0

  int64_t elements() const { return motet::elements(shape); }
  size_t bytes() const { return static_cast<size_t>(elements()) * dtype_bytes(dtype); }
  // REQUIRES: T is dtype's C++ type (uint16_t for kF16 and kBF16).
  template <class T> std::span<T> as() const {
    using U = std::remove_const_t<T>;
    MOTET_CHECK(DTypeOf<U>::value == dtype || (std::is_same_v<U, uint16_t> && (dtype == DType::kF16 || dtype == DType::kBF16)),
                "a tensor read as another type");
    return {reinterpret_cast<T*>(data), static_cast<size_t>(elements())};
  }
};

// The bytes of a tensor for a while.
struct Reading {
  const std::byte* data = nullptr;  // perhaps not aligned to the element
  std::shared_ptr<const void> owner;
};

class Tensor {
 public:
  Tensor() = default;
  // View `view` kept alive by `owner`.
  Tensor(TensorView view, std::shared_ptr<const void> owner) : view_(std::move(view)), owner_(std::move(owner)) {}
  // A zero-filled tensor of its own, 64-byte aligned. REQUIRES: shape is sound (checked_elements) and fits memory.
  static Tensor zeros(DType dtype, Shape shape);
  // A copy of `values`. REQUIRES: values.size() is the number of elements.
  template <class T> static Tensor of(Shape shape, std::span<const T> values) {
    Tensor t = zeros(DTypeOf<T>::value, std::move(shape));
    MOTET_CHECK(values.size() == t.view().as<T>().size(), "as many values as elements");
    if (!values.empty()) std::memcpy(t.view_.data, values.data(), values.size_bytes());
    return t;
  }

  // Bytes that `fill` writes, to 64-byte aligned memory of view's size, when they are first asked for; perhaps more than once,
  // with the same result, and from any thread. What is small is made at once. REQUIRES: as zeros().
  static Tensor deferred(DType dtype, Shape shape, std::function<void(std::byte*)> fill);
  // The same for a plain copy of `bytes`, which `owner` keeps alive: read() hands out `bytes` themselves.
  static Tensor deferred_copy(DType dtype, Shape shape, std::span<const std::byte> bytes, std::shared_ptr<const void> owner);

  // With bytes to read; those of a deferred tensor are made now and kept for as long as it lives.
  const TensorView& view() const {
    if (deferred_ != nullptr) make();
    return view_;
  }
  // The bytes without keeping them.
  Reading read() const;
  bool deferred() const { return deferred_ != nullptr; }
  // The same for all tensors that share these bytes, and for no other while one of them lives.
  const void* identity() const { return view_.data; }

  DType dtype() const { return view_.dtype; }
  const Shape& shape() const { return view_.shape; }
  int64_t elements() const { return view_.elements(); }
  size_t bytes() const { return view_.bytes(); }
  const std::shared_ptr<const void>& owner() const { return owner_; }

 private:
  class Deferred;  // lives in owner_
  void make() const;

  TensorView view_;
  std::shared_ptr<const void> owner_;
  const Deferred* deferred_ = nullptr;
};

}  // namespace motet
