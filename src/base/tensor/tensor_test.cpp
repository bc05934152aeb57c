#include <gtest/gtest.h>

#include <cmath>

#include "base/tensor/named.h"

namespace motet {
namespace {

TEST(Shape, RefusesWhatOverflows) {
  Shape huge = {int64_t{1} << 40, int64_t{1} << 40};
  EXPECT_FALSE(checked_elements(huge).ok());
  EXPECT_FALSE(checked_elements(Shape{2, -1}).ok());
  EXPECT_EQ(*checked_elements(Shape{}), 1);
  EXPECT_EQ(*checked_elements(Shape{3, 0, 5}), 0);
}

TEST(DType, HalvesRoundToNearestEven) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    float f = f16_to_float(static_cast<uint16_t>(bits));
    if (std::isnan(f)) continue;
    EXPECT_EQ(float_to_f16(f), bits);
  }
  EXPECT_EQ(float_to_f16(65519.0f), 0x7BFF);
  EXPECT_EQ(float_to_f16(65520.0f), 0x7C00);
  EXPECT_EQ(float_to_bf16(1.0f), 0x3F80);
}

TEST(Strings, RefuseALengthThatLies) {
  std::string wire(
      "\x02\x00\x00\x00"
      "ab",
      6);
  auto bytes = std::as_bytes(std::span(wire));
  auto good = parse_string_tensor(bytes, {1}, nullptr);
  ASSERT_TRUE(good.ok());
  EXPECT_EQ(good->view().as<std::string_view>()[0], "ab");
  std::string back;
  serialise_strings(good->view(), back);
  EXPECT_EQ(back, wire);
  EXPECT_FALSE(parse_string_tensor(bytes, {3}, nullptr).ok());
  wire[0] = 99;
  EXPECT_FALSE(parse_string_tensor(bytes, {1}, nullptr).ok());
}

TEST(Strings, ACopyStandsAlone) {
  auto wire = std::make_unique<std::string>(
      "\x02\x00\x00\x00"
      "ab"
      "\x00\x00\x00\x00"
      "\x01\x00\x00\x00"
      "c",
      15);
  auto parsed = parse_string_tensor(std::as_bytes(std::span(*wire)), {3, 1}, nullptr);
  ASSERT_TRUE(parsed.ok());
  Tensor copy = copy_strings(parsed->view());
  wire->assign(wire->size(), '?');
  EXPECT_EQ(copy.shape(), (Shape{3, 1}));
  auto strings = copy.view().as<std::string_view>();
  EXPECT_EQ(std::vector<std::string_view>(strings.begin(), strings.end()),
            (std::vector<std::string_view>{"ab", "", "c"}));
  EXPECT_EQ(copy_strings(TensorView{DType::kString, {0}, nullptr}).view().elements(), 0);
}

TEST(Tensor, DeferredBytesAreMadeWhenTheyAreLookedAt) {
  int made = 0;
  auto fill = [&made](std::byte* to) {
    ++made;
    std::memset(to, 0x11, 40'000);
  };
  Tensor tensor = Tensor::deferred(DType::kF32, {100, 100}, fill);
  Tensor copy = tensor;
  EXPECT_TRUE(tensor.deferred());
  EXPECT_EQ(tensor.bytes(), 40'000u);
  EXPECT_EQ(tensor.elements(), 10'000);
  EXPECT_EQ(tensor.identity(), copy.identity());
  EXPECT_EQ(made, 0);
  {
    Reading reading = tensor.read();
    EXPECT_EQ(reading.data[39'999], std::byte{0x11});
    EXPECT_NE(static_cast<const void*>(reading.data), tensor.identity());
  }
  EXPECT_EQ(made, 1);
  EXPECT_EQ(tensor.view().data[39'999], std::byte{0x11});
  EXPECT_EQ(copy.view().data, tensor.view().data);
  EXPECT_EQ(made, 2) << "kept from the first view() on";
  EXPECT_EQ(static_cast<const void*>(tensor.read().data), tensor.identity());
  EXPECT_EQ(made, 2);
}

TEST(Tensor, ADeferredCopyHandsOutItsSource) {
  auto bytes = std::make_shared<std::vector<std::byte>>(40'001, std::byte{7});
  std::span<const std::byte> unaligned(bytes->data() + 1, 40'000);
  Tensor tensor = Tensor::deferred_copy(DType::kF32, {10'000}, unaligned, bytes);
  EXPECT_EQ(tensor.read().data, unaligned.data());
  EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.view().data) % 64, 0u);
  EXPECT_EQ(tensor.view().data[39'999], std::byte{7});
}

TEST(Tensor, WhatIsSmallIsMadeAtOnce) {
  Tensor tensor = Tensor::deferred(DType::kU8, {8}, [](std::byte* to) { std::memset(to, 3, 8); });
  EXPECT_FALSE(tensor.deferred());
  EXPECT_EQ(tensor.view().data[7], std::byte{3});
}

}  // namespace
}  // namespace motet
