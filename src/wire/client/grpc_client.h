// The Client that speaks gRPC: as client.h says. One channel, kept.
#pragma once

#include <memory>

#include "wire/client/client.h"
#include "wire/client/url.h"

namespace motet::client {

std::unique_ptr<Client> make_grpc_client(const Url& url);

}  // namespace motet::client
