// MOTET_CHECK: a broken invariant ends the process with file, line and reason. It is on in every build. Never for what a
// client, a file or an operator can cause: those get an Error (result.h).
#pragma once

namespace motet {
[[noreturn]] void check_failed(const char* file, int line, const char* condition, const char* reason);
}  // namespace motet

#define MOTET_CHECK(condition, reason)                                              \
  do {                                                                              \
    if (!(condition)) [[unlikely]] ::motet::check_failed(__FILE__, __LINE__, #condition, reason); \
  } while (false)
