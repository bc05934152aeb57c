#include "base/log.h"

#include <atomic>
#include <cstdio>

namespace motet {
namespace {

void to_stderr(LogLevel level, std::string_view line) {
  if (level == LogLevel::kVerbose) return;
  std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
}

std::atomic<LogSink> g_sink{&to_stderr};

}  // namespace

void set_log_sink(LogSink sink) { g_sink.store(sink != nullptr ? sink : &to_stderr); }

void log_line(LogLevel level, std::string_view line) { g_sink.load()(level, line); }

}  // namespace motet
