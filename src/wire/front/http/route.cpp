#include "wire/front/http/route.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>
#include <vector>

namespace motet::http {
namespace {

std::optional<unsigned> hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A' + 10);
  return std::nullopt;
}

std::optional<std::string> percent_decode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    auto high = hex_digit(text[i + 1]);
    auto low = hex_digit(text[i + 2]);
    if (!high || !low) return std::nullopt;
    out += static_cast<char>(*high * 16 + *low);
    i += 2;
  }
  return out;
}

// A model's name becomes a folder's name further in: nothing that could leave the folder above is a name.
bool is_name(std::string_view text) {
  return !text.empty() && text != "." && text != ".." && text.find('/') == std::string_view::npos &&
         text.find('\0') == std::string_view::npos;
}

// The segments of "/a/b"; nothing when it does not start with '/' or has a segment that is no name ("/a/", "/a//b").
std::optional<std::vector<std::string>> segments(std::string_view target) {
  std::string_view path = target.substr(0, target.find_first_of("?#"));
  std::vector<std::string> out;
  if (path.empty() || path[0] != '/') return std::nullopt;
  while (!path.empty()) {
    path.remove_prefix(1);
    size_t slash = std::min(path.find('/'), path.size());
    auto segment = percent_decode(path.substr(0, slash));
    if (!segment || !is_name(*segment)) return std::nullopt;
    out.push_back(*std::move(segment));
    path.remove_prefix(slash);
  }
  return out;
}

bool is_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

constexpr std::array<std::pair<std::string_view, Verb>, 6> kModelVerbs = {{{"ready", Verb::kModelReady},
                                                                           {"config", Verb::kModelConfig},
                                                                           {"stats", Verb::kModelStatistics},
                                                                           {"infer", Verb::kInfer},
                                                                           {"generate", Verb::kGenerate},
                                                                           {"generate_stream", Verb::kGenerateStream}}};

using Segments = std::span<const std::string>;

// What follows /v2/models.
std::optional<Route> model_route(Segments rest) {
  if (rest.empty()) return std::nullopt;
  if (rest.size() == 1 && rest[0] == "stats") return Route{Verb::kAllStatistics, "", "", ""};
  Route route{Verb::kModelMetadata, rest[0], "", ""};
  rest = rest.subspan(1);
  if (rest.size() >= 2 && rest[0] == "versions") {
    if (!is_digits(rest[1])) return std::nullopt;
    route.version = rest[1];
    rest = rest.subspan(2);
  }
  if (rest.empty()) return route;
  if (rest.size() == 2 && route.version.empty() && rest[0] == "trace" && rest[1] == "setting") {
    route.verb = Verb::kTraceSetting;
    return route;
  }
  for (const auto& [name, verb] : kModelVerbs) {
    if (rest.size() == 1 && rest[0] == name) {
      route.verb = verb;
      return route;
    }
  }
  return std::nullopt;
}

// What follows /v2/repository: index, or [NAME/]models/MODEL/load.
std::optional<Route> repository_route(Segments rest) {
  if (rest.size() == 1 && rest[0] == "index") return Route{Verb::kIndex, "", "", ""};
  if (rest.size() == 2 && rest[1] == "index") return Route{Verb::kIndex, "", "", rest[0]};
  Route route;
  if (rest.size() == 4 && rest[1] == "models") {
    route.repository = rest[0];
    rest = rest.subspan(1);
  }
  if (rest.size() != 3 || rest[0] != "models") return std::nullopt;
  route.model = rest[1];
  if (rest[2] == "load")
    route.verb = Verb::kLoad;
  else if (rest[2] == "unload")
    route.verb = Verb::kUnload;
  else
    return std::nullopt;
  return route;
}

// What follows /v2/systemsharedmemory or /v2/cudasharedmemory: [region/NAME/]status and so on.
std::optional<Route> shared_memory_route(Segments rest) {
  Route route;
  if (rest.size() == 3 && rest[0] == "region") {
    route.model = rest[1];
    rest = rest.subspan(2);
  }
  if (rest.size() != 1) return std::nullopt;
  if (rest[0] == "status")
    route.verb = Verb::kSharedMemoryStatus;
  else if (rest[0] == "register" && !route.model.empty())
    route.verb = Verb::kSharedMemoryRegister;
  else if (rest[0] == "unregister")
    route.verb = Verb::kSharedMemoryUnregister;
  else
    return std::nullopt;
  return route;
}

}  // namespace

std::optional<Route> find_route(std::string_view target) {
  auto path = segments(target);
  if (!path || path->empty() || (*path)[0] != "v2") return std::nullopt;
  Segments rest = Segments(*path).subspan(1);
  if (rest.empty()) return Route{Verb::kServerMetadata, "", "", ""};
  if (rest[0] == "models") return model_route(rest.subspan(1));
  if (rest[0] == "repository") return repository_route(rest.subspan(1));
  if (rest[0] == "systemsharedmemory" || rest[0] == "cudasharedmemory") return shared_memory_route(rest.subspan(1));
  if (rest.size() == 1 && rest[0] == "logging") return Route{Verb::kLogging, "", "", ""};
  if (rest.size() != 2) return std::nullopt;
  if (rest[0] == "health" && rest[1] == "live") return Route{Verb::kLive, "", "", ""};
  if (rest[0] == "health" && rest[1] == "ready") return Route{Verb::kReady, "", "", ""};
  if (rest[0] == "trace" && rest[1] == "setting") return Route{Verb::kTraceSetting, "", "", ""};
  return std::nullopt;
}

std::string_view allowed_methods(Verb verb) {
  switch (verb) {
    case Verb::kInfer:
    case Verb::kGenerate:
    case Verb::kGenerateStream:
    case Verb::kIndex:
    case Verb::kLoad:
    case Verb::kUnload:
    case Verb::kSharedMemoryRegister:
    case Verb::kSharedMemoryUnregister: return "POST";
    case Verb::kTraceSetting:
    case Verb::kLogging: return "GET, POST";
    default: return "GET";
  }
}

}  // namespace motet::http
