#include "compute/engine/error_meter.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace motet::engine {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

template <class T>
std::vector<Tensor> one(std::vector<T> values) {
  auto count = static_cast<int64_t>(values.size());
  return {Tensor::of<T>({count}, values)};
}

double error_of(const std::vector<Tensor>& exact, const std::vector<Tensor>& other) {
  ErrorMeter meter;
  meter.add(exact, other);
  return meter.error();
}

TEST(ErrorMeter, IsTheLargestDifferenceOverTheLargestMagnitude) {
  EXPECT_EQ(ErrorMeter().error(), 0);
  EXPECT_EQ(error_of(one<float>({1, -4, 2}), one<float>({1, -4, 2})), 0);
  EXPECT_DOUBLE_EQ(error_of(one<float>({1, -4, 2}), one<float>({1.5, -4.25, 2})), 0.125);
  ErrorMeter meter;
  meter.add(one<float>({3, 4}), one<float>({3, 5}));
  ASSERT_EQ(meter.outputs().size(), 1u);
  EXPECT_DOUBLE_EQ(meter.outputs()[0].max, 0.25);
  EXPECT_DOUBLE_EQ(meter.outputs()[0].rms, 0.2);
  EXPECT_DOUBLE_EQ(error_of(one<double>({8}), one<double>({6})), 0.25);
  auto half = [](float x) { return float_to_bf16(x); };
  std::vector<uint16_t> a{half(2), half(1)}, b{half(2), half(1.5)};
  auto view = [](std::vector<uint16_t>& v) {
    return std::vector<Tensor>{
        Tensor({DType::kBF16, {2}, reinterpret_cast<std::byte*>(v.data())}, std::shared_ptr<const void>())};
  };
  EXPECT_DOUBLE_EQ(error_of(view(a), view(b)), 0.25);
}

TEST(ErrorMeter, SamplesShareAMagnitudeAndTheWorstOutputCounts) {
  ErrorMeter meter;
  auto two = [](float x, float y) {
    auto outputs = one<float>({x});
    outputs.push_back(one<float>({y})[0]);
    return outputs;
  };
  meter.add(two(10, 1), two(10, 1));
  meter.add(two(0.001F, 1), two(0.501F, 1.0625F));
  EXPECT_DOUBLE_EQ(meter.error(), 0.0625) << "0.5 of 10 in one output, 0.0625 of 1 in the other";
}

TEST(ErrorMeter, CountsWhatIsNotAFloat) {
  EXPECT_DOUBLE_EQ(error_of(one<int64_t>({1, 2, 3, 4}), one<int64_t>({1, 2, 9, 4})), 0.25);
  EXPECT_DOUBLE_EQ(error_of(one<std::string_view>({"cat", "dog"}), one<std::string_view>({"cat", "cow"})), 0.5);
}

TEST(ErrorMeter, IsInfiniteWhereAnswersCannotBeCompared) {
  EXPECT_TRUE(std::isinf(error_of(one<float>({1, 2}), one<float>({1, NAN}))));
  EXPECT_TRUE(std::isinf(error_of(one<float>({1, 2}), one<float>({1, kInf}))));
  EXPECT_TRUE(std::isinf(error_of(one<float>({0}), one<float>({1})))) << "of nothing";
  EXPECT_TRUE(std::isinf(error_of(one<int32_t>({1, 2}), one<int32_t>({1})))) << "another shape";
  EXPECT_EQ(error_of(one<float>({1, NAN, kInf}), one<float>({1, NAN, kInf})), 0);
  EXPECT_TRUE(std::isinf(error_of(one<float>({1, kInf}), one<float>({1, -kInf}))));
}

TEST(RunAlone, CutsRowsIntoTheProgramsBatches) {
  auto model = Model::load("models/mnist_8/1/model.onnx");
  ASSERT_TRUE(model.ok()) << model.error().message;
  auto program = (*model)->compile({{1, 1, 28, 28}}, {.max_width = 2, .calibrate = false});
  ASSERT_TRUE(program.ok()) << program.error().message;
  Tensor image = Tensor::zeros(DType::kF32, {1, 1, 28, 28});
  for (size_t i = 0; i < 784; ++i) image.view().as<float>()[i] = static_cast<float>(i % 29);
  auto outputs = run_alone({&*program, 1}, {{image.view()}}, false);
  ASSERT_TRUE(outputs.ok()) << outputs.error().message;
  ASSERT_EQ(outputs->size(), 1u);
  EXPECT_EQ((*outputs)[0].shape(), (Shape{1, 10}));
  auto resnet = Model::load("models/resnet20_cifar10/1/model.onnx");
  ASSERT_TRUE(resnet.ok()) << resnet.error().message;
  auto pairs = (*resnet)->compile({{2, 3, 32, 32}}, {.calibrate = false});
  ASSERT_TRUE(pairs.ok()) << pairs.error().message;
  Tensor three = Tensor::zeros(DType::kF32, {3, 3, 32, 32});
  auto rows = run_alone({&*pairs, 1}, {{three.view()}}, true);
  ASSERT_TRUE(rows.ok()) << rows.error().message;
  EXPECT_EQ((*rows)[0].shape(), (Shape{3, 10}));
  auto logits = (*rows)[0].view().as<float>();
  for (size_t i = 0; i < 10; ++i) EXPECT_EQ(logits[i], logits[20 + i]) << "the padded row's neighbour";
  EXPECT_FALSE(run_alone({&*pairs, 1}, {{image.view()}}, true).ok());
  auto single = (*resnet)->compile({{1, 3, 32, 32}}, {.calibrate = false});
  ASSERT_TRUE(single.ok()) << single.error().message;
  std::vector<ProgramPtr> both{*single, *pairs};
  auto exactly = run_alone(both, {{three.view()}}, true);
  ASSERT_TRUE(exactly.ok()) << exactly.error().message;
  EXPECT_EQ((*exactly)[0].shape(), (Shape{3, 10}));
}

}  // namespace
}  // namespace motet::engine
