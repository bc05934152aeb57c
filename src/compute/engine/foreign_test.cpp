// What becomes of models that the native engine refuses, with an executor made for the test: it adds 1 to the model's
// input and calls that its output.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "compute/device/fake/fake.h"
#include "compute/engine/execution.h"
#include "compute/engine/foreign_step.h"
#include "compute/graph/test_model.h"

namespace motet::engine {
namespace {

namespace t = graph::test;

class AddOneRun final : public ForeignRun {
 public:
  AddOneRun(TensorView in, TensorView out, bool endless)
      : in_(std::move(in)), out_(std::move(out)), endless_(endless) {}
  Result<bool> poll(Nanos) override {
    if (cancelled_) return Error{Code::kCancelled, "cancelled"};
    if (endless_) return false;
    for (size_t i = 0; i < in_.as<float>().size(); ++i) out_.as<float>()[i] = in_.as<float>()[i] + 1;
    return true;
  }
  void cancel() override { cancelled_ = true; }
  Tensor take_output(size_t) override { return {}; }

 private:
  const TensorView in_, out_;
  const bool endless_;
  std::atomic<bool> cancelled_{false};
};

class AddOneStep final : public ForeignStep {
 public:
  AddOneStep(const Shape& shape, bool endless)
      : ports_{{"x", DType::kF32, shape}}, out_{{"y", DType::kF32, shape}}, endless_(endless) {}
  const std::vector<Port>& inputs() const override { return ports_; }
  const std::vector<Port>& outputs() const override { return out_; }
  Bytes bytes() const override { return Bytes(1000); }
  Bytes run_bytes() const override { return Bytes(600); }
  Nanos predicted(int width) const override { return Nanos::from_millis(8) / width; }
  Result<std::unique_ptr<ForeignRun>> start(std::span<const TensorView> inputs, std::span<const TensorView> outputs,
                                            device::Team&) const override {
    return std::unique_ptr<ForeignRun>(std::make_unique<AddOneRun>(inputs[0], outputs[0], endless_));
  }

 private:
  const std::vector<Port> ports_, out_;
  const bool endless_;
};

class AddOneModel final : public ForeignModel {
 public:
  explicit AddOneModel(bool endless) : endless_(endless) {}
  const std::vector<Port>& inputs() const override { return in_; }
  const std::vector<Port>& outputs() const override { return out_; }
  bool batchable() const override { return true; }
  Bytes bytes() const override { return Bytes(77); }
  Result<std::shared_ptr<const ForeignStep>> compile(const std::vector<Shape>& shapes, const ForeignOptions&) override {
    if (shapes[0].back() > 100) return unsupported("rows longer than 100");
    return std::shared_ptr<const ForeignStep>(std::make_shared<AddOneStep>(shapes[0], endless_));
  }

 private:
  const bool endless_;
  const std::vector<Port> in_ = {{"x", DType::kF32, {-1, -1}}}, out_ = {{"y", DType::kF32, {-1, -1}}};
};

class AddOne final : public ForeignExecutor {
 public:
  std::string_view name() const override { return "addone"; }
  Status open() override { return missing ? Status(unsupported("addone is not installed")) : Status(); }
  std::string version() const override { return "7.1"; }
  bool reads(const std::filesystem::path& path) const override {
    return path.extension() == ".onnx" || path.extension() == ".one";
  }
  Result<std::shared_ptr<ForeignModel>> load(const std::filesystem::path&, const KnownModel*) override {
    ++loads;
    return std::shared_ptr<ForeignModel>(std::make_shared<AddOneModel>(endless));
  }
  bool missing = false, endless = false;
  int loads = 0;
};

class Foreign : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("motet-foreign-" + std::to_string(getpid()));
    std::filesystem::create_directory(folder_);
  }
  void TearDown() override {
    uninstall_foreign();
    std::filesystem::remove_all(folder_);
  }
  // A model of one op from x to y.
  std::filesystem::path write(const std::string& op, int64_t opset = 13, const std::string& file = "model.onnx") {
    auto graph = t::graph({.nodes = {t::node(op, {"x"}, {"y"})},
                           .inputs = {t::info("x", 1, {"N", "L"})},
                           .outputs = {t::info("y", 1, {"N", "L"})}});
    std::ofstream(folder_ / file, std::ios::binary) << t::model(graph, opset);
    return folder_ / file;
  }
  std::shared_ptr<AddOne> install() {
    auto executor = std::make_shared<AddOne>();
    install_foreign(executor);
    return executor;
  }
  std::filesystem::path folder_;
};

Result<ProgramPtr> load_and_compile(const std::filesystem::path& path, const Shape& shape,
                                    const std::string& executor = "auto") {
  MOTET_ASSIGN(auto model, Model::load(path, {.executor = executor}));
  return model->compile({shape}, {.calibrate = false});
}

std::string refusal(const Result<ProgramPtr>& result) {
  EXPECT_FALSE(result.ok());
  return result.ok() ? "" : result.error().message;
}

bool has(const std::string& text, std::initializer_list<const char*> parts) {
  for (const char* part : parts)
    if (text.find(part) == std::string::npos) return ADD_FAILURE() << "no '" << part << "' in: " << text, false;
  return true;
}

