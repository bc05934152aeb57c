#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <limits>
#include <new>

#include "wire/api/parameters.h"
#include "wire/api/tensor_bytes.h"
#include "wire/front/grpc/infer_message.h"
#include "wire/front/grpc/typed_contents.h"
#include "wire/proto/grpc_service.pb.h"

namespace motet::grpc {
namespace {

using google::protobuf::internal::WireFormatLite;
using inference::InferParameter;
using inference::ModelInferRequest;

constexpr uint32_t kRawInputTag =
    WireFormatLite::MakeTag(ModelInferRequest::kRawInputContentsFieldNumber, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);

// Where one of raw_input_contents lies in the message.
struct Range {
  size_t offset = 0;
  size_t length = 0;
};

// The message without raw_input_contents, and where those are.
struct Split {
  std::shared_ptr<ModelInferRequest> head;
  std::vector<Range> raw;
};

bool split_message(::grpc::ByteBuffer& message, Split& out) {
  std::string head_bytes;
  {
    ::grpc::ProtoBufferReader reader(&message);
    google::protobuf::io::CodedInputStream in(&reader);
    google::protobuf::io::StringOutputStream head_stream(&head_bytes);
    google::protobuf::io::CodedOutputStream head(&head_stream);
    while (uint32_t tag = in.ReadTag()) {
      if (tag != kRawInputTag) {
        if (!WireFormatLite::SkipField(&in, tag, &head)) return false;
        continue;
      }
      uint32_t length = 0;
      if (!in.ReadVarint32(&length) || length > static_cast<uint32_t>(std::numeric_limits<int>::max())) return false;
      out.raw.push_back({static_cast<size_t>(in.CurrentPosition()), length});
      if (!in.Skip(static_cast<int>(length))) return false;
    }
    if (!in.ConsumedEntireMessage()) return false;
  }
  out.head = std::make_shared<ModelInferRequest>();
  return out.head->ParseFromString(head_bytes);
}

// The slices of a message, by position in it.
class Slices {
 public:
  explicit Slices(const ::grpc::ByteBuffer& message) : slices_(std::make_shared<std::vector<::grpc::Slice>>()) {
    (void)message.Dump(slices_.get());
  }

  // The bytes of `range` and who keeps them. REQUIRES: range lies within the message.
  std::pair<std::span<const std::byte>, std::shared_ptr<const void>> bytes(Range range) const {
    size_t begin = 0;
    for (const ::grpc::Slice& slice : *slices_) {
      if (range.offset >= begin && range.offset + range.length <= begin + slice.size())
        return {{reinterpret_cast<const std::byte*>(slice.begin()) + (range.offset - begin), range.length}, slices_};
      begin += slice.size();
    }
    return gather(range);
  }

 private:
  static constexpr std::align_val_t kAlignment{64};

  std::pair<std::span<const std::byte>, std::shared_ptr<const void>> gather(Range range) const {
    auto* data = static_cast<std::byte*>(::operator new(range.length, kAlignment));
    std::shared_ptr<const void> owner(data, [](void* p) { ::operator delete(p, kAlignment); });
    size_t begin = 0;
    size_t copied = 0;
    for (const ::grpc::Slice& slice : *slices_) {
      const size_t end = begin + slice.size();
      const size_t from = std::max(begin, range.offset);
      const size_t to = std::min(end, range.offset + range.length);
      if (from < to) {
        std::memcpy(data + copied, slice.begin() + (from - begin), to - from);
        copied += to - from;
      }
      begin = end;
    }
    MOTET_CHECK(copied == range.length, "a range lies within its message");
    return {{data, range.length}, std::move(owner)};
  }

