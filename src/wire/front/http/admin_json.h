// The answers of all verbs but infer, as JSON in Triton's members and order. Pure; any thread.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "wire/api/api.h"
#include "wire/front/http/body.h"

namespace motet::http {

std::string server_metadata_json(const api::ServerMetadata& metadata);
std::string model_metadata_json(const api::ModelMetadata& metadata);
std::string statistics_json(std::span<const api::ModelStatistics> models);
std::string index_json(std::span<const api::IndexEntry> entries);

// The body of repository/index: whether only ready models are wanted. Empty means {}.
Result<bool> parse_index(const Body& body);
// The body of load: the config override, "" for none. Files in the request are kUnsupported.
Result<std::string> parse_load(const Body& body);
// The body of unload: unload_dependents.
Result<bool> parse_unload(const Body& body);

}  // namespace motet::http
