// WeightCache: packed copies of constant weights, one for all programs of a model, whatever their batch. Keyed by the
// constant's identity and the packed form's description; it keeps the constant alive, so an identity is never reused
// for another. A copy is made when it is prepared, not when it is asked for: several can then be made at once, and
// those that a store has kept from before are mapped instead. Any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/tensor/tensor.h"

namespace motet::ops {

// Where packed weights are kept between processes. Any thread.
class PackedStore {
 public:
  struct Found {
    std::span<const std::byte> bytes;  // 64-byte aligned
    std::shared_ptr<const void> owner;
  };
  virtual ~PackedStore() = default;
  virtual std::optional<Found> find(const std::string& key) const = 0;
  // False if it cannot be kept now.
  virtual bool keep(const std::string& key, std::span<const std::byte> bytes) const = 0;
};

// A block of packed weights, 64-byte aligned (2 MB aligned with huge pages asked for when large), or a view on a
// store's.
class PackedWeights {
 public:
  using Fill = std::function<void(std::byte* to)>;

  // `fill` writes all `bytes`. `store`, if any, outlives this; `key` is the name there, "" for none.
  PackedWeights(size_t bytes, Fill fill, const PackedStore* store = nullptr, std::string key = "");
  ~PackedWeights();
  PackedWeights(const PackedWeights&) = delete;
  PackedWeights& operator=(const PackedWeights&) = delete;

  // Finds or makes the bytes, if nobody did yet.
  void prepare() const;
  // Prepares them if need be.
  const std::byte* data() const {
    prepare();
    return data_;
  }
  size_t bytes() const { return bytes_; }
  const std::string& key() const { return key_; }
  // True when the bytes are in memory and not in the store, which might have kept them.
  bool unsaved() const;
  // Gives the bytes to the store; false if it cannot keep them. REQUIRES: unsaved().
  bool save() const;

 private:
  // Constant after construction.
  const size_t bytes_;
  const PackedStore* const store_;
  const std::string key_;

  // Written once, by prepare().
  mutable std::once_flag once_;
  mutable Fill fill_;
  mutable const std::byte* data_ = nullptr;
  mutable std::byte* own_ = nullptr;
  mutable std::shared_ptr<const void> found_;

  // Synchronises itself.
  enum class Place : uint8_t { kNowhere, kMemory, kStore };
  mutable std::atomic<Place> place_{Place::kNowhere};
};

class WeightCache {
 public:
  using Packed = std::shared_ptr<const PackedWeights>;

  // While one lives, what its thread packs is on trial: it does not count, unless another thread asks for it too. At
  // the end what a kernel uses counts and the rest is forgotten. So what is packed for kernels that are only compared
  // is charged to no program. One at a time.
  class Trial {
   public:
    explicit Trial(WeightCache& cache);
    ~Trial();
    Trial(const Trial&) = delete;
    Trial& operator=(const Trial&) = delete;

   private:
    WeightCache& cache_;
  };

  // `store` outlives the cache and all that it packs; null for none.
  explicit WeightCache(const PackedStore* store = nullptr) : store_(store) {}

  // Says what `source` is, in every process that loads the same model: only what has such a name is looked for in the
  // store and kept there.
  void name(const Tensor& source, std::string stable_name);
  // The copy of `source` in the form named `form`: `bytes`, written by `fill`.
  Packed get_or_pack(const Tensor& source, const std::string& form, size_t bytes, PackedWeights::Fill fill);
  // True if a copy of `source` in some form counts.
  bool has(const Tensor& source) const;
  // Bytes of all entries that count.
  size_t bytes() const;
  // Forgets entries that no kernel uses any more.
  void trim();
  // Gives the store what it does not have yet. False if it cannot keep all of it.
  bool save() const;

 private:
  struct Entry {
    Tensor source;
    Packed packed;
    bool on_trial = false;
  };
  const PackedStore* const store_;
  mutable std::mutex mutex_;
  std::thread::id trial_;                                                  // its thread, if any; guarded by mutex_
  std::map<std::pair<const void*, std::string>, Entry> entries_;           // guarded by mutex_
  std::unordered_map<const void*, std::pair<Tensor, std::string>> names_;  // guarded by mutex_
};

}  // namespace motet::ops
