#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace motet {

void check_failed(const char* file, int line, const char* condition, const char* reason) {
  std::fprintf(stderr, "motet: invariant broken at %s:%d: %s (%s)\n", file, line, reason, condition);
  std::fflush(stderr);
  std::abort();
}

}  // namespace motet
