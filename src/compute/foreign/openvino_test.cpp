// OpenVINO behind the port: its answers against the native engine's, its failures, and its declarations against the
// headers of the installed one.
#include "compute/foreign/openvino.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>

#include "compute/device/pool.h"
#include "compute/engine/execution.h"
#include "compute/foreign/openvino_api.h"
#include "compute/foreign/test_support.h"
#include "compute/graph/test_model.h"

namespace motet::foreign {
namespace {

namespace fs = std::filesystem;
namespace t = graph::test;
using test::OnCpus;

constexpr const char* kMobileNet = "models/mobilenet_v2/1/model.onnx";

class OpenVino : public testing::Test {
 protected:
  void SetUp() override {
    MOTET_NEEDS_OPENVINO();
    engine::install_foreign(test::executor());
    folder_ = fs::temp_directory_path() / ("motet-openvino-" + std::to_string(getpid()));
    fs::create_directory(folder_);
  }
  void TearDown() override {
    engine::uninstall_foreign();
    if (!folder_.empty()) fs::remove_all(folder_);
  }
  fs::path write(const std::string& graph, const std::string& name = "model.onnx", int opset = 13) {
    std::ofstream(folder_ / name, std::ios::binary) << t::model(graph, opset);
    return folder_ / name;
  }
  fs::path folder_;
};

std::shared_ptr<const engine::ForeignStep> compile(const fs::path& path, const std::vector<Shape>& shapes, int width,
                                                   bool calibrate = false) {
  auto model = test::executor()->load(path, nullptr);
  EXPECT_TRUE(model.ok()) << model.error().message;
  if (!model.ok()) return nullptr;
  auto step = (*model)->compile(shapes, {.max_width = width, .calibrate = calibrate});
  EXPECT_TRUE(step.ok()) << step.error().message;
  return step.ok() ? *step : nullptr;
}

std::vector<float> answer(const std::string& executor, const Tensor& input) {
  auto model = engine::Model::load(kMobileNet, {.executor = executor});
  MOTET_CHECK(model.ok(), "the shipped model loads");
  EXPECT_TRUE((*model)->batchable());
  auto program = (*model)->compile({input.shape()}, {.calibrate = false});
  MOTET_CHECK(program.ok(), "the shipped model compiles");
  EXPECT_EQ((*program)->executor() == "native", executor == "native");
  auto execution = engine::Execution::create({{*program, 0}}, {{{input.view()}}}, false);
  EXPECT_EQ((*execution)->run(device::Team::serial()), engine::RunState::kFinished);
  Tensor output = (*execution)->output(0, 0);
  auto values = output.view().as<float>();
  return {values.begin(), values.end()};
}

TEST_F(OpenVino, AnswersAsTheNativeEngineDoes) {
  auto step = compile(kMobileNet, {{2, 3, 224, 224}}, 1);
  test::Tensors tensors(*step);
  auto native = answer("native", tensors.inputs[0]);
  auto foreign = answer("openvino", tensors.inputs[0]);
  ASSERT_EQ(native.size(), foreign.size());
  float largest = 0, difference = 0;
  for (size_t i = 0; i < native.size(); ++i) {
    largest = std::max(largest, std::abs(native[i]));
    difference = std::max(difference, std::abs(native[i] - foreign[i]));
  }
  EXPECT_GT(largest, 1.0f);
  EXPECT_LT(difference, 1e-4f * largest);
}

TEST_F(OpenVino, AChildGivesTheSameAnswer) {
  std::vector<int> cpus = device::read_cpu_budget().cpus;
  if (cpus.size() < 2) GTEST_SKIP() << "skipped: this machine has one CPU";
  cpus.resize(2);
  auto step = compile(kMobileNet, {{1, 3, 224, 224}}, 2, true);
  EXPECT_GT(step->predicted(1), Nanos(0));
  EXPECT_GT(step->predicted(2), Nanos(0));
  EXPECT_GT(step->bytes(), step->run_bytes());
  test::Tensors here(*step), there(*step);
  OnCpus one({cpus[0]}), two(cpus);
  ASSERT_TRUE(test::run(*step, here, one).ok());
  ASSERT_TRUE(test::run(*step, there, two).ok());
  auto a = here.out[0].as<float>();
  auto b = there.out[0].as<float>();
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-3) << i;
}

TEST_F(OpenVino, AnotherPartitionGetsAChildOnceThatPays) {
  std::vector<int> cpus = device::read_cpu_budget().cpus;
  if (cpus.size() < 2) GTEST_SKIP() << "skipped: this machine has one CPU";
  cpus.resize(2);
  auto step = compile(kMobileNet, {{1, 3, 224, 224}}, 2, true);
  const std::vector<int> first = test::children();
  ASSERT_EQ(first.size(), 1u);
  test::Tensors tensors(*step);
  OnCpus same(cpus), other({cpus[1], cpus[0]});  // in another order: not the CPUs of the child
  ASSERT_TRUE(test::run(*step, tensors, other).ok());
  EXPECT_EQ(test::children(), first) << "one run is not worth a start: it did with one core";
  Tensor alone = Tensor::zeros(DType::kF32, {1, 1000});
  std::memcpy(alone.view().data, tensors.out[0].data, tensors.out[0].bytes());
  ASSERT_TRUE(test::run(*step, tensors, same).ok());
  for (size_t i = 0; i < 1000; ++i) ASSERT_NEAR(alone.view().as<float>()[i], tensors.out[0].as<float>()[i], 1e-3) << i;
}

TEST_F(OpenVino, RunsAtOnceHaveCopiesOfTheirOwn) {
  auto step = compile(kMobileNet, {{1, 3, 224, 224}}, 1);
  test::Tensors a(*step), b(*step);
  auto& team = device::Team::serial();
  auto first = step->start(a.in, a.out, team);
  auto second = step->start(b.in, b.out, team);
  ASSERT_TRUE(first.ok() && second.ok());
  std::thread other([&] { EXPECT_TRUE((*second)->poll(kNever).ok()); });
  EXPECT_TRUE((*first)->poll(kNever).ok());
  other.join();
  EXPECT_EQ(std::memcmp(a.out[0].data, b.out[0].data, a.out[0].bytes()), 0);
}

TEST_F(OpenVino, ACrashOfTheChildFailsTheQueryAndAnotherIsStarted) {
  std::vector<int> cpus = device::read_cpu_budget().cpus;
  if (cpus.size() < 2) GTEST_SKIP() << "skipped: this machine has one CPU";
  cpus.resize(2);
  auto step = compile(kMobileNet, {{4, 3, 224, 224}}, 2, true);
  test::Tensors tensors(*step);
  OnCpus two(cpus);
  ASSERT_TRUE(test::run(*step, tensors, two).ok());
  {
    auto run = step->start(tensors.in, tensors.out, two);
    ASSERT_TRUE(run.ok());
    ASSERT_EQ(test::children().size(), 1u);
    kill(test::children()[0], SIGSEGV);
    auto ended = (*run)->poll(Nanos::from_seconds(10));
    ASSERT_FALSE(ended.ok());
    EXPECT_NE(ended.error().message.find("signal 11"), std::string::npos) << ended.error().message;
  }
  EXPECT_TRUE(test::run(*step, tensors, two).ok());
  ASSERT_EQ(test::children().size(), 1u) << "in a child again, not in the process that must not crash";
  const int idle = test::children()[0];
  kill(idle, SIGKILL);
  while (!test::ended(idle)) std::this_thread::yield();
  Status after = test::run(*step, tensors, two);
  EXPECT_TRUE(after.ok()) << after.error().message;
}

TEST_F(OpenVino, CancellingEndsARun) {
  auto step = compile(kMobileNet, {{8, 3, 224, 224}}, 2);
  test::Tensors tensors(*step);
  std::vector<int> cpus = device::read_cpu_budget().cpus;
  cpus.resize(std::min<size_t>(cpus.size(), 2));
  for (auto& where : {std::vector<int>{cpus[0]}, cpus}) {
    OnCpus team(where);
    {
      auto run = step->start(tensors.in, tensors.out, team);
      ASSERT_TRUE(run.ok());
      (*run)->cancel();
      auto ended = (*run)->poll(Nanos::from_seconds(10));
      ASSERT_FALSE(ended.ok()) << where.size();
      EXPECT_EQ(ended.error().code, Code::kCancelled);
    }
    EXPECT_TRUE(test::run(*step, tensors, team).ok()) << "the next one runs";
  }
}

TEST_F(OpenVino, TellsWhatItCannotRead) {
  std::ofstream(folder_ / "broken.xml") << "<net>";
  for (auto file : {folder_ / "broken.xml", folder_ / "absent.tflite"}) {
    auto model = engine::Model::load(file);
    ASSERT_FALSE(model.ok());
    EXPECT_NE(model.error().message.find(file.filename().string()), std::string::npos) << model.error().message;
  }
  auto path = write(t::graph({.nodes = {t::node("Frobnicate", {"x"}, {"y"})},
                              .inputs = {t::info("x", 1, {"N", "4"})},
                              .outputs = {t::info("y", 1, {"N", "4"})}}));
  auto model = engine::Model::load(path);
  ASSERT_TRUE(model.ok()) << model.error().message;
  auto program = (*model)->compile({{1, 4}}, {.calibrate = false});
  ASSERT_FALSE(program.ok());
  for (const char* part : {"native: ", "foreign: openvino: ", "Frobnicate"})
    EXPECT_NE(program.error().message.find(part), std::string::npos) << program.error().message;
}

TEST_F(OpenVino, OutputsWhoseExtentsDependOnDataComeOutWhole) {
  auto path = write(t::graph({.nodes = {t::node("NonZero", {"x"}, {"y"})},
                              .inputs = {t::info("x", 1, {"6"})},
                              .outputs = {t::info("y", 7, {"1", "K"})}}));
  auto step = compile(path, {{6}}, 2);
  ASSERT_EQ(step->outputs()[0].shape, (Shape{1, -1}));
  test::Tensors tensors(*step);
  tensors.in[0].as<float>()[1] = tensors.in[0].as<float>()[4] = 0;
  std::vector<int> cpus = device::read_cpu_budget().cpus;
  cpus.resize(std::min<size_t>(cpus.size(), 2));
  for (auto& where : {std::vector<int>{cpus[0]}, cpus}) {
    OnCpus team(where);
    Status ran = test::run(*step, tensors, team);
    ASSERT_TRUE(ran.ok()) << ran.error().message;
    ASSERT_EQ(tensors.outputs[0].shape(), (Shape{1, 4}));
    auto found = tensors.outputs[0].view().as<int64_t>();
    EXPECT_EQ(std::vector<int64_t>(found.begin(), found.end()), (std::vector<int64_t>{0, 2, 3, 5}));
  }
}

TEST_F(OpenVino, OpensTensorFlowGraphs) {
  std::ofstream(folder_ / "model.pbtxt") << R"(
    node { name: "x" op: "Placeholder" attr { key: "dtype" value { type: DT_FLOAT } }
           attr { key: "shape" value { shape { dim { size: -1 } dim { size: 3 } } } } }
    node { name: "y" op: "Relu" input: "x" attr { key: "T" value { type: DT_FLOAT } } }
    versions { producer: 1087 })";
  auto model = engine::Model::load(folder_ / "model.pbtxt");
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_TRUE((*model)->batchable());
  EXPECT_EQ((*model)->inputs()[0].name, "x:0");
  EXPECT_EQ((*model)->outputs()[0].name, "y:0");
  EXPECT_EQ((*model)->outputs()[0].shape, (Shape{-1, 3}));
  auto program = (*model)->compile({{2, 3}}, {.calibrate = false});
  ASSERT_TRUE(program.ok()) << program.error().message;
  std::vector<float> x = {1, -2, 3, -4, 5, -6};
  TensorView view{DType::kF32, {2, 3}, reinterpret_cast<std::byte*>(x.data())};
  auto execution = engine::Execution::create({{*program, 2}}, {{{view}}}, true);
  ASSERT_TRUE(execution.ok()) << execution.error().message;
  ASSERT_EQ((*execution)->run(device::Team::serial()), engine::RunState::kFinished);
  Tensor output = (*execution)->output(0, 0);
  auto y = output.view().as<float>();
  EXPECT_EQ(std::vector<float>(y.begin(), y.end()), (std::vector<float>{1, 0, 3, 0, 5, 0}));
}

