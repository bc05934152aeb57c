#include "wire/client/client.h"

#include "wire/client/grpc_client.h"
#include "wire/client/http_client.h"

namespace motet::client {

Result<std::unique_ptr<Client>> Client::create(std::string_view url) {
  MOTET_ASSIGN(Url parsed, parse_url(url));
  return parsed.grpc ? make_grpc_client(parsed) : make_http_client(std::move(parsed));
}

}  // namespace motet::client
