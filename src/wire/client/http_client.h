// The Client that speaks HTTP: as client.h says.
#pragma once

#include <memory>

#include "wire/client/client.h"
#include "wire/client/url.h"

namespace motet::client {

std::unique_ptr<Client> make_http_client(Url url);

}  // namespace motet::client
