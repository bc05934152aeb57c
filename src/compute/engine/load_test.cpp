// Loading: from a cold start, from the cache on disk, and of one content twice.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/log.h"
#include "base/random.h"
#include "compute/device/team.h"
#include "compute/engine/compile/tuning.h"
#include "compute/engine/execution.h"
#include "compute/engine/program.h"
#include "compute/graph/test_model.h"
#include "compute/ops/onednn/onednn.h"

namespace motet::engine {
namespace {

namespace fs = std::filesystem;

const fs::path kModel = "models/mobilenet_v2/1/model.onnx";

std::vector<std::string>& lines() {
  static std::vector<std::string> list;
  return list;
}

class LoadTest : public ::testing::Test {
 protected:
  LoadTest() {
    std::string pattern = (fs::temp_directory_path() / "motet-load-XXXXXX").native();
    root_ = mkdtemp(pattern.data());
    lines().clear();
    set_log_sink([](LogLevel, std::string_view line) {
      static std::mutex mutex;  // weights are looked at by several threads at once
      std::lock_guard lock(mutex);
      lines().emplace_back(line);
    });
  }
  ~LoadTest() override {
    set_log_sink(nullptr);
    fs::remove_all(root_);
  }

  std::shared_ptr<Model> load(const fs::path& file = kModel) {
    auto model = Model::load(file, {.executor = "native", .cache_dir = root_ / "cache"});
    EXPECT_TRUE(model.ok()) << model.error().message;
    return model.ok() ? *model : nullptr;
  }
  std::map<fs::path, fs::file_time_type> cached() const {
    std::map<fs::path, fs::file_time_type> files;
    for (const auto& entry : fs::recursive_directory_iterator(root_ / "cache"))
      if (entry.is_regular_file()) files.emplace(entry.path(), entry.last_write_time());
    return files;
  }

