// WeightCache: packed copies of constant weights, one for all programs of a model, whatever their batch. Keyed by the
// constant's address and the packed form's description; it keeps the constant alive, so an address is never reused for
// another. Threads: any; packing of one entry happens under the cache's lock.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "base/tensor/tensor.h"

namespace motet::ops {

// A block of packed weights, 64-byte aligned (2 MB aligned with huge pages asked for when large).
class PackedWeights {
 public:
  explicit PackedWeights(size_t bytes);
  ~PackedWeights();
  PackedWeights(const PackedWeights&) = delete;
  PackedWeights& operator=(const PackedWeights&) = delete;

  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  std::byte* data_;
  size_t bytes_;
};

class WeightCache {
 public:
  using Packed = std::shared_ptr<const PackedWeights>;

  // The packed copy of `source` in the form named `form`, made by `pack` if nobody did yet.
  Packed get_or_pack(const Tensor& source, const std::string& form, const std::function<Packed()>& pack);
  // Bytes of all entries that some kernel still uses.
  size_t bytes() const;
  // Forgets entries that no kernel uses any more.
  void trim();

 private:
  struct Entry {
    Tensor source;
    Packed packed;
  };
  mutable std::mutex mutex_;
  std::map<std::pair<const void*, std::string>, Entry> entries_;
};

}  // namespace motet::ops
