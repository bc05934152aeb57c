#include "wire/client/http_message.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "wire/client/url.h"
#include "wire/proto/model_config.pb.h"

namespace motet::client {
namespace {

HttpReply reply(unsigned status, std::string body, std::string header_length = "") {
  return {status, std::move(header_length), std::make_shared<std::string>(std::move(body))};
}

TEST(Url, SaysWhereAndHow) {
  const std::tuple<const char*, bool, const char*, int> cases[] = {
      {"localhost:9000", false, "localhost", 9000}, {"http://10.0.0.1:80/", false, "10.0.0.1", 80},
      {"grpc://host", true, "host", 8001},          {"host", false, "host", 8000},
      {"http://[::1]:7", false, "::1", 7},          {"grpc://[fe80::1]", true, "fe80::1", 8001}};
  for (const auto& [text, grpc, host, port] : cases) {
    auto url = parse_url(text);
    ASSERT_TRUE(url.ok()) << url.error().message;
    EXPECT_EQ(url->grpc, grpc);
    EXPECT_EQ(url->host, host);
    EXPECT_EQ(url->port, port);
  }
  EXPECT_EQ(parse_url("[::1]:7")->authority(), "[::1]:7");
  for (const char* bad : {"", "http://", "https://host", "host:0", "host:65536", "host:x", "host:", "ho st",
                          "host:80/path", "[::1", "[::1]x", "a:b:c"}) {
    auto url = parse_url(bad);
    ASSERT_FALSE(url.ok()) << bad;
    EXPECT_NE(url.error().message.find("accepted is http://HOST"), std::string::npos);
  }
}

TEST(HttpEncode, WritesJsonThenTheBytes) {
  Request r;
  r.model = "a b/c";
  r.version = "2";
  r.id = "q\"1\n";
  r.timeout_us = 500;
  r.priority = 1;
  r.inputs.push_back({"x", Tensor::of<int16_t>({2}, std::vector<int16_t>{1, -1})});
  r.inputs.push_back({"s", Tensor::of<std::string_view>({1}, std::vector<std::string_view>{"ab"})});
  r.outputs = {"y"};
  EXPECT_EQ(infer_path(r), "/v2/models/a%20b%2Fc/versions/2/infer");
  InferBody body = encode_infer(r);
  EXPECT_EQ(body.bytes.substr(0, body.json_bytes),
            R"({"id":"q\"1\u000a","parameters":{"binary_data_output":true,"timeout":500,"priority":1},"inputs":[)"
            R"({"name":"x","shape":[2],"datatype":"INT16","parameters":{"binary_data_size":4}},)"
            R"({"name":"s","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":6}}],)"
            R"("outputs":[{"name":"y","parameters":{"binary_data":true}}]})");
  EXPECT_EQ(body.bytes.substr(body.json_bytes), std::string("\1\0\xff\xff\2\0\0\0ab", 10));
}

TEST(HttpDecode, ReadsBinaryAndJsonOutputs) {
  const std::string json =
      R"({"model_name":"m","model_version":"3","parameters":{"precision":"bf16","precision_error":0.5},"outputs":[{"name":"b","datatype":"INT32","shape":[2],"parameters":{"binary_data_size":8}},)"
      R"({"name":"j","datatype":"FP32","shape":[2,2],"data":[[1,2.5],[3,-4]]},{"name":"s","datatype":"BYTES","shape":[2],"data":["a","\u2603"]},)"
      R"({"name":"t","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":6}}]})";
  auto r = decode_infer(reply(200, json + std::string("\1\0\0\0\2\0\0\0\2\0\0\0hi", 14), std::to_string(json.size())));
  ASSERT_TRUE(r.ok()) << r.error().message;
  EXPECT_EQ(r->model, "m");
  EXPECT_EQ(r->version, "3");
  EXPECT_EQ(r->precision, "bf16");
  EXPECT_EQ(r->precision_error, 0.5);
  ASSERT_EQ(r->outputs.size(), 4u);
  EXPECT_EQ(r->outputs[0].tensor.view().as<int32_t>()[1], 2);
  EXPECT_EQ(r->outputs[1].tensor.view().as<float>()[3], -4.0F);
  EXPECT_EQ(r->outputs[2].tensor.view().as<std::string_view>()[1], "\xe2\x98\x83");
  EXPECT_EQ(r->outputs[3].tensor.view().as<std::string_view>()[0], "hi");
}

TEST(HttpDecode, EveryDatatypeOfJson) {
  auto output = [](const char* type, const char* data) {
    return decode_infer(reply(200, std::string(R"({"model_name":"m","outputs":[{"name":"y","shape":[1],"datatype":")") +
                                       type + R"(","data":)" + data + "}]}"));
  };
  EXPECT_TRUE(output("BOOL", "[true]")->outputs[0].tensor.view().as<bool>()[0]);
  EXPECT_EQ(output("INT8", "[-128]")->outputs[0].tensor.view().as<int8_t>()[0], -128);
  EXPECT_EQ(output("UINT64", "[18446744073709551615]")->outputs[0].tensor.view().as<uint64_t>()[0], ~uint64_t{0});
  EXPECT_EQ(output("FP64", "[1e300]")->outputs[0].tensor.view().as<double>()[0], 1e300);
  for (const auto& [type, data] : std::vector<std::pair<const char*, const char*>>{{"INT8", "[128]"},
                                                                                   {"UINT8", "[-1]"},
                                                                                   {"INT32", "[1.5]"},
                                                                                   {"BOOL", "[1]"},
                                                                                   {"FP32", "[\"a\"]"},
                                                                                   {"FP32", "[1,2]"},
                                                                                   {"FP32", "[]"},
                                                                                   {"FP32", "[[[[1]]]]"},
                                                                                   {"FP16", "[1]"},
                                                                                   {"FP33", "[1]"},
                                                                                   {"BYTES", "[1]"},
                                                                                   {"FP32", "{}"}}) {
    auto bad = output(type, data);
    ASSERT_FALSE(bad.ok()) << type << data;
    EXPECT_EQ(bad.error().code, Code::kInternal);
  }
}

