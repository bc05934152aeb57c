// A request held against the completed config of the model it asks: what is behind this never sees a tensor that the
// model does not expect. Any thread may call.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "wire/api/api.h"

namespace motet::api {

// The rows of the request (1 when the model has no batch extent). Afterwards `request.inputs` are those of the config,
// in its order; a raw body has become the one input; outputs asked for twice alike are asked for once; a priority
// outside the model's levels is 0, its default. An Error names what is wrong, its value and what the model expects. The
// model of the request is not looked at: the caller has found it. Extents of 0 are refused.
Result<int64_t> validate(InferRequest& request, const inference::ModelConfig& config);

}  // namespace motet::api
