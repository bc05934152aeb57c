#include "wire/api/parameters.h"

#include <algorithm>
#include <array>

namespace motet::api {
namespace {

// Keys that mean something elsewhere in the protocol, and would be lost as a custom parameter.
constexpr auto kReserved = std::to_array<std::string_view>(
    {"headers", "binary_data_output", "binary_data", "binary_data_size", "classification", "shared_memory_region",
     "shared_memory_offset", "shared_memory_byte_size"});

Error bad(std::string_view key, const Parameter& value, std::string_view accepted) {
  return invalid_argument("parameter '" + std::string(key) + "' is " + parameter_text(value) + "; accepted is " +
                          std::string(accepted));
}

Result<int64_t> non_negative(std::string_view key, const Parameter& value, std::string_view accepted) {
  const int64_t* number = std::get_if<int64_t>(&value);
  if (number == nullptr || *number < 0) return bad(key, value, accepted);
  return *number;
}

// What a sequence parameter says when it says nothing.
bool is_nothing(const Parameter& value) {
  if (const bool* flag = std::get_if<bool>(&value)) return !*flag;
  if (const int64_t* number = std::get_if<int64_t>(&value)) return *number == 0;
  if (const std::string* text = std::get_if<std::string>(&value)) return text->empty();
  return false;
}

}  // namespace

std::string parameter_text(const Parameter& value) {
  if (const bool* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const int64_t* number = std::get_if<int64_t>(&value)) return std::to_string(*number);
  if (const double* number = std::get_if<double>(&value)) return std::to_string(*number);
  return "\"" + std::get<std::string>(value) + "\"";
}

Status set_parameter(InferRequest& request, std::string_view key, Parameter value) {
  if (key == "priority") {
    MOTET_ASSIGN(int64_t priority,
                 non_negative(key, value, "a whole number, 0 for the model's default or 1 (highest) and up"));
    request.priority = static_cast<uint64_t>(priority);
    return {};
  }
  if (key == "timeout") {
    MOTET_ASSIGN(request.timeout_us, non_negative(key, value, "a whole number of microseconds, 0 for none"));
    return {};
  }
  if (key == "sequence_id" || key == "sequence_start" || key == "sequence_end") {
    if (is_nothing(value)) return {};
    return invalid_argument("parameter '" + std::string(key) + "' is " + parameter_text(value) + ", and model '" +
                            request.model + "' keeps no state between requests; leave it out");
  }
  if (key == "triton_enable_empty_final_response") {
    if (!std::holds_alternative<bool>(value)) return bad(key, value, "true or false");
    return {};
  }
  if (key.starts_with("triton_") || std::find(kReserved.begin(), kReserved.end(), key) != kReserved.end())
    return invalid_argument("parameter '" + std::string(key) + "' is reserved; name a custom parameter otherwise");
  request.parameters.insert_or_assign(std::string(key), std::move(value));
  return {};
}

}  // namespace motet::api
