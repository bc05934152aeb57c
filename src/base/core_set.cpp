#include "base/core_set.h"

namespace motet {

std::string CoreSet::to_string() const {
  if (empty()) return "none";
  std::string out;
  for (int core = next(0); core >= 0;) {
    int last = core;
    while (contains(last + 1)) ++last;
    if (!out.empty()) out += ',';
    out += std::to_string(core);
    if (last > core) out += '-' + std::to_string(last);
    core = next(last + 1);
  }
  return out;
}

}  // namespace motet
