#include "wire/api/validate.h"

#include <gtest/gtest.h>

#include "wire/api/tensor_bytes.h"
#include "wire/proto/model_config.pb.h"

namespace motet::api {
namespace {

using inference::ModelConfig;

template <class Tensor>
void fill(Tensor* tensor, const char* name, inference::DataType type, std::initializer_list<int64_t> dims) {
  tensor->set_name(name);
  tensor->set_data_type(type);
  tensor->mutable_dims()->Assign(dims.begin(), dims.end());
}

// Two INT32 inputs of 16, up to 8 rows.
ModelConfig simple() {
  ModelConfig c;
  c.set_name("simple");
  c.set_max_batch_size(8);
  fill(c.add_input(), "INPUT0", inference::TYPE_INT32, {16});
  fill(c.add_input(), "INPUT1", inference::TYPE_INT32, {16});
  fill(c.add_output(), "OUTPUT0", inference::TYPE_INT32, {16});
  fill(c.add_output(), "TEXT", inference::TYPE_STRING, {16});
  return c;
}

ModelConfig one(inference::DataType type, int max_batch, std::initializer_list<int64_t> dims) {
  ModelConfig c;
  c.set_name("one");
  c.set_max_batch_size(max_batch);
  fill(c.add_input(), "x", type, dims);
  fill(c.add_output(), "y", type, dims);
  return c;
}

NamedTensor tensor(const char* name, Shape shape, DType dtype = DType::kI32) {
  return {name, Tensor::zeros(dtype, std::move(shape))};
}

InferRequest sound() {
  InferRequest r;
  r.model = "simple";
  r.inputs = {tensor("INPUT0", {2, 16}), tensor("INPUT1", {2, 16})};
  return r;
}

void expect_refused(InferRequest request, const ModelConfig& config, const std::string& expected) {
  auto rows = validate(request, config);
  ASSERT_FALSE(rows.ok()) << expected;
  EXPECT_EQ(rows.error().code, Code::kInvalidArgument);
  EXPECT_NE(rows.error().message.find(expected), std::string::npos) << rows.error().message;
}

TEST(Validate, ASoundRequestTellsItsRows) {
  InferRequest r = sound();
  std::swap(r.inputs[0], r.inputs[1]);
  auto rows = validate(r, simple());
  ASSERT_TRUE(rows.ok()) << rows.error().message;
  EXPECT_EQ(*rows, 2);
  EXPECT_EQ(r.inputs[0].name, "INPUT0");  // in the order of the config
}

TEST(Validate, WithoutABatchThereIsOneRow) {
  InferRequest r;
  r.inputs = {tensor("x", {5, 3}, DType::kF32)};
  EXPECT_EQ(*validate(r, one(inference::TYPE_FP32, 0, {-1, 3})), 1);
  r.inputs = {tensor("x", {1, 5, 3}, DType::kF32)};
  expect_refused(r, one(inference::TYPE_FP32, 0, {5, 3}),
                 "unexpected shape for input 'x' for model 'one'. Expected [5,3], got [1,5,3].");
}

TEST(Validate, InputsAreThoseOfTheModel) {
  InferRequest r = sound();
  r.inputs.pop_back();
  expect_refused(r, simple(),
                 "[request id: <id_unknown>] expected 2 inputs but got 1 inputs for model 'simple'. Got input(s) "
                 "['INPUT0'], but missing required "
                 "input(s) ['INPUT1'].");
  r.inputs.push_back(tensor("INPUT0", {2, 16}));
  r.id = "q1";
  expect_refused(r, simple(), "[request id: q1] input 'INPUT0' already exists in request");
  r = sound();
  r.inputs.push_back(tensor("OTHER", {2, 16}));
  expect_refused(r, simple(),
                 "unexpected inference input 'OTHER' for model 'simple'; its inputs are ['INPUT0','INPUT1']");
  expect_refused(InferRequest{}, simple(), "expected 2 inputs but got 0");
}

TEST(Validate, TypesAndShapesAreThoseOfTheModel) {
  InferRequest r = sound();
  r.inputs[1] = tensor("INPUT1", {2, 16}, DType::kF32);
  expect_refused(r, simple(), "input 'INPUT1' has data-type 'FP32', but model 'simple' expects 'INT32'");
  r.inputs[1] = tensor("INPUT1", {2, 15});
  expect_refused(r, simple(), "Expected [-1,16], got [2,15].");
  r.inputs[1] = tensor("INPUT1", {2, 16, 1});
  expect_refused(r, simple(), "got [2,16,1].");
  r.inputs[1] = tensor("INPUT1", {3, 16});
  expect_refused(
      r, simple(),
      "input 'INPUT1' batch size does not match other inputs for 'simple': it is 3, and that of 'INPUT0' is 2");
  for (Shape shape : {Shape{9, 16}, Shape{16}, Shape{0, 16}, Shape{}}) {
    r.inputs[0] = tensor("INPUT0", shape);
    expect_refused(r, simple(), "inference request batch-size must be <= 8");
  }
  r.inputs = {tensor("x", {1, 0}, DType::kF32)};
  expect_refused(r, one(inference::TYPE_FP32, 4, {-1}), "has an extent of 0");
}

TEST(Validate, OutputsAreThoseOfTheModelOnceEach) {
  InferRequest r = sound();
  r.outputs = {{"OUTPUT0", 2}, {"OUTPUT0", 2}};
  ASSERT_TRUE(validate(r, simple()).ok());
  EXPECT_EQ(r.outputs.size(), 1u);
  for (const auto& [output, expected] : std::vector<std::pair<RequestedOutput, std::string>>{
           {{"NONE", 0}, "unexpected inference output 'NONE' for model 'simple'; its outputs are ['OUTPUT0','TEXT']"},
           {{"OUTPUT0", 3}, "requested twice, with classification 2 and 3"},
           {{"TEXT", 1}, "it holds BYTES, not numbers"},
           {{"TEXT", -1}, "classification of output 'TEXT' is -1"}}) {
    InferRequest bad = sound();
    bad.outputs = {{"OUTPUT0", 2}, output};
    expect_refused(bad, simple(), expected);
  }
}

TEST(Validate, PrioritiesOutsideTheLevelsAreTheDefault) {
  ModelConfig config = simple();
  config.mutable_dynamic_batching()->set_priority_levels(2);
  for (const auto& [asked, taken] :
       std::vector<std::pair<uint64_t, uint64_t>>{{0, 0}, {2, 2}, {3, 0}, {~uint64_t{0}, 0}}) {
    InferRequest r = sound();
    r.priority = asked;
    ASSERT_TRUE(validate(r, config).ok());
    EXPECT_EQ(r.priority, taken);
  }
  InferRequest r = sound();
  r.timeout_us = -2;
  expect_refused(r, config, "timeout is -2 microseconds");
}

InferRequest raw(int64_t bytes) {
  InferRequest r;
  r.raw_body = true;
  r.inputs = {tensor("", {bytes}, DType::kU8)};
  return r;
}

TEST(Validate, ARawBodyIsTheOneInput) {
  InferRequest r = raw(24);
  auto rows = validate(r, one(inference::TYPE_FP32, 4, {-1, 3}));
  ASSERT_TRUE(rows.ok()) << rows.error().message;
  EXPECT_EQ(r.inputs[0].name, "x");
  EXPECT_EQ(r.inputs[0].tensor.shape(), (Shape{1, 2, 3}));
  EXPECT_EQ(r.inputs[0].tensor.dtype(), DType::kF32);
  EXPECT_FALSE(r.raw_body);
  r = raw(12);
  EXPECT_TRUE(validate(r, one(inference::TYPE_FP32, 0, {3})).ok());
  expect_refused(raw(23), one(inference::TYPE_FP32, 4, {-1, 3}), "cannot tell the shape of input 'x' from 23 bytes");
  expect_refused(raw(24), one(inference::TYPE_FP32, 4, {-1, -1}), "at most one may be variable");
  expect_refused(raw(8), one(inference::TYPE_FP32, 4, {3}), "Expected 12, got 8");
  expect_refused(raw(8), one(inference::TYPE_FP32, 0, {-1, int64_t{1} << 40, int64_t{1} << 40}),
                 "cannot tell the shape");
  expect_refused(
      raw(0), simple(),
      "Raw request must only have 1 input (found 1) to be deduced but got 2 inputs in 'simple' model configuration");
}

TEST(Validate, ARawBodyOfBytesIsOneElement) {
  InferRequest r;
  r.raw_body = true;
  r.inputs = {{"", Tensor::of<uint8_t>({4}, std::vector<uint8_t>{'a', 'b', 0, 'c'})}};
  ASSERT_TRUE(validate(r, one(inference::TYPE_STRING, 4, {-1})).ok());
  EXPECT_EQ(r.inputs[0].tensor.shape(), (Shape{1, 1}));
  EXPECT_EQ(r.inputs[0].tensor.view().as<std::string_view>()[0], std::string_view("ab\0c", 4));
  expect_refused(raw(4), one(inference::TYPE_STRING, 4, {2}), "cannot tell the shape");
}

TEST(TensorBytes, SizesMustAgreeAndMisalignedBytesAreCopied) {
  alignas(8) std::byte bytes[24] = {};
  bytes[5] = std::byte{7};
  auto t = tensor_from_bytes("x", "m", DType::kI32, {2}, {bytes, 8}, nullptr);
  ASSERT_TRUE(t.ok());
  EXPECT_EQ(t->view().data, bytes);
  t = tensor_from_bytes("x", "m", DType::kI32, {2}, {bytes + 5, 8}, nullptr);
  ASSERT_TRUE(t.ok());
  EXPECT_NE(t->view().data, bytes + 5);
  EXPECT_EQ(t->view().as<int32_t>()[0], 7);
  EXPECT_EQ(tensor_from_bytes("x", "m", DType::kI32, {2}, {bytes, 9}, nullptr).error().message,
            "input byte size mismatch for input 'x' for model 'm'. Expected 8, got 9");
  EXPECT_FALSE(tensor_from_bytes("x", "m", DType::kF64, {-1}, {bytes, 8}, nullptr).ok());
  EXPECT_FALSE(tensor_from_bytes("x", "m", DType::kF64, {int64_t{1} << 55, 1 << 10}, {bytes, 8}, nullptr).ok());
  EXPECT_FALSE(tensor_from_bytes("x", "m", DType::kString, {1}, {bytes + 5, 4}, nullptr).ok());
}

}  // namespace
}  // namespace motet::api
