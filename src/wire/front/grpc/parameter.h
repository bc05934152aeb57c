// A parameter of an answer or of metadata as gRPC carries it. Any thread may call.
#pragma once

#include "wire/api/api.h"

namespace inference {
class InferParameter;
}

namespace motet::grpc {

void set_parameter(inference::InferParameter& out, const api::Parameter& value);

}  // namespace motet::grpc
