// Growth: the memory that one run of a program takes as it goes, where sizes are not known beforehand. Every tensor is
// charged when it is made and released when the last reader lets it go, which may be after the run. Private to
// compute/engine. Any thread.
#pragma once

#include <atomic>
#include <memory>

#include "base/result.h"
#include "base/tensor/tensor.h"
#include "base/units.h"

namespace motet::engine {

class Growth {
 public:
  explicit Growth(Bytes limit) : charge_(std::make_shared<Charge>(limit.value)) {}

  // A tensor of these extents, contents unset (strings empty). An Error names its size, what is in use and the limit.
  Result<Tensor> make(DType dtype, const Shape& shape);
  // Charges a tensor that was made elsewhere, together with what it points into.
  Result<Tensor> adopt(const Tensor& tensor);
  Bytes peak() const { return Bytes(charge_->peak.load(std::memory_order_relaxed)); }

 private:
  struct Charge {
    explicit Charge(int64_t most) : limit(most) {}
    const int64_t limit;
    std::atomic<int64_t> used{0}, peak{0};
  };
  static Status take(Charge& charge, int64_t bytes);

  std::shared_ptr<Charge> charge_;
};

}  // namespace motet::engine
