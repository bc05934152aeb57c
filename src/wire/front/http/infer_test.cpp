// Infer requests and answers, and the small parsers beside them, without a server.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "wire/front/http/admin_json.h"
#include "wire/front/http/compression.h"
#include "wire/front/http/config_json.h"
#include "wire/front/http/infer_reply.h"
#include "wire/front/http/infer_request.h"
#include "wire/front/http/json_text.h"
#include "wire/front/http/route.h"
#include "wire/proto/model_config.pb.h"

namespace motet::http {
namespace {

std::shared_ptr<const Body> body_of(std::string_view text, size_t json_bytes = 0) {
  auto body = std::make_shared<Body>(text.size(), json_bytes);
  body->append(text.data(), text.size());
  return body;
}

Result<InferBody> parse(std::string_view json, std::string_view binary = "") {
  std::string text(json);
  text += binary;
  if (binary.empty()) return parse_infer(body_of(text), std::nullopt);
  return parse_infer(body_of(text, json.size()), std::to_string(json.size()));
}

std::string input_json(std::string_view dtype, std::string_view shape, std::string_view data) {
  std::string out = R"({"inputs":[{"name":"x","datatype":")";
  return out.append(dtype).append("\",\"shape\":").append(shape).append(",\"data\":").append(data).append("}]}");
}

std::string error_of(std::string_view json, std::string_view binary = "") {
  auto result = parse(json, binary);
  return result.ok() ? "(accepted)" : result.error().message;
}

void expect_error(std::string_view json, std::string_view part) {
  EXPECT_NE(error_of(json).find(part), std::string::npos) << json << "\n" << error_of(json);
}

template <class T>
std::vector<T> values(const Result<InferBody>& parsed) {
  if (!parsed.ok()) {
    ADD_FAILURE() << parsed.error().message;
    return {};
  }
  auto span = parsed->request.inputs.at(0).tensor.view().as<T>();
  return {span.begin(), span.end()};
}

std::vector<std::string> texts(const Result<InferBody>& parsed) {
  auto views = values<std::string_view>(parsed);
  return {views.begin(), views.end()};
}

TEST(InferRequest, ReadsEveryMember) {
  auto parsed = parse(
      R"({"id":"q\u0031","parameters":{"priority":2,"timeout":5000,"binary_data_output":true,"mine":1.5,"flag":false,"name":"n"},
    "outputs":[{"name":"a","parameters":{"classification":3}},{"name":"b","parameters":{"binary_data":false}}],
    "inputs":[{"name":"x","shape":[2,1],"datatype":"INT64","data":[[1],[-2]]}]})");
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  const api::InferRequest& r = parsed->request;
  EXPECT_EQ(r.id, "q1");
  EXPECT_EQ(r.priority, 2u);
  EXPECT_EQ(r.timeout_us, 5000);
  EXPECT_EQ(r.parameters, (api::Parameters{{"mine", 1.5}, {"flag", false}, {"name", std::string("n")}}));
  ASSERT_EQ(r.outputs.size(), 2u);
  EXPECT_EQ(r.outputs[0].classification, 3);
  EXPECT_TRUE(parsed->format.is_binary("a"));
  EXPECT_FALSE(parsed->format.is_binary("b"));
  EXPECT_EQ(values<int64_t>(parsed), (std::vector<int64_t>{1, -2}));
}

TEST(InferRequest, NumbersKeepTheirRangeAndKind) {
  EXPECT_EQ(values<uint8_t>(parse(input_json("UINT8", "[2]", "[0,255]"))), (std::vector<uint8_t>{0, 255}));
  EXPECT_EQ(values<uint64_t>(parse(input_json("UINT64", "[1]", "[18446744073709551615]"))),
            (std::vector<uint64_t>{~0ull}));
  EXPECT_EQ(values<int64_t>(parse(input_json("INT64", "[1]", "[-9223372036854775808]"))),
            (std::vector<int64_t>{std::numeric_limits<int64_t>::min()}));
  EXPECT_EQ(values<bool>(parse(input_json("BOOL", "[2]", "[true,false]"))), (std::vector<bool>{true, false}));
  EXPECT_EQ(values<float>(parse(input_json("FP32", "[3]", "[1, -2.5e-3 ,3.4e38]"))),
            (std::vector<float>{1, -2.5e-3f, 3.4e38f}));
  auto special = values<double>(parse(input_json("FP64", "[3]", "[NaN,-Infinity,Infinity ]")));
  ASSERT_EQ(special.size(), 3u);
  EXPECT_TRUE(std::isnan(special[0]));
  EXPECT_EQ(special[1], -std::numeric_limits<double>::infinity());
  expect_error(input_json("UINT8", "[1]", "[256]"), "element 0 is 256, which is no UINT8 value");
  expect_error(input_json("INT8", "[2]", "[1,-129]"), "element 1 is -129, which is no INT8 value");
  expect_error(input_json("UINT32", "[1]", "[-1]"), "no UINT32 value");
  expect_error(input_json("INT64", "[1]", "[9223372036854775808]"), "no INT64 value");
  expect_error(input_json("INT32", "[1]", "[1.0]"), "no INT32 value");
  expect_error(input_json("FP32", "[1]", "[1e39]"), "no FP32 value");
  expect_error(input_json("FP32", "[1]", "[nan]"), "no FP32 value");
  expect_error(input_json("FP32", "[1]", "[null]"), "no FP32 value");
  expect_error(input_json("BOOL", "[1]", "[1]"), "no BOOL value");
  expect_error(input_json("FP16", "[1]", "[1]"), "receiving FP16 data via JSON is not supported");
}

