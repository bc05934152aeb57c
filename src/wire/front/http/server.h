// The HTTP/1.1 server below the front ends: sockets, parsing, limits and time limits; no KServe. Keep-alive, pipelining
// (in order), chunked bodies, Expect: 100-continue. A client that closes its end while its query runs cancels it.
// Start, port, drain and stop may be called from any thread other than the server's own; the Handler must outlive the
// server.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/units.h"
#include "wire/front/http/exchange.h"

namespace motet::http {

struct ServerOptions {
  std::string address = "0.0.0.0";
  uint16_t port = 8000;  // 0: any free one, see port()
  int threads = 1;
  size_t max_body_bytes = 64 << 20;  // as sent and as decompressed
  size_t max_header_bytes = 16 << 10;
  size_t max_connections = 4096;                     // one more gets 503 and is closed
  Nanos idle_timeout = Nanos::from_seconds(300);     // between requests
  Nanos header_timeout = Nanos::from_seconds(10);    // first byte to end of header
  Nanos transfer_timeout = Nanos::from_seconds(60);  // of a body or an answer, and 1 s more for each MiB
  Nanos sweep_period = Nanos::from_millis(500);      // how often the time limits are looked at
  std::function<void()> on_thread_start;             // called on each thread first: affinity, priority
};

class Server {
 public:
  // An Error tells an address that is none or cannot be bound.
  static Result<std::unique_ptr<Server>> start(Handler& handler, const ServerOptions& options);
  ~Server();  // stop()

  uint16_t port() const;
  // Takes no new connections, closes idle ones, and waits until every request under way is answered, at most `grace`.
  // Whether all were.
  bool drain(Nanos grace);
  // Closes every connection, cancels what runs, and returns when the Handler owes no answer.
  void stop();

 private:
  class Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace motet::http
