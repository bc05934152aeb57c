// The one authorisation point: the implementation of Api asks it for every verb, so that no front end can be a side
// door. Any thread may call; it answers at once.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "base/result.h"
#include "wire/api/api.h"

namespace motet::api {

enum class Verb : uint8_t {
  kHealth,    // live, ready, model ready
  kDescribe,  // metadata and config
  kStatistics,
  kIndex,
  kInfer,
  kLoad,
  kUnload,
};
std::string_view verb_name(Verb verb);  // "health", ...

class Authoriser {
 public:
  virtual ~Authoriser() = default;
  // Whether `principal` may; `model` is "" where the verb has none. An Error says who may not do what.
  virtual Status authorise(const Principal& principal, Verb verb, std::string_view model) const = 0;
};

// Everyone may do everything: a server without authentication.
std::unique_ptr<const Authoriser> allow_all();

}  // namespace motet::api
