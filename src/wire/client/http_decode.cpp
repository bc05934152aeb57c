#include <google/protobuf/util/json_util.h>
#include <simdjson.h>

#include <charconv>
#include <limits>

#include "wire/client/http_message.h"
#include "wire/client/tensors.h"
#include "wire/proto/model_config.pb.h"

namespace motet::client {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

constexpr size_t kShownBytes = 200;

Code code_of(unsigned status) {
  switch (status) {
    case 404: return Code::kNotFound;
    case 405:
    case 501: return Code::kUnsupported;
    case 409: return Code::kAlreadyExists;
    case 413: return Code::kResourceExhausted;
    case 429:
    case 503: return Code::kUnavailable;
    case 499: return Code::kCancelled;
    case 408:
    case 504: return Code::kDeadlineExceeded;
    default: return status >= 400 && status < 500 ? Code::kInvalidArgument : Code::kInternal;
  }
}

Error bad_reply(std::string_view what) {
  return internal_error("the server's answer is not KServe v2: " + std::string(what));
}

// A parsed document; the parser owns what the root looks at.
struct Document {
  simdjson::dom::parser parser;
  object root;
};

Result<std::unique_ptr<Document>> parse_object(std::string_view json) {
  auto document = std::make_unique<Document>();
  if (document->parser.parse(json.data(), json.size()).get(document->root) != simdjson::SUCCESS)
    return bad_reply("its JSON does not parse: " + std::string(json.substr(0, kShownBytes)));
  return document;
}

Result<std::string> text_of(const object& in, std::string_view key) {
  std::string_view text;
  if (in[key].get(text) != simdjson::SUCCESS) return bad_reply("no text '" + std::string(key) + "'");
  return std::string(text);
}

struct TensorHead {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
};

Result<TensorHead> tensor_head(const object& in) {
  TensorHead head;
  MOTET_ASSIGN(head.name, text_of(in, "name"));
  MOTET_ASSIGN(std::string type, text_of(in, "datatype"));
  const auto dtype = dtype_from_kserve(type);
  if (!dtype) return bad_reply("tensor '" + head.name + "' has datatype '" + type + "'");
  head.dtype = *dtype;
  array extents;
  if (in["shape"].get(extents) != simdjson::SUCCESS) return bad_reply("tensor '" + head.name + "' has no shape");
  for (element e : extents) {
    int64_t extent = 0;
    if (e.get(extent) != simdjson::SUCCESS)
      return bad_reply("tensor '" + head.name + "' has a shape that is not of integers");
    head.shape.push_back(extent);
  }
  return head;
}

// Calls `take` for each scalar of `data`, which may be nested as deep as its shape.
template <class Take>
bool for_each_scalar(const element& data, int depth, const Take& take) {
  array items;
  if (data.get(items) != simdjson::SUCCESS) return take(data);
  if (depth == 0) return false;
  for (element e : items)
    if (!for_each_scalar(e, depth - 1, take)) return false;
  return true;
}

template <class T>
bool read_scalar(const element& e, T& out) {
  if constexpr (std::is_same_v<T, bool>) {
    return e.get(out) == simdjson::SUCCESS;
  } else if constexpr (std::is_floating_point_v<T>) {
    double value = 0;
    if (e.get(value) != simdjson::SUCCESS) return false;
    out = static_cast<T>(value);
    return true;
  } else if constexpr (std::is_signed_v<T>) {
    int64_t value = 0;
    if (e.get(value) != simdjson::SUCCESS || value < std::numeric_limits<T>::min() ||
        value > std::numeric_limits<T>::max())
      return false;
    out = static_cast<T>(value);
    return true;
  } else {
    uint64_t value = 0;
    if (e.get(value) != simdjson::SUCCESS || value > std::numeric_limits<T>::max()) return false;
    out = static_cast<T>(value);
    return true;
  }
}

template <class T>
Result<Tensor> numbers(const element& data, TensorHead& head, size_t count) {
  Tensor tensor = Tensor::zeros(head.dtype, head.shape);
  std::span<T> out = tensor.view().as<T>();
  size_t at = 0;
  const bool sound = for_each_scalar(data, static_cast<int>(head.shape.size()) + 1,
                                     [&](const element& e) { return at < count && read_scalar(e, out[at++]); });
  if (!sound || at != count)
    return bad_reply("output '" + head.name + "' has data that does not fit its shape and datatype");
  return tensor;
}

struct StringBlock {
  std::vector<std::string> texts;
  std::vector<std::string_view> elements;
};

Result<Tensor> strings(const element& data, TensorHead& head, size_t count) {
  auto block = std::make_shared<StringBlock>();
  const bool sound = for_each_scalar(data, static_cast<int>(head.shape.size()) + 1, [&](const element& e) {
    std::string_view text;
    if (e.get(text) != simdjson::SUCCESS) return false;
    block->texts.emplace_back(text);
    return true;
  });
  if (!sound || block->texts.size() != count)
    return bad_reply("output '" + head.name + "' has data that does not fit its shape");
  block->elements.assign(block->texts.begin(), block->texts.end());
  TensorView view{DType::kString, head.shape, reinterpret_cast<std::byte*>(block->elements.data())};
  return Tensor(std::move(view), std::move(block));
}

Result<Tensor> tensor_from_json(const element& data, TensorHead& head) {
  MOTET_ASSIGN(int64_t elements, checked_elements(head.shape));
  // An element takes at least a byte of JSON, so a shape larger than the answer is a lie; it is not allocated.
  size_t scalars = 0;
  for_each_scalar(data, static_cast<int>(head.shape.size()) + 1,
                  [&](const element&) { return ++scalars <= static_cast<uint64_t>(elements); });
  const auto count = static_cast<size_t>(elements);
  if (scalars != count)
    return bad_reply("output '" + head.name + "' has data that does not fit its shape " + shape_to_string(head.shape));
  switch (head.dtype) {
    case DType::kBool: return numbers<bool>(data, head, count);
    case DType::kU8: return numbers<uint8_t>(data, head, count);
    case DType::kU16: return numbers<uint16_t>(data, head, count);
    case DType::kU32: return numbers<uint32_t>(data, head, count);
    case DType::kU64: return numbers<uint64_t>(data, head, count);
    case DType::kI8: return numbers<int8_t>(data, head, count);
    case DType::kI16: return numbers<int16_t>(data, head, count);
    case DType::kI32: return numbers<int32_t>(data, head, count);
    case DType::kI64: return numbers<int64_t>(data, head, count);
    case DType::kF32: return numbers<float>(data, head, count);
    case DType::kF64: return numbers<double>(data, head, count);
    case DType::kString: return strings(data, head, count);
    case DType::kF16:
    case DType::kBF16: break;
  }
  return bad_reply("output '" + head.name + "' of " + std::string(dtype_kserve_name(head.dtype)) +
                   " came as JSON, which cannot hold it");
}

Result<size_t> json_length(const HttpReply& reply) {
  if (reply.header_length.empty()) return reply.body->size();
  size_t length = 0;
  const char* end = reply.header_length.data() + reply.header_length.size();
  auto [stop, error] = std::from_chars(reply.header_length.data(), end, length);
  if (error != std::errc() || stop != end || length > reply.body->size())
    return bad_reply("Inference-Header-Content-Length is '" + reply.header_length + "' of a body of " +
                     std::to_string(reply.body->size()) + " bytes");
  return length;
}

// The tensor of one output; `at` is where the next binary one begins.
Result<NamedTensor> decode_output(const object& in, const HttpReply& reply, size_t& at) {
  MOTET_ASSIGN(TensorHead head, tensor_head(in));
  uint64_t size = 0;
  if (in.at_pointer("/parameters/binary_data_size").get(size) == simdjson::SUCCESS) {
    if (size > reply.body->size() - at)
      return bad_reply("output '" + head.name + "' says " + std::to_string(size) + " bytes, which did not come");
    const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(reply.body->data()) + at, size);
    at += size;
    MOTET_ASSIGN(Tensor tensor, tensor_over(head.name, head.dtype, std::move(head.shape), bytes, reply.body));
    return NamedTensor{std::move(head.name), std::move(tensor)};
  }
  element data;
  if (in["data"].get(data) != simdjson::SUCCESS) return bad_reply("output '" + head.name + "' has no data");
  MOTET_ASSIGN(Tensor tensor, tensor_from_json(data, head));
  return NamedTensor{std::move(head.name), std::move(tensor)};
}

