// The server a client speaks to, from what a user typed. Plain value; any thread may call.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace motet::client {

struct Url {
  bool grpc = false;
  std::string host;  // a name or an address, an IPv6 one without brackets
  uint16_t port = 0;

  // "host:port", with brackets around an IPv6 address.
  std::string authority() const;
};

// "http://host[:8000]", "host[:8000]", "grpc://host[:8001]". An Error names what is wrong and what is accepted.
Result<Url> parse_url(std::string_view text);

}  // namespace motet::client
