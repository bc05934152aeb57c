#include "wire/front/grpc/status.h"

namespace motet::grpc {
namespace {

constexpr size_t kMaxMessageBytes = 2000;  // percent-encoded three times as long, and within the usual 8 KiB of headers

}  // namespace

::grpc::StatusCode status_code(Code code) {
  switch (code) {
    case Code::kInvalidArgument: return ::grpc::StatusCode::INVALID_ARGUMENT;
    case Code::kNotFound: return ::grpc::StatusCode::NOT_FOUND;
    case Code::kAlreadyExists: return ::grpc::StatusCode::ALREADY_EXISTS;
    case Code::kUnavailable: return ::grpc::StatusCode::UNAVAILABLE;
    case Code::kUnsupported: return ::grpc::StatusCode::UNIMPLEMENTED;
    case Code::kResourceExhausted: return ::grpc::StatusCode::RESOURCE_EXHAUSTED;
    case Code::kDeadlineExceeded: return ::grpc::StatusCode::DEADLINE_EXCEEDED;
    case Code::kCancelled: return ::grpc::StatusCode::CANCELLED;
    case Code::kInternal: return ::grpc::StatusCode::INTERNAL;
  }
  return ::grpc::StatusCode::INTERNAL;
}

::grpc::Status to_status(const Error& error) {
  if (error.message.size() <= kMaxMessageBytes) return {status_code(error.code), error.message};
  return {status_code(error.code), error.message.substr(0, kMaxMessageBytes) + " ..."};
}

}  // namespace motet::grpc
