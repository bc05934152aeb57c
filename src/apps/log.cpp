#include "apps/log.h"

#include <spdlog/async.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include "base/log.h"

namespace motet {
namespace {

constexpr size_t kQueuedLines = 8192;

spdlog::level::level_enum level_of(LogLevel level) {
  switch (level) {
    case LogLevel::kVerbose: return spdlog::level::debug;
    case LogLevel::kInfo: return spdlog::level::info;
    case LogLevel::kWarning: return spdlog::level::warn;
    case LogLevel::kError: return spdlog::level::err;
  }
  return spdlog::level::info;
}

void to_spdlog(LogLevel level, std::string_view line) { spdlog::log(level_of(level), "{}", line); }

}  // namespace

void install_log(int verbose_level) {
  spdlog::init_thread_pool(kQueuedLines, 1);
  // A full queue drops its oldest lines: logging never holds up the loop.
  auto logger = spdlog::create_async_nb<spdlog::sinks::stderr_color_sink_mt>("motet");
  logger->set_pattern("%Y-%m-%d %H:%M:%S.%e %^%L%$ %v");
  logger->set_level(verbose_level > 0 ? spdlog::level::debug : spdlog::level::info);
  spdlog::set_default_logger(logger);
  set_log_sink(&to_spdlog);
}

void flush_log() {
  set_log_sink(nullptr);
  spdlog::shutdown();
}

}  // namespace motet
