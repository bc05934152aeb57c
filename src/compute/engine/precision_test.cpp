// Reduced precision on whole models: the error is small and measured, chains convert at their ends only, and a CPU
// without the instructions says so.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>

#include "base/random.h"
#include "compute/engine/compile/storage.h"
#include "compute/engine/precision_error.h"
#include "compute/graph/test_model.h"
#include "compute/ops/onednn/onednn.h"

namespace motet::engine {
namespace {

std::shared_ptr<Model> load(const std::string& name) {
  auto model = Model::load("models/" + name + "/1/model.onnx");
  MOTET_CHECK(model.ok(), "a shipped model loads");
  return *model;
}

Tensor drawn(Shape shape, uint64_t seed) {
  Tensor tensor = Tensor::zeros(DType::kF32, std::move(shape));
  Random random(seed, "precision test");
  for (float& x : tensor.view().as<float>()) x = static_cast<float>(random.uniform() * 2 - 1);
  return tensor;
}

int count_steps(const Program& program, std::string_view part) {
  return static_cast<int>(std::count_if(program.steps().begin(), program.steps().end(), [&](const StepInfo& step) {
    return step.op.find(part) != std::string::npos || step.implementation.find(part) != std::string::npos;
  }));
}

#define NEEDS_BF16()                                                                            \
  if (!ops::onednn::has_bf16()) {                                                               \
    GTEST_SKIP() << "this CPU has " << ops::onednn::isa_name() << ", no instructions for bf16"; \
  }

TEST(Precision, NamesReadBack) {
  for (Precision precision : {Precision::kExact, Precision::kBf16, Precision::kInt8})
    EXPECT_EQ(precision_of(precision_name(precision)), precision);
  EXPECT_FALSE(precision_of("fp16"));
}

TEST(Precision, Bf16IsRefusedWhereTheCpuHasNone) {
  auto model = load("resnet20_cifar10");
  auto program = model->compile({{1, 3, 32, 32}}, {.precision = Precision::kBf16, .calibrate = false});
  if (ops::onednn::has_bf16()) {
    ASSERT_TRUE(program.ok()) << program.error().message;
    EXPECT_EQ((*program)->precision(), Precision::kBf16);
    return;
  }
  ASSERT_FALSE(program.ok());
  EXPECT_NE(program.error().message.find("AVX512_BF16"), std::string::npos);
}

TEST(Precision, ConvolutionsInAChainConvertAtItsEndsOnly) {
  NEEDS_BF16();
  auto model = load("mobilenet_v2");
  for (ops::Layout layout : {ops::Layout::kNhwc, ops::Layout::kNChw16c, ops::Layout::kRowMajor}) {
    auto program =
        model->compile({{1, 3, 224, 224}}, {.precision = Precision::kBf16, .calibrate = false, .layout = layout});
    ASSERT_TRUE(program.ok()) << program.error().message;
    EXPECT_LE(count_steps(**program, "reorder"), 2);
    EXPECT_GE(count_steps(**program, "bf16"), 52);
  }
}

TEST(Precision, Bf16ErrorIsMeasuredAndSmall) {
  NEEDS_BF16();
  struct Case {
    const char* name;
    Shape shape;
  };
  for (const Case& c : {Case{"mobilenet_v2", {2, 3, 224, 224}}, Case{"resnet20_cifar10", {3, 3, 32, 32}}}) {
    auto model = load(c.name);
    std::vector<Sample> samples = {{drawn(c.shape, 1)}, {drawn(c.shape, 2)}};
    auto errors = measure_error(*model, {.precision = Precision::kBf16, .calibrate = false}, samples);
    ASSERT_TRUE(errors.ok()) << errors.error().message;
    ASSERT_EQ(errors->size(), model->outputs().size());
    EXPECT_GT(worst(*errors), 1e-5) << c.name << ": nothing was rounded";
    EXPECT_LT(worst(*errors), 0.1) << c.name;
    EXPECT_LT((*errors)[0].rms, 0.1) << c.name;
  }
}

Tensor integers(Shape shape, int64_t most, uint64_t seed) {
  Tensor tensor = Tensor::zeros(DType::kI64, std::move(shape));
  Random random(seed, "precision test");
  for (int64_t& x : tensor.view().as<int64_t>()) x = random.between(0, most);
  return tensor;
}

TEST(Precision, ProductsOfFp32BecomeInt8AndTheErrorIsMeasured) {
  auto model = Model::load("tests/zoo/bert_base.onnx");
  ASSERT_TRUE(model.ok()) << model.error().message;
  std::vector<Sample> samples;
  for (uint64_t seed : {1, 2}) {
    Tensor mask = integers({2, 17}, 0, seed);
    for (int64_t& x : mask.view().as<int64_t>()) x = 1;
    samples.push_back({integers({2, 17}, 60, seed), mask, integers({2, 17}, 1, seed + 7)});
  }
  const CompileOptions options{.precision = Precision::kInt8, .calibrate = false};
  auto program = (*model)->compile({{2, 17}, {2, 17}, {2, 17}}, options);
  ASSERT_TRUE(program.ok()) << program.error().message;
  EXPECT_EQ((*program)->precision(), Precision::kInt8);
  const int quantised = count_steps(**program, "QuantisedMatMul");
  EXPECT_GT(quantised, 8);
  EXPECT_EQ(count_steps(**program, "own int8"), quantised);
  EXPECT_EQ(count_steps(**program, "own int8 dynamic") > 0, ops::onednn::has_int8());
  auto errors = measure_error(**model, options, samples);
  ASSERT_TRUE(errors.ok()) << errors.error().message;
  EXPECT_GT(worst(*errors), 1e-5) << "nothing was rounded";
  EXPECT_LT(worst(*errors), 0.1);
}

TEST(Precision, Int8WeightsAreSharedByProgramsAndAQuarterOfTheSize) {
  auto model = Model::load("tests/zoo/bert_base.onnx");
  ASSERT_TRUE(model.ok()) << model.error().message;
  const Bytes read = (*model)->weight_bytes();
  const CompileOptions options{.precision = Precision::kInt8, .calibrate = false};
  auto first = (*model)->compile({{1, 8}, {1, 8}, {1, 8}}, options);
  ASSERT_TRUE(first.ok()) << first.error().message;
  const Bytes one = (*model)->weight_bytes();
  EXPECT_LT(one, read);
  auto second = (*model)->compile({{4, 8}, {4, 8}, {4, 8}}, options);
  ASSERT_TRUE(second.ok()) << second.error().message;
  EXPECT_EQ((*model)->weight_bytes(), one);
}

TEST(Precision, Int8IsRefusedWhereNoProductCanBe) {
  auto model = Model::load("tests/zoo/unet.onnx");
  ASSERT_TRUE(model.ok()) << model.error().message;
  std::vector<Shape> shapes;
  for (const Port& port : (*model)->inputs()) {
    shapes.push_back(port.shape);
    for (int64_t& extent : shapes.back()) extent = extent < 0 ? 1 : extent;
  }
  auto program = (*model)->compile(shapes, {.precision = Precision::kInt8, .calibrate = false});
  ASSERT_FALSE(program.ok());
  EXPECT_NE(program.error().message.find("products with constant weights"), std::string::npos);
}

TEST(Precision, ExactHasNoError) {
  auto model = load("resnet20_cifar10");
  std::vector<Sample> samples = {{drawn({1, 3, 32, 32}, 3)}};
  auto errors = measure_error(*model, {.calibrate = false}, samples);
  ASSERT_TRUE(errors.ok());
  EXPECT_EQ(worst(*errors), 0);
}

TEST(Precision, ASampleThatDoesNotFitIsNamed) {
  auto model = load("resnet20_cifar10");
  std::vector<Sample> none = {{}};
  auto errors = measure_error(*model, {}, none);
  ASSERT_FALSE(errors.ok());
  EXPECT_NE(errors.error().message.find("1 inputs"), std::string::npos);
  std::vector<Sample> typed = {{Tensor::zeros(DType::kI64, {1, 3, 32, 32})}};
  errors = measure_error(*model, {}, typed);
  ASSERT_FALSE(errors.ok());
  EXPECT_NE(errors.error().message.find("INT64"), std::string::npos);
}

// What quantize_dynamic writes: x -> DynamicQuantizeLinear -> MatMulInteger -> Cast -> Mul by both scales -> Add ->
// Relu.
TEST(Precision, DynamicallyQuantisedProductsAreOneStepWithTheSameAnswers) {
  if (!ops::onednn::has_int8()) GTEST_SKIP() << "no instructions for int8";
  using namespace graph::test;
  constexpr int64_t kDepth = 40, kColumns = 24, kI8 = 3;
  std::vector<int8_t> weights;
  Random random(5, "precision test");
  for (int64_t i = 0; i < kDepth * kColumns; ++i) weights.push_back(static_cast<int8_t>(random.between(-90, 90)));
  std::vector<float> bias;
  for (int64_t i = 0; i < kColumns; ++i) bias.push_back(static_cast<float>(random.uniform() - 0.5));
  const std::string bytes = graph::test::model(
      graph::test::graph({.nodes = {node("DynamicQuantizeLinear", {"x"}, {"xq", "xs", "xz"}),
                                    node("MatMulInteger", {"xq", "w", "xz", "wz"}, {"sums"}),
                                    node("Cast", {"sums"}, {"real"}, {attribute("to", int64_t{1})}),
                                    node("Mul", {"xs", "ws"}, {"unit"}), node("Mul", {"real", "unit"}, {"product"}),
                                    node("Add", {"product", "b"}, {"biased"}), node("Relu", {"biased"}, {"y"})},
                          .initializers = {tensor_head("w", kI8, {kDepth, kColumns}) + field(9, raw(weights)),
                                           tensor_head("wz", kI8, {}) + field(9, raw(std::vector<int8_t>{3})),
                                           tensor("ws", {}, std::vector<float>{0.01F}), tensor("b", {kColumns}, bias)},
                          .inputs = {info("x", 1, {"6", "40"})},
                          .outputs = {info("y", 1, {"6", "24"})}}));
  const std::filesystem::path file = std::filesystem::path(testing::TempDir()) / "dynamically_quantised.onnx";
  std::ofstream(file, std::ios::binary) << bytes;
  auto loaded = Model::load(file);
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  const Tensor x = drawn({6, kDepth}, 11);
  const QueryInputs query{.tensors = {x.view()}};
  auto answer = [&](const CompileOptions& options, int steps) {
    auto program = (*loaded)->compile({{6, kDepth}}, options);
    MOTET_CHECK(program.ok(), "the model compiles");
    EXPECT_EQ(count_steps(**program, "QuantisedMatMul+Relu"), steps);
    auto outputs = run_alone({&*program, 1}, query, false);
    MOTET_CHECK(outputs.ok(), "the model runs");
    return outputs->front();
  };
  const Tensor apart = answer({.disabled_passes = {"fuse-dynamic"}, .calibrate = false}, 0);
  const Tensor fused = answer({.calibrate = false}, 1);
  for (size_t i = 0; i < static_cast<size_t>(apart.elements()); ++i)
    EXPECT_NEAR(fused.view().as<float>()[i], apart.view().as<float>()[i], 0.02) << i;
}

// x -> Relu -> MatMul -> Add -> Softmax -> y, with the Relu's result read by the product.
TEST(Storage, KeepsWhatProductsMakeAndReadAndLeavesTheModelsPorts) {
  using namespace graph::test;
  auto model = read(graph::test::model(graph::test::graph(
      {.nodes = {node("Relu", {"x"}, {"r"}), node("MatMul", {"r", "w"}, {"m"}), node("Add", {"m", "b"}, {"a"}),
                 node("Softmax", {"a"}, {"y"}), node("Sqrt", {"x"}, {"z"})},
       .initializers = {tensor("w", {4, 4}, std::vector<float>(16, 0.5F)), tensor("b", {4}, std::vector<float>(4))},
       .inputs = {info("x", 1, {"2", "4"})},
       .outputs = {info("y", 1, {"2", "4"}), info("z", 1, {"2", "4"})}})));
  ASSERT_TRUE(model.ok()) << model.error().message;
  auto graph = std::make_shared<graph::Graph>(*model->graph);
  ASSERT_TRUE(graph::infer_shapes(*graph, {}).ok());
  Storage storage = bf16_storage(*graph);
  auto kept = [&](const char* name) { return storage.values[static_cast<size_t>(graph->find(name))]; };
  EXPECT_TRUE(kept("r"));
  EXPECT_TRUE(kept("m"));
  EXPECT_TRUE(kept("a"));
  for (const char* name : {"x", "y", "z", "w", "b"}) EXPECT_FALSE(kept(name)) << name;
  EXPECT_EQ(storage.nodes, (std::vector<bool>{true, true, true, false, false}));
}

}  // namespace
}  // namespace motet::engine
