// Seeded mutations of good requests: whatever comes, the parser answers, and what it accepts is sound; the server, fed
// the same, serves on. Bounded; a failure prints its seed.
#include <gtest/gtest.h>

#include "base/random.h"
#include "wire/front/http/fake_api.h"
#include "wire/front/http/http_front.h"
#include "wire/front/http/infer_request.h"
#include "wire/front/http/test_client.h"

namespace motet::http {
namespace {

struct Good {
  std::string json;
  std::string binary;
};

std::vector<Good> good_requests() {
  return {
      {R"({"id":"1","inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","data":[[1,2.5],[-3e2,NaN]]}],"outputs":[{"name":"y","parameters":{"classification":2}}]})",
       ""},
      {R"({"inputs":[{"data":["a","\u00f6"],"name":"s","shape":[2],"datatype":"BYTES"}],"parameters":{"priority":1,"timeout":100,"z":"w"}})",
       ""},
      {R"({"inputs":[{"name":"a","shape":[1,2],"datatype":"INT32","parameters":{"binary_data_size":8}},{"name":"s","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":6}}]})",
       std::string("\1\0\0\0\2\0\0\0\2\0\0\0ab", 14)},
  };
}

constexpr std::string_view kTokens[] = {"{",
                                        "}",
                                        "[",
                                        "]",
                                        ",",
                                        ":",
                                        "\"",
                                        "\\",
                                        "\\u0000",
                                        "null",
                                        "true",
                                        "-",
                                        "1e999",
                                        "9223372036854775808",
                                        "-1",
                                        "NaN",
                                        "\"inputs\"",
                                        "\"data\"",
                                        "\"shape\"",
                                        "\"binary_data_size\"",
                                        "\xff",
                                        "\xED\xA0\x80",
                                        std::string_view("\0", 1),
                                        " "};

std::string mutate(std::string text, Random& random) {
  auto times = 1 + random.below(4);
  for (uint64_t i = 0; i < times; ++i) {
    size_t at = random.below(text.size() + 1);
    switch (random.below(5)) {
      case 0: text.insert(at, kTokens[random.below(std::size(kTokens))]); break;
      case 1: text.erase(at, random.below(8)); break;
      case 2:
        if (at < text.size()) text[at] = static_cast<char>(random.below(256));
        break;
      case 3: text.resize(at); break;
      default: {
        size_t from = random.below(text.size() + 1);
        text.insert(at, text.substr(from, random.below(24)));
      }
    }
  }
  return text;
}

// Touches every byte of what was accepted: a view out of bounds shows under the sanitizers.
void expect_sound(const InferBody& parsed, uint64_t seed) {
  for (const NamedTensor& input : parsed.request.inputs) {
    auto count = checked_elements(input.tensor.shape());
    ASSERT_TRUE(count.ok()) << "seed " << seed;
    size_t sum = 0;
    if (input.tensor.dtype() == DType::kString) {
      for (std::string_view s : input.tensor.view().as<std::string_view>()) {
        for (char c : s) sum += static_cast<unsigned char>(c);
      }
    } else {
      const TensorView& view = input.tensor.view();
      for (size_t i = 0; i < view.bytes(); ++i) sum += static_cast<size_t>(view.data[i]);
    }
    ASSERT_LT(sum, size_t{1} << 40);
  }
}

TEST(Fuzz, TheParserAnswersEverything) {
  std::vector<Good> good = good_requests();
  int accepted = 0;
  constexpr uint64_t kSeeds = 20000;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    Random random(seed, "http fuzz");
    const Good& base = good[random.below(good.size())];
    std::string json = mutate(base.json, random);
    std::string binary = base.binary.empty() || random.chance(0.7) ? base.binary : mutate(base.binary, random);
    size_t length = random.chance(0.8) ? json.size() : random.below(json.size() + binary.size() + 2);
    auto body = std::make_shared<Body>(json.size() + binary.size(), length);
    body->append(json.data(), json.size());
    body->append(binary.data(), binary.size());
    std::optional<std::string> header;
    if (!binary.empty() || random.chance(0.1)) header = std::to_string(length);
    auto parsed = parse_infer(body, header);
    body.reset();
    if (parsed.ok()) {
      ++accepted;
      expect_sound(*parsed, seed);
    } else {
      ASSERT_FALSE(parsed.error().message.empty()) << "seed " << seed;
      ASSERT_NE(parsed.error().code, Code::kInternal) << "seed " << seed;
    }
  }
  EXPECT_GT(accepted, 100) << "mutations must reach beyond the syntax";
  EXPECT_LT(accepted, static_cast<int>(kSeeds));
}

TEST(Fuzz, TheServerServesOn) {
  FakeApi api;
  HttpOptions options;
  options.address = "127.0.0.1";
  options.port = 0;
  options.max_body_bytes = 4096;
  auto front = HttpFront::start(api, options);
  ASSERT_TRUE(front.ok());
  std::string body = R"({"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","data":[-1,0,2.5,3]}]})";
  std::string good =
      "POST /v2/models/relu/infer HTTP/1.1\r\nHost: t\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
      body;
  for (uint64_t seed = 0; seed < 400; ++seed) {
    Random random(seed, "http stream fuzz");
    TestClient client((*front)->port());
    ASSERT_TRUE(client.connected()) << "seed " << seed;
    client.send(mutate(good, random));
    ::shutdown(client.fd(), SHUT_WR);
    while (client.receive().has_value()) {
    }
  }
  TestClient client((*front)->port());
  ASSERT_TRUE(client.send(good));
  auto reply = client.receive();
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->status, 200);
}

}  // namespace
}  // namespace motet::http
