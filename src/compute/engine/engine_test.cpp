// Whole models that the repository ships: against the plain reference, through every schedule of pauses and widths.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <future>

#include "base/random.h"
#include "base/tensor/named.h"
#include "compute/device/arena.h"
#include "compute/device/fake/fake.h"
#include "compute/engine/execution.h"
#include "compute/ops/registry.h"

namespace motet::engine {
namespace {

std::shared_ptr<Model> load(const std::string& name) {
  auto model = Model::load("models/" + name + "/1/model.onnx");
  MOTET_CHECK(model.ok(), "a shipped model loads");
  return *model;
}

ProgramPtr compile(Model& model, const std::vector<Shape>& shapes, int width = 2) {
  auto program = model.compile(shapes, {.max_width = width, .calibrate = false});
  if (!program.ok()) ADD_FAILURE() << program.error().message;
  return program.ok() ? *program : nullptr;
}

Tensor drawn(Shape shape, uint64_t seed) {
  Tensor tensor = Tensor::zeros(DType::kF32, std::move(shape));
  Random random(seed, "engine test");
  for (float& x : tensor.view().as<float>()) x = static_cast<float>(random.uniform() * 2 - 1);
  return tensor;
}

Tensor ids(Shape shape, int64_t bound) {
  Tensor tensor = Tensor::zeros(DType::kI64, std::move(shape));
  Random random(5, "ids");
  for (int64_t& x : tensor.view().as<int64_t>()) x = static_cast<int64_t>(random.below(static_cast<uint64_t>(bound)));
  return tensor;
}

QueryInputs query(const std::vector<Tensor>& tensors) {
  QueryInputs inputs;
  for (const Tensor& tensor : tensors) inputs.tensors.push_back(tensor.view());
  return inputs;
}

std::vector<Shape> shapes_of(const std::vector<Tensor>& tensors) {
  std::vector<Shape> shapes;
  for (const Tensor& tensor : tensors) shapes.push_back(tensor.shape());
  return shapes;
}

std::unique_ptr<Execution> start(std::vector<Part> parts, std::vector<QueryInputs> queries, bool batched) {
  auto execution = Execution::create(std::move(parts), std::move(queries), batched);
  if (!execution.ok()) ADD_FAILURE() << execution.error().message;
  return execution.ok() ? std::move(*execution) : nullptr;
}

std::vector<Tensor> outputs_of(const Execution& execution, const Program& program, size_t q = 0) {
  std::vector<Tensor> outputs;
  for (size_t o = 0; o < program.outputs().size(); ++o) outputs.push_back(execution.output(q, o));
  return outputs;
}

std::vector<Tensor> answer(Model& model, const std::vector<Tensor>& inputs) {
  ProgramPtr program = compile(model, shapes_of(inputs));
  auto execution = start({{program, 0}}, {query(inputs)}, false);
  EXPECT_EQ(execution->run(device::Team::serial()), RunState::kFinished);
  return outputs_of(*execution, *program);
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         std::memcmp(a.view().data, b.view().data, a.view().bytes()) == 0;
}

void expect_near(const Tensor& got, const Tensor& want, double tolerance) {
  ASSERT_EQ(got.shape(), want.shape());
  ASSERT_EQ(got.dtype(), DType::kF32);
  auto a = got.view().as<float>();
  auto b = want.view().as<float>();
  double largest = 0;
  for (float x : b) largest = std::max(largest, std::abs(static_cast<double>(x)));
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], tolerance * largest + 1e-9) << "element " << i;
}

