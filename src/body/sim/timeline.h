// Timeline: what is going to happen, in order of virtual time; equal instants in the order in which they were entered.
// A binary heap of (instant, sequence number). It owns its entries. One thread at a time; cannot fail.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/units.h"

namespace motet::sim {

template <class T>
class Timeline {
 public:
  void enter(Nanos at, T what) {
    heap_.push_back({at, next_sequence_++, std::move(what)});
    std::push_heap(heap_.begin(), heap_.end(), later);
  }

  bool empty() const { return heap_.empty(); }
  size_t size() const { return heap_.size(); }
  // The instant of the next entry. REQUIRES: !empty().
  Nanos next() const {
    MOTET_CHECK(!heap_.empty(), "next() of an empty timeline");
    return heap_.front().at;
  }
  // Removes the next entry. REQUIRES: !empty().
  T pop() {
    MOTET_CHECK(!heap_.empty(), "pop() of an empty timeline");
    std::pop_heap(heap_.begin(), heap_.end(), later);
    T what = std::move(heap_.back().what);
    heap_.pop_back();
    return what;
  }

  // Whether no entry is one that `which(what)` names.
  template <class Which>
  bool none(Which which) const {
    return std::none_of(heap_.begin(), heap_.end(), [&](const Entry& entry) { return which(entry.what); });
  }

  // Moves every entry that `which(what)` names to a later instant; their order among themselves stays.
  template <class Which>
  void postpone(Nanos by, Which which) {
    for (Entry& entry : heap_)
      if (which(entry.what)) entry.at += by;
    std::make_heap(heap_.begin(), heap_.end(), later);
  }

 private:
  struct Entry {
    Nanos at;
    uint64_t sequence = 0;
    T what;
  };
  static bool later(const Entry& a, const Entry& b) { return a.at != b.at ? a.at > b.at : a.sequence > b.sequence; }

  std::vector<Entry> heap_;
  uint64_t next_sequence_ = 0;
};

}  // namespace motet::sim
