#include "compute/prep/recipe.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <regex>

namespace motet::prep {
namespace {

TEST(Recipe, WithoutKeysFilesAreTensors) {
  Result<Recipe> recipe = parse_recipe({{"slo_ms", "20"}, {"anything", "else"}});
  ASSERT_TRUE(recipe.ok());
  EXPECT_EQ(recipe->input, InputKind::kTensors);
  EXPECT_EQ(recipe->output.kind, OutputKind::kTensors);
}

TEST(Recipe, ReadsEveryKindOfValue) {
  Result<Recipe> recipe = parse_recipe({{"recipe.input", "image"},
                                        {"recipe.size", "320 x 240"},
                                        {"recipe.scale", "1/255"},
                                        {"recipe.mean", "0.5, 0.25, 1/8"},
                                        {"recipe.std", "2"},
                                        {"recipe.color", "bgr"},
                                        {"recipe.layout", "nhwc"},
                                        {"recipe.invert", "true"},
                                        {"recipe.output", "classes"},
                                        {"recipe.labels", "cat|dog, domestic|"},
                                        {"recipe.state", "h:hn, c:cn"}});
  ASSERT_TRUE(recipe.ok()) << recipe.error().message;
  EXPECT_EQ(recipe->image.width, 320);
  EXPECT_EQ(recipe->image.height, 240);
  EXPECT_DOUBLE_EQ(recipe->image.scale, 1.0 / 255);
  EXPECT_EQ(recipe->image.mean, (std::vector<double>{0.5, 0.25, 0.125}));
  EXPECT_EQ(recipe->image.color, Color::kBgr);
  EXPECT_TRUE(recipe->image.nhwc);
  EXPECT_TRUE(recipe->image.invert);
  EXPECT_EQ(recipe->output.labels, (std::vector<std::string>{"cat", "dog, domestic"}));
  EXPECT_EQ(recipe->audio.states, (std::vector<std::pair<std::string, std::string>>{{"h", "hn"}, {"c", "cn"}}));
}

TEST(Recipe, RefusalsNameKeyValueAndWhatIsAccepted) {
  struct Case {
    std::map<std::string, std::string> parameters;
    const char* says;
  };
  const std::vector<Case> cases{
      {{{"recipe.inputs", "image"}}, "unknown parameter recipe.inputs; known are"},
      {{{"recipe.input", "photo"}}, "recipe.input is 'photo'; accepted: tensors, image, audio, bytes, numbers"},
      {{{"recipe.output", ""}}, "accepted: tensors, classes"},
      {{{"recipe.size", "224"}}, "WIDTHxHEIGHT"},
      {{{"recipe.size", "0x5"}}, "WIDTHxHEIGHT"},
      {{{"recipe.mean", "1,2"}}, "one number, or three"},
      {{{"recipe.mean", "nan"}}, "numbers separated"},
      {{{"recipe.std", "0.5,0,1"}}, "other than 0"},
      {{{"recipe.scale", "1/0"}}, "a number from"},
      {{{"recipe.threshold", "1.5"}}, "recipe.threshold is '1.5'"},
      {{{"recipe.top", "0"}}, "a whole number from 1"},
      {{{"recipe.strip", "yes"}}, "true, false"},
      {{{"recipe.state", "a"}}, "INPUT:OUTPUT"},
      {{{"recipe.input", "image"}, {"recipe.color", "gray"}, {"recipe.mean", "1,2,3"}}, "one number"},
      {{{"recipe.output", "ssd-boxes"}}, "needs recipe.input image"},
      {{{"recipe.input", "image"}, {"recipe.output", "image-ycbcr"}}, "recipe.color y"},
      {{{"recipe.input", "audio"}, {"recipe.output", "speech"}}, "recipe.window"},
  };
  for (const Case& c : cases) {
    Result<Recipe> recipe = parse_recipe(c.parameters);
    ASSERT_FALSE(recipe.ok()) << c.says;
    EXPECT_NE(recipe.error().message.find(c.says), std::string::npos) << recipe.error().message;
  }
}

// Every shipped model's config and every key that docs/recipes.md explains.
TEST(Recipe, ShippedConfigsAreGood) {
  for (const char* model : {"fastestdet", "magika", "mnist_8", "mobilenet_v2", "ncf_mlp_ml1m", "resnet20_cifar10",
                            "silero_vad", "super_resolution_10", "ultraface_rfb_320"}) {
    std::ifstream file(std::string("models/") + model + "/config.pbtxt");
    std::map<std::string, std::string> parameters;
    constexpr std::string_view kKey = "parameters { key: \"";
    constexpr std::string_view kValue = "\" value { string_value: \"";
    for (std::string line; std::getline(file, line);) {
      size_t value = line.find(kValue);
      if (!line.starts_with(kKey) || value == std::string::npos) continue;
      size_t begin = value + kValue.size();
      parameters[line.substr(kKey.size(), value - kKey.size())] = line.substr(begin, line.rfind("\" }") - begin);
    }
    Result<Recipe> recipe = parse_recipe(parameters);
    ASSERT_TRUE(recipe.ok()) << model << ": " << recipe.error().message;
    EXPECT_NE(recipe->input, InputKind::kTensors) << model;
    EXPECT_NE(recipe->output.kind, OutputKind::kTensors) << model;
  }
}

TEST(Recipe, EveryKeyIsExplained) {
  std::ifstream file("docs/recipes.md");
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  std::string message = parse_recipe({{"recipe.", ""}}).error().message;
  std::regex key("recipe\\.[a-z_]+");
  for (auto it = std::sregex_iterator(message.begin(), message.end(), key); it != std::sregex_iterator(); ++it) {
    EXPECT_NE(text.find("`" + it->str() + "`"), std::string::npos) << it->str() << " is not in docs/recipes.md";
  }
}

TEST(Labels, OneALineOrSeparatedByBars) {
  EXPECT_EQ(parse_labels("a\r\nb | c\n\n"), (std::vector<std::string>{"a", "b | c"}));
  EXPECT_EQ(parse_labels("a| b"), (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(parse_labels("").empty());
}

}  // namespace
}  // namespace motet::prep
