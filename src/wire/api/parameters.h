// Request parameters by their keys: those with a meaning go to their field, those that are reserved are refused, the
// others are kept. Shared by the front ends. Any thread may call.
#pragma once

#include <string_view>

#include "base/result.h"
#include "wire/api/api.h"

namespace motet::api {

// `priority` and `timeout` go to the request's fields; `sequence_id` 0 or "", false `sequence_start` and
// `sequence_end`, and `triton_enable_empty_final_response` say nothing to a server whose requests have one answer each,
// and are taken as such. An Error names the key, its value and what is accepted.
Status set_parameter(InferRequest& request, std::string_view key, Parameter value);

// "7", "0.5", "true", "\"text\"": for messages.
std::string parameter_text(const Parameter& value);

}  // namespace motet::api