TEST(HttpDecode, LyingAnswersAreErrors) {
  const std::string json =
      R"({"model_name":"m","outputs":[{"name":"y","datatype":"FP32","shape":[2],"parameters":{"binary_data_size":8}}]})";
  const std::string n = std::to_string(json.size());
  EXPECT_TRUE(decode_infer(reply(200, json + "12345678", n)).ok());
  EXPECT_FALSE(decode_infer(reply(200, json + "1234567", n)).ok());
  EXPECT_FALSE(decode_infer(reply(200, json, "99999")).ok());
  EXPECT_FALSE(decode_infer(reply(200, json, "-1")).ok());
  EXPECT_FALSE(decode_infer(reply(200, json, "x")).ok());
  EXPECT_FALSE(decode_infer(reply(200, "", "")).ok());
  EXPECT_FALSE(
      decode_infer(
          reply(200, R"({"model_name":"m","outputs":[{"name":"y","datatype":"FP32","shape":[1e9],"data":[]}]})"))
          .ok());
  EXPECT_FALSE(
      decode_infer(
          reply(200,
                R"({"model_name":"m","outputs":[{"name":"y","datatype":"FP32","shape":[1000000000000],"data":[1]}]})"))
          .ok());
  Random random(3, "answers");
  for (int i = 0; i < 2000; ++i) {
    std::string bytes = json + "12345678";
    bytes[random.below(bytes.size())] = static_cast<char>(random.next());
    bytes.resize(bytes.size() - random.below(3));
    auto r = decode_infer(reply(200, bytes, n));
    if (!r.ok()) {
      EXPECT_FALSE(r.error().message.empty());
    }
  }
}

TEST(HttpDecode, StatusesAreErrorsWithTheServersWords) {
  const std::pair<unsigned, Code> codes[] = {
      {400, Code::kInvalidArgument},   {404, Code::kNotFound},    {405, Code::kUnsupported},
      {413, Code::kResourceExhausted}, {503, Code::kUnavailable}, {504, Code::kDeadlineExceeded},
      {501, Code::kUnsupported},       {500, Code::kInternal},    {302, Code::kInternal}};
  for (const auto& [status, code] : codes) {
    auto r = decode_infer(reply(status, R"({"error":"because"})"));
    EXPECT_EQ(r.error().code, code) << status;
    EXPECT_EQ(r.error().message, "because");
  }
  EXPECT_EQ(decode_infer(reply(502, "<html>")).error().message, "HTTP status 502: <html>");
  EXPECT_TRUE(check_status(reply(200, "")).ok());
}

TEST(HttpDecode, MetadataAndConfig) {
  auto m = decode_metadata(reply(
      200,
      R"({"name":"m","versions":["1","2"],"platform":"p","inputs":[{"name":"x","datatype":"INT32","shape":[-1,16]}],"outputs":[]})"));
  ASSERT_TRUE(m.ok()) << m.error().message;
  EXPECT_EQ(m->versions.size(), 2u);
  EXPECT_EQ(m->inputs[0].shape, (Shape{-1, 16}));
  EXPECT_FALSE(decode_metadata(reply(200, "[]")).ok());
  auto c = decode_config(
      reply(200, R"({"name":"m","max_batch_size":8,"not_yet_known":1,"input":[{"name":"x","dims":["16"]}]})"));
  ASSERT_TRUE(c.ok()) << c.error().message;
  EXPECT_EQ((*c)->max_batch_size(), 8);
  EXPECT_EQ((*c)->input(0).dims(0), 16);
  EXPECT_FALSE(decode_config(reply(200, "{")).ok());
}

}  // namespace
}  // namespace motet::client
