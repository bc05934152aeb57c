// The methods that are not inferences, by their names. Any thread may call.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <functional>
#include <string_view>

#include "base/result.h"
#include "wire/api/api.h"

namespace motet::grpc {

using Answer = std::function<void(Result<::grpc::ByteBuffer>)>;
// Reads the message, asks `api`, and answers once, now or later.
using Handler = void (*)(api::Api& api, ::grpc::ByteBuffer& message, Answer answer);

// `method` is a path, "/inference.GRPCInferenceService/ServerLive". nullptr for one that is not served.
Handler find_handler(std::string_view method);

}  // namespace motet::grpc
