// A protobuf message as JSON the way Triton writes a model's config: field names as in the schema, integers as numbers
// (64 bit too), enums by name, every scalar and list even when it has its default, messages only when they are set. Any
// thread.
#pragma once

#include <memory>
#include <string>

namespace inference {
class ModelConfig;
}

namespace motet::http {

std::string config_json(const inference::ModelConfig& config);

}  // namespace motet::http
