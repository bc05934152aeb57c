#include "wire/api/classify.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace motet::api {
namespace {

const std::vector<std::string> kLabels = {"zero", "one", "", "three"};

template <class T>
std::vector<std::string> texts(DType dtype, Shape shape, std::vector<T> values, int64_t k, bool batched, Shape expected,
                               const std::vector<std::string>& labels = {}) {
  TensorView view{dtype, std::move(shape), reinterpret_cast<std::byte*>(values.data())};
  Tensor result = classify(view, k, batched, labels);
  EXPECT_EQ(result.shape(), expected);
  auto elements = result.view().as<const std::string_view>();
  return {elements.begin(), elements.end()};
}

using Texts = std::vector<std::string>;

TEST(Classify, BestFirstAndEqualsByIndex) {
  EXPECT_EQ(texts<float>(DType::kF32, {1, 4}, {0, 0, 2.25, 3}, 9, true, {1, 4}, kLabels),
            (Texts{"3.000000:3:three", "2.250000:2", "0.000000:0:zero", "0.000000:1:one"}));
  EXPECT_EQ(texts<int32_t>(DType::kI32, {2, 3}, {1, 5, 5, -7, -9, -8}, 2, true, {2, 2}),
            (Texts{"5:1", "5:2", "-7:0", "-8:2"}));
}

TEST(Classify, WithoutABatchTheWholeTensorIsOneList) {
  EXPECT_EQ(texts<double>(DType::kF64, {2, 2}, {1, 1e300, 3, 4}, 1, false, {1})[0].substr(0, 8), "10000000");
  EXPECT_EQ(texts<uint8_t>(DType::kU8, {3}, {200, 255, 7}, 3, false, {3}), (Texts{"255:1", "200:0", "7:2"}));
}

TEST(Classify, EveryNumericTypeHasItsText) {
  EXPECT_EQ(texts<int8_t>(DType::kI8, {2}, {-1, 65}, 2, false, {2}), (Texts{"65:1", "-1:0"}));
  EXPECT_EQ(texts<uint64_t>(DType::kU64, {1}, {~uint64_t{0}}, 1, false, {1}), (Texts{"18446744073709551615:0"}));
  EXPECT_EQ(texts<uint16_t>(DType::kF16, {2}, {float_to_f16(0.5F), float_to_f16(2.0F)}, 2, false, {2}),
            (Texts{"2.000000:1", "0.500000:0"}));
  EXPECT_EQ(texts<uint16_t>(DType::kBF16, {1}, {float_to_bf16(-1.0F)}, 1, false, {1}), (Texts{"-1.000000:0"}));
  EXPECT_EQ(texts<uint8_t>(DType::kBool, {2}, {0, 1}, 2, false, {2}), (Texts{"1:1", "0:0"}));
  EXPECT_EQ(texts<int64_t>(DType::kI64, {1}, {INT64_MIN}, 1, false, {1}), (Texts{"-9223372036854775808:0"}));
}

TEST(Classify, NotANumberComesLast) {
  EXPECT_EQ(texts<float>(DType::kF32, {4}, {NAN, -INFINITY, NAN, INFINITY}, 4, false, {4}),
            (Texts{"inf:3", "-inf:1", "nan:0", "nan:2"}));
}

TEST(Classify, NothingToClassifyGivesNothing) {
  EXPECT_TRUE(texts<float>(DType::kF32, {0, 4}, {}, 2, true, {0, 0}).empty());
  EXPECT_TRUE(texts<float>(DType::kF32, {2, 0}, {}, 2, true, {2, 0}).empty());
}

}  // namespace
}  // namespace motet::api
