// Refusals as gRPC statuses. Any thread may call.
#pragma once

#include <grpcpp/support/status.h>

#include "base/result.h"

namespace motet::grpc {

::grpc::StatusCode status_code(Code code);
// Long messages are cut: a status travels in a header, whose size peers limit.
::grpc::Status to_status(const Error& error);

}  // namespace motet::grpc
