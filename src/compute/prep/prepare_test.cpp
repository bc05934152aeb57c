#include "compute/prep/prepare.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "compute/prep/file.h"

namespace motet::prep {
namespace {

using Parameters = std::map<std::string, std::string>;

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

Recipe recipe_of(const Parameters& parameters) {
  Result<Recipe> recipe = parse_recipe(parameters);
  EXPECT_TRUE(recipe.ok()) << recipe.error().message;
  return std::move(recipe).value();
}

// 2 x 2 pixels: red, green / blue, white.
std::string four_pixels() { return *encode_png({2, 2, 3, {255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255}}); }

std::vector<float> values_of(const Tensor& tensor) {
  auto values = tensor.view().as<float>();
  return {values.begin(), values.end()};
}

std::string refusal(const Parameters& parameters, const std::string& file, const std::vector<InputSpec>& inputs) {
  Result<Prepared> prepared = prepare(recipe_of(parameters), "the-file", bytes_of(file), inputs);
  EXPECT_FALSE(prepared.ok());
  return prepared.ok() ? "" : prepared.error().message;
}

TEST(PrepareImage, PlanesAreNormalised) {
  Recipe recipe = recipe_of({{"recipe.input", "image"}, {"recipe.mean", "0, 0.5, 1"}, {"recipe.std", "1, 0.5, 2"}});
  std::vector<InputSpec> inputs{{"x", DType::kF32, {-1, 3, 2, 2}}};
  Result<Prepared> prepared = prepare(recipe, "a.png", bytes_of(four_pixels()), inputs);
  ASSERT_TRUE(prepared.ok()) << prepared.error().message;
  ASSERT_EQ(prepared->calls.size(), 1u);
  EXPECT_EQ(prepared->calls[0][0].name, "x");
  EXPECT_EQ(prepared->calls[0][0].tensor.shape(), (Shape{1, 3, 2, 2}));
  EXPECT_EQ(values_of(prepared->calls[0][0].tensor),
            (std::vector<float>{1, 0, 0, 1, -1, 1, -1, 1, -0.5F, -0.5F, 0, 0}));
}

TEST(PrepareImage, LayoutsColoursAndTypes) {
  std::vector<InputSpec> nhwc{{"x", DType::kU8, {1, 2, 2, 3}}};
  Recipe recipe =
      recipe_of({{"recipe.input", "image"}, {"recipe.layout", "nhwc"}, {"recipe.color", "bgr"}, {"recipe.scale", "1"}});
  Result<Prepared> prepared = prepare(recipe, "a.png", bytes_of(four_pixels()), nhwc);
  ASSERT_TRUE(prepared.ok()) << prepared.error().message;
  auto bytes = prepared->calls[0][0].tensor.view().as<uint8_t>();
  EXPECT_EQ(std::vector<uint8_t>(bytes.begin(), bytes.end()),
            (std::vector<uint8_t>{0, 0, 255, 0, 255, 0, 255, 0, 0, 255, 255, 255}));

  std::vector<InputSpec> grey{{"x", DType::kF32, {1, 2, 2}}};
  recipe = recipe_of(
      {{"recipe.input", "image"}, {"recipe.color", "gray"}, {"recipe.scale", "1"}, {"recipe.invert", "true"}});
  prepared = prepare(recipe, "a.png", bytes_of(four_pixels()), grey);
  ASSERT_TRUE(prepared.ok()) << prepared.error().message;
  EXPECT_EQ(values_of(prepared->calls[0][0].tensor), (std::vector<float>{255 - 76, 255 - 150, 255 - 29, 0}));
}

TEST(PrepareImage, CropTakesTheMiddle) {
  Image wide{6, 2, 3, std::vector<uint8_t>(36, 0)};
  for (int y = 0; y < 2; ++y) {
    for (int x = 2; x < 4; ++x) std::fill_n(wide.at(x, y), 3, uint8_t{255});
  }
  Recipe recipe = recipe_of({{"recipe.input", "image"}, {"recipe.crop", "1"}});
  std::vector<InputSpec> inputs{{"x", DType::kF32, {1, 3, 2, 2}}};
  Result<Prepared> prepared = prepare(recipe, "a.png", bytes_of(*encode_png(wide)), inputs);
  ASSERT_TRUE(prepared.ok()) << prepared.error().message;
  EXPECT_EQ(values_of(prepared->calls[0][0].tensor), std::vector<float>(12, 1.0F));
  EXPECT_EQ(prepared->context.region.left, 2);
}

TEST(PrepareImage, ModelsThatDoNotFitAreNamed) {
  Parameters image{{"recipe.input", "image"}};
  std::string png = four_pixels();
  EXPECT_NE(refusal(image, png, {{"x", DType::kF32, {1, 1, 2, 2}}}).find("3 channels"), std::string::npos);
  EXPECT_NE(refusal(image, png, {{"x", DType::kF32, {8, 3, 2, 2}}}).find("batch"), std::string::npos);
  EXPECT_NE(refusal(image, png, {{"x", DType::kF32, {1, 3, -1, -1}}}).find("recipe.size"), std::string::npos);
  EXPECT_NE(refusal(image, png, {{"x", DType::kF32, {10}}}).find("[10]"), std::string::npos);
  EXPECT_NE(refusal(image, png, {{"x", DType::kString, {1, 3, 2, 2}}}).find("BYTES"), std::string::npos);
  EXPECT_NE(refusal(image, png, {{"x", DType::kF32, {1, 3, 2, 2}}, {"y", DType::kF32, {1}}}).find("recipe.tensor"),
            std::string::npos);
  EXPECT_NE(refusal(image, "no photo", {{"x", DType::kF32, {1, 3, 2, 2}}}).find("the-file is neither"),
            std::string::npos);
  EXPECT_NE(refusal({{"recipe.input", "image"}, {"recipe.size", "3x3"}}, png, {{"x", DType::kF32, {1, 3, 2, 2}}})
                .find("of 3"),
            std::string::npos);
}

TEST(PrepareBytes, TakesBothEndsWithoutTheirWhiteSpace) {
  Parameters keys{{"recipe.input", "bytes"},
                  {"recipe.begin", "4"},
                  {"recipe.end", "3"},
                  {"recipe.block", "8"},
                  {"recipe.padding", "256"}};
  std::vector<InputSpec> inputs{{"bytes", DType::kI32, {-1, 7}}};
  auto prepared_values = [&](const std::string& file) {
    Result<Prepared> prepared = prepare(recipe_of(keys), "f", bytes_of(file), inputs);
    EXPECT_TRUE(prepared.ok()) << prepared.error().message;
    auto values = prepared->calls[0][0].tensor.view().as<int32_t>();
    return std::vector<int32_t>(values.begin(), values.end());
  };
  EXPECT_EQ(prepared_values(" \nabcdefgh... ..xyz\t"), (std::vector<int32_t>{'a', 'b', 'c', 'd', 'x', 'y', 'z'}));
  EXPECT_EQ(prepared_values(" ab "), (std::vector<int32_t>{'a', 'b', ' ', 256, ' ', 'a', 'b'}));
  EXPECT_EQ(prepared_values("   \xff"), (std::vector<int32_t>{255, 256, 256, 256, ' ', ' ', 255}));
  EXPECT_EQ(prepared_values("        "), (std::vector<int32_t>{256, 256, 256, 256, 256, 256, 256}));
  keys["recipe.least_bytes"] = "8";
  EXPECT_NE(refusal(keys, "short", inputs).find("has 5 bytes; this model needs at least 8"), std::string::npos);
  EXPECT_NE(refusal(keys, "long enough", {{"bytes", DType::kI32, {-1, 2048}}}).find("[-1,2048]"), std::string::npos);
}

TEST(PrepareNumbers, RowsBecomeABatch) {
  std::vector<InputSpec> inputs{{"user", DType::kI64, {-1}}, {"item", DType::kI64, {-1, 1}}};
  Parameters keys{{"recipe.input", "numbers"}};
  Result<Prepared> prepared = prepare(recipe_of(keys), "n.txt", bytes_of("1 10\n\n2,20\r\n"), inputs);
  ASSERT_TRUE(prepared.ok()) << prepared.error().message;
  EXPECT_EQ(prepared->calls[0][0].tensor.view().as<int64_t>()[1], 2);
  EXPECT_EQ(prepared->calls[0][1].tensor.shape(), (Shape{2, 1}));
  EXPECT_EQ(prepared->calls[0][1].tensor.view().as<int64_t>()[0], 10);
  EXPECT_NE(refusal(keys, "1 2 3", inputs).find("row 1 has 3 values; expected are rows of 2 numbers (user item)"),
            std::string::npos);
  EXPECT_NE(refusal(keys, "1 x", inputs).find("'x' is no INT64 for 'item'"), std::string::npos);
  EXPECT_NE(refusal(keys, "99999999999999999999 1", inputs).find("is no INT64"), std::string::npos);
  EXPECT_NE(refusal(keys, " \n", inputs).find("holds no numbers"), std::string::npos);
}

std::string wav(int rate, const std::vector<int16_t>& samples) {
  auto u32 = [](size_t v) {
    auto value = static_cast<uint32_t>(v);
    return std::string(reinterpret_cast<const char*>(&value), 4);
  };
  auto u16 = [](uint16_t v) { return std::string(reinterpret_cast<const char*>(&v), 2); };
  return "RIFF" + u32(0) + "WAVEfmt " + u32(16) + u16(1) + u16(1) + u32(static_cast<size_t>(rate)) + u32(0) + u16(2) +
         u16(16) + "data" + u32(samples.size() * 2) +
         std::string(reinterpret_cast<const char*>(samples.data()), samples.size() * 2);
}

TEST(PrepareAudio, WindowsCarryTheirContext) {
  Parameters keys{{"recipe.input", "audio"}, {"recipe.rate", "16000"},     {"recipe.window", "4"},
                  {"recipe.context", "2"},   {"recipe.rate_tensor", "sr"}, {"recipe.state", "state:stateN"}};
  std::vector<InputSpec> inputs{
      {"input", DType::kF32, {-1, -1}}, {"state", DType::kF32, {2, -1, 3}}, {"sr", DType::kI64, {}}};
  std::vector<int16_t> samples;
  for (int i = 1; i <= 6; ++i) samples.push_back(static_cast<int16_t>(i * 4096));
  Result<Prepared> prepared = prepare(recipe_of(keys), "a.wav", bytes_of(wav(16000, samples)), inputs);
  ASSERT_TRUE(prepared.ok()) << prepared.error().message;
  ASSERT_EQ(prepared->calls.size(), 2u);
  EXPECT_EQ(values_of(prepared->calls[0][0].tensor), (std::vector<float>{0, 0, 0.125F, 0.25F, 0.375F, 0.5F}));
  EXPECT_EQ(values_of(prepared->calls[1][0].tensor), (std::vector<float>{0.375F, 0.5F, 0.625F, 0.75F, 0, 0}));
  EXPECT_EQ(prepared->calls[1][1].tensor.view().as<int64_t>()[0], 16000);
  EXPECT_EQ(prepared->calls[0][2].tensor.shape(), (Shape{2, 1, 3}));
  ASSERT_EQ(prepared->calls[1].size(), 2u);
  std::vector<NamedTensor> answer{{"stateN", Tensor::zeros(DType::kF32, {2, 1, 3})}};
  ASSERT_TRUE(carry_state(*prepared, answer, prepared->calls[1]).ok());
  EXPECT_EQ(prepared->calls[1][2].name, "state");
  EXPECT_FALSE(carry_state(*prepared, {}, prepared->calls[1]).ok());
}

TEST(PrepareAudio, SoundThatIsTooLongOrEmptyIsRefused) {
  Parameters keys{{"recipe.input", "audio"}, {"recipe.window", "512"}};
  std::vector<InputSpec> inputs{{"input", DType::kF32, {1, 512}}};
  EXPECT_NE(refusal(keys, wav(1, std::vector<int16_t>(20'000)), inputs).find("accepted are up to 14400"),
            std::string::npos);
  EXPECT_NE(refusal(keys, wav(16000, {}), inputs).find("no samples"), std::string::npos);
  EXPECT_NE(refusal(keys, wav(16000, {1}), {{"input", DType::kF32, {1, 100}}}).find("[1,100]"), std::string::npos);
}

TEST(PrepareTensors, TakesAnArrayForEveryInput) {
  Result<FileBytes> file = read_file("models/ncf_mlp_ml1m/golden/0/inputs.npz");
  ASSERT_TRUE(file.ok());
  std::vector<InputSpec> inputs{{"user", DType::kI64, {-1}}, {"item", DType::kI64, {-1}}};
  Result<Prepared> prepared = prepare(Recipe{}, "inputs.npz", **file, inputs);
  ASSERT_TRUE(prepared.ok()) << prepared.error().message;
  EXPECT_EQ(prepared->calls[0].size(), 2u);
  inputs.push_back({"time", DType::kI64, {-1}});
  Result<Prepared> missing = prepare(Recipe{}, "inputs.npz", **file, inputs);
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().message, "inputs.npz has no array 'time'");
}

}  // namespace
}  // namespace motet::prep
