// What the conformance suite (compute/ops/testing) does not see: packed weights that programs share, and refusals.
#include "compute/ops/onednn/onednn.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/random.h"
#include "compute/ops/onednn/weight_cache.h"

namespace motet::ops::onednn {
namespace {

Tensor drawn(Shape shape, std::string_view stream) {
  Tensor tensor = Tensor::zeros(DType::kF32, std::move(shape));
  Random random(7, stream);
  for (float& x : tensor.view().as<float>()) x = static_cast<float>(random.uniform() * 2 - 1);
  return tensor;
}

using Plan = Result<KernelPtr> (*)(const NodeRequest&);

// One node; its first input is not known when planning, the others are.
struct Case {
  graph::Node node;
  std::vector<Tensor> inputs;
  Shape output;

  Result<KernelPtr> plan(Plan function, WeightCache* cache = nullptr) const {
    std::vector<TensorSpec> specs;
    std::vector<const Tensor*> constants;
    auto present = std::make_unique<bool[]>(inputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) {
      specs.push_back({inputs[i].dtype(), inputs[i].shape()});
      constants.push_back(i == 0 ? nullptr : &inputs[i]);
      present[i] = true;
    }
    TensorSpec out{DType::kF32, output};
    return function({.node = node,
                     .inputs = specs,
                     .present = {present.get(), inputs.size()},
                     .constants = constants,
                     .outputs = {&out, 1},
                     .preferred = blocked_layout(),
                     .max_width = 2,
                     .weights = cache});
  }
};

Case conv_case() {
  Case c;
  c.node.op = "Conv";
  c.node.opset = 13;
  c.node.attributes["pads"] = std::vector<int64_t>{1, 1, 1, 1};
  c.inputs = {drawn({1, 32, 8, 8}, "x"), drawn({32, 32, 3, 3}, "w"), drawn({32}, "b")};
  c.output = {1, 32, 8, 8};
  return c;
}

TEST(OneDnn, WeightsArePackedOnceForEveryBatch) {
  WeightCache cache;
  const Case one = conv_case();
  auto first = one.plan(plan_convolution, &cache);
  ASSERT_TRUE(first.ok()) << first.error().message;
  EXPECT_GT((*first)->flops(), 0);
  const size_t bytes = cache.bytes();
  EXPECT_GT(bytes, 0U);
  Case eight = one;
  eight.inputs[0] = drawn({8, 32, 8, 8}, "x");
  eight.output[0] = 8;
  auto second = eight.plan(plan_convolution, &cache);
  ASSERT_TRUE(second.ok()) << second.error().message;
  EXPECT_EQ(cache.bytes(), bytes);
  first = unsupported("dropped");
  second = unsupported("dropped");
  cache.trim();
  EXPECT_EQ(cache.bytes(), 0U);
}

TEST(OneDnn, WeightsOnTrialCountWhenTheyAreUsed) {
  WeightCache cache;
  const Tensor used = drawn({64}, "used"), unused = drawn({64}, "unused"), shared = drawn({64}, "shared");
  auto pack = [&](const Tensor& source) { return cache.get_or_pack(source, "plain", 256, [](std::byte*) {}); };
  WeightCache::Packed kept = pack(drawn({64}, "before")), chosen;
  {
    WeightCache::Trial trial(cache);
    chosen = pack(used);
    pack(unused);
    pack(shared);
    EXPECT_EQ(cache.bytes(), 256U);
    EXPECT_FALSE(cache.has(used));
    std::thread([&] { EXPECT_TRUE(pack(shared)); }).join();
    EXPECT_EQ(cache.bytes(), 512U) << "another thread's are no trial";
    EXPECT_TRUE(cache.has(shared));
  }
  EXPECT_EQ(cache.bytes(), 768U);
  EXPECT_TRUE(cache.has(used));
  EXPECT_FALSE(cache.has(unused));
}

TEST(OneDnn, RefusesWithTheReason) {
  Case c = conv_case();
  c.inputs[0] = Tensor::zeros(DType::kF64, {1, 32, 8, 8});
  auto wide = c.plan(plan_convolution);
  ASSERT_FALSE(wide.ok());
  EXPECT_NE(wide.error().message.find("FP64"), std::string::npos);
  Case resize;
  resize.node.op = "Resize";
  resize.node.opset = 13;
  resize.node.attributes["mode"] = std::string("cubic");
  resize.inputs = {drawn({1, 1, 4, 4}, "x")};
  resize.output = {1, 1, 8, 8};
  auto cubic = resize.plan(plan_resampling);
  ASSERT_FALSE(cubic.ok());
  EXPECT_NE(cubic.error().message.find("cubic"), std::string::npos);
}

}  // namespace
}  // namespace motet::ops::onednn