  fs::path root_;
};

// The bits of the answer to a fixed picture.
std::vector<std::byte> answer(Model& model) {
  auto program = model.compile({{1, 3, 224, 224}}, {.max_width = 2, .calibrate = false});
  EXPECT_TRUE(program.ok()) << program.error().message;
  Tensor picture = Tensor::zeros(DType::kF32, {1, 3, 224, 224});
  float x = 0;
  for (float& pixel : picture.view().as<float>()) pixel = x = x > 1 ? 0 : x + 0.01F;
  QueryInputs query;
  query.tensors.push_back(picture.view());
  auto execution = Execution::create({{*program, 1}}, {query}, true);
  EXPECT_TRUE(execution.ok());
  EXPECT_EQ((*execution)->run(device::Team::serial()), RunState::kFinished);
  Tensor out = (*execution)->output(0, 0);
  return {out.view().data, out.view().data + out.view().bytes()};
}

TEST_F(LoadTest, ALaterLoadFindsWhatAnEarlierOneKept) {
  auto model = load();
  auto cold = answer(*model);
  EXPECT_TRUE(model->persist());
  auto files = cached();
  EXPECT_GT(files.size(), 10u);
  model.reset();  // as at the end of the process: nobody shares it
  model = load();
  EXPECT_EQ(answer(*model), cold);
  EXPECT_TRUE(model->persist());
  EXPECT_EQ(cached(), files) << "nothing is written twice";
  EXPECT_TRUE(lines().empty());
}

// While one thread compiles a program of each batch and measures it, another compiles all and drops them again.
TEST_F(LoadTest, CompilingGoesBesideMeasuring) {
  auto model = load("models/resnet20_cifar10/1/model.onnx");
  auto compile = [&](int64_t batch, bool calibrate) {
    auto program = model->compile({{batch, 3, 32, 32}}, {.max_width = 2, .calibrate = calibrate});
    EXPECT_TRUE(program.ok()) << program.error().message;
    return *program;
  };
  auto scores = [&](const ProgramPtr& program, int64_t rows) {
    Tensor pictures = Tensor::zeros(DType::kF32, {rows, 3, 32, 32});
    float x = 0;
    for (float& pixel : pictures.view().as<float>()) pixel = x = x > 1 ? 0 : x + 0.01F;
    QueryInputs query;
    query.tensors.push_back(pictures.view());
    auto execution = Execution::create({{program, static_cast<int>(rows)}}, {query}, true);
    EXPECT_TRUE(execution.ok());
    EXPECT_EQ((*execution)->run(device::Team::serial()), RunState::kFinished);
    auto view = (*execution)->output(0, 0).view().as<float>();
    return std::vector<float>(view.begin(), view.end());
  };
  std::map<int64_t, ProgramPtr> quick, measured;
  std::thread measuring([&] {
    for (int64_t batch : {1, 2, 3}) measured[batch] = compile(batch, true);
  });
  for (int round = 0; round < 4; ++round)
    for (int64_t batch : {3, 2, 1}) {
      quick[batch] = compile(batch, false);
      if (round % 2 == 0) model->drop({{batch, 3, 32, 32}});
    }
  measuring.join();
  for (int64_t batch : {1, 2, 3}) {
    const auto a = scores(quick[batch], batch), b = scores(measured[batch], batch);
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-3) << batch;
  }
}

TEST_F(LoadTest, DamagedWeightsAreMadeAgain) {
  auto model = load();
  auto cold = answer(*model);
  ASSERT_TRUE(model->persist());
  model.reset();
  size_t damaged = 0;
  for (const auto& [file, time] : cached()) {
    if (fs::file_size(file) < 16384) continue;  // keep the small ones: the file's hash, what was measured
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(-1, std::ios::end);
    stream.put('\x55');
    ++damaged;
  }
  ASSERT_GT(damaged, 10u);
  model = load();
  EXPECT_EQ(answer(*model), cold);
  EXPECT_GE(lines().size(), 10u) << "each was looked at";
  EXPECT_TRUE(model->persist());
  lines().clear();
  model.reset();
  EXPECT_EQ(answer(*load()), cold);
  EXPECT_TRUE(lines().empty()) << lines().front();
}

TEST_F(LoadTest, FilesOfOneContentAreOneModel) {
  fs::path copy = root_ / "copy.onnx";
  fs::copy_file(kModel, copy);
  auto first = load();
  auto second = load(copy);
  EXPECT_EQ(first, second);
  Bytes once = first->weight_bytes();
  answer(*first);
  answer(*second);
  EXPECT_LT(first->weight_bytes().value, once.value * 2);
  std::ofstream(copy, std::ios::app) << '\x00';  // another file from here on
  EXPECT_NE(load(kModel), nullptr);
  EXPECT_EQ(load(kModel), first);
}

TEST_F(LoadTest, PackedWeightsAreNotCountedBesideWhatTheyReplace) {
  auto model = load();
  const auto file = static_cast<int64_t>(fs::file_size(kModel));
  answer(*model);
  EXPECT_LT(model->weight_bytes().value, file + file / 4);
}

// Two products: of fp32, which int8 quantises, and one that the model quantises dynamically.
void write_products(const fs::path& file) {
  namespace t = graph::test;
  constexpr int64_t kDepth = 256, kInner = 192, kColumns = 160, kI8 = 3;
  Random random(7, "load test");
  auto drawn = [&](int64_t count, double most) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) value = static_cast<float>((random.uniform() * 2 - 1) * most);
    return values;
  };
  std::vector<int8_t> numbers(kInner * kColumns);
  for (int8_t& number : numbers) number = static_cast<int8_t>(random.between(-120, 120));
  std::vector<float> scales = drawn(kColumns, 0.01);
  for (float& scale : scales) scale += 0.02F;
  std::ofstream(file, std::ios::binary) << t::model(t::graph(
      {.nodes = {t::node("MatMul", {"x", "w"}, {"h"}), t::node("DynamicQuantizeLinear", {"h"}, {"q", "s", "z"}),
                 t::node("MatMulInteger", {"q", "v", "z"}, {"sums"}),
                 t::node("Cast", {"sums"}, {"real"}, {t::attribute("to", int64_t{1})}),
                 t::node("Mul", {"s", "vs"}, {"unit"}), t::node("Mul", {"real", "unit"}, {"y"})},
       .initializers = {t::tensor("w", {kDepth, kInner}, drawn(kDepth * kInner, 1)),
                        t::tensor_head("v", kI8, {kInner, kColumns}) + t::field(9, t::raw(numbers)),
                        t::tensor("vs", {kColumns}, scales)},
       .inputs = {t::info("x", 1, {"N", "256"})},
       .outputs = {t::info("y", 1, {"N", "160"})}}));
}

