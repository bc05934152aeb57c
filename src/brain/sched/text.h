// Times and reasons in words, for errors. Pure.
#pragma once

#include <string>

#include "base/units.h"

namespace motet::brain {

// "12.345 ms"; integers only, so the same everywhere.
inline std::string duration_text(Nanos t) {
  bool negative = t.value < 0;
  uint64_t us = (negative ? 0 - static_cast<uint64_t>(t.value) : static_cast<uint64_t>(t.value)) / 1'000;
  std::string fraction = std::to_string(us % 1'000);
  return (negative ? "-" : "") + std::to_string(us / 1'000) + "." + std::string(3 - fraction.size(), '0') + fraction +
         " ms";
}

}  // namespace motet::brain
