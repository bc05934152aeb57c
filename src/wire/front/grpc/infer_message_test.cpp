#include "wire/front/grpc/infer_message.h"

#include <google/protobuf/stubs/logging.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <gtest/gtest.h>

#include "base/random.h"
#include "wire/proto/grpc_service.pb.h"

namespace motet::grpc {
namespace {

using inference::ModelInferRequest;

// The bytes as one slice, or cut every `cut` bytes.
::grpc::ByteBuffer buffer(const std::string& bytes, size_t cut = 0) {
  std::vector<::grpc::Slice> slices;
  if (cut == 0) slices.emplace_back(bytes);
  for (size_t at = 0; cut > 0 && at < bytes.size(); at += cut) slices.emplace_back(bytes.substr(at, cut));
  return {slices.data(), slices.size()};
}

ModelInferRequest::InferInputTensor* add_input(ModelInferRequest& m, const char* name, const char* type,
                                               std::initializer_list<int64_t> shape) {
  auto* input = m.add_inputs();
  input->set_name(name);
  input->set_datatype(type);
  input->mutable_shape()->Assign(shape.begin(), shape.end());
  return input;
}

std::string bytes_of(std::initializer_list<float> values) {
  return {reinterpret_cast<const char*>(values.begin()), values.size() * sizeof(float)};
}

ModelInferRequest raw_request() {
  ModelInferRequest m;
  m.set_model_name("m");
  m.set_model_version("3");
  m.set_id("q");
  (*m.mutable_parameters())["priority"].set_uint64_param(2);
  (*m.mutable_parameters())["timeout"].set_int64_param(500);
  (*m.mutable_parameters())["mood"].set_string_param("good");
  add_input(m, "x", "FP32", {1, 3});
  add_input(m, "s", "BYTES", {2});
  m.add_raw_input_contents(bytes_of({1, 2, 3}));
  m.add_raw_input_contents(std::string("\2\0\0\0ab\0\0\0\0", 10));
  (*m.add_outputs()->mutable_parameters())["classification"].set_int64_param(5);
  m.mutable_outputs(0)->set_name("y");
  return m;
}

Result<api::InferRequest> decode(const ModelInferRequest& m, size_t cut = 0) {
  auto b = buffer(m.SerializeAsString(), cut);
  return decode_request(b);
}

TEST(RequestDecoder, ReadsRawTensorsHoweverTheMessageIsCut) {
  for (size_t cut : {0, 1, 7, 64}) {
    auto r = decode(raw_request(), cut);
    ASSERT_TRUE(r.ok()) << r.error().message;
    EXPECT_EQ(r->model, "m");
    EXPECT_EQ(r->version, "3");
    EXPECT_EQ(r->id, "q");
    EXPECT_EQ(r->priority, 2u);
    EXPECT_EQ(r->timeout_us, 500);
    EXPECT_EQ(std::get<std::string>(r->parameters.at("mood")), "good");
    ASSERT_EQ(r->inputs.size(), 2u);
    EXPECT_EQ(r->inputs[0].tensor.shape(), (Shape{1, 3}));
    EXPECT_EQ(r->inputs[0].tensor.view().as<float>()[2], 3.0F);
    EXPECT_EQ(r->inputs[1].tensor.view().as<std::string_view>()[0], "ab");
    EXPECT_EQ(r->inputs[1].tensor.view().as<std::string_view>()[1], "");
    ASSERT_EQ(r->outputs.size(), 1u);
    EXPECT_EQ(r->outputs[0].classification, 5);
  }
}

TEST(RequestDecoder, AlignedBytesOfOneSliceAreNotCopied) {
  ModelInferRequest m;
  m.set_model_name("m");
  add_input(m, "x", "UINT8", {5000});
  m.add_raw_input_contents(std::string(5000, 'z'));
  auto b = buffer(m.SerializeAsString());
  std::vector<::grpc::Slice> slices;
  ASSERT_TRUE(b.Dump(&slices).ok());
  auto r = decode_request(b);
  ASSERT_TRUE(r.ok());
  const auto* data = reinterpret_cast<const uint8_t*>(r->inputs[0].tensor.view().data);
  EXPECT_GE(data, slices[0].begin());
  EXPECT_LE(data + 5000, slices[0].end());
  b.Clear();
  slices.clear();
  EXPECT_EQ(data[4999], 'z');  // the tensor keeps the slice
}

TEST(RequestDecoder, ReadsTypedContentsOfEveryType) {
  ModelInferRequest m;
  m.set_model_name("m");
  add_input(m, "bool", "BOOL", {2})->mutable_contents()->add_bool_contents(true);
  m.mutable_inputs(0)->mutable_contents()->add_bool_contents(false);
  for (const char* type : {"INT8", "INT16", "INT32"})
    add_input(m, type, type, {1})->mutable_contents()->add_int_contents(-7);
  for (const char* type : {"UINT8", "UINT16", "UINT32"})
    add_input(m, type, type, {1})->mutable_contents()->add_uint_contents(200);
  add_input(m, "INT64", "INT64", {1})->mutable_contents()->add_int64_contents(INT64_MIN);
  add_input(m, "UINT64", "UINT64", {1})->mutable_contents()->add_uint64_contents(~uint64_t{0});
  add_input(m, "FP32", "FP32", {1})->mutable_contents()->add_fp32_contents(0.5F);
  add_input(m, "FP64", "FP64", {1})->mutable_contents()->add_fp64_contents(0.25);
  add_input(m, "BYTES", "BYTES", {1})->mutable_contents()->add_bytes_contents(std::string("a\0b", 3));
  auto r = decode(m);
  ASSERT_TRUE(r.ok()) << r.error().message;
  ASSERT_EQ(r->inputs.size(), 12u);
  EXPECT_TRUE(r->inputs[0].tensor.view().as<bool>()[0]);
  EXPECT_EQ(r->inputs[1].tensor.view().as<int8_t>()[0], -7);
  EXPECT_EQ(r->inputs[5].tensor.view().as<uint16_t>()[0], 200);
  EXPECT_EQ(r->inputs[7].tensor.view().as<int64_t>()[0], INT64_MIN);
  EXPECT_EQ(r->inputs[8].tensor.view().as<uint64_t>()[0], ~uint64_t{0});
  EXPECT_EQ(r->inputs[9].tensor.view().as<float>()[0], 0.5F);
  EXPECT_EQ(r->inputs[11].tensor.view().as<std::string_view>()[0], std::string_view("a\0b", 3));
}

void expect_refused(const ModelInferRequest& m, const std::string& expected, Code code = Code::kInvalidArgument) {
  auto r = decode(m);
  ASSERT_FALSE(r.ok()) << expected;
  EXPECT_EQ(r.error().code, code);
  EXPECT_NE(r.error().message.find(expected), std::string::npos) << r.error().message;
}

TEST(RequestDecoder, RefusalsNameWhatIsWrong) {
  ModelInferRequest m = raw_request();
  m.add_raw_input_contents("x");
  expect_refused(m, "there are 2 inputs and 3 raw contents");
  m = raw_request();
  m.mutable_inputs(0)->mutable_contents()->add_fp32_contents(1);
  expect_refused(m, "contents field must not be specified when using raw_input_contents for input 'x' for model 'm'");
  m = raw_request();
  m.mutable_inputs(0)->set_datatype("FP33");
  expect_refused(m, "invalid datatype 'FP33' for input 'x'");
  m = raw_request();
  m.mutable_inputs(0)->set_shape(1, 4);
  expect_refused(m, "input byte size mismatch for input 'x' for model 'm'. Expected 16, got 12");
  m.mutable_inputs(0)->set_shape(1, -4);
  expect_refused(m, "has the negative extent -4");
  m.mutable_inputs(0)->set_shape(0, int64_t{1} << 62);
  m.mutable_inputs(0)->set_shape(1, int64_t{1} << 62);
  expect_refused(m, "has too many elements");
  m = raw_request();
  m.mutable_raw_input_contents(1)->resize(7);
  expect_refused(m, "for input 's' for model 'm'");
  m = raw_request();
  (*m.mutable_inputs(0)->mutable_parameters())["shared_memory_region"].set_string_param("r");
  expect_refused(m, "Unable to find shared memory region: 'r'", Code::kNotFound);
  m = raw_request();
  (*m.mutable_parameters())["priority"].set_int64_param(-1);
  expect_refused(m, "'priority' is -1");
  (*m.mutable_parameters())["priority"].set_uint64_param(~uint64_t{0});
  expect_refused(m, "'priority' is 18446744073709551615");
  (*m.mutable_parameters())["priority"].clear_parameter_choice();
  expect_refused(m, "'priority' has no value");
  m = raw_request();
  (*m.mutable_outputs(0)->mutable_parameters())["classification"].set_int64_param(-1);
  expect_refused(m, "'classification' of output 'y' is -1");
}

TEST(RequestDecoder, TypedContentsMustFitTheirTensor) {
  ModelInferRequest m;
  m.set_model_name("m");
  auto* input = add_input(m, "x", "INT8", {2});
  expect_refused(m, "Expected 2 elements, got 0");
  input->mutable_contents()->add_int_contents(1);
  expect_refused(m, "unexpected explicit tensor data size for input 'x' for model 'm'. Expected 2 elements, got 1");
  input->mutable_contents()->add_int_contents(200);
  expect_refused(m, "element 1 for input 'x' for model 'm' is 200; accepted is -128 to 127");
  input->set_datatype("FP32");
  expect_refused(m, "has int_contents; accepted for 'FP32' is fp32_contents");
  input->set_datatype("FP16");
  expect_refused(m, "send it in raw_input_contents");
}

TEST(RequestDecoder, NoDamageBringsItDown) {
  google::protobuf::SetLogHandler(nullptr);  // it would say so thousands of times
  const std::string sound = raw_request().SerializeAsString();
  Random random(7, "damage");
  int refused = 0;
  for (int i = 0; i < 4000; ++i) {
    std::string bytes = sound;
    for (uint64_t n = 1 + random.below(4); n > 0; --n) {
      const size_t at = random.below(bytes.size());
      switch (random.below(3)) {
        case 0: bytes[at] = static_cast<char>(random.next()); break;
        case 1: bytes.erase(at, 1 + random.below(8)); break;
        default: bytes.insert(at, std::string(1 + random.below(4), static_cast<char>(random.next())));
      }
      if (bytes.empty()) bytes = "x";
    }
    auto b = buffer(bytes, random.below(2) * 5);
    if (!decode_request(b).ok()) ++refused;
  }
  EXPECT_GT(refused, 1000);
  for (const std::string& bytes : {std::string("\x3a\xff\xff\xff\xff\x0f"), std::string("\x3a\x05xx"),
                                   std::string(3000, '\x0b'), std::string("\x3a")}) {
    auto b = buffer(bytes);
    EXPECT_EQ(decode_request(b).error().code, Code::kInvalidArgument);
  }
}

template <class Message>
Message read(::grpc::ByteBuffer bytes) {
  Message message;
  ::grpc::ProtoBufferReader reader(&bytes);
  EXPECT_TRUE(message.ParseFromZeroCopyStream(&reader));
  return message;
}

api::InferResponse response() {
  api::InferResponse r{"m", "2", "q", {}, {{"flag", true}, {"n", int64_t{-4}}, {"d", 0.5}, {"s", std::string("t")}}};
  std::vector<float> large(10000, 1.5F);
  r.outputs.push_back({"small", Tensor::of<int32_t>({2}, std::vector<int32_t>{7, 8})});
  r.outputs.push_back({"large", Tensor::of<float>({100, 100}, large)});
  r.outputs.push_back({"text", Tensor::of<std::string_view>({2}, std::vector<std::string_view>{"ab", ""})});
  r.outputs.push_back({"none", Tensor::zeros(DType::kF32, {0, 3})});
  return r;
}

void expect_is_response(const inference::ModelInferResponse& m) {
  EXPECT_EQ(m.model_name(), "m");
  EXPECT_EQ(m.id(), "q");
  EXPECT_TRUE(m.parameters().at("flag").bool_param());
  EXPECT_EQ(m.parameters().at("n").int64_param(), -4);
  ASSERT_EQ(m.outputs_size(), 4);
  ASSERT_EQ(m.raw_output_contents_size(), 4);
  EXPECT_EQ(m.outputs(1).datatype(), "FP32");
  EXPECT_EQ(m.outputs(1).shape(0), 100);
  EXPECT_EQ(m.raw_output_contents(0), std::string("\7\0\0\0\10\0\0\0", 8));
  EXPECT_EQ(m.raw_output_contents(1).size(), 40000u);
  EXPECT_EQ(m.raw_output_contents(2), std::string("\2\0\0\0ab\0\0\0\0", 10));
  EXPECT_EQ(m.raw_output_contents(3), "");
}

TEST(ResponseEncoder, IsWhatProtobufReads) {
  expect_is_response(read<inference::ModelInferResponse>(encode_response(response())));
  auto stream = read<inference::ModelStreamInferResponse>(encode_stream_response(response()));
  EXPECT_EQ(stream.error_message(), "");
  expect_is_response(stream.infer_response());
  EXPECT_TRUE(stream.infer_response().parameters().at("triton_final_response").bool_param());
  auto error = read<inference::ModelStreamInferResponse>(encode_stream_error(not_found("gone"), "q"));
  EXPECT_EQ(error.error_message(), "gone");
  EXPECT_EQ(error.infer_response().id(), "q");
}

TEST(ResponseEncoder, LargeOutputsLeaveAsTheyAre) {
  api::InferResponse r = response();
  const auto* data = reinterpret_cast<const uint8_t*>(r.outputs[1].tensor.view().data);
  ::grpc::ByteBuffer encoded = encode_response(r);
  r.outputs.clear();  // the message keeps the memory
  std::vector<::grpc::Slice> slices;
  ASSERT_TRUE(encoded.Dump(&slices).ok());
  EXPECT_TRUE(std::any_of(slices.begin(), slices.end(),
                          [&](const ::grpc::Slice& s) { return s.begin() == data && s.size() == 40000; }));
}

TEST(ResponseEncoder, AnEmptyAnswerIsAMessage) {
  EXPECT_EQ(read<inference::ModelInferResponse>(encode_response(api::InferResponse{})).outputs_size(), 0);
}

}  // namespace
}  // namespace motet::grpc
