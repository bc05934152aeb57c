// ModelInfer's messages, between bytes and the protocol-neutral request and answer. Tensors of a request are views on
// the slices in which the message arrived; one that spans slices, or lies unaligned to its element, is copied once.
// Large outputs leave as slices of the answer's own memory. Any thread may call.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <string_view>

#include "base/result.h"
#include "wire/api/api.h"

namespace motet::grpc {

// All but arrival, deadline and principal. An Error says what is wrong with the message; it never depends on the model.
Result<api::InferRequest> decode_request(::grpc::ByteBuffer& message);

// A ModelInferResponse.
::grpc::ByteBuffer encode_response(const api::InferResponse& response);

// A ModelStreamInferResponse, which is the last answer of its request.
::grpc::ByteBuffer encode_stream_response(api::InferResponse response);
::grpc::ByteBuffer encode_stream_error(const Error& error, std::string_view request_id);

}  // namespace motet::grpc