TEST_F(Foreign, WithoutOneAnUnknownOpIsRefusedByNameAndVersion) {
  auto path = write("Frobnicate");
  has(refusal(load_and_compile(path, {2, 3})), {"Frobnicate", "13"});
}

TEST_F(Foreign, RunsWhatNativeRefuses) {
  auto executor = install();
  auto program = load_and_compile(write("Frobnicate"), {2, 3});
  ASSERT_TRUE(program.ok()) << program.error().message;
  EXPECT_EQ((*program)->executor(), "addone 7.1");
  EXPECT_EQ((*program)->longest_step(), Nanos::from_millis(8));
  EXPECT_EQ((*program)->predicted(), Nanos::from_millis(8));
  EXPECT_EQ((*program)->timed_at(2), Nanos::from_millis(4));
  EXPECT_EQ((*program)->packed_bytes(), Bytes(1000));
  EXPECT_GE((*program)->arena_bytes(), Bytes(600 + 64));
  ASSERT_EQ((*program)->steps().size(), 1u);
  EXPECT_EQ((*program)->steps()[0].implementation, "addone 7.1");
  // Two queries are one batch: they are staged, since they do not lie in one piece.
  std::vector<float> a = {1, 2, 3}, b = {4, 5, 6};
  auto view = [](std::vector<float>& v) {
    return QueryInputs{{TensorView{DType::kF32, {1, 3}, reinterpret_cast<std::byte*>(v.data())}}};
  };
  auto execution = Execution::create({{*program, 2}}, {view(a), view(b)}, true);
  ASSERT_TRUE(execution.ok()) << execution.error().message;
  EXPECT_EQ((*execution)->steps_total(), 1);
  EXPECT_EQ((*execution)->run(device::Team::serial()), RunState::kFinished);
  EXPECT_EQ((*execution)->output(1, 0).view().as<float>()[2], 7.0f);
  EXPECT_EQ((*execution)->output(0, 0).view().as<float>()[0], 2.0f);
}

TEST_F(Foreign, WhatNativeRunsStaysNative) {
  auto executor = install();
  auto program = load_and_compile(write("Relu"), {2, 3});
  ASSERT_TRUE(program.ok()) << program.error().message;
  EXPECT_EQ((*program)->executor(), "native");
  EXPECT_EQ(executor->loads, 0);
}

TEST_F(Foreign, CanBeForcedAndForbidden) {
  install();
  auto forced = load_and_compile(write("Relu"), {2, 3}, "addone");
  ASSERT_TRUE(forced.ok()) << forced.error().message;
  EXPECT_EQ((*forced)->executor(), "addone 7.1");
  has(refusal(load_and_compile(write("Frobnicate"), {2, 3}, "native")), {"Frobnicate"});
  has(refusal(load_and_compile(write("Relu"), {2, 3}, "nope")), {"nope", "auto", "native", "addone"});
}

TEST_F(Foreign, BothReasonsAreTold) {
  auto executor = install();
  has(refusal(load_and_compile(write("Frobnicate"), {2, 101})),
      {"native: ", "Frobnicate", "foreign: ", "longer than 100"});
  executor->missing = true;
  has(refusal(load_and_compile(write("Frobnicate"), {2, 3})), {"Frobnicate", "addone is not installed"});
  has(refusal(load_and_compile(write("Relu", 99), {2, 3})), {"opset 99", "addone is not installed"});
}

TEST_F(Foreign, TakesAnOpsetThatNativeDoesNotRead) {
  install();
  auto program = load_and_compile(write("Relu", 99), {2, 3});
  ASSERT_TRUE(program.ok()) << program.error().message;
  EXPECT_EQ((*program)->executor(), "addone 7.1");
}

TEST_F(Foreign, AWrongShapeIsNoReasonToGoElsewhere) {
  auto executor = install();
  refusal(load_and_compile(write("Frobnicate"), {2, 3, 4}));
  EXPECT_EQ(executor->loads, 0);
}

TEST_F(Foreign, OpensOtherFormats) {
  auto path = write("Relu", 13, "model.one");
  EXPECT_FALSE(Model::load(folder_ / "absent.one").ok());
  install();
  auto program = load_and_compile(path, {2, 3});
  ASSERT_TRUE(program.ok()) << program.error().message;
  EXPECT_EQ((*program)->executor(), "addone 7.1");
  has(refusal(load_and_compile(path, {2, 3}, "native")), {"model.one", "not an ONNX file"});
}

TEST_F(Foreign, AKillEndsARunUnderWay) {
  install()->endless = true;
  auto program = load_and_compile(write("Frobnicate"), {1, 3});
  ASSERT_TRUE(program.ok());
  std::vector<float> x = {1, 2, 3};
  auto execution = Execution::create(
      {{*program, 1}}, {QueryInputs{{TensorView{DType::kF32, {1, 3}, reinterpret_cast<std::byte*>(x.data())}}}}, true);
  ASSERT_TRUE(execution.ok());
  RunState state = RunState::kPaused;
  std::thread runs([&] { state = (*execution)->run(device::Team::serial()); });
  (*execution)->request_kill();
  runs.join();
  EXPECT_EQ(state, RunState::kKilled);
}

}  // namespace
}  // namespace motet::engine
