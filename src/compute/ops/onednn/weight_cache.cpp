#include "compute/ops/onednn/weight_cache.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>

#include "base/check.h"

namespace motet::ops {
namespace {

constexpr size_t kHuge = size_t{2} << 20;
// What is smaller is packed again sooner than it is found in a store.
constexpr size_t kKeptBytes = size_t{16} << 10;

std::byte* allocate(size_t bytes) {
  void* data = nullptr;
  const int error = ::posix_memalign(&data, bytes >= kHuge ? kHuge : 64, std::max<size_t>(bytes, 1));
  MOTET_CHECK(error == 0, "memory for packed weights");
  // Whole huge pages only: with one more for its end, a matrix of 2.4 MB would take 4. Advice: a refusal changes speed.
  if (bytes >= kHuge) (void)madvise(data, bytes / kHuge * kHuge, MADV_HUGEPAGE);
  return static_cast<std::byte*>(data);
}

}  // namespace

PackedWeights::PackedWeights(size_t bytes, Fill fill, const PackedStore* store, std::string key)
    : bytes_(bytes), store_(store), key_(std::move(key)), fill_(std::move(fill)) {}

PackedWeights::~PackedWeights() { std::free(own_); }

void PackedWeights::prepare() const {
  std::call_once(once_, [this] {
    if (store_ != nullptr && !key_.empty()) {
      if (auto found = store_->find(key_); found && found->bytes.size() == bytes_) {
        data_ = found->bytes.data();
        found_ = std::move(found->owner);
        place_ = Place::kStore;
      }
    }
    if (data_ == nullptr) {
      own_ = allocate(bytes_);
      fill_(own_);
      data_ = own_;
      place_ = Place::kMemory;
    }
    fill_ = nullptr;  // and what it kept alive
  });
}

bool PackedWeights::unsaved() const { return store_ != nullptr && !key_.empty() && place_ == Place::kMemory; }

bool PackedWeights::save() const {
  if (!store_->keep(key_, {data_, bytes_})) return false;
  place_ = Place::kStore;
  return true;
}

WeightCache::Trial::Trial(WeightCache& cache) : cache_(cache) {
  std::lock_guard lock(cache_.mutex_);
  MOTET_CHECK(cache_.trial_ == std::thread::id(), "one trial at a time");
  cache_.trial_ = std::this_thread::get_id();
}

WeightCache::Trial::~Trial() {
  std::lock_guard lock(cache_.mutex_);
  cache_.trial_ = std::thread::id();
  std::erase_if(cache_.entries_,
                [](const auto& item) { return item.second.on_trial && item.second.packed.use_count() == 1; });
  for (auto& [key, entry] : cache_.entries_) entry.on_trial = false;
}

void WeightCache::name(const Tensor& source, std::string stable_name) {
  std::lock_guard lock(mutex_);
  names_.insert_or_assign(source.identity(), std::pair(source, std::move(stable_name)));
}

WeightCache::Packed WeightCache::get_or_pack(const Tensor& source, const std::string& form, size_t bytes,
                                             PackedWeights::Fill fill) {
  std::lock_guard lock(mutex_);
  const bool on_trial = trial_ == std::this_thread::get_id();
  auto key = std::make_pair(source.identity(), form);
  if (auto found = entries_.find(key); found != entries_.end()) {
    found->second.on_trial = found->second.on_trial && on_trial;
    return found->second.packed;
  }
  std::string stable;
  if (auto named = names_.find(source.identity()); named != names_.end() && bytes >= kKeptBytes)
    stable = named->second.second + '\0' + form;
  auto packed = std::make_shared<const PackedWeights>(bytes, std::move(fill), store_, std::move(stable));
  entries_.emplace(std::move(key), Entry{source, packed, on_trial});
  return packed;
}

bool WeightCache::has(const Tensor& source) const {
  std::lock_guard lock(mutex_);
  for (auto at = entries_.lower_bound({source.identity(), std::string()});
       at != entries_.end() && at->first.first == source.identity(); ++at)
    if (!at->second.on_trial) return true;
  return false;
}

size_t WeightCache::bytes() const {
  std::lock_guard lock(mutex_);
  size_t sum = 0;
  for (const auto& [key, entry] : entries_)
    if (!entry.on_trial) sum += entry.packed->bytes();
  return sum;
}

void WeightCache::trim() {
  std::lock_guard lock(mutex_);
  std::erase_if(entries_, [](const auto& item) { return item.second.packed.use_count() == 1; });
}

bool WeightCache::save() const {
  std::vector<Packed> unsaved;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [key, entry] : entries_)
      if (entry.packed->unsaved()) unsaved.push_back(entry.packed);
  }
  for (const Packed& packed : unsaved)
    if (!packed->save()) return false;
  return true;
}

}  // namespace motet::ops