TEST(InferRequest, DataMustFillItsShape) {
  expect_error(input_json("INT32", "[3]", "[1,2]"), "shape [3] has 3 elements, 'data' has 2");
  expect_error(input_json("INT32", "[1]", "[1,2]"), "'data' has more");
  expect_error(input_json("INT32", "[1000000000000]", "[1]"), "can hold");
  expect_error(input_json("INT32", "[4294967296,4294967296,4294967296]", "[1]"), "[4294967296,4294967296,4294967296]");
  expect_error(input_json("INT32", "[-1]", "[1]"), "Unable to parse 'shape'");
  expect_error(input_json("INT32", "[1.5]", "[1]"), "Unable to parse 'shape'");
  expect_error(input_json("INT32", "[1]", std::string(100, '[') + "1" + std::string(100, ']')),
               "nested deeper than 64");
  EXPECT_TRUE(values<int32_t>(parse(input_json("INT32", "[0,4]", "[]"))).empty());
  EXPECT_EQ(values<int32_t>(parse(input_json("INT32", "[]", "[7]"))), (std::vector<int32_t>{7})) << "a scalar";
}

TEST(InferRequest, MembersMayComeInAnyOrder) {
  auto parsed =
      parse(R"({"inputs":[{"data":[[1,2],[3,4]],"parameters":{"x":1},"datatype":"INT16","shape":[2,2],"name":"x"}]})");
  EXPECT_EQ(values<int16_t>(parsed), (std::vector<int16_t>{1, 2, 3, 4}));
}

TEST(InferRequest, RefusesWhatIsMissingTwiceOrUnknown) {
  expect_error("{}", "'inputs'");
  expect_error(R"({"inputs":[],"inputs":[]})", "'inputs' is given twice");
  expect_error(R"({"inputs":[{"name":"x","name":"y","shape":[1],"datatype":"INT8","data":[1]}]})",
               "'name' is given twice");
  expect_error(R"({"inputs":[{"name":"x","shape":[1],"datatype":"INT33","data":[1]}]})", "invalid datatype 'INT33'");
  expect_error(R"({"inputs":[{"name":"x","shape":[1],"datatype":"INT8"}]})", "But no field is set");
  expect_error(
      R"({"inputs":[{"name":"x","shape":[1],"datatype":"INT8","data":[1],"parameters":{"binary_data_size":1}}]})",
      "more than one is set");
  expect_error(R"({"inputs":[],"parameters":{"a":[]}})", "parameter 'a' has invalid type");
  expect_error(R"({"inputs":[],"parameters":{"priority":-1}})", "Unable to parse 'priority'");
  expect_error(R"({"inputs":[],"parameters":{"triton_x":1}})", "reserved");
  expect_error(R"({"inputs":[],"outputs":[{"name":"y","parameters":{"classification":-1}}]})", "classification");
  expect_error(R"({"inputs":[],"outputs":[{"name":"y"},{"name":"y","parameters":{"binary_data":true}}]})",
               "asked for twice");
  expect_error(R"({"inputs":[]} {})", "follows");
  expect_error(R"({"inputs":[)", "");
  expect_error("[1]", "one object");
  expect_error("\"\xff\"", "UTF-8");
  EXPECT_EQ(error_of(R"({"inputs":[],"color":{"a":[1,{"b":null}]}})"), "(accepted)");
}

