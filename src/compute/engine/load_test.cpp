// Loading: from a cold start, from the cache on disk, and of one content twice.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "base/log.h"
#include "compute/device/team.h"
#include "compute/engine/execution.h"
#include "compute/engine/program.h"
#include "compute/engine/tuning.h"

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
    set_log_sink([](LogLevel, std::string_view line) { lines().emplace_back(line); });
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

Survey survey_of(int depth) {
  StepSurvey step;
  step.units.stages = {{0, 2, false}, {2, 1, true}};
  step.units.total = 3;
  step.times = {Nanos(5), Nanos(6), Nanos(7)};
  step.outside = Nanos(1);
  step.total = Nanos(19);
  step.sliceable = false;
  if (depth > 0) step.sides = {survey_of(depth - 1), Survey()};
  Survey survey;
  survey.steps = {step, StepSurvey()};
  survey.total = Nanos(20);
  return survey;
}

TEST(TuningText, ComesBackAsItWas) {
  Tuning tuning{Care::kTightened, {{"a node\nof two lines", {3, 1}}, {"", {7, 8}}}, survey_of(2), "steps"};
  std::string text = to_text(tuning);
  auto back = tuning_of(text);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->care, Care::kTightened);
  EXPECT_EQ(back->parts, tuning.parts);
  EXPECT_EQ(back->steps, "steps");
  EXPECT_EQ(back->survey.steps[0].times, tuning.survey.steps[0].times);
  EXPECT_EQ(to_text(*back), text);
}

TEST(TuningText, NothingElseIsTaken) {
  std::string text = to_text({Care::kTightened, {{"a", {3, 1}}}, survey_of(1), "steps"});
  for (size_t size = 0; size < text.size(); ++size) EXPECT_FALSE(tuning_of(std::string_view(text).substr(0, size)));
  EXPECT_FALSE(tuning_of(text + "1 "));
  EXPECT_FALSE(tuning_of("14 motet-tuning-3 0 0  99999999 "));
}

}  // namespace
}  // namespace motet::engine
