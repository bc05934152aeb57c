#include "wire/front/grpc/parameter.h"

#include "wire/proto/grpc_service.pb.h"

namespace motet::grpc {

void set_parameter(inference::InferParameter& out, const api::Parameter& value) {
  if (const bool* flag = std::get_if<bool>(&value)) out.set_bool_param(*flag);
  if (const int64_t* number = std::get_if<int64_t>(&value)) out.set_int64_param(*number);
  if (const double* number = std::get_if<double>(&value)) out.set_double_param(*number);
  if (const std::string* text = std::get_if<std::string>(&value)) out.set_string_param(*text);
}

}  // namespace motet::grpc