TEST(InferRequest, BinaryTensorsAreViewsOnTheBody) {
  std::string json =
      R"({"inputs":[{"name":"a","shape":[2],"datatype":"FP32","parameters":{"binary_data_size":8}},{"name":"b","shape":[1],"datatype":"UINT8","parameters":{"binary_data_size":1}},{"name":"c","shape":[1],"datatype":"INT16","parameters":{"binary_data_size":2}}]})";
  std::string binary(11, '\0');
  float ones[2] = {1.5f, -2};
  int16_t c = 77;
  std::memcpy(binary.data(), ones, 8);
  binary[8] = 9;
  std::memcpy(binary.data() + 9, &c, 2);
  auto body = body_of(json + binary, json.size());
  auto parsed = parse_infer(body, std::to_string(json.size()));
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  const auto& inputs = parsed->request.inputs;
  EXPECT_EQ(inputs[0].tensor.view().data, body->data() + json.size()) << "aligned: a view";
  EXPECT_EQ(inputs[0].tensor.view().as<float>()[1], -2);
  EXPECT_EQ(inputs[1].tensor.view().as<uint8_t>()[0], 9);
  EXPECT_NE(inputs[2].tensor.view().data, body->data() + json.size() + 9) << "odd address: a copy";
  EXPECT_EQ(inputs[2].tensor.view().as<int16_t>()[0], 77);
  Tensor kept = inputs[0].tensor;
  body.reset();
  parsed = Error{};
  EXPECT_EQ(kept.view().as<float>()[0], 1.5f) << "the tensor keeps the body";
}

TEST(InferRequest, BinarySizesAreChecked) {
  std::string json = R"({"inputs":[{"name":"a","shape":[2],"datatype":"FP32","parameters":{"binary_data_size":8}}]})";
  EXPECT_NE(error_of(json, "1234567").find("expecting 1 additional bytes"), std::string::npos);
  EXPECT_NE(error_of(json, "123456789").find("unexpected additional input data: 1 bytes"), std::string::npos);
  std::string wrong = R"({"inputs":[{"name":"a","shape":[3],"datatype":"FP32","parameters":{"binary_data_size":8}}]})";
  EXPECT_NE(error_of(wrong, "12345678").find("Expected 12 for shape [3] of FP32, got 8"), std::string::npos);
  std::string huge =
      R"({"inputs":[{"name":"a","shape":[4611686018427387904],"datatype":"FP32","parameters":{"binary_data_size":0}}]})";
  EXPECT_NE(error_of(huge, " ").find("4611686018427387904"), std::string::npos) << error_of(huge, " ");
  for (const char* length : {"x", "-1", "5x", "99999", "184467440737095516160", ""}) {
    auto result = parse_infer(body_of(json), length);
    ASSERT_FALSE(result.ok()) << length;
    EXPECT_NE(result.error().message.find("Inference-Header-Content-Length '" + std::string(length) + "'"),
              std::string::npos);
  }
}

TEST(InferRequest, ARawBodyIsOneNamelessInput) {
  auto parsed = parse_infer(body_of("abc"), "0");
  ASSERT_TRUE(parsed.ok());
  EXPECT_TRUE(parsed->request.raw_body);
  ASSERT_EQ(parsed->request.inputs.size(), 1u);
  EXPECT_EQ(parsed->request.inputs[0].tensor.shape(), (Shape{3}));
  EXPECT_TRUE(parsed->format.is_binary("any"));
}

TEST(InferRequest, BytesComeAsStringsOrSerialised) {
  auto json = texts(parse(input_json("BYTES", "[2,1]", R"([["a\u2603"],[""]])")));
  EXPECT_EQ(json, (std::vector<std::string>{"a\xE2\x98\x83", ""}));
  std::string head = R"({"inputs":[{"name":"s","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":6}}]})";
  EXPECT_EQ(texts(parse(head, std::string_view("\2\0\0\0ab", 6))), (std::vector<std::string>{"ab"}));
  EXPECT_NE(error_of(head, std::string_view("\x63\0\0\0ab", 6)).find("string of length 99"), std::string::npos);
}

TEST(InferReply, WritesTritonsShape) {
  std::vector<float> y = {2, 0.1f, std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity(),
                          1e20f};
  api::InferResponse response{"m", "1", "q", {{"y", Tensor::of<float>({5}, y)}}, {{"p", int64_t{3}}}};
  HttpReply reply = infer_reply(response, {});
  EXPECT_EQ(
      reply.text,
      R"({"id":"q","model_name":"m","model_version":"1","parameters":{"p":3},"outputs":[{"name":"y","datatype":"FP32","shape":[5],"data":[2.0,0.1,NaN,-Infinity,1e+20]}]})");
  EXPECT_FALSE(reply.json_length.has_value());
}