// The model's graph as it was read, node by node on the plain reference.
std::vector<Tensor> interpret(const graph::Graph& graph, const std::vector<Tensor>& inputs) {
  std::vector<std::optional<Tensor>> values(graph.values.size());
  for (size_t i = 0; i < values.size(); ++i) values[i] = graph.values[i].constant;
  for (size_t i = 0; i < inputs.size(); ++i) values[static_cast<size_t>(graph.inputs[i])] = inputs[i];
  for (const graph::Node& node : graph.nodes) {
    std::vector<const Tensor*> operands;
    for (graph::ValueId id : node.inputs)
      operands.push_back(id == graph::kNoValue ? nullptr : &*values[static_cast<size_t>(id)]);
    auto results = ops::evaluate(node, operands);
    if (!results.ok()) {
      ADD_FAILURE() << node.op << ": " << results.error().message;
      return {};
    }
    for (size_t o = 0; o < node.outputs.size(); ++o)
      if (node.outputs[o] != graph::kNoValue) values[static_cast<size_t>(node.outputs[o])] = (*results)[o];
  }
  std::vector<Tensor> outputs;
  for (graph::ValueId id : graph.outputs) outputs.push_back(*values[static_cast<size_t>(id)]);
  return outputs;
}

void expect_as_interpreted(const std::string& name, const std::vector<Tensor>& inputs) {
  auto model = load(name);
  auto got = answer(*model, inputs);
  auto want = interpret(*model->source().graph, inputs);
  ASSERT_EQ(got.size(), want.size());
  for (size_t o = 0; o < got.size(); ++o) expect_near(got[o], want[o], 1e-4);
}

TEST(Engine, AgreesWithThePlainReference) {
  expect_as_interpreted("mnist_8", {drawn({1, 1, 28, 28}, 1)});
  expect_as_interpreted("resnet20_cifar10", {drawn({2, 3, 32, 32}, 2)});
  expect_as_interpreted("ncf_mlp_ml1m", {ids({3}, 6000), ids({3}, 3000)});
}

void expect_same_bits_in_every_schedule(Nanos quantum, int64_t fewest_steps) {
  auto model = load("resnet20_cifar10");
  std::vector<Tensor> inputs = {drawn({3, 3, 32, 32}, 4)};
  auto compiled = model->compile(shapes_of(inputs), {.max_width = 3, .quantum = quantum, .calibrate = false});
  ASSERT_TRUE(compiled.ok()) << compiled.error().message;
  ProgramPtr program = *compiled;
  auto whole = start({{program, 3}}, {query(inputs)}, true);
  ASSERT_EQ(whole->run(device::Team::serial()), RunState::kFinished);
  EXPECT_EQ(whole->steps_done(), whole->steps_total());
  EXPECT_GE(whole->steps_total(), fewest_steps);
  Random random(9, "schedule");
  device::FakeClock clock;
  for (int trial = 0; trial < 5; ++trial) {
    device::FakeTeam team(1, Nanos(0), static_cast<uint64_t>(trial), clock);
    team.resize_at_random(4);
    auto execution = start({{program, 3}}, {query(inputs)}, true);
    RunState state = RunState::kPaused;
    int64_t before = 0;
    while (state == RunState::kPaused) {
      if (random.chance(0.3)) {
        execution->request_pause();
        EXPECT_EQ(execution->run(team), RunState::kPaused);
        EXPECT_EQ(execution->steps_done(), before);
        execution->clear_pause();
      }
      state = random.chance(0.5) ? execution->step(team) : execution->step(device::Team::serial());
      EXPECT_GT(execution->steps_done(), before);
      before = execution->steps_done();
    }
    ASSERT_EQ(state, RunState::kFinished);
    EXPECT_TRUE(same_bits(execution->output(0, 0), whole->output(0, 0)));
  }
}

TEST(Engine, EveryScheduleOfPausesAndWidthsGivesTheSameBits) {
  expect_same_bits_in_every_schedule(Nanos::from_millis(1), 1);
}

TEST(Engine, SoDoSlices) { expect_same_bits_in_every_schedule(Nanos::from_micros(5), 60); }

