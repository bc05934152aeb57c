#include "apps/bench/server_side.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <charconv>
#include <chrono>

namespace motet::bench {
namespace {

constexpr auto kTimeout = std::chrono::seconds(10);

// The value of `name` in a label set {model="x",version="1"}; "" if absent.
std::string_view label(std::string_view labels, std::string_view name) {
  std::string key = std::string(name) + "=\"";
  size_t at = labels.find(key);
  if (at == std::string_view::npos) return {};
  std::string_view rest = labels.substr(at + key.size());
  return rest.substr(0, rest.find('"'));
}

void read_line(std::string_view line, ServerCounters& out) {
  size_t name_end = line.find_first_of("{ ");
  size_t space = line.rfind(' ');
  if (line.empty() || line[0] == '#' || name_end == std::string_view::npos || space == std::string_view::npos) return;
  double value = 0;
  std::string_view number = line.substr(space + 1);
  if (std::from_chars(number.data(), number.data() + number.size(), value).ec != std::errc()) return;
  std::string_view name = line.substr(0, name_end);
  if (name == "motet_core_busy_seconds") {
    out.busy_s += value;
    ++out.cores;
    return;
  }
  std::string model(label(line, "model"));
  if (name == "nv_inference_count") out.models[model].rows += value;
  if (name == "nv_inference_exec_count") out.models[model].executions += value;
  if (name == "motet_core_time_us_total") out.models[model].core_s += value * 1e-6;
}

}  // namespace

ServerCounters parse_metrics(std::string_view page) {
  ServerCounters counters;
  while (!page.empty()) {
    size_t end = page.find('\n');
    read_line(page.substr(0, end), counters);
    page.remove_prefix(end == std::string_view::npos ? page.size() : end + 1);
  }
  return counters;
}

Result<ServerCounters> fetch_metrics(const std::string& url) {
  namespace asio = boost::asio;
  namespace beast = boost::beast;
  constexpr std::string_view kScheme = "http://";
  if (!url.starts_with(kScheme)) return invalid_argument("--metrics '" + url + "' must be http://HOST:PORT/PATH");
  std::string rest = url.substr(kScheme.size());
  size_t slash = rest.find('/');
  std::string path = slash == std::string::npos ? "/metrics" : rest.substr(slash);
  std::string authority = rest.substr(0, slash);
  size_t colon = authority.rfind(':');
  std::string host = authority.substr(0, colon);
  std::string port = colon == std::string::npos ? "80" : authority.substr(colon + 1);

  boost::system::error_code error;
  auto fail = [&](const char* what) { return unavailable("--metrics " + url + ": " + what + ": " + error.message()); };
  asio::io_context context;
  asio::ip::tcp::resolver resolver(context);
  auto endpoints = resolver.resolve(host, port, error);
  if (error) return fail("cannot resolve");
  beast::tcp_stream stream(context);
  stream.expires_after(kTimeout);
  stream.connect(endpoints, error);
  if (error) return fail("cannot connect");
  beast::http::request<beast::http::empty_body> request(beast::http::verb::get, path, 11);
  request.set(beast::http::field::host, authority);
  beast::http::write(stream, request, error);
  if (error) return fail("cannot ask");
  beast::flat_buffer buffer;
  beast::http::response<beast::http::string_body> response;
  beast::http::read(stream, buffer, response, error);
  if (error) return fail("cannot read");
  if (response.result() != beast::http::status::ok)
    return unavailable("--metrics " + url + ": status " + std::to_string(response.result_int()));
  return parse_metrics(response.body());
}

ServerCounters difference(const ServerCounters& before, const ServerCounters& after) {
  ServerCounters out = after;
  out.busy_s -= before.busy_s;
  for (auto& [model, counters] : out.models) {
    auto found = before.models.find(model);
    if (found == before.models.end()) continue;
    counters.rows -= found->second.rows;
    counters.executions -= found->second.executions;
    counters.core_s -= found->second.core_s;
  }
  return out;
}

}  // namespace motet::bench