Status decode_tensor_list(const object& root, std::string_view key, std::vector<TensorMetadata>& out) {
  array tensors;
  if (root[key].get(tensors) != simdjson::SUCCESS) return bad_reply("no '" + std::string(key) + "'");
  for (element e : tensors) {
    object tensor;
    if (e.get(tensor) != simdjson::SUCCESS) return bad_reply("a tensor that is not an object");
    MOTET_ASSIGN(TensorHead head, tensor_head(tensor));
    out.push_back({std::move(head.name), head.dtype, std::move(head.shape)});
  }
  return {};
}

}  // namespace

Status check_status(const HttpReply& reply) {
  if (reply.status >= 200 && reply.status < 300) return {};
  const std::string& body = *reply.body;
  simdjson::dom::parser parser;
  std::string_view words;
  std::string message;
  if (parser.parse(body.data(), body.size())["error"].get(words) == simdjson::SUCCESS) {
    message = std::string(words);
  } else {
    message = "HTTP status " + std::to_string(reply.status) + (body.empty() ? "" : ": " + body.substr(0, kShownBytes));
  }
  return Error{code_of(reply.status), std::move(message)};
}

Result<Response> decode_infer(const HttpReply& reply) {
  MOTET_RETURN_IF_ERROR(check_status(reply));
  MOTET_ASSIGN(size_t at, json_length(reply));
  MOTET_ASSIGN(auto document, parse_object(std::string_view(*reply.body).substr(0, at)));
  const object& root = document->root;
  Response response;
  MOTET_ASSIGN(response.model, text_of(root, "model_name"));
  if (auto version = text_of(root, "model_version"); version.ok()) response.version = std::move(version).value();
  std::string_view precision;
  if (root.at_pointer("/parameters/precision").get(precision) == simdjson::SUCCESS) response.precision = precision;
  double error = 0;
  if (root.at_pointer("/parameters/precision_error").get(error) == simdjson::SUCCESS) response.precision_error = error;
  array outputs;
  if (root["outputs"].get(outputs) != simdjson::SUCCESS) return bad_reply("no 'outputs'");
  for (element e : outputs) {
    object output;
    if (e.get(output) != simdjson::SUCCESS) return bad_reply("an output that is not an object");
    MOTET_ASSIGN(NamedTensor tensor, decode_output(output, reply, at));
    response.outputs.push_back(std::move(tensor));
  }
  return response;
}

