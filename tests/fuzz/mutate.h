// One to four changes of a kind that files suffer or attackers make; the same for the same stream. Test help.
#pragma once

#include <string>

#include "base/random.h"

namespace motet::fuzz {

inline std::string mutate(std::string bytes, const std::string& donor, Random& random) {
  static constexpr char kTelling[] = {'\0', '\1', '\x7f', '\x80', '\xff', '\x0a', '\x12', '\x08'};
  for (uint64_t n = 1 + random.below(4); n > 0 && !bytes.empty(); --n) {
    size_t at = random.below(bytes.size());
    switch (random.below(7)) {
      case 0: bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8))); break;
      case 1: bytes[at] = kTelling[random.below(sizeof(kTelling))]; break;
      case 2: bytes[at] = static_cast<char>(random.below(256)); break;
      case 3: bytes.erase(at, 1 + random.below(8)); break;
      case 4: bytes.insert(at, bytes.substr(random.below(bytes.size()), 1 + random.below(24))); break;
      case 5: bytes.resize(at); break;
      default:
        bytes.replace(at, 1 + random.below(8), donor.substr(random.below(donor.size()), 1 + random.below(16)));
        break;
    }
  }
  return bytes;
}

}  // namespace motet::fuzz
