// The table and what goes around kernels: refusals, folding, faults, 16-bit floats, types that are only moved.
#include "compute/ops/registry.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <set>

namespace motet::ops {
namespace {

graph::Node node(std::string op, size_t inputs, std::map<std::string, graph::Attribute, std::less<>> attributes = {},
                 int opset = 17) {
  graph::Node n;
  n.op = std::move(op);
  n.opset = opset;
  n.attributes = std::move(attributes);
  for (size_t i = 0; i < inputs; ++i) n.inputs.push_back(static_cast<graph::ValueId>(i));
  n.outputs = {100};
  return n;
}

template <class T>
Tensor tensor(Shape shape, std::vector<T> values) {
  return Tensor::of<T>(std::move(shape), std::span<const T>(values));
}

Result<std::vector<Tensor>> fold(const graph::Node& n, const std::vector<Tensor>& inputs) {
  std::vector<const Tensor*> pointers;
  for (const Tensor& t : inputs) pointers.push_back(&t);
  return evaluate(n, pointers);
}

template <class T>
std::vector<T> values(const Tensor& t) {
  const auto span = t.view().as<T>();
  return {span.begin(), span.end()};
}

TEST(Registry, EveryOpIsListedOnceAndHasAnImplementation) {
  const std::vector<std::string> ops = supported_ops();
  EXPECT_EQ(std::set<std::string>(ops.begin(), ops.end()).size(), ops.size());
  EXPECT_TRUE(std::is_sorted(ops.begin(), ops.end()));
  for (const std::string& op : ops) {
    const size_t colon = op.find(':');
    const std::string domain = colon == std::string::npos ? "" : op.substr(0, colon);
    EXPECT_FALSE(implementations(domain, colon == std::string::npos ? op : op.substr(colon + 1)).empty()) << op;
  }
  EXPECT_TRUE(implementations("", "NoSuchOp").empty());
  EXPECT_TRUE(implementations("com.example", "Relu").empty());
}

TEST(Registry, ARefusalNamesTheOpTheTypesAndEveryReason) {
  const graph::Node n = node("Softmax", 1);
  const TensorSpec in{DType::kI32, {2, 3}};
  const bool present = true;
  const Tensor* constant = nullptr;
  auto planned = plan_kernel({n, {&in, 1}, {&present, 1}, {&constant, 1}, {&in, 1}});
  ASSERT_FALSE(planned.ok());
  EXPECT_EQ(planned.error().code, Code::kUnsupported);
  for (const char* part : {"Softmax", "opset 17", "INT32[2,3]", "onednn:", "reference:", "FP64"}) {
    EXPECT_NE(planned.error().message.find(part), std::string::npos) << part << " in: " << planned.error().message;
  }
}

TEST(Registry, AnOutputOfWrongExtentsIsRefused) {
  const graph::Node n = node("Relu", 1);
  const TensorSpec in{DType::kF32, {4}}, out{DType::kF32, {5}};
  const bool present = true;
  const Tensor* constant = nullptr;
  EXPECT_FALSE(implementations("", "Relu").back().plan({n, {&in, 1}, {&present, 1}, {&constant, 1}, {&out, 1}}).ok());
}

TEST(Evaluate, FoldsIntegersBooleansAndStrings) {
  auto sum = fold(node("Add", 2), {tensor<int64_t>({2}, {3, -4}), tensor<int64_t>({}, {10})});
  ASSERT_TRUE(sum.ok()) << sum.error().message;
  EXPECT_EQ(values<int64_t>((*sum)[0]), (std::vector<int64_t>{13, 6}));
  auto less = fold(node("Less", 2), {tensor<float>({2}, {1, 3}), tensor<float>({2}, {2, 2})});
  ASSERT_TRUE(less.ok()) << less.error().message;
  EXPECT_EQ(values<bool>((*less)[0]), (std::vector<bool>{true, false}));
  auto words = fold(node("Concat", 2, {{"axis", int64_t{0}}}),
                    {tensor<std::string_view>({1}, {"one"}), tensor<std::string_view>({2}, {"two", "three"})});
  ASSERT_TRUE(words.ok()) << words.error().message;
  EXPECT_EQ(values<std::string_view>((*words)[0]), (std::vector<std::string_view>{"one", "two", "three"}));
}

TEST(Evaluate, HalvesAreComputedInSingleAndRoundedOnce) {
  std::vector<uint16_t> bits{float_to_f16(1.5f), float_to_f16(-2.25f)};
  Tensor x = Tensor::zeros(DType::kF16, {2});
  std::copy(bits.begin(), bits.end(), x.view().as<uint16_t>().begin());
  auto y = fold(node("Mul", 2), {x, x});
  ASSERT_TRUE(y.ok()) << y.error().message;
  EXPECT_EQ((*y)[0].dtype(), DType::kF16);
  EXPECT_EQ(f16_to_float((*y)[0].view().as<uint16_t>()[0]), 2.25f);
  EXPECT_EQ(f16_to_float((*y)[0].view().as<uint16_t>()[1]), 5.0625f);
}

TEST(Evaluate, AnIndexOutOfRangeIsAFault) {
  const Tensor data = tensor<float>({3}, {1, 2, 3});
  auto good = fold(node("Gather", 2), {data, tensor<int64_t>({2}, {-1, 0})});
  ASSERT_TRUE(good.ok()) << good.error().message;
  EXPECT_EQ(values<float>((*good)[0]), (std::vector<float>{3, 1}));
  for (int64_t wrong :
       {int64_t{3}, int64_t{-4}, std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()}) {
    EXPECT_FALSE(fold(node("Gather", 2), {data, tensor<int64_t>({1}, {wrong})}).ok()) << wrong;
    EXPECT_FALSE(fold(node("GatherElements", 2), {data, tensor<int64_t>({1}, {wrong})}).ok()) << wrong;
    EXPECT_FALSE(fold(node("GatherND", 2), {data, tensor<int64_t>({1, 1}, {wrong})}).ok()) << wrong;
    EXPECT_FALSE(fold(node("ScatterElements", 3), {data, tensor<int64_t>({1}, {wrong}), tensor<float>({1}, {9})}).ok())
        << wrong;
    EXPECT_FALSE(fold(node("ScatterND", 3), {data, tensor<int64_t>({1, 1}, {wrong}), tensor<float>({1}, {9})}).ok())
        << wrong;
  }
}

TEST(Evaluate, IntegerDivisionNeverTraps) {
  constexpr int32_t kLeast = std::numeric_limits<int32_t>::min();
  for (const char* op : {"Div", "Mod"}) {
    auto y = fold(node(op, 2), {tensor<int32_t>({3}, {7, kLeast, -7}), tensor<int32_t>({3}, {0, -1, 2})});
    ASSERT_TRUE(y.ok()) << y.error().message;
    EXPECT_EQ(values<int32_t>((*y)[0])[2], std::string_view(op) == "Div" ? -3 : 1);
  }
}

TEST(Evaluate, SlicesWithNegativeStepsAndClampedBounds) {
  const Tensor x = tensor<int64_t>({5}, {0, 1, 2, 3, 4});
  auto slice = [&](int64_t start, int64_t end, int64_t step) {
    auto y = fold(node("Slice", 5), {x, tensor<int64_t>({1}, {start}), tensor<int64_t>({1}, {end}),
                                     tensor<int64_t>({1}, {0}), tensor<int64_t>({1}, {step})});
    return y.ok() ? values<int64_t>((*y)[0]) : std::vector<int64_t>{-1};
  };
  EXPECT_EQ(slice(-1, std::numeric_limits<int64_t>::min(), -2), (std::vector<int64_t>{4, 2, 0}));
  EXPECT_EQ(slice(1, std::numeric_limits<int64_t>::max(), 3), (std::vector<int64_t>{1, 4}));
  EXPECT_EQ(slice(3, 1, 1), (std::vector<int64_t>{}));
}

TEST(Evaluate, QuantisesToEvenAndSaturates) {
  const Tensor scale = tensor<float>({}, {2}), zero = tensor<uint8_t>({}, {128});
  auto q = fold(node("QuantizeLinear", 3), {tensor<float>({5}, {0, 3, 5, 1000, -1000}), scale, zero});
  ASSERT_TRUE(q.ok()) << q.error().message;
  EXPECT_EQ(values<uint8_t>((*q)[0]), (std::vector<uint8_t>{128, 130, 130, 255, 0}));
  auto back = fold(node("DequantizeLinear", 3), {(*q)[0], scale, zero});
  ASSERT_TRUE(back.ok()) << back.error().message;
  EXPECT_EQ(values<float>((*back)[0]), (std::vector<float>{0, 4, 4, 254, -256}));
}

}  // namespace
}  // namespace motet::ops