// Two cores of a pool give what one thread gives.
void expect_same_bits_on_a_pool(const ProgramPtr& program, const std::vector<Tensor>& inputs) {
  auto alone = start({{program, 0}}, {query(inputs)}, false);
  ASSERT_EQ(alone->run(device::Team::serial()), RunState::kFinished);
  auto pool = device::Pool::create({.workers = 2, .pin = false, .spin_pauses = 10});
  ASSERT_TRUE(pool.ok());
  auto together = start({{program, 0}}, {query(inputs)}, false);
  struct Job {
    device::Pool& pool;
    Execution& execution;
    std::promise<RunState> done;
  } job{**pool, *together, {}};
  (*pool)->submit(0, {[](void* argument) {
                        auto& j = *static_cast<Job*>(argument);
                        auto team = device::PoolTeam::create(j.pool, 0, j.pool.cores());
                        j.done.set_value(j.execution.run(*team));
                      },
                      &job});
  ASSERT_EQ(job.done.get_future().get(), RunState::kFinished);
  for (size_t o = 0; o < program->outputs().size(); ++o)
    EXPECT_TRUE(same_bits(together->output(0, o), alone->output(0, o)));
}

TEST(Engine, RunsOnAPoolAsAlone) {
  std::vector<Tensor> inputs = {drawn({2, 3, 32, 32}, 6)};
  expect_same_bits_on_a_pool(compile(*load("resnet20_cifar10"), shapes_of(inputs), 2), inputs);
}

TEST(Engine, BranchesRunAsLanesWhenAsked) {
  auto model = load("ultraface_rfb_320");
  std::vector<Tensor> inputs = {drawn({1, 3, 240, 320}, 6)};
  auto program = model->compile(shapes_of(inputs), {.max_width = 2, .lanes = true, .calibrate = false});
  ASSERT_TRUE(program.ok()) << program.error().message;
  std::set<std::pair<int, int>> beside_others;
  for (const StepInfo& step : (*program)->steps())
    if (step.lane > 0) beside_others.emplace(step.stage, step.lane);
  EXPECT_GE(beside_others.size(), 3u);
  expect_same_bits_on_a_pool(*program, inputs);
  auto laned = start({{*program, 0}}, {query(inputs)}, false);
  ASSERT_EQ(laned->run(device::Team::serial()), RunState::kFinished);
  auto straight = answer(*model, inputs);
  for (size_t o = 0; o < straight.size(); ++o) expect_near(laned->output(0, o), straight[o], 1e-6);
}

TEST(Engine, ABatchIsItsQueriesWhateverThePartsAndThePadding) {
  auto model = load("resnet20_cifar10");
  std::vector<std::vector<Tensor>> queries = {
      {drawn({1, 3, 32, 32}, 1)}, {drawn({3, 3, 32, 32}, 2)}, {drawn({1, 3, 32, 32}, 3)}};
  std::vector<QueryInputs> inputs;
  for (const auto& q : queries) inputs.push_back(query(q));
  auto program = [&](int64_t rows) { return compile(*model, {{rows, 3, 32, 32}}); };
  for (const auto& parts : std::vector<std::vector<Part>>{{{program(5), 5}},
                                                          {{program(2), 2}, {program(2), 2}, {program(1), 1}},
                                                          {{program(4), 4}, {program(4), 1}}}) {
    auto execution = start(parts, inputs, true);
    ASSERT_EQ(execution->run(device::Team::serial()), RunState::kFinished);
    EXPECT_EQ(execution->steps_done(), execution->steps_total());
    for (size_t q = 0; q < queries.size(); ++q)
      expect_near(execution->output(q, 0), answer(*model, queries[q])[0], 1e-5);
  }
  auto wrong = Execution::create({{program(4), 4}}, inputs, true);
  ASSERT_FALSE(wrong.ok());
  EXPECT_NE(wrong.error().message.find("4 rows for queries of 5"), std::string::npos) << wrong.error().message;
}

TEST(Engine, InputsMayLieAnywhereAndOutputsOutliveTheExecution) {
  auto model = load("mnist_8");
  std::vector<Tensor> inputs = {drawn({1, 1, 28, 28}, 8)};
  Tensor want = answer(*model, inputs)[0];  // its execution is gone
  std::vector<std::byte> shifted(inputs[0].view().bytes() + 1);
  std::memcpy(shifted.data() + 1, inputs[0].view().data, inputs[0].view().bytes());
  ProgramPtr program = compile(*model, shapes_of(inputs));
  auto execution = start({{program, 0}}, {{{{DType::kF32, inputs[0].shape(), shifted.data() + 1}}}}, false);
  ASSERT_EQ(execution->run(device::Team::serial()), RunState::kFinished);
  EXPECT_TRUE(same_bits(execution->output(0, 0), want));
}

