// NamePool: names that are unique in one graph. One thread at a time.
#pragma once

#include <string>
#include <unordered_map>
#include <unordered_set>

namespace motet::graph {

class NamePool {
 public:
  // False if the name is taken.
  bool add(const std::string& name) { return taken_.insert(name).second; }

  // `base`, or `base`_1, `base`_2 and so on if that is taken; taken from now on. It remembers where it stopped, so that
  // many names of one base take linear time.
  std::string fresh(const std::string& base) {
    if (add(base)) return base;
    size_t& next = next_[base];
    std::string name;
    do name = base + "_" + std::to_string(++next);
    while (!add(name));
    return name;
  }

 private:
  std::unordered_set<std::string> taken_;
  std::unordered_map<std::string, size_t> next_;
};

}  // namespace motet::graph