TEST(InferReply, BinaryOutputsFollowTheJson) {
  std::vector<int32_t> y = {1, 2};
  std::vector<std::string_view> s = {"ab", ""};
  api::InferResponse response{
      "m", "1", "", {{"y", Tensor::of<int32_t>({2}, y)}, {"s", Tensor::of<std::string_view>({2}, s)}}, {}};
  OutputFormat format;
  format.binary_default = true;
  HttpReply reply = infer_reply(response, format);
  ASSERT_EQ(reply.pieces.size(), 2u);
  EXPECT_EQ(reply.pieces[0].data, response.outputs[0].tensor.view().data) << "not copied";
  EXPECT_EQ(std::string_view(static_cast<const char*>(reply.pieces[1].data), reply.pieces[1].bytes),
            std::string_view("\2\0\0\0ab\0\0\0\0", 10));
  EXPECT_EQ(reply.json_length, reply.text.size());
  EXPECT_NE(reply.text.find(R"({"name":"s","datatype":"BYTES","shape":[2],"parameters":{"binary_data_size":10}})"),
            std::string::npos)
      << reply.text;
  EXPECT_EQ(reply.content_type, "application/octet-stream");
}

TEST(InferReply, WhatJsonCannotCarryIsRefused) {
  api::InferResponse half{"m", "1", "", {{"y", Tensor::zeros(DType::kF16, {1})}}, {}};
  EXPECT_EQ(infer_reply(half, {}).status, 400);
  std::vector<std::string_view> s = {"\xff"};
  api::InferResponse bytes{"m", "1", "", {{"y", Tensor::of<std::string_view>({1}, s)}}, {}};
  EXPECT_EQ(infer_reply(bytes, {}).status, 400);
  OutputFormat binary;
  binary.binary_default = true;
  EXPECT_EQ(infer_reply(bytes, binary).status, 200);
}

TEST(JsonText, StringsAreEscapedAndStayUtf8) {
  std::string out;
  append_json_string(out, std::string_view("a\"\\\n\x01\xC3\xB6\xE2\x98\x83\xF0\x9F\x98\x80", 14));
  EXPECT_EQ(out, "\"a\\\"\\\\\\n\\u0001\xC3\xB6\xE2\x98\x83\xF0\x9F\x98\x80\"");
  for (std::string_view broken :
       {"\xff", "\xC3", "\xE2\x98", "\xC0\x80", "\xED\xA0\x80", "\xF5\x80\x80\x80", "\xF4\x90\x80\x80"}) {
    out.clear();
    append_json_string(out, broken);
    EXPECT_TRUE(is_utf8(out));
    EXPECT_FALSE(is_utf8(broken));
  }
}

TEST(Compression, RoundTripsAndLimits) {
  std::string text(100000, 'a');
  for (Encoding encoding : {Encoding::kGzip, Encoding::kDeflate}) {
    HttpReply reply;
    reply.text = text.substr(0, 500);
    reply.pieces.push_back({text.data() + 500, 70000, nullptr});
    reply.pieces.push_back({text.data() + 70500, text.size() - 70500, nullptr});
    deflate_reply(reply, encoding);
    EXPECT_LT(reply.text.size(), 2000u);
    auto body = body_of(reply.text);
    auto inflated = inflate_body(*body, text.size(), 0);
    ASSERT_TRUE(inflated.ok()) << inflated.error().message;
    EXPECT_EQ((*inflated)->text(), text);
    auto bomb = inflate_body(*body, text.size() - 1, 0);
    ASSERT_FALSE(bomb.ok());
    EXPECT_EQ(bomb.error().code, Code::kResourceExhausted);
    EXPECT_FALSE(inflate_body(*body_of(reply.text.substr(0, reply.text.size() - 5)), text.size(), 0).ok());
    EXPECT_FALSE(inflate_body(*body_of(reply.text + "x"), text.size(), 0).ok());
  }
  EXPECT_FALSE(inflate_body(*body_of("plain text"), 1000, 0).ok());
  EXPECT_FALSE(inflate_body(*body_of(""), 1000, 0).ok());
}

TEST(Compression, ChoosesWhatTheClientLikesBest) {
  EXPECT_EQ(preferred_encoding(""), Encoding::kIdentity);
  EXPECT_EQ(preferred_encoding("br"), Encoding::kIdentity);
  EXPECT_EQ(preferred_encoding("gzip, deflate"), Encoding::kGzip);
  EXPECT_EQ(preferred_encoding("gzip;q=0.2, deflate;q=0.9"), Encoding::kDeflate);
  EXPECT_EQ(preferred_encoding("gzip;q=0"), Encoding::kIdentity);
  EXPECT_EQ(preferred_encoding("identity, gzip;q=0.5"), Encoding::kIdentity);
  EXPECT_FALSE(content_encoding("br").ok());
  EXPECT_EQ(*content_encoding("GZip"), Encoding::kGzip);
}