// The bits of the answers to few rows, for which the way is chosen by measuring, and to many; beside them how each
// program's products are computed.
std::vector<std::byte> int8_answers(Model& model, std::vector<std::string>& ways) {
  std::vector<std::byte> bits;
  for (int64_t rows : {3, 24}) {
    auto program = model.compile({{rows, 256}}, {.max_width = 2, .precision = Precision::kInt8});
    EXPECT_TRUE(program.ok()) << program.error().message;
    if (!program.ok()) return {};
    for (const StepInfo& step : (*program)->steps())
      if (step.op == "QuantisedMatMul") ways.push_back(step.implementation);
    Tensor x = Tensor::zeros(DType::kF32, {rows, 256});
    Random random(static_cast<uint64_t>(rows), "load test");
    for (float& value : x.view().as<float>()) value = static_cast<float>(random.uniform() - 0.5);
    QueryInputs query;
    query.tensors.push_back(x.view());
    auto execution = Execution::create({{*program, rows}}, {query}, true);
    EXPECT_TRUE(execution.ok());
    EXPECT_EQ((*execution)->run(device::Team::serial()), RunState::kFinished);
    Tensor out = (*execution)->output(0, 0);
    bits.insert(bits.end(), out.view().data, out.view().data + out.view().bytes());
  }
  return bits;
}

TEST_F(LoadTest, WeightsOfInt8ComeFromTheCacheAndAreMadeAgainIfDamaged) {
  if (!ops::onednn::has_int8()) GTEST_SKIP() << "no instructions for int8";
  const fs::path file = root_ / "products.onnx";
  write_products(file);
  auto weights = [&] {
    auto files = cached();
    std::erase_if(files, [](const auto& entry) { return fs::file_size(entry.first) < 16384; });
    return files;
  };
  std::vector<std::string> ways, later_ways;
  auto model = load(file);
  const auto cold = int8_answers(*model, ways);
  ASSERT_EQ(ways.size(), 4u) << "both products of both programs";
  EXPECT_EQ(ways[3], "own int8 dynamic");
  ASSERT_TRUE(model->persist());
  const auto kept = weights();
  ASSERT_EQ(kept.size(), 2u) << "one copy of each for both programs";

  model.reset();  // as at the end of the process: nobody shares it
  model = load(file);
  EXPECT_EQ(int8_answers(*model, later_ways), cold);
  EXPECT_EQ(later_ways, ways) << "what was chosen by measuring stays";
  EXPECT_TRUE(model->persist());
  EXPECT_EQ(weights(), kept) << "they were found: nothing is written twice";
  EXPECT_TRUE(lines().empty());

  model.reset();
  for (const auto& [blob, time] : kept) {
    std::fstream stream(blob, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekg(-1, std::ios::end);
    const int last = stream.get();
    stream.seekp(-1, std::ios::end);
    stream.put(static_cast<char>(last ^ 1));
  }
  model = load(file);
  EXPECT_EQ(int8_answers(*model, later_ways), cold);
  EXPECT_EQ(lines().size(), 2u) << "each was seen to be damaged";
  EXPECT_TRUE(model->persist());
  EXPECT_EQ(weights().size(), 2u);
  lines().clear();
  model.reset();
  model = load(file);
  EXPECT_EQ(int8_answers(*model, later_ways), cold);
  EXPECT_TRUE(lines().empty()) << lines().front();
}

Survey survey_of(int depth) {
  StepSurvey step;
  step.units.stages = {{0, 2, false}, {2, 1, true}};
  step.units.total = 3;
  step.times = {Nanos(5), Nanos(6), Nanos(7)};
  step.outside = Nanos(1);
  step.total = Nanos(19);
  step.wide = Nanos(14);
  step.sliceable = false;
  if (depth > 0) step.sides = {survey_of(depth - 1), Survey()};
  Survey survey;
  survey.steps = {step, StepSurvey()};
  survey.total = Nanos(20);
  survey.wide = Nanos(15);
  return survey;
}

TEST(TuningText, ComesBackAsItWas) {
  Tuning tuning{Care::kTightened, {{"a node\nof two lines", 3}, {"", 7}}, survey_of(2), "steps"};
  std::string text = to_text(tuning);
  auto back = tuning_of(text);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->care, Care::kTightened);
  EXPECT_EQ(back->parts, tuning.parts);
  EXPECT_EQ(back->steps, "steps");
  EXPECT_EQ(back->survey.steps[0].times, tuning.survey.steps[0].times);
  EXPECT_EQ(back->survey.steps[0].wide, tuning.survey.steps[0].wide);
  EXPECT_EQ(back->survey.wide, tuning.survey.wide);
  EXPECT_EQ(to_text(*back), text);
}

TEST(TuningText, NothingElseIsTaken) {
  std::string text = to_text({Care::kTightened, {{"a", 3}}, survey_of(1), "steps"});
  for (size_t size = 0; size < text.size(); ++size) EXPECT_FALSE(tuning_of(std::string_view(text).substr(0, size)));
  EXPECT_FALSE(tuning_of(text + "1 "));
  EXPECT_FALSE(tuning_of("14 motet-tuning-5 0 0  99999999 "));
}

}  // namespace
}  // namespace motet::engine
