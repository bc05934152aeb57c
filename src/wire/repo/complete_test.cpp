#include "wire/repo/complete.h"

#include <gtest/gtest.h>

#include "wire/proto/model_config.pb.h"
#include "wire/repo/config_text.h"

namespace motet::repo {
namespace {

using inference::ModelConfig;

Signature photo_model() {
  return {{{"image", inference::TYPE_FP32, {-1, 3, 224, 224}}}, {{"scores", inference::TYPE_FP32, {-1, 1000}}}, true};
}

Signature fixed_model() {
  return {{{"a", inference::TYPE_FP32, {2, 3}}, {"b", inference::TYPE_INT64, {-1}}},
          {{"y", inference::TYPE_FP32, {2, 3}}, {"z", inference::TYPE_FP32, {}}},
          false};
}

Result<ModelConfig> complete(const std::string& text, const Signature& signature) {
  ModelConfig config;
  EXPECT_TRUE(parse_config_text(text, "c", config).ok()) << text;
  MOTET_RETURN_IF_ERROR(complete_config("m", signature, config));
  return config;
}

TEST(Complete, AnAbsentConfigComesFromABatchableModel) {
  auto c = complete("", photo_model());
  ASSERT_TRUE(c.ok()) << c.error().message;
  EXPECT_EQ(c->name(), "m");
  EXPECT_EQ(c->max_batch_size(), kDefaultMaxBatch);
  EXPECT_TRUE(c->has_dynamic_batching());
  ASSERT_EQ(c->input_size(), 1);
  EXPECT_EQ(c->input(0).name(), "image");
  EXPECT_EQ(c->input(0).data_type(), inference::TYPE_FP32);
  EXPECT_EQ(std::vector<int64_t>(c->input(0).dims().begin(), c->input(0).dims().end()),
            (std::vector<int64_t>{3, 224, 224}));
  EXPECT_EQ(c->output(0).dims(0), 1000);
  EXPECT_EQ(c->version_policy().latest().num_versions(), 1u);
}

TEST(Complete, AModelThatCannotBeBatchedKeepsEveryExtent) {
  auto c = complete("", fixed_model());
  ASSERT_TRUE(c.ok()) << c.error().message;
  EXPECT_EQ(c->max_batch_size(), 0);
  EXPECT_FALSE(c->has_dynamic_batching());
  EXPECT_EQ(c->input(1).dims(0), -1);
  EXPECT_EQ(c->output_size(), 2);
  EXPECT_EQ(c->output(1).dims_size(), 0);
}

TEST(Complete, WhatTheConfigSaysStands) {
  auto c = complete("max_batch_size: 16 output { name: 'scores' label_filename: 'l' }", photo_model());
  ASSERT_TRUE(c.ok()) << c.error().message;
  EXPECT_EQ(c->max_batch_size(), 16);
  EXPECT_FALSE(c->has_dynamic_batching());
  EXPECT_EQ(c->output(0).label_filename(), "l");
  EXPECT_EQ(c->output(0).dims(0), 1000);
  // Both tensors listed and no batch: the batch extent is in dims.
  c = complete("input { name: 'image' dims: [ -1, 3, 224, 224 ] } output { name: 'scores' dims: [ 1, 1000 ] }",
               photo_model());
  ASSERT_TRUE(c.ok()) << c.error().message;
  EXPECT_EQ(c->max_batch_size(), 0);
  // Of the outputs, some may be left out.
  c = complete("output { name: 'z' }", fixed_model());
  ASSERT_TRUE(c.ok()) << c.error().message;
  EXPECT_EQ(c->output_size(), 1);
}

TEST(Complete, ContradictionsNameBothSides) {
  const std::tuple<const char*, Signature, const char*> cases[] = {
      {"name: 'other'", photo_model(), "name is 'other' in the directory of model 'm'"},
      {"input { name: 'x' }", photo_model(), "input 'x' is not in the model, whose inputs are 'image'"},
      {"output { name: 'x' }", fixed_model(), "output 'x' is not in the model, whose outputs are 'y', 'z'"},
      {"input { name: 'image' data_type: TYPE_FP16 }", photo_model(),
       "has data_type TYPE_FP16; the model's is TYPE_FP32"},
      {"input { name: 'image' dims: [ 3, 225, 224 ] }", photo_model(),
       "has dims [3,225,224]; the model's shape is [-1,3,224,224]"},
      {"input { name: 'image' dims: [ 3, -1, 224 ] }", photo_model(), "has dims [3,-1,224]"},
      {"max_batch_size: 2 input { name: 'image' dims: [ -1, 3, 224, 224 ] }", photo_model(),
       "batch extent that dims leave out"},
      {"input { name: 'image' dims: [ 0, 224, 224 ] }", photo_model(), "has the extent 0"},
      {"input { name: 'a' }", fixed_model(), "lists 1 of the model's 2 inputs; 'b' is missing"},
      {"output { name: 'y' } output { name: 'y' }", fixed_model(), "output 'y' is listed twice"},
      {"max_batch_size: 8", fixed_model(), "max_batch_size is 8, but the model cannot be batched"},
      {"max_batch_size: -4", photo_model(), "max_batch_size is -4"},
  };
  for (const auto& [text, signature, expected] : cases) {
    auto refused = complete(text, signature);
    ASSERT_FALSE(refused.ok()) << text;
    EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
    EXPECT_NE(refused.error().message.find(expected), std::string::npos) << refused.error().message;
  }
}

TEST(Complete, AnUnknownRankLeavesTheConfigsDims) {
  Signature s = fixed_model();
  s.outputs[0].any_shape = true;
  auto c = complete("output { name: 'y' dims: [ 7 ] }", s);
  ASSERT_TRUE(c.ok()) << c.error().message;
  EXPECT_EQ(c->output(0).dims(0), 7);
}

}  // namespace
}  // namespace motet::repo
