#include "wire/client/url.h"

#include <algorithm>
#include <charconv>

namespace motet::client {
namespace {

constexpr uint16_t kHttpPort = 8000;
constexpr uint16_t kGrpcPort = 8001;

bool is_host_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

}  // namespace

std::string Url::authority() const {
  const bool ipv6 = host.find(':') != std::string::npos;
  return (ipv6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<Url> parse_url(std::string_view text) {
  auto refuse = [&](std::string_view why) {
    return invalid_argument("URL '" + std::string(text) + "' " + std::string(why) +
                            "; accepted is http://HOST[:PORT], HOST[:PORT] or grpc://HOST[:PORT]");
  };
  Url url;
  std::string_view rest = text;
  if (size_t colons = rest.find("://"); colons != rest.npos) {
    const std::string_view scheme = rest.substr(0, colons);
    if (scheme != "http" && scheme != "grpc") return refuse("has the scheme '" + std::string(scheme) + "'");
    url.grpc = scheme == "grpc";
    rest.remove_prefix(colons + 3);
  }
  url.port = url.grpc ? kGrpcPort : kHttpPort;
  if (rest.ends_with('/')) rest.remove_suffix(1);
  std::string_view host, port;
  if (rest.starts_with('[')) {
    const size_t close = rest.find(']');
    if (close == rest.npos) return refuse("has no ']' after its address");
    host = rest.substr(1, close - 1);
    rest.remove_prefix(close + 1);
    if (!rest.empty() && rest.front() != ':') return refuse("has more than a port after its address");
    port = rest.empty() ? rest : rest.substr(1);
    if (!std::all_of(host.begin(), host.end(), [](char c) { return is_host_character(c) || c == ':' || c == '%'; }))
      return refuse("has no address");
  } else {
    const size_t colon = rest.find(':');
    host = rest.substr(0, colon);
    port = colon == rest.npos ? std::string_view() : rest.substr(colon + 1);
    if (!std::all_of(host.begin(), host.end(), is_host_character))
      return refuse("has a host with characters that none has");
    rest = colon == rest.npos ? std::string_view() : rest.substr(colon);
  }
  if (host.empty()) return refuse("has no host");
  url.host = std::string(host);
  if (rest.empty()) return url;
  auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), url.port);
  if (port.empty() || error != std::errc() || end != port.data() + port.size() || url.port == 0)
    return refuse("has the port '" + std::string(port) + "', which is not 1 to 65535");
  return url;
}

}  // namespace motet::client
