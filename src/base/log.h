// The logging interface: rooms below apps/ write lines through it and never know where they go. apps/ installs the sink
// (spdlog); without one, lines go to stderr. log_line may be called from any thread; set_log_sink once, before threads start.
#pragma once

#include <string_view>

namespace motet {

enum class LogLevel : unsigned char { kVerbose, kInfo, kWarning, kError };

using LogSink = void (*)(LogLevel level, std::string_view line);

void set_log_sink(LogSink sink);
void log_line(LogLevel level, std::string_view line);

inline void log_verbose(std::string_view line) { log_line(LogLevel::kVerbose, line); }
inline void log_info(std::string_view line) { log_line(LogLevel::kInfo, line); }
inline void log_warning(std::string_view line) { log_line(LogLevel::kWarning, line); }
inline void log_error(std::string_view line) { log_line(LogLevel::kError, line); }

}  // namespace motet
