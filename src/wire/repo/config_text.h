// A model config from text: protobuf text format (config.pbtxt) or JSON (the override of a load request). Any thread
// may call.
#pragma once

#include <string_view>

#include "base/result.h"

namespace inference {
class ModelConfig;
}

namespace motet::repo {

// Fills `out` from text format. An Error names `file`, line, column and field.
Status parse_config_text(std::string_view text, std::string_view file, inference::ModelConfig& out);

// Fills `out` from JSON with the field names of the schema. An Error says where it stopped.
Status parse_config_json(std::string_view json, inference::ModelConfig& out);

}  // namespace motet::repo
