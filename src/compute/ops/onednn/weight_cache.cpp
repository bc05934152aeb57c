#include "compute/ops/onednn/weight_cache.h"

#include <sys/mman.h>

#include <cstdlib>

#include "base/check.h"

namespace motet::ops {
namespace {
constexpr size_t kHuge = size_t{2} << 20;
}

PackedWeights::PackedWeights(size_t bytes) : data_(nullptr), bytes_(bytes) {
  size_t align = bytes >= kHuge ? kHuge : 64;
  size_t rounded = (bytes + align - 1) / align * align;
  data_ = static_cast<std::byte*>(std::aligned_alloc(align, rounded == 0 ? align : rounded));
  MOTET_CHECK(data_ != nullptr, "memory for packed weights");
  if (align == kHuge) (void)madvise(data_, rounded, MADV_HUGEPAGE);  // advice: a refusal changes speed only
}

PackedWeights::~PackedWeights() { std::free(data_); }

WeightCache::Packed WeightCache::get_or_pack(const Tensor& source, const std::string& form,
                                             const std::function<Packed()>& pack) {
  std::lock_guard lock(mutex_);
  auto key = std::make_pair(static_cast<const void*>(source.view().data), form);
  auto found = entries_.find(key);
  if (found != entries_.end()) return found->second.packed;
  Packed packed = pack();
  entries_.emplace(std::move(key), Entry{source, packed});
  return packed;
}

size_t WeightCache::bytes() const {
  std::lock_guard lock(mutex_);
  size_t sum = 0;
  for (const auto& [key, entry] : entries_) sum += entry.packed->bytes();
  return sum;
}

void WeightCache::trim() {
  std::lock_guard lock(mutex_);
  std::erase_if(entries_, [](const auto& item) { return item.second.packed.use_count() == 1; });
}

}  // namespace motet::ops
