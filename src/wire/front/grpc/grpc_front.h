// The gRPC front end: KServe v2 as Triton extends it (inference.GRPCInferenceService) and grpc.health.v1. It runs on
// gRPC's generic callback service, so that a call's clock starts when its headers arrive, before its message is read;
// reactions run on gRPC's threads and never block.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/units.h"

namespace motet::api {
class Api;
}

namespace motet::grpc {

struct GrpcOptions {
  std::string address = "0.0.0.0";
  uint16_t port = 8001;                       // 0: any free one
  int max_message_bytes = 256 * 1024 * 1024;  // of a request; a larger one is refused with RESOURCE_EXHAUSTED
};

class GrpcFront {
 public:
  // `api` outlives the front. An Error names the address that cannot be listened on.
  static Result<std::unique_ptr<GrpcFront>> start(api::Api& api, const GrpcOptions& options);
  virtual ~GrpcFront() = default;  // drains with no patience

  virtual uint16_t port() const = 0;
  // Takes no more calls; waits for those under way, at most `patience`, then cancels them and waits for their end. Any
  // thread but gRPC's own, once.
  virtual void drain(Nanos patience) = 0;
};

}  // namespace motet::grpc
