// Which verb of KServe v2 a path names. Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace motet::http {

enum class Verb : unsigned char {
  kServerMetadata,
  kLive,
  kReady,
  kModelMetadata,
  kModelReady,
  kModelConfig,
  kModelStatistics,
  kAllStatistics,
  kInfer,
  kGenerate,
  kGenerateStream,
  kIndex,
  kLoad,
  kUnload,
  kSharedMemoryStatus,
  kSharedMemoryRegister,
  kSharedMemoryUnregister,
  kTraceSetting,
  kLogging,
};

struct Route {
  Verb verb = Verb::kLive;
  std::string model;       // percent-decoded; also the region of shared memory
  std::string version;     // digits, or "" for the newest
  std::string repository;  // of load and unload; "" when the path names none
};

// Nothing for an unknown path. The query part is ignored.
std::optional<Route> find_route(std::string_view target);
// "GET", "POST" or "GET, POST".
std::string_view allowed_methods(Verb verb);

}  // namespace motet::http
