// Programs whose shapes depend on data: small models through Model and Execution, as the server runs them.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "compute/engine/execution.h"
#include "compute/graph/test_model.h"

namespace motet::engine {
namespace {

using namespace graph::test;

std::shared_ptr<Model> load(const GraphParts& parts, int64_t opset = 18) {
  auto path = std::filesystem::temp_directory_path() / ("motet-dynamic-" + std::to_string(getpid()) + ".onnx");
  std::ofstream(path, std::ios::binary) << graph::test::model(graph::test::graph(parts), opset);
  auto model = Model::load(path);
  std::filesystem::remove(path);
  if (!model.ok()) ADD_FAILURE() << model.error().message;
  return model.ok() ? *model : nullptr;
}

Tensor longs(Shape shape, const std::vector<int64_t>& values) {
  return Tensor::of<int64_t>(std::move(shape), std::span<const int64_t>(values));
}
Tensor floats(Shape shape, const std::vector<float>& values) {
  return Tensor::of<float>(std::move(shape), std::span<const float>(values));
}
Tensor flag(bool value) {
  Tensor tensor = Tensor::zeros(DType::kBool, {});
  tensor.view().as<bool>()[0] = value;
  return tensor;
}

ProgramPtr compile(Model& model, const std::vector<Tensor>& inputs, Bytes growth = Bytes(1 << 20)) {
  std::vector<Shape> shapes;
  for (const Tensor& input : inputs) shapes.push_back(input.shape());
  auto program = model.compile(shapes, {.max_width = 2, .growth = growth, .calibrate = false});
  if (!program.ok()) ADD_FAILURE() << program.error().message;
  return program.ok() ? *program : nullptr;
}

std::unique_ptr<Execution> start(const ProgramPtr& program, const std::vector<Tensor>& inputs) {
  QueryInputs query;
  for (const Tensor& input : inputs) query.tensors.push_back(input.view());
  auto execution = Execution::create({{program, 0}}, {query}, false);
  if (!execution.ok()) ADD_FAILURE() << execution.error().message;
  return std::move(*execution);
}

Tensor answer(const GraphParts& parts, const std::vector<Tensor>& inputs, size_t output = 0) {
  auto model = load(parts);
  auto execution = start(compile(*model, inputs), inputs);
  EXPECT_EQ(execution->run(device::Team::serial()), RunState::kFinished);
  return execution->output(0, output);
}

std::string failure(const GraphParts& parts, const std::vector<Tensor>& inputs, Bytes growth = Bytes(1 << 20)) {
  auto model = load(parts);
  auto execution = start(compile(*model, inputs, growth), inputs);
  if (execution->run(device::Team::serial()) != RunState::kFailed) return "did not fail";
  return execution->failure().message;
}

template <class T>
std::vector<T> list(const Tensor& tensor) {
  auto span = tensor.view().as<T>();
  return {span.begin(), span.end()};
}

const GraphParts kReshape = {{node("Reshape", {"x", "s"}, {"r"}), node("Relu", {"r"}, {"y"})},
                             {},
                             {info("x", 1, {"2", "3"}), info("s", 7, {"2"})},
                             {info("y", 1, {"?", "?"})}};

TEST(Dynamic, ShapesComeFromInputs) {
  Tensor x = floats({2, 3}, {1, -2, 3, -4, 5, -6});
  Tensor y = answer(kReshape, {x, longs({2}, {3, -1})});
  EXPECT_EQ(y.shape(), (Shape{3, 2}));
  EXPECT_EQ(list<float>(y), (std::vector<float>{1, 0, 3, 0, 5, 0}));
}

TEST(Dynamic, OneProgramServesManyShapes) {
  auto model = load(kReshape);
  Tensor x = floats({2, 3}, {1, 2, 3, 4, 5, 6});
  ProgramPtr program = compile(*model, {x, longs({2}, {1, 6})});
  EXPECT_EQ(program->outputs()[0].shape, (Shape{-1, -1}));
  for (int64_t rows : {1, 2, 3, 6, 2, 1}) {
    std::vector<Tensor> inputs = {x, longs({2}, {rows, 6 / rows})};
    auto execution = start(program, inputs);
    ASSERT_EQ(execution->run(device::Team::serial()), RunState::kFinished);
    EXPECT_EQ(execution->output(0, 0).shape(), (Shape{rows, 6 / rows}));
  }
}

TEST(Dynamic, AShapeThatDoesNotFitIsAFaultOfThatRun) {
  Tensor x = Tensor::zeros(DType::kF32, {2, 3});
  std::string message = failure(kReshape, {x, longs({2}, {4, 2})});
  EXPECT_NE(message.find("node_r"), std::string::npos) << message;
  EXPECT_NE(message.find("8"), std::string::npos) << message;
}

TEST(Dynamic, ResultsAsLongAsTheDataSay) {
  GraphParts parts{
      {node("NonZero", {"x"}, {"i"}), node("Transpose", {"i"}, {"t"}), node("GatherND", {"x", "t"}, {"y"})},
      {},
      {info("x", 1, {"2", "3"})},
      {info("y", 1, {"?"}), info("t", 7, {"?", "2"})}};
  Tensor x = floats({2, 3}, {0, 5, 0, 7, 0, 9});
  EXPECT_EQ(list<float>(answer(parts, {x})), (std::vector<float>{5, 7, 9}));
  EXPECT_EQ(list<int64_t>(answer(parts, {x}, 1)), (std::vector<int64_t>{0, 1, 1, 0, 1, 2}));
  EXPECT_EQ(answer(parts, {Tensor::zeros(DType::kF32, {2, 3})}).shape(), (Shape{0}));
}

// Carries a list that doubles each turn, and scans its sum; the body reads `step` from outside.
GraphParts growing_loop() {
  std::string body = graph::test::graph(
      {{node("Concat", {"v", "v"}, {"twice"}, {attribute("axis", int64_t{0})}), node("Add", {"twice", "step"}, {"v2"}),
        node("ReduceSum", {"v2"}, {"sum"}, {attribute("keepdims", int64_t{0})}), node("Identity", {"go"}, {"go2"})},
       {},
       {info("i", 7, {}), info("go", 9, {}), info("v", 1, {"?"})},
       {info("go2", 9, {}), info("v2", 1, {"?"}), info("sum", 1, {})}});
  return {{node("Loop", {"n", "", "x"}, {"last", "sums"}, {attribute_graph("body", body)})},
          {},
          {info("n", 7, {}), info("x", 1, {"1"}), info("step", 1, {})},
          {info("last", 1, {"?"}), info("sums", 1, {"?"})}};
}

TEST(Dynamic, LoopsTurnAsOftenAsTheirDataSay) {
  for (int64_t turns : {0, 1, 3}) {
    Tensor sums = answer(growing_loop(), {longs({}, {turns}), floats({1}, {1}), floats({}, {1})}, 1);
    std::vector<float> expected = {4, 12, 32};
    expected.resize(static_cast<size_t>(turns));
    EXPECT_EQ(list<float>(sums), expected);
  }
}

TEST(Dynamic, APausedLoopGoesOnWhereItWas) {
  std::vector<Tensor> inputs = {longs({}, {5}), floats({1}, {2}), floats({}, {0.5F})};
  auto model = load(growing_loop());
  ProgramPtr program = compile(*model, inputs);
  auto whole = start(program, inputs);
  ASSERT_EQ(whole->run(device::Team::serial()), RunState::kFinished);
  auto stepped = start(program, inputs);
  int64_t steps = 1, before = 0;
  for (; stepped->step(device::Team::serial()) == RunState::kPaused; ++steps) {
    EXPECT_GE(stepped->steps_done(), before);
    EXPECT_LE(stepped->steps_done(), stepped->steps_total());
    before = stepped->steps_done();
  }
  EXPECT_GE(steps, 5 * 4);  // each node of each turn
  EXPECT_EQ(list<float>(whole->output(0, 0)), list<float>(stepped->output(0, 0)));
  EXPECT_EQ(stepped->steps_done(), stepped->steps_total());
}

TEST(Dynamic, GrowthIsBounded) {
  std::string message = failure(growing_loop(), {longs({}, {60}), floats({1}, {1}), floats({}, {0})});
  EXPECT_NE(message.find("1048576"), std::string::npos) << message;
}

TEST(Dynamic, AFaultInABodyIsNamed) {
  // Each turn gives a slice twice as long as the one before; they cannot be stacked.
  std::string body = graph::test::graph(
      {{node("Concat", {"v", "v"}, {"v2"}, {attribute("axis", int64_t{0})}), node("Identity", {"go"}, {"go2"})},
       {},
       {info("i", 7, {}), info("go", 9, {}), info("v", 1, {"?"})},
       {info("go2", 9, {}), info("v2", 1, {"?"}), info("v", 1, {"?"})}});
  GraphParts parts{{node("Loop", {"n", "", "x"}, {"last", "all"}, {attribute_graph("body", body)})},
                   {},
                   {info("n", 7, {}), info("x", 1, {"1"})},
                   {info("all", 1, {"?", "?"})}};
  std::string message = failure(parts, {longs({}, {3}), floats({1}, {1})});
  EXPECT_NE(message.find("node_last"), std::string::npos) << message;
  EXPECT_NE(message.find("[1] and [2]"), std::string::npos) << message;
}

TEST(Dynamic, BranchesMayDifferInShape) {
  GraphParts parts{
      {node("If", {"c"}, {"y"},
            {attribute_graph("then_branch",
                             graph::test::graph({{node("Concat", {"x", "x"}, {"a"}, {attribute("axis", int64_t{0})})},
                                                 {},
                                                 {},
                                                 {info("a", 1, {"?"})}})),
             attribute_graph("else_branch",
                             graph::test::graph({{node("Neg", {"x"}, {"b"})}, {}, {}, {info("b", 1, {"?"})}}))})},
      {},
      {info("c", 9, {}), info("x", 1, {"2"})},
      {info("y", 1, {"?"})}};
  Tensor x = floats({2}, {1, 2});
  EXPECT_EQ(list<float>(answer(parts, {flag(true), x})), (std::vector<float>{1, 2, 1, 2}));
  EXPECT_EQ(list<float>(answer(parts, {flag(false), x})), (std::vector<float>{-1, -2}));
}

TEST(Dynamic, ScanWalksAnyAxisEitherWay) {
  std::string body = graph::test::graph({{node("Add", {"s", "e"}, {"s2"}), node("Identity", {"s2"}, {"o"})},
                                         {},
                                         {info("s", 1, {"2"}), info("e", 1, {"2"})},
                                         {info("s2", 1, {"2"}), info("o", 1, {"2"})}});
  GraphParts parts{{node("Scan", {"z", "x"}, {"last", "all"},
                         {attribute_graph("body", body), attribute("num_scan_inputs", int64_t{1}),
                          attribute("scan_input_axes", std::vector<int64_t>{1}),
                          attribute("scan_input_directions", std::vector<int64_t>{1}),
                          attribute("scan_output_axes", std::vector<int64_t>{1})})},
                   {},
                   {info("z", 1, {"2"}), info("x", 1, {"2", "3"})},
                   {info("last", 1, {"2"}), info("all", 1, {"2", "3"})}};
  Tensor all = answer(parts, {floats({2}, {0, 0}), floats({2, 3}, {1, 2, 3, 10, 20, 30})}, 1);
  EXPECT_EQ(all.shape(), (Shape{2, 3}));
  EXPECT_EQ(list<float>(all), (std::vector<float>{3, 5, 6, 30, 50, 60}));
}

TEST(Dynamic, RowsGoBackToTheirQueries) {
  // Keeps the rows and lets the data choose the columns.
  GraphParts parts{{node("NonZero", {"m"}, {"nz"}), node("Squeeze", {"nz", "zero"}, {"i"}),
                    node("Gather", {"x", "i"}, {"y"}, {attribute("axis", int64_t{1})})},
                   {tensor("m", {3}, std::vector<float>{1, 0, 1}), tensor("zero", {1}, std::vector<int64_t>{0})},
                   {info("x", 1, {"N", "3"})},
                   {info("y", 1, {"N", "?"})}};
  parts.inputs.push_back(info("unused", 1, {"N"}));
  parts.nodes[0] = node("NonZero", {"m2"}, {"nz"});
  parts.nodes.insert(parts.nodes.begin(), {node("ReduceMax", {"x"}, {"top"}, {attribute("keepdims", int64_t{0})}),
                                           node("Mul", {"m", "top"}, {"m2"})});
  auto model = load(parts);
  ASSERT_TRUE(model->batchable());
  auto program = model->compile({{3, 3}, {3}}, {.calibrate = false});
  ASSERT_TRUE(program.ok()) << program.error().message;
  Tensor a = floats({1, 3}, {1, 2, 3}), b = floats({2, 3}, {4, 5, 6, 7, 8, 9});
  Tensor u = Tensor::zeros(DType::kF32, {1}), v = Tensor::zeros(DType::kF32, {2});
  auto execution = Execution::create({{*program, 3}}, {{{a.view(), u.view()}}, {{b.view(), v.view()}}}, true);
  ASSERT_TRUE(execution.ok()) << execution.error().message;
  ASSERT_EQ((*execution)->run(device::Team::serial()), RunState::kFinished);
  EXPECT_EQ(list<float>((*execution)->output(0, 0)), (std::vector<float>{1, 3}));
  EXPECT_EQ((*execution)->output(1, 0).shape(), (Shape{2, 2}));
  EXPECT_EQ(list<float>((*execution)->output(1, 0)), (std::vector<float>{4, 6, 7, 9}));
}

TEST(Dynamic, AnOpThatNothingRunsIsRefusedWhenCompiled) {
  GraphParts parts = kReshape;
  parts.nodes[1] = node("StringNormalizer", {"r"}, {"y"});
  auto model = load(parts);
  auto program = model->compile({{2, 3}, {2}}, {.calibrate = false});
  ASSERT_FALSE(program.ok());
  EXPECT_NE(program.error().message.find("StringNormalizer (opset 18)"), std::string::npos) << program.error().message;
}

TEST(Dynamic, ItsTimeIsMeasuredWhereDrawnInputsWillDo) {
  auto model = load(growing_loop());
  auto program = model->compile({{}, {1}, {}}, {.calibrate = true});
  ASSERT_TRUE(program.ok());
  EXPECT_GT((*program)->predicted(), Nanos(0));
  EXPECT_GE((*program)->predicted(), (*program)->longest_step());
  EXPECT_GE((*program)->arena_bytes().value, CompileOptions().growth.value);
}

}  // namespace
}  // namespace motet::engine