Result<ModelMetadata> decode_metadata(const HttpReply& reply) {
  MOTET_RETURN_IF_ERROR(check_status(reply));
  MOTET_ASSIGN(auto document, parse_object(*reply.body));
  const object& root = document->root;
  ModelMetadata model;
  MOTET_ASSIGN(model.name, text_of(root, "name"));
  array versions;
  if (root["versions"].get(versions) == simdjson::SUCCESS) {
    for (element e : versions) {
      std::string_view version;
      if (e.get(version) == simdjson::SUCCESS) model.versions.emplace_back(version);
    }
  }
  MOTET_RETURN_IF_ERROR(decode_tensor_list(root, "inputs", model.inputs));
  MOTET_RETURN_IF_ERROR(decode_tensor_list(root, "outputs", model.outputs));
  return model;
}

Result<std::shared_ptr<const inference::ModelConfig>> decode_config(const HttpReply& reply) {
  MOTET_RETURN_IF_ERROR(check_status(reply));
  auto config = std::make_shared<inference::ModelConfig>();
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;  // a newer server may say more
  auto status = google::protobuf::util::JsonStringToMessage(*reply.body, config.get(), options);
  if (!status.ok()) return bad_reply("its config does not parse: " + std::string(status.message()));
  return std::shared_ptr<const inference::ModelConfig>(std::move(config));
}

}  // namespace motet::client
