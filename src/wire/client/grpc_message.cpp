#include "wire/client/grpc_message.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include "wire/client/tensors.h"
#include "wire/proto/grpc_service.pb.h"

namespace motet::client {
namespace {

using google::protobuf::internal::WireFormatLite;
using inference::InferTensorContents;
using inference::ModelInferRequest;
using inference::ModelInferResponse;

Error bad_reply(const std::string& what) { return internal_error("the server's answer is not KServe v2: " + what); }

void append_head(std::string& out, size_t length) {
  uint8_t head[16];
  uint8_t* end = google::protobuf::io::CodedOutputStream::WriteVarint32ToArray(
      WireFormatLite::MakeTag(ModelInferRequest::kRawInputContentsFieldNumber,
                              WireFormatLite::WIRETYPE_LENGTH_DELIMITED),
      head);
  end = google::protobuf::io::CodedOutputStream::WriteVarint64ToArray(length, end);
  out.append(reinterpret_cast<const char*>(head), static_cast<size_t>(end - head));
}

template <class T, class Field>
Result<Tensor> numbers(const Field& field, DType dtype, const Shape& shape, const std::string& name) {
  MOTET_ASSIGN(int64_t count, checked_elements(shape));
  if (field.size() != count)
    return bad_reply("output '" + name + "' has " + std::to_string(field.size()) +
                     " elements in the field of its type, and shape " + shape_to_string(shape));
  Tensor tensor = Tensor::zeros(dtype, shape);
  std::span<T> out = tensor.view().as<T>();
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<T>(field.Get(static_cast<int>(i)));
  return tensor;
}

struct StringBlock {
  std::vector<std::string_view> elements;
  std::shared_ptr<const void> characters;
};

Result<Tensor> strings(const InferTensorContents& contents, const Shape& shape, const std::string& name,
                       std::shared_ptr<const void> owner) {
  MOTET_ASSIGN(int64_t count, checked_elements(shape));
  if (contents.bytes_contents_size() != count)
    return bad_reply("output '" + name + "' has " + std::to_string(contents.bytes_contents_size()) + " elements");
  auto block = std::make_shared<StringBlock>();
  block->elements.assign(contents.bytes_contents().begin(), contents.bytes_contents().end());
  block->characters = std::move(owner);
  TensorView view{DType::kString, shape, reinterpret_cast<std::byte*>(block->elements.data())};
  return Tensor(std::move(view), std::move(block));
}

Result<Tensor> tensor_from_contents(const InferTensorContents& c, DType dtype, const Shape& shape,
                                    const std::string& name, std::shared_ptr<const void> owner) {
  switch (dtype) {
    case DType::kBool: return numbers<bool>(c.bool_contents(), dtype, shape, name);
    case DType::kI8: return numbers<int8_t>(c.int_contents(), dtype, shape, name);
    case DType::kI16: return numbers<int16_t>(c.int_contents(), dtype, shape, name);
    case DType::kI32: return numbers<int32_t>(c.int_contents(), dtype, shape, name);
    case DType::kI64: return numbers<int64_t>(c.int64_contents(), dtype, shape, name);
    case DType::kU8: return numbers<uint8_t>(c.uint_contents(), dtype, shape, name);
    case DType::kU16: return numbers<uint16_t>(c.uint_contents(), dtype, shape, name);
    case DType::kU32: return numbers<uint32_t>(c.uint_contents(), dtype, shape, name);
    case DType::kU64: return numbers<uint64_t>(c.uint64_contents(), dtype, shape, name);
    case DType::kF32: return numbers<float>(c.fp32_contents(), dtype, shape, name);
    case DType::kF64: return numbers<double>(c.fp64_contents(), dtype, shape, name);
    case DType::kString: return strings(c, shape, name, std::move(owner));
    case DType::kF16:
    case DType::kBF16: break;
  }
  return bad_reply("output '" + name + "' of " + std::string(dtype_kserve_name(dtype)) + " did not come raw");
}

template <class Tensors>
Status decode_tensor_list(const Tensors& tensors, std::vector<TensorMetadata>& out) {
  for (const auto& tensor : tensors) {
    const auto dtype = dtype_from_kserve(tensor.datatype());
    if (!dtype) return bad_reply("tensor '" + tensor.name() + "' has datatype '" + tensor.datatype() + "'");
    out.push_back({tensor.name(), *dtype, Shape(tensor.shape().begin(), tensor.shape().end())});
  }
  return {};
}

}  // namespace

std::string encode_grpc_infer(const Request& request) {
  ModelInferRequest head;
  head.set_model_name(request.model);
  head.set_model_version(request.version);
  head.set_id(request.id);
  if (request.timeout_us != 0) (*head.mutable_parameters())["timeout"].set_int64_param(request.timeout_us);
  if (request.priority != 0) (*head.mutable_parameters())["priority"].set_uint64_param(request.priority);
  size_t raw_bytes = 0;
  for (const NamedTensor& input : request.inputs) {
    auto* tensor = head.add_inputs();
    tensor->set_name(input.name);
    tensor->set_datatype(std::string(dtype_kserve_name(input.tensor.dtype())));
    tensor->mutable_shape()->Assign(input.tensor.shape().begin(), input.tensor.shape().end());
    raw_bytes += 16 + (input.tensor.dtype() == DType::kString ? serialised_bytes(input.tensor.view())
                                                              : input.tensor.view().bytes());
  }
  for (const std::string& output : request.outputs) head.add_outputs()->set_name(output);
  std::string out;
  out.reserve(head.ByteSizeLong() + raw_bytes);
  head.AppendToString(&out);
  for (const NamedTensor& input : request.inputs) {
    const TensorView& view = input.tensor.view();
    if (view.dtype == DType::kString) {
      append_head(out, serialised_bytes(view));
      serialise_strings(view, out);
    } else {
      append_head(out, view.bytes());
      out.append(reinterpret_cast<const char*>(view.data), view.bytes());
    }
  }
  return out;
}

Result<Response> decode_grpc_infer(std::shared_ptr<const ModelInferResponse> message) {
  Response response{.model = message->model_name(), .version = message->model_version()};
  if (auto found = message->parameters().find("precision"); found != message->parameters().end())
    response.precision = found->second.string_param();
  if (auto found = message->parameters().find("precision_error"); found != message->parameters().end())
    response.precision_error = found->second.double_param();
  const bool raw = message->raw_output_contents_size() > 0;
  if (raw && message->raw_output_contents_size() != message->outputs_size()) {
    return bad_reply(std::to_string(message->outputs_size()) + " outputs and " +
                     std::to_string(message->raw_output_contents_size()) + " raw contents");
  }
  for (int i = 0; i < message->outputs_size(); ++i) {
    const auto& output = message->outputs(i);
    const auto dtype = dtype_from_kserve(output.datatype());
    if (!dtype) return bad_reply("output '" + output.name() + "' has datatype '" + output.datatype() + "'");
    Shape shape(output.shape().begin(), output.shape().end());
    if (raw) {
      const std::string& bytes = message->raw_output_contents(i);
      MOTET_ASSIGN(Tensor tensor,
                   tensor_over(output.name(), *dtype, std::move(shape), std::as_bytes(std::span(bytes)), message));
      response.outputs.push_back({output.name(), std::move(tensor)});
    } else {
      MOTET_ASSIGN(Tensor tensor, tensor_from_contents(output.contents(), *dtype, shape, output.name(), message));
      response.outputs.push_back({output.name(), std::move(tensor)});
    }
  }
  return response;
}

Result<ModelMetadata> decode_grpc_metadata(const inference::ModelMetadataResponse& message) {
  ModelMetadata model;
  model.name = message.name();
  model.versions.assign(message.versions().begin(), message.versions().end());
  MOTET_RETURN_IF_ERROR(decode_tensor_list(message.inputs(), model.inputs));
  MOTET_RETURN_IF_ERROR(decode_tensor_list(message.outputs(), model.outputs));
  return model;
}

}  // namespace motet::client
