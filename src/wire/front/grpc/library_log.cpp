#include "wire/front/grpc/library_log.h"

#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>

#include <string>

#include "base/log.h"

namespace motet::grpc {
namespace {

// What protobuf says about a message, its caller says to the client.
void from_protobuf(google::protobuf::LogLevel level, const char*, int, const std::string& message) {
  const bool fatal = level == google::protobuf::LOGLEVEL_FATAL;
  log_line(fatal ? LogLevel::kError : LogLevel::kVerbose, "protobuf: " + message);
}

void from_grpc(gpr_log_func_args* args) {
  const bool error = args->severity == GPR_LOG_SEVERITY_ERROR;
  log_line(error ? LogLevel::kWarning : LogLevel::kVerbose, std::string("gRPC: ") + args->message);
}

}  // namespace

void route_library_log() {
  [[maybe_unused]] static const bool once = [] {
    google::protobuf::SetLogHandler(from_protobuf);
    gpr_set_log_function(from_grpc);
    return true;
  }();
}

}  // namespace motet::grpc
