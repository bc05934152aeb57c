// The recorded answers of tests/conformance/wire (a real Triton's), replayed against this front over the fake Api. The
// full comparison, with a real server, is tests/conformance/wire/check.py; here statuses and JSON must agree.
#include <gtest/gtest.h>
#include <simdjson.h>

#include <cmath>
#include <fstream>
#include <set>

#include "wire/front/http/compression.h"
#include "wire/front/http/fake_api.h"
#include "wire/front/http/http_front.h"
#include "wire/front/http/test_client.h"

namespace motet::http {
namespace {

namespace dom = simdjson::dom;

// What this server does not do, and says so (501), and one header it refuses where Triton reads a word as 0.
const std::set<std::string, std::less<>> kDiffers = {"shared memory register missing", "generate", "trace setting",
                                                     "logging", "binary header word"};
// Triton wraps these round, we may refuse; it answers 200 to each.
const std::set<std::string, std::less<>> kMayRefuse = {"int overflow"};

std::string decode_base64(std::string_view text) {
  std::string out;
  unsigned bits = 0;
  int have = 0;
  for (char c : text) {
    static constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t value = kAlphabet.find(c);
    if (value == std::string_view::npos) break;
    bits = bits << 6 | static_cast<unsigned>(value);
    have += 6;
    if (have >= 8) {
      have -= 8;
      out += static_cast<char>(bits >> have & 255);
    }
  }
  return out;
}

bool same_text(std::string_view want, std::string_view got) {
  if (want == got) return true;
  // Classification: "value:index:label", the value by its number.
  size_t a = want.find(':'), b = got.find(':');
  return a != std::string_view::npos && b != std::string_view::npos && want.substr(a) == got.substr(b) &&
         std::abs(std::stod(std::string(want.substr(0, a))) - std::stod(std::string(got.substr(0, b)))) < 1e-5;
}

bool same(dom::element want, dom::element got, std::string_view key = "");

bool same_arrays(dom::array want, dom::array got, std::string_view key) {
  if (want.size() != got.size()) return false;
  std::vector<dom::element> rest(got.begin(), got.end());
  for (dom::element w : want) {
    // The order of outputs is the server's own.
    auto at = rest.begin();
    if (key == "outputs") at = std::find_if(rest.begin(), rest.end(), [w](dom::element g) { return same(w, g); });
    if (at == rest.end() || !same(w, *at)) return false;
    rest.erase(at);
  }
  return true;
}

bool same(dom::element want, dom::element got, std::string_view key) {
  if (key == "platform") return true;
  if (want.is_object() && got.is_object()) {
    for (dom::key_value_pair pair : dom::object(want)) {
      dom::element other;
      if (got[pair.key].get(other) || !same(pair.value, other, pair.key)) return false;
    }
    return dom::object(want).size() == dom::object(got).size();
  }
  if (want.is_array() && got.is_array()) return same_arrays(want, got, key);
  if (want.is_string() && got.is_string()) return same_text(std::string_view(want), std::string_view(got));
  if (want.is_number() && got.is_number()) {
    double a = want.get_double().value(), b = got.get_double().value();
    return a == b || std::abs(a - b) <= 1e-5 * std::abs(a);
  }
  return std::string(simdjson::minify(want)) == std::string(simdjson::minify(got));
}

// JSON has no NaN for simdjson to read: compare it as a text.
std::string without_nan(std::string text) {
  for (size_t at; (at = text.find("[NaN")) != std::string::npos;) text.replace(at, 4, "[\"NaN\"");
  return text;
}

void expect_same_json(const std::string& want, const std::string& got, const std::string& name) {
  dom::parser first, second;
  dom::element a, b;
  ASSERT_FALSE(first.parse(without_nan(want)).get(a)) << name;
  ASSERT_FALSE(second.parse(without_nan(got)).get(b)) << name << ": " << got;
  EXPECT_TRUE(same(a, b)) << name << "\nwant " << want << "\ngot  " << got;
}

std::string plain(const TestReply& reply) {
  auto encoding = reply.headers.find("content-encoding");
  if (encoding == reply.headers.end()) return reply.body;
  Body body(reply.body.size());
  body.append(reply.body.data(), reply.body.size());
  auto inflated = inflate_body(body, 1 << 20, 0);
  return inflated.ok() ? std::string((*inflated)->text()) : "";
}

void expect_agreement(dom::element c, const std::string& name, const TestReply& reply) {
  auto want = static_cast<int>(int64_t(c["status"]));
  if (want >= 400) {
    bool exact = want == 404 || want == 405 || want == 501;
    EXPECT_TRUE(exact ? reply.status == want : reply.status >= 400 && reply.status < 500)
        << name << " got " << reply.status << " " << reply.body;
    if (std::string_view(c["method"]) == "HEAD") return;
    EXPECT_EQ(reply.body.rfind("{\"error\":\"", 0), 0u) << name << ": " << reply.body;
    return;
  }
  if (kMayRefuse.contains(name) && reply.status == 400) return;
  ASSERT_EQ(reply.status, want) << name << ": " << reply.body;
  TestReply recorded;
  for (dom::key_value_pair pair : dom::object(c["reply_headers"]))
    recorded.headers[std::string(pair.key)] = std::string_view(pair.value);
  recorded.body = decode_base64(std::string_view(c["reply"]));
  EXPECT_EQ(recorded.headers.count("content-encoding"), reply.headers.count("content-encoding")) << name;
  std::string expected = plain(recorded);
  std::string got = plain(reply);
  auto length = recorded.headers.find("inference-header-content-length");
  if (length != recorded.headers.end()) {
    auto own = reply.headers.find("inference-header-content-length");
    ASSERT_NE(own, reply.headers.end()) << name;
    EXPECT_EQ(expected.size() - std::stoul(length->second), got.size() - std::stoul(own->second))
        << name << ": as many binary bytes";
    expected.resize(std::stoul(length->second));
    got.resize(std::stoul(own->second));
  }
  if (expected.empty()) return;
  expect_same_json(expected, got, name);
}

TEST(Cases, AgreeWithTheRecordedAnswers) {
  std::ifstream file("tests/conformance/wire/cases.jsonl");
  ASSERT_TRUE(file.good()) << "run from the root of the repository";
  FakeApi api;
  HttpOptions options;
  options.address = "127.0.0.1";
  options.port = 0;
  auto front = HttpFront::start(api, options);
  ASSERT_TRUE(front.ok());
  int count = 0;
  dom::parser parser;
  for (std::string line; std::getline(file, line); ++count) {
    dom::element c = parser.parse(line);
    auto name = std::string(std::string_view(c["name"]));
    std::string headers;
    for (dom::key_value_pair pair : dom::object(c["headers"]))
      headers += std::string(pair.key) + ": " + std::string(std::string_view(pair.value)) + "\r\n";
    TestClient client((*front)->port());
    auto reply = client.request(std::string_view(c["method"]), std::string_view(c["path"]),
                                decode_base64(std::string_view(c["body"])), headers);
    ASSERT_TRUE(reply.has_value()) << name;
    if (kDiffers.contains(name)) {
      EXPECT_TRUE(reply->status == 501 || reply->status == 400) << name;
      continue;
    }
    expect_agreement(c, name, *reply);
  }
  EXPECT_EQ(count, 99);
}

}  // namespace
}  // namespace motet::http
