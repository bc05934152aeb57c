// CoreSet: a partition as a value: which cores (by the device's own numbering, 0 .. kMaxCores-1) it has. Plain value.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <string>

#include "base/check.h"

namespace motet {

class CoreSet {
 public:
  static constexpr int kMaxCores = 512;

  constexpr CoreSet() = default;
  static constexpr CoreSet single(int core) { CoreSet s; s.add(core); return s; }
  // Cores first .. first+count-1.
  static constexpr CoreSet range(int first, int count) {
    CoreSet s;
    for (int i = 0; i < count; ++i) s.add(first + i);
    return s;
  }

  // REQUIRES: 0 <= core < kMaxCores.
  constexpr void add(int core) { word(core) |= bit(core); }
  constexpr void remove(int core) { word(core) &= ~bit(core); }
  constexpr bool contains(int core) const {
    return core >= 0 && core < kMaxCores && (words_[static_cast<size_t>(core) / 64] & bit(core)) != 0;
  }
  constexpr int size() const {
    int n = 0;
    for (uint64_t w : words_) n += std::popcount(w);
    return n;
  }
  constexpr bool empty() const { return size() == 0; }
  // The lowest core. REQUIRES: !empty().
  constexpr int first() const { return next(0); }
  // The lowest core >= from, or -1.
  constexpr int next(int from) const {
    for (int core = from; core < kMaxCores; ++core)
      if (contains(core)) return core;
    return -1;
  }
  constexpr bool intersects(const CoreSet& other) const { return !(*this & other).empty(); }
  constexpr bool includes(const CoreSet& other) const { return (other - *this).empty(); }

  friend constexpr CoreSet operator|(CoreSet a, const CoreSet& b) {
    for (size_t i = 0; i < a.words_.size(); ++i) a.words_[i] |= b.words_[i];
    return a;
  }
  friend constexpr CoreSet operator&(CoreSet a, const CoreSet& b) {
    for (size_t i = 0; i < a.words_.size(); ++i) a.words_[i] &= b.words_[i];
    return a;
  }
  friend constexpr CoreSet operator-(CoreSet a, const CoreSet& b) {
    for (size_t i = 0; i < a.words_.size(); ++i) a.words_[i] &= ~b.words_[i];
    return a;
  }
  friend constexpr bool operator==(const CoreSet&, const CoreSet&) = default;

  // "0-2,5"; "none" when empty.
  std::string to_string() const;

  static constexpr size_t kWords = kMaxCores / 64;
  constexpr const std::array<uint64_t, kWords>& words() const { return words_; }
  static constexpr CoreSet from_words(const std::array<uint64_t, kWords>& words) { CoreSet s; s.words_ = words; return s; }

 private:
  constexpr uint64_t& word(int core) {
    MOTET_CHECK(core >= 0 && core < kMaxCores, "core number out of range");
    return words_[static_cast<size_t>(core) / 64];
  }
  static constexpr uint64_t bit(int core) { return uint64_t{1} << (static_cast<unsigned>(core) % 64); }

  std::array<uint64_t, kWords> words_{};
};

}  // namespace motet