TEST(Engine, MemoryOfAFirstExecutionIsMappedWhenAProgramIsMeasured) {
  auto model = Model::load("tests/conformance/wire/repo/relu/1/model.onnx");
  ASSERT_TRUE(model.ok()) << model.error().message;
  const std::vector<Tensor> inputs = {drawn({int64_t{1} << 18, 4}, 3)};
  device::release_kept_arenas();
  ASSERT_TRUE((*model)->compile(shapes_of(inputs), {.calibrate = false}).ok());
  EXPECT_EQ(device::kept_arena_bytes(), Bytes(0));
  ASSERT_TRUE((*model)->compile(shapes_of(inputs), {}).ok());
  EXPECT_GE(device::kept_arena_bytes(), Bytes(4 << 20));
}

TEST(Engine, MemoryOfALargeOutputIsKeptForTheNextOne) {
  auto model = Model::load("tests/conformance/wire/repo/relu/1/model.onnx");
  ASSERT_TRUE(model.ok()) << model.error().message;
  const std::vector<Tensor> inputs = {drawn({int64_t{1} << 18, 4}, 3)};
  ProgramPtr program = compile(**model, shapes_of(inputs));
  auto run = [&] {
    auto execution = start({{program, 0}}, {query(inputs)}, false);
    EXPECT_EQ(execution->run(device::Team::serial()), RunState::kFinished);
    return execution->output(0, 0);
  };
  device::release_kept_arenas();
  const std::byte* first = run().view().data;  // nobody holds it any longer
  EXPECT_GE(device::kept_arena_bytes(), Bytes(4 << 20));
  const Tensor again = run();
  EXPECT_EQ(again.view().data, first);
  EXPECT_NE(run().view().data, first);  // `again` does
}

TEST(Engine, StringsOutliveTheQueriesTheyCameFrom) {
  auto model = Model::load("tests/conformance/wire/repo/text/1/model.onnx");  // Identity
  ASSERT_TRUE(model.ok()) << model.error().message;
  std::string wire(
      "\x02\x00\x00\x00"
      "ab"
      "\x01\x00\x00\x00"
      "c",
      11);
  auto input = parse_string_tensor(std::as_bytes(std::span(wire)), {1, 2}, nullptr);
  ASSERT_TRUE(input.ok()) << input.error().message;
  Tensor got = answer(**model, {*input})[0];  // its execution is gone
  wire.assign(wire.size(), '?');
  auto strings = got.view().as<std::string_view>();
  EXPECT_EQ(std::vector<std::string_view>(strings.begin(), strings.end()), (std::vector<std::string_view>{"ab", "c"}));
}

TEST(Engine, AKillEndsItBetweenSteps) {
  auto model = load("mnist_8");
  std::vector<Tensor> inputs = {drawn({1, 1, 28, 28}, 8)};
  auto execution = start({{compile(*model, shapes_of(inputs)), 0}}, {query(inputs)}, false);
  EXPECT_EQ(execution->step(device::Team::serial()), RunState::kPaused);
  execution->request_kill();
  EXPECT_EQ(execution->run(device::Team::serial()), RunState::kKilled);
  EXPECT_EQ(execution->steps_done(), 1);
}

TEST(Engine, AFaultOfTheDataFailsTheExecutionAndNamesTheNode) {
  auto model = load("ncf_mlp_ml1m");
  Tensor user = ids({1}, 10);
  user.view().as<int64_t>()[0] = 1'000'000;
  std::vector<Tensor> inputs = {user, ids({1}, 10)};
  auto execution = start({{compile(*model, shapes_of(inputs)), 0}}, {query(inputs)}, false);
  EXPECT_EQ(execution->run(device::Team::serial()), RunState::kFailed);
  EXPECT_NE(execution->failure().message.find("Gather"), std::string::npos) << execution->failure().message;
}

