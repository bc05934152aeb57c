// The log of the motet command: lines go to stderr through spdlog, from a thread of its own.
#pragma once

namespace motet {
// Installs the sink; verbose lines only at level 1 and above. Call once, before threads start.
void install_log(int verbose_level);
// Writes out what is queued. Call before the process ends.
void flush_log();
}  // namespace motet
