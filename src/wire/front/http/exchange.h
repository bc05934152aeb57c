// What passes between the connection layer (bytes and sockets) and a Handler (meaning): one request in, one reply out.
// Plain values. A Handler is called on a thread of the server, must not block, and may answer from any thread.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "wire/api/api.h"
#include "wire/front/http/body.h"

namespace motet::http {

struct HttpRequest {
  std::string method;  // as sent: "GET"
  std::string target;  // path and query, as sent
  std::string content_encoding;
  std::string accept_encoding;
  std::optional<std::string> json_length;  // Inference-Header-Content-Length
  std::shared_ptr<const Body> body;        // never null
  Nanos arrived_at;                        // SteadyClock, first readable byte
};

// Bytes that someone else keeps: an output tensor.
struct Piece {
  const void* data = nullptr;
  size_t bytes = 0;
  std::shared_ptr<const void> owner;
};

struct HttpReply {
  int status = 200;
  std::string content_type = "application/json";
  std::string content_encoding;       // "" for none
  std::optional<size_t> json_length;  // Inference-Header-Content-Length
  std::string allow;                  // Allow, for 405
  std::string text;                   // the first bytes of the body
  std::vector<Piece> pieces;          // the others
};

// {"error": message}
HttpReply error_reply(int status, std::string_view message);
// With the status of its code. Triton's statuses where it has one: a passed deadline is 503, as its queue timeout is.
HttpReply error_reply(const Error& error);
int http_status(Code code);
std::string_view http_reason(int status);

// Makes the reply; run once, on a thread of the server, so that the thread that completed a query does not pay for
// writing it.
using ReplyMaker = std::function<HttpReply()>;
using ReplyDone = std::function<void(ReplyMaker)>;

class Handler {
 public:
  virtual ~Handler() = default;
  // Calls `done` exactly once. The Call returned, if any, is cancelled when the client goes away.
  virtual std::shared_ptr<api::Call> handle(HttpRequest request, ReplyDone done) = 0;
};

}  // namespace motet::http