TEST(Engine, BranchesTakenByDataRunStepByStep) {
  auto model = load("silero_vad");
  auto inputs = [](int64_t rate, int64_t samples) {
    Tensor sr = Tensor::zeros(DType::kI64, {});
    sr.view().as<int64_t>()[0] = rate;
    return std::vector<Tensor>{drawn({1, samples}, 11), drawn({2, 1, 128}, 12), sr};
  };
  auto low = inputs(8000, 288);
  ProgramPtr program = compile(*model, shapes_of(low));
  ASSERT_NE(program, nullptr);
  auto whole = start({{program, 0}}, {query(low)}, false);
  ASSERT_EQ(whole->run(device::Team::serial()), RunState::kFinished);
  auto stepped = start({{program, 0}}, {query(low)}, false);
  int64_t steps = 0;
  while (stepped->step(device::Team::serial()) == RunState::kPaused) ++steps;
  EXPECT_GT(steps, static_cast<int64_t>(program->steps().size())) << "a branch counts its own steps";
  EXPECT_EQ(stepped->steps_done(), stepped->steps_total());
  for (size_t o = 0; o < 2; ++o) EXPECT_TRUE(same_bits(whole->output(0, o), stepped->output(0, o)));
}

TEST(Engine, KnowsWhichModelsTakeBatches) {
  for (const char* name : {"mobilenet_v2", "resnet20_cifar10", "ncf_mlp_ml1m", "super_resolution_10", "magika"})
    EXPECT_TRUE(load(name)->batchable()) << name;
  for (const char* name : {"mnist_8", "silero_vad", "ultraface_rfb_320", "fastestdet"})
    EXPECT_FALSE(load(name)->batchable()) << name;
}

TEST(Engine, ProgramsAreKeptAndShareTheirWeights) {
  auto model = load("resnet20_cifar10");
  ProgramPtr one = compile(*model, {{1, 3, 32, 32}});
  Bytes weights = model->weight_bytes();
  EXPECT_EQ(compile(*model, {{1, 3, 32, 32}}), one);
  ProgramPtr eight = compile(*model, {{8, 3, 32, 32}});
  EXPECT_EQ(model->weight_bytes(), weights) << "packed weights are one copy for every batch";
  EXPECT_LT(eight->arena_bytes(), eight->activation_bytes());
  model->drop({{1, 3, 32, 32}});
  EXPECT_NE(compile(*model, {{1, 3, 32, 32}}), one);
}

TEST(Engine, RefusesShapesByName) {
  auto model = load("mobilenet_v2");
  auto wrong = model->compile({{1, 3, 224, 225}}, {.calibrate = false});
  ASSERT_FALSE(wrong.ok());
  EXPECT_NE(wrong.error().message.find("'input' of shape [1,3,224,225]; the model takes [-1,3,224,224]"),
            std::string::npos)
      << wrong.error().message;
  auto few = load("ncf_mlp_ml1m")->compile({{1}}, {.calibrate = false});
  ASSERT_FALSE(few.ok());
  EXPECT_NE(few.error().message.find("1 input shapes given; the model has 2"), std::string::npos)
      << few.error().message;
  auto unequal = load("ncf_mlp_ml1m")->compile({{1}, {2}}, {.calibrate = false});
  EXPECT_FALSE(unequal.ok());
}

TEST(Engine, CalibrationPredictsEveryStep) {
  auto model = load("mnist_8");
  auto program = model->compile({{1, 1, 28, 28}}, {});
  ASSERT_TRUE(program.ok()) << program.error().message;
  EXPECT_GT((*program)->predicted().value, 0);
  double flops = 0;
  for (const StepInfo& step : (*program)->steps()) flops += step.flops;
  EXPECT_GT(flops, 0);
  // One side of this branch cannot run on these shapes; the other is what it takes.
  auto branched = load("silero_vad")->compile({{1, 576}, {2, 1, 128}, {}}, {});
  ASSERT_TRUE(branched.ok()) << branched.error().message;
  EXPECT_GT((*branched)->predicted().value, 0);
}

}  // namespace
}  // namespace motet::engine