TEST_F(OpenVino, RefusesWhatItIsKnownToComputeOtherwise) {
  auto path = write(t::graph({.nodes = {t::node("DynamicQuantizeLinear", {"x"}, {"y", "s", "z"})},
                              .inputs = {t::info("x", 1, {"4"})},
                              .outputs = {t::info("y", 2, {"4"}), t::info("s", 1, {}), t::info("z", 2, {})}}));
  engine::KnownModel known{{{"x", DType::kF32, {4}}},
                           {{"y", DType::kU8, {4}}, {"s", DType::kF32, {}}, {"z", DType::kU8, {}}},
                           {"DynamicQuantizeLinear"}};
  auto refused = test::executor()->load(path, &known);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("DynamicQuantizeLinear"), std::string::npos) << refused.error().message;
  EXPECT_TRUE(test::executor()->load(path, nullptr).ok()) << "by who forces it";
}

// Text without white space.
std::string packed(const std::string& text) {
  std::string out;
  for (char c : text)
    if (!std::isspace(static_cast<unsigned char>(c))) out += c;
  return out;
}

TEST_F(OpenVino, DeclarationsAreThoseOfTheInstalledHeaders) {
  auto library = ov::find_library("");
  ASSERT_TRUE(library.ok());
  fs::path headers = library->parent_path().parent_path() / "include/openvino/c";
  if (!fs::is_directory(headers)) GTEST_SKIP() << "skipped: no headers in " << headers;
  std::string all;
  for (const auto& entry : fs::directory_iterator(headers)) {
    std::ifstream file(entry.path());
    std::stringstream text;
    text << file.rdbuf();
    all += packed(text.str());
  }
#define MOTET_EXPECT_DECLARED(name, result, parameters) \
  EXPECT_NE(all.find(packed("OPENVINO_C_API(" #result ")" #name #parameters ";")), std::string::npos) << #name;
  MOTET_OPENVINO_FUNCTIONS(MOTET_EXPECT_DECLARED)
#undef MOTET_EXPECT_DECLARED
  for (const char* declared : {"typedefstructov_version{constchar*buildNumber;", "typedefstruct{int64_trank;",
                               "typedefstructov_dimension{int64_tmin;", "typedefstructov_partial_shape{ov_rank_trank;",
                               "typedefstruct{constchar*key;", "INFER_CANCELLED=-13,"})
    EXPECT_NE(all.find(declared), std::string::npos) << declared;
}

TEST(OpenVinoLibrary, IsLookedForWhereItWasSaid) {
  auto absent = ov::find_library("/no/such/place");
  ASSERT_FALSE(absent.ok());
  EXPECT_NE(absent.error().message.find("/no/such/place"), std::string::npos);
}

}  // namespace
}  // namespace motet::foreign
