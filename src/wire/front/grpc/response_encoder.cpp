#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include "wire/front/grpc/infer_message.h"
#include "wire/front/grpc/parameter.h"
#include "wire/front/grpc/status.h"
#include "wire/proto/grpc_service.pb.h"

namespace motet::grpc {
namespace {

using google::protobuf::internal::WireFormatLite;
using inference::ModelInferResponse;
using inference::ModelStreamInferResponse;

// Below this a copy into the running slice costs less than a slice of its own.
constexpr size_t kOwnSliceBytes = 16 * 1024;

// A message under construction: bytes gathered into slices, large tensors taken as they are.
class Assembly {
 public:
  void bytes(std::string_view text) { running_.append(text); }

  void length_delimited_head(int field, size_t length) {
    uint8_t head[16];
    uint8_t* end = google::protobuf::io::CodedOutputStream::WriteVarint32ToArray(
        WireFormatLite::MakeTag(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED), head);
    end = google::protobuf::io::CodedOutputStream::WriteVarint64ToArray(length, end);
    running_.append(reinterpret_cast<const char*>(head), static_cast<size_t>(end - head));
  }

  void tensor(const Tensor& tensor) {
    const TensorView& view = tensor.view();
    const size_t length = view.bytes();
    if (length < kOwnSliceBytes) {
      running_.append(reinterpret_cast<const char*>(view.data), length);
      return;
    }
    flush();
    auto* keep = new Tensor(tensor);
    slices_.emplace_back(view.data, length, [](void* kept) { delete static_cast<Tensor*>(kept); }, keep);
  }

  size_t length() const {
    size_t total = running_.size();
    for (const ::grpc::Slice& slice : slices_) total += slice.size();
    return total;
  }

  ::grpc::ByteBuffer finish() {
    flush();
    if (slices_.empty()) slices_.emplace_back();
    return {slices_.data(), slices_.size()};
  }

  void append(Assembly other) {
    if (other.slices_.empty()) {
      running_.append(other.running_);
      return;
    }
    flush();
    for (::grpc::Slice& slice : other.slices_) slices_.push_back(std::move(slice));
    running_ = std::move(other.running_);
  }

 private:
  void flush() {
    if (!running_.empty()) slices_.emplace_back(running_);
    running_.clear();
  }

  std::string running_;
  std::vector<::grpc::Slice> slices_;
};

Assembly assemble(const api::InferResponse& response) {
  ModelInferResponse head;
  head.set_model_name(response.model);
  head.set_model_version(response.version);
  head.set_id(response.id);
  for (const auto& [key, value] : response.parameters) set_parameter((*head.mutable_parameters())[key], value);
  for (const NamedTensor& output : response.outputs) {
    auto* tensor = head.add_outputs();
    tensor->set_name(output.name);
    tensor->set_datatype(std::string(dtype_kserve_name(output.tensor.dtype())));
    tensor->mutable_shape()->Assign(output.tensor.shape().begin(), output.tensor.shape().end());
  }
  Assembly out;
  out.bytes(head.SerializeAsString());
  for (const NamedTensor& output : response.outputs) {
    const TensorView& view = output.tensor.view();
    if (view.dtype == DType::kString) {
      std::string text;
      serialise_strings(view, text);
      out.length_delimited_head(ModelInferResponse::kRawOutputContentsFieldNumber, text.size());
      out.bytes(text);
    } else {
      out.length_delimited_head(ModelInferResponse::kRawOutputContentsFieldNumber, view.bytes());
      out.tensor(output.tensor);
    }
  }
  return out;
}

}  // namespace

::grpc::ByteBuffer encode_response(const api::InferResponse& response) { return assemble(response).finish(); }

::grpc::ByteBuffer encode_stream_response(api::InferResponse response) {
  response.parameters.insert_or_assign("triton_final_response", true);
  Assembly inner = assemble(response);
  Assembly outer;
  outer.length_delimited_head(ModelStreamInferResponse::kInferResponseFieldNumber, inner.length());
  outer.append(std::move(inner));
  return outer.finish();
}

::grpc::ByteBuffer encode_stream_error(const Error& error, std::string_view request_id) {
  ModelStreamInferResponse message;
  message.set_error_message(error.message);
  message.mutable_infer_response()->set_id(std::string(request_id));
  Assembly out;
  out.bytes(message.SerializeAsString());
  return out.finish();
}

}  // namespace motet::grpc