TEST(Route, NamesVerbModelAndVersion) {
  auto route = find_route("/v2/models/a%20b/versions/3/infer?x=1");
  ASSERT_TRUE(route.has_value());
  EXPECT_EQ(route->verb, Verb::kInfer);
  EXPECT_EQ(route->model, "a b");
  EXPECT_EQ(route->version, "3");
  EXPECT_EQ(find_route("/v2/models/stats")->verb, Verb::kAllStatistics);
  EXPECT_EQ(find_route("/v2/models/m")->verb, Verb::kModelMetadata);
  EXPECT_EQ(find_route("/v2/repository/r/models/m/load")->repository, "r");
  EXPECT_EQ(find_route("/v2/cudasharedmemory/region/x/register")->verb, Verb::kSharedMemoryRegister);
  for (const char* unknown :
       {"", "/", "/v2/", "v2", "/v1", "/v2/models", "/v2/models/", "/v2/models//infer", "/v2/models/m/versions/x/infer",
        "/v2/models/m/nope", "/v2/health", "/v2/models/%zz", "/v2/models/a%2Fb", "/v2/models/..",
        "/v2/models/%2e%2E/infer", "/v2/models/a%00", "/v2/models/m%2", "/v2/repository", "/v2/systemsharedmemory"}) {
    EXPECT_FALSE(find_route(unknown).has_value()) << unknown;
  }
}

TEST(AdminJson, WritesAndReadsTheOtherVerbs) {
  EXPECT_EQ(
      model_metadata_json({"m", {"1", "2"}, "onnxruntime_onnx", {{"x", DType::kF32, {-1, 4}}}, {}, {}}),
      R"({"name":"m","versions":["1","2"],"platform":"onnxruntime_onnx","inputs":[{"name":"x","datatype":"FP32","shape":[-1,4]}],"outputs":[]})");
  EXPECT_EQ(
      model_metadata_json({"m", {}, "p", {}, {}, {{"executor", std::string("native")}, {"slices", int64_t{7}}}}),
      R"({"name":"m","versions":[],"platform":"p","inputs":[],"outputs":[],"parameters":{"executor":"native","slices":7}})");
  std::vector<api::IndexEntry> entries = {{"a", "1", "READY", ""}, {"b", "", "", ""}, {"c", "1", "UNAVAILABLE", "why"}};
  EXPECT_EQ(
      index_json(entries),
      R"([{"name":"a","version":"1","state":"READY"},{"name":"b"},{"name":"c","version":"1","state":"UNAVAILABLE","reason":"why"}])");
  EXPECT_EQ(*parse_index(*body_of("")), false);
  EXPECT_EQ(*parse_index(*body_of(R"({"ready":true})")), true);
  EXPECT_FALSE(parse_index(*body_of(R"({"ready":1})")).ok());
  EXPECT_EQ(*parse_load(*body_of(R"({"parameters":{"config":"{\"max_batch_size\":2}"}})")), R"({"max_batch_size":2})");
  EXPECT_EQ(parse_load(*body_of(R"({"parameters":{"file:1/model.onnx":"AA=="}})")).error().code, Code::kUnsupported);
  EXPECT_EQ(*parse_unload(*body_of(R"({"parameters":{"unload_dependents":true}})")), true);
  EXPECT_FALSE(parse_unload(*body_of("{")).ok());
}

TEST(ConfigJson, KeepsNamesIntegersAndDefaults) {
  inference::ModelConfig config;
  config.set_name("m");
  config.set_max_batch_size(8);
  auto* input = config.add_input();
  input->set_name("x");
  input->set_data_type(inference::TYPE_FP32);
  input->add_dims(int64_t{1} << 60);
  (*config.mutable_parameters())["b"].set_string_value("2");
  (*config.mutable_parameters())["a"].set_string_value("q\"");
  std::string json = config_json(config);
  for (const char* part :
       {R"("name":"m")", R"("max_batch_size":8)", R"("data_type":"TYPE_FP32")", R"("dims":[1152921504606846976])",
        R"("output":[])", R"("parameters":{"a":{"string_value":"q\""},"b":{"string_value":"2"}})"}) {
    EXPECT_NE(json.find(part), std::string::npos) << part << "\n" << json;
  }
  EXPECT_EQ(json.find("\"dynamic_batching\""), std::string::npos) << "a message that is not set";
}

}  // namespace
}  // namespace motet::http