  std::shared_ptr<std::vector<::grpc::Slice>> slices_;
};

Result<api::Parameter> parameter_value(const std::string& key, const InferParameter& parameter) {
  switch (parameter.parameter_choice_case()) {
    case InferParameter::kBoolParam: return api::Parameter(parameter.bool_param());
    case InferParameter::kInt64Param: return api::Parameter(parameter.int64_param());
    case InferParameter::kDoubleParam: return api::Parameter(parameter.double_param());
    case InferParameter::kStringParam: return api::Parameter(parameter.string_param());
    case InferParameter::kUint64Param:
      if (parameter.uint64_param() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
        return invalid_argument("parameter '" + key + "' is " + std::to_string(parameter.uint64_param()) +
                                "; accepted is at most " + std::to_string(std::numeric_limits<int64_t>::max()));
      return api::Parameter(static_cast<int64_t>(parameter.uint64_param()));
    case InferParameter::PARAMETER_CHOICE_NOT_SET: break;
  }
  return invalid_argument("parameter '" + key + "' has no value; give a bool, a number or a string");
}

// No region can be registered, so none is ever found.
template <class Parameters>
Status refuse_shared_memory(const Parameters& parameters) {
  auto region = parameters.find("shared_memory_region");
  if (region == parameters.end()) return {};
  return not_found("Unable to find shared memory region: '" + region->second.string_param() +
                   "'; this server has none, send the bytes");
}

Status decode_inputs(const Split& split, const Slices& slices, api::InferRequest& request) {
  const ModelInferRequest& head = *split.head;
  const bool raw = !split.raw.empty();
  if (raw && split.raw.size() != static_cast<size_t>(head.inputs_size())) {
    return invalid_argument("expected as many raw_input_contents as inputs for model '" + head.model_name() +
                            "': there are " + std::to_string(head.inputs_size()) + " inputs and " +
                            std::to_string(split.raw.size()) + " raw contents");
  }
  for (int i = 0; i < head.inputs_size(); ++i) {
    const ModelInferRequest::InferInputTensor& input = head.inputs(i);
    MOTET_RETURN_IF_ERROR(refuse_shared_memory(input.parameters()));
    const auto dtype = dtype_from_kserve(input.datatype());
    if (!dtype) {
      return invalid_argument("invalid datatype '" + input.datatype() + "' for input '" + input.name() +
                              "' for model '" + head.model_name() +
                              "'; accepted are BOOL, UINT8 to UINT64, INT8 to INT64, FP16, BF16, FP32, FP64 and BYTES");
    }
    if (raw && has_contents(input.contents())) {
      return invalid_argument("contents field must not be specified when using raw_input_contents for input '" +
                              input.name() + "' for model '" + head.model_name() + "'");
    }
    if (raw) {
      auto [bytes, owner] = slices.bytes(split.raw[static_cast<size_t>(i)]);
      MOTET_ASSIGN(Tensor tensor,
                   api::tensor_from_bytes(input.name(), head.model_name(), *dtype,
                                          Shape(input.shape().begin(), input.shape().end()), bytes, std::move(owner)));
      request.inputs.push_back({input.name(), std::move(tensor)});
    } else {
      MOTET_ASSIGN(Tensor tensor, tensor_from_contents(input, head.model_name(), *dtype, split.head));
      request.inputs.push_back({input.name(), std::move(tensor)});
    }
  }
  return {};
}

Status decode_outputs(const ModelInferRequest& head, api::InferRequest& request) {
  for (const auto& output : head.outputs()) {
    MOTET_RETURN_IF_ERROR(refuse_shared_memory(output.parameters()));
    api::RequestedOutput wanted{output.name(), 0};
    if (auto k = output.parameters().find("classification"); k != output.parameters().end()) {
      MOTET_ASSIGN(api::Parameter value, parameter_value("classification", k->second));
      const int64_t* count = std::get_if<int64_t>(&value);
      if (count == nullptr || *count < 0) {
        return invalid_argument("parameter 'classification' of output '" + output.name() + "' is " +
                                api::parameter_text(value) + "; accepted is a whole number, 0 for the tensor itself");
      }
      wanted.classification = *count;
    }
    request.outputs.push_back(std::move(wanted));
  }
  return {};
}

}  // namespace

Result<api::InferRequest> decode_request(::grpc::ByteBuffer& message) {
  Split split;
  if (!split_message(message, split))
    return invalid_argument("the message of " + std::to_string(message.Length()) + " bytes is not a ModelInferRequest");
  const ModelInferRequest& head = *split.head;
  api::InferRequest request;
  request.model = head.model_name();
  request.version = head.model_version();
  request.id = head.id();
  for (const auto& [key, parameter] : head.parameters()) {
    MOTET_ASSIGN(api::Parameter value, parameter_value(key, parameter));
    MOTET_RETURN_IF_ERROR(api::set_parameter(request, key, std::move(value)));
  }
  MOTET_RETURN_IF_ERROR(decode_inputs(split, Slices(message), request));
  MOTET_RETURN_IF_ERROR(decode_outputs(head, request));
  return request;
}

}  // namespace motet::grpc
