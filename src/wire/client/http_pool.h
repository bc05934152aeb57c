// Kept-alive HTTP/1.1 connections to one server, driven by one thread of their own. A request takes a free connection
// or opens one, up to a limit; beyond it requests wait in order. A kept connection that the server has closed meanwhile
// is replaced once, before anything of the answer was read.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/units.h"
#include "wire/client/http_message.h"
#include "wire/client/url.h"

namespace motet::client {

struct HttpCall {
  bool post = false;  // else GET
  std::string target;
  std::string body;
  size_t json_bytes = 0;  // Inference-Header-Content-Length; 0: a body without one
  Nanos timeout;          // from send() to the end of the answer
  std::function<void(Result<HttpReply>)> done;
};

class HttpPool {
 public:
  HttpPool(Url url, int max_connections);
  ~HttpPool();  // waits for the calls under way
  // Any thread; `done` comes once, from the pool's thread. A connection that fails is kUnavailable, a timeout
  // kDeadlineExceeded.
  void send(HttpCall call);

 private:
  struct State;
  std::unique_ptr<State> state_;  // synchronises itself
};

}  // namespace motet::client
