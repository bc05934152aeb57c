#include "compute/ops/support/mapped.h"

#include <algorithm>
#include <cstring>

#include "compute/ops/support/dispatch.h"
#include "compute/ops/support/request.h"

namespace motet::ops {

MappedCopy::MappedCopy(const Shape& source, std::vector<std::vector<int64_t>> maps, size_t element_bytes)
    : maps_(std::move(maps)), strides_(strides_of(source)), element_bytes_(element_bytes) {
  if (maps_.empty()) {
    maps_.push_back({0});
    strides_.push_back(1);
  }
  for (size_t d = 0; d + 1 < maps_.size(); ++d) rows_ *= static_cast<int64_t>(maps_[d].size());
  const auto& inner = maps_.back();
  for (size_t begin = 0, i = 0; i < inner.size(); ++i) {
    if (i > begin && inner[i] != inner[i - 1] + 1) begin = i;
    if (static_cast<int64_t>(i - begin + 1) > run_end_ - run_begin_) {
      run_begin_ = static_cast<int64_t>(begin);
      run_end_ = static_cast<int64_t>(i + 1);
    }
  }
}

void MappedCopy::run(const std::byte* src, std::byte* dst, device::Team& team) const {
  const auto& inner = maps_.back();
  const auto width = static_cast<int64_t>(inner.size());
  if (width == 0) return;
  for_element_size(element_bytes_, [&]<class T>(T) {
    team.for_range(rows_, std::max<int64_t>(1, 16384 / width), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        int64_t base = 0, rest = r;
        for (size_t d = maps_.size() - 1; d-- > 0;) {
          const auto extent = static_cast<int64_t>(maps_[d].size());
          base += maps_[d][static_cast<size_t>(rest % extent)] * strides_[d];
          rest /= extent;
        }
        const T* from = reinterpret_cast<const T*>(src) + base;
        T* to = reinterpret_cast<T*>(dst) + r * width;
        for (int64_t i = 0; i < run_begin_; ++i) to[i] = from[inner[static_cast<size_t>(i)]];
        std::memcpy(to + run_begin_, from + inner[static_cast<size_t>(run_begin_)],
                    static_cast<size_t>(run_end_ - run_begin_) * sizeof(T));
        for (int64_t i = run_end_; i < width; ++i) to[i] = from[inner[static_cast<size_t>(i)]];
      }
    });
  });
}

}  // namespace motet::ops
