// ModelInfer's messages, as a client writes and reads them. Any thread may call.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "wire/client/client.h"

namespace inference {
class ModelInferResponse;
class ModelMetadataResponse;
}  // namespace inference

namespace motet::client {

// A serialised ModelInferRequest with raw contents.
std::string encode_grpc_infer(const Request& request);
// Tensors are views on the message, raw or typed.
Result<Response> decode_grpc_infer(std::shared_ptr<const inference::ModelInferResponse> message);
Result<ModelMetadata> decode_grpc_metadata(const inference::ModelMetadataResponse& message);

}  // namespace motet::client
