#include "apps/perf/session.h"

#include <gtest/gtest.h>

#include <limits>

#include "apps/perf/json.h"
#include "apps/perf/perf.h"

namespace motet {
namespace {

TEST(Session, ReadsShapes) {
  auto shape = parse_shape("in=put=1x3x224");
  ASSERT_TRUE(shape.ok());
  EXPECT_EQ(shape->first, "in=put");
  EXPECT_EQ(shape->second, Shape({1, 3, 224}));
  auto scalar = parse_shape("sr=");
  ASSERT_TRUE(scalar.ok());
  EXPECT_EQ(scalar->second, Shape());
  for (const char* wrong : {"1x3", "=1x3", "a=1x", "a=x3", "a=1x-3", "a=one", "a=99999999999999999999"}) {
    auto refused = parse_shape(wrong);
    ASSERT_FALSE(refused.ok()) << wrong;
    EXPECT_NE(refused.error().message.find(wrong), std::string::npos);
  }
}

TEST(Session, FindsTheHighestVersionOfAModelsFolder) {
  auto folder = find_model("models/mnist_8");
  ASSERT_TRUE(folder.ok()) << folder.error().message;
  EXPECT_EQ(folder->string(), "models/mnist_8/1/model.onnx");
  EXPECT_EQ(find_model("models/mnist_8/1/model.onnx")->string(), "models/mnist_8/1/model.onnx");
  EXPECT_FALSE(find_model("models").ok());
  EXPECT_FALSE(find_model("models/absent").ok());
}

TEST(Session, BindsOpenExtents) {
  auto model = engine::Model::load("models/silero_vad/1/model.onnx");
  ASSERT_TRUE(model.ok()) << model.error().message;
  auto open = bind_shapes(**model, 1, {});
  ASSERT_FALSE(open.ok());
  EXPECT_NE(open.error().message.find("--shape input="), std::string::npos) << open.error().message;
  auto bound = bind_shapes(**model, 1, {{"input", {1, 576}}, {"state", {2, 1, 128}}});
  ASSERT_TRUE(bound.ok()) << bound.error().message;
  EXPECT_EQ(*bound, (std::vector<Shape>{{1, 576}, {2, 1, 128}, {}}));
  auto unknown = bind_shapes(**model, 1, {{"input", {1, 576}}, {"state", {2, 1, 128}}, {"stat", {1}}});
  ASSERT_FALSE(unknown.ok());
  EXPECT_NE(unknown.error().message.find("input, state, sr"), std::string::npos) << unknown.error().message;
  auto batched = engine::Model::load("models/mobilenet_v2/1/model.onnx");
  ASSERT_TRUE(batched.ok());
  EXPECT_EQ(*bind_shapes(**batched, 8, {}), (std::vector<Shape>{{8, 3, 224, 224}}));
}

TEST(Session, FillsInputsWithGivenValues) {
  auto value = parse_value("sr=16000");
  ASSERT_TRUE(value.ok());
  EXPECT_EQ(*value, std::make_pair(std::string("sr"), 16000.0));
  for (const char* wrong : {"sr", "=1", "sr=", "sr=1x"}) EXPECT_FALSE(parse_value(wrong).ok()) << wrong;
  auto model = engine::Model::load("models/silero_vad/1/model.onnx");
  ASSERT_TRUE(model.ok());
  auto program = (*model)->compile({{1, 576}, {2, 1, 128}, {}}, {.calibrate = false});
  ASSERT_TRUE(program.ok()) << program.error().message;
  auto inputs = draw_inputs(**program, {{"sr", 16000}});
  ASSERT_TRUE(inputs.ok());
  EXPECT_EQ((*inputs)[2].view().as<int64_t>()[0], 16000);
  EXPECT_FALSE(draw_inputs(**program, {{"rate", 1}}).ok());
}

TEST(Session, ReadsLayouts) {
  EXPECT_FALSE(parse_layout("measured")->has_value());
  EXPECT_EQ(*parse_layout("nhwc"), ops::Layout::kNhwc);
  EXPECT_FALSE(parse_layout("NCHW").ok());
}

TEST(Json, WritesNestedValuesAndEscapes) {
  JsonWriter json;
  json.begin_object().field("a\"\n", 1.5).key("b").begin_array().value(int64_t{1}).value("x\\").end_array();
  json.key("c").begin_object().end_object().field("d", std::numeric_limits<double>::infinity()).end_object();
  EXPECT_EQ(json.text(), "{\"a\\\"\\u000a\":1.5,\"b\":[1,\"x\\\\\"],\"c\":{},\"d\":null}");
}

// Exit status of a command, and what it printed on either stream.
template <class Main>
std::pair<int, std::string> run_command(Main main, std::vector<std::string> words) {
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  int status = main(static_cast<int>(argv.size()), argv.data());
  return {status, testing::internal::GetCapturedStdout() + testing::internal::GetCapturedStderr()};
}

TEST(Commands, HelpNamesEveryOption) {
  auto expect = [](int (*main)(int, char**), const std::string& name, const std::vector<std::string>& options) {
    auto [status, text] = run_command(main, {name, "--help"});
    EXPECT_EQ(status, 0);
    for (const std::string& option : options) EXPECT_NE(text.find(option), std::string::npos) << name << ' ' << option;
    EXPECT_EQ(run_command(main, {name, "--no-such-option"}).first, 2);
    EXPECT_EQ(run_command(main, {name}).first, 2);
  };
  expect(perf_main, "perf",
         {"--batch", "--threads", "--seconds", "--shape", "--value", "--layout", "--json", "--profile", "--control",
          "--executor", "--openvino-dir"});
  expect(run_main, "run", {"--inputs", "--outputs", "--threads", "--executor", "--openvino-dir"});
  expect(inspect_main, "inspect",
         {"--batch", "--threads", "--shape", "--layout", "--precision", "--inputs", "--json", "--no-times",
          "--disable-pass", "--executor", "--openvino-dir"});
}

TEST(Commands, InspectMeasuresWhatAPrecisionCosts) {
  const std::string inputs = "models/resnet20_cifar10/golden/0/inputs.npz";
  auto [status, text] =
      run_command(inspect_main, {"inspect", "models/resnet20_cifar10", "--no-times", "--inputs", inputs});
  EXPECT_EQ(status, 0) << text;
  for (const char* part : {"runs     by native;", "precision exact", "error    bf16: ", "error    int8: "})
    EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
  auto [refused, message] = run_command(inspect_main, {"inspect", "models/mnist_8", "--no-times", "--inputs", inputs});
  EXPECT_EQ(refused, 1);
  EXPECT_NE(message.find("no array for input"), std::string::npos) << message;
}

TEST(Commands, InspectTellsWhatAModelCompilesTo) {
  auto [status, text] = run_command(inspect_main, {"inspect", "models/mnist_8", "--no-times"});
  EXPECT_EQ(status, 0);
  for (const char* part : {"Conv 2", "GFLOP", "arena", "fold-constants", "onednn", "opset ai.onnx 8", "share its fate"})
    EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
  auto [json_status, json] = run_command(inspect_main, {"inspect", "models/mnist_8", "--no-times", "--json"});
  EXPECT_EQ(json_status, 0);
  EXPECT_EQ(json.front(), '{');
  auto [refused, message] = run_command(inspect_main, {"inspect", "models/mnist_8", "--disable-pass", "no-such-pass"});
  EXPECT_EQ(refused, 1);
  EXPECT_NE(message.find("no-such-pass"), std::string::npos) << message;
}

}  // namespace
}  // namespace motet
