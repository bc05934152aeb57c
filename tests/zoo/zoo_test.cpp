// The zoo at toy width: every architecture natively, at batch 1, 3 and 8 and every length, against the answers that
// ONNX Runtime gave when the models were exported (tools/zoo/export.py --toy tests/zoo).
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <sstream>

#include "base/tensor/named.h"
#include "compute/engine/execution.h"
#include "compute/prep/npz.h"
#include "values.h"

namespace motet::zoo {
namespace {

constexpr const char* kFolder = "tests/zoo/";
constexpr uint64_t kSeed = 21;
constexpr size_t kValues = 1024;  // of a larger output, as many are kept, spread over it
constexpr double kTolerance = 1e-4;
constexpr int kWidth = 2;

struct Toy {
  std::string name;
  std::vector<int64_t> lengths;  // empty: no extent is called length
  std::vector<Input> inputs;
};

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

// zoo.tsv: model, family, lengths, input, dtype, dims, kind, low, high.
std::vector<Toy> read_catalogue() {
  std::vector<Toy> toys;
  std::ifstream file(std::string(kFolder) + "zoo.tsv");
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    auto fields = split(line, '\t');
    MOTET_CHECK(fields.size() == 9, "a row of zoo.tsv has nine fields");
    if (toys.empty() || toys.back().name != fields[0]) {
      toys.push_back({.name = fields[0]});
      if (fields[2] != "-")
        for (const auto& length : split(fields[2], ',')) toys.back().lengths.push_back(std::stoll(length));
    }
    toys.back().inputs.push_back({.name = fields[3],
                                  .dtype = fields[4] == "f32" ? DType::kF32 : DType::kI64,
                                  .dims = split(fields[5], ','),
                                  .kind = fields[6],
                                  .low = std::stod(fields[7]),
                                  .high = std::stod(fields[8])});
  }
  return toys;
}

// max|y - ort| <= 1e-4 max|ort| over what was kept.
void expect_near(const Tensor& got, const Tensor& kept, const std::string& what) {
  ASSERT_EQ(got.dtype(), DType::kF32) << what;
  auto y = got.view().as<float>();
  auto want = kept.view().as<float>();
  size_t stride = (y.size() + kValues - 1) / kValues;
  ASSERT_EQ((y.size() + stride - 1) / stride, want.size()) << what;
  double largest = 0, apart = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(want[i])));
    double difference = std::abs(static_cast<double>(y[i * stride]) - static_cast<double>(want[i]));
    if (!(difference <= apart)) apart = difference;  // also NaN
  }
  EXPECT_LE(apart, kTolerance * largest) << what;
}

class ZooTest : public testing::TestWithParam<Toy> {};

void run_case(engine::Model& model, const Toy& toy, int64_t batch, int64_t length,
              const std::map<std::string, Tensor>& answers) {
  std::string label = "b" + std::to_string(batch) + (toy.lengths.empty() ? "" : "_l" + std::to_string(length));
  std::vector<Tensor> tensors;
  std::vector<Shape> shapes;
  engine::QueryInputs query;
  for (const Input& input : toy.inputs) {
    auto drawn = draw(input, kSeed, batch, length);
    ASSERT_TRUE(drawn.ok()) << drawn.error().message;
    tensors.push_back(*drawn);
    shapes.push_back(drawn->shape());
    query.tensors.push_back(tensors.back().view());
  }
  auto program = model.compile(shapes, {.max_width = kWidth, .calibrate = false});
  ASSERT_TRUE(program.ok()) << label << ": " << program.error().message;
  EXPECT_EQ((*program)->executor(), "native") << label;
  auto execution = engine::Execution::create({{*program, 0}}, {query}, false);
  ASSERT_TRUE(execution.ok()) << execution.error().message;
  ASSERT_EQ((*execution)->run(device::Team::serial()), engine::RunState::kFinished) << label;
  for (size_t o = 0; o < (*program)->outputs().size(); ++o) {
    std::string key = label + "/" + (*program)->outputs()[o].name;
    auto answer = answers.find(key);
    ASSERT_NE(answer, answers.end()) << key;
    expect_near((*execution)->output(0, o), answer->second, key);
  }
}

TEST_P(ZooTest, AnswersAsOnnxRuntimeDoes) {
  const Toy& toy = GetParam();
  auto model = engine::Model::load(kFolder + toy.name + ".onnx");
  ASSERT_TRUE(model.ok()) << model.error().message;
  ASSERT_EQ((*model)->inputs().size(), toy.inputs.size());
  auto arrays = prep::read_npz(kFolder + toy.name + ".npz");
  ASSERT_TRUE(arrays.ok()) << arrays.error().message;
  std::map<std::string, Tensor> answers;
  for (const NamedTensor& array : *arrays) answers.emplace(array.name, array.tensor);
  std::vector<int64_t> lengths = toy.lengths.empty() ? std::vector<int64_t>{1} : toy.lengths;
  EXPECT_EQ(answers.size(), 3 * lengths.size() * (*model)->outputs().size());
  for (int64_t batch : {1, 3, 8})
    for (int64_t length : lengths) run_case(**model, toy, batch, length, answers);
}

INSTANTIATE_TEST_SUITE_P(Toys, ZooTest, testing::ValuesIn(read_catalogue()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace motet::zoo
