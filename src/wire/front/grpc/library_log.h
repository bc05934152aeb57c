// Lines that gRPC and protobuf would write to stderr, some of them at the will of any client, go to our log instead.
// Once, before threads start; later calls do nothing.
#pragma once

namespace motet::grpc {

void route_library_log();

}  // namespace motet::grpc
