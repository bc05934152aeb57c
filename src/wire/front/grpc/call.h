// What every call on the generic service shares: when its headers arrived, what the client's deadline is, and the one
// read of a unary message. gRPC's own threads call the reactions, one at a time save OnCancel.
#pragma once

#include <grpcpp/generic/async_generic_service.h>

#include "base/units.h"
#include "wire/api/api.h"

namespace motet::grpc {

using Reactor = ::grpc::ServerGenericBidiReactor;

// Taken when a call's headers have arrived.
struct Arrival {
  explicit Arrival(const ::grpc::GenericCallbackServerContext& context);

  Nanos at;                 // SteadyClock
  Nanos deadline = kNever;  // SteadyClock
};

// Each of these owns itself until gRPC is done with the call. `api` outlives it.
Reactor* start_infer(api::Api& api, const ::grpc::GenericCallbackServerContext& context);
Reactor* start_stream_infer(api::Api& api, const ::grpc::GenericCallbackServerContext& context);
// The call of all other methods; UNIMPLEMENTED for those that are not served.
Reactor* start_unary(api::Api& api, const ::grpc::GenericCallbackServerContext& context);

}  // namespace motet::grpc
