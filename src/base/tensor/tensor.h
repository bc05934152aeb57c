// Tensors in row-major order. TensorView looks at bytes that someone else keeps alive; Tensor shares ownership of its bytes
// (a heap buffer, a mapped file, a received message: whatever `owner` holds). Blocked layouts exist only inside compute/ops.
// Threads: immutable content may be read from any thread; writers need exclusive access.
#pragma once

#include <cstddef>
#include <cstring>
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

  const TensorView& view() const { return view_; }
  DType dtype() const { return view_.dtype; }
  const Shape& shape() const { return view_.shape; }
  const std::shared_ptr<const void>& owner() const { return owner_; }

 private:
  TensorView view_;
  std::shared_ptr<const void> owner_;
};

}  // namespace motet
