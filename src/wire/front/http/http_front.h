// The HTTP front ends: KServe v2 as Triton speaks it, onto the protocol-neutral api::Api; and Prometheus' /metrics on a
// port of its own. Start, port, drain and stop from any thread but the server's own. The Api (and the text function)
// must outlive the front. Refusals carry {"error": text}; statuses are exchange.h's, but readiness says 400 for "no",
// as Triton does.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "wire/api/api.h"
#include "wire/front/http/server.h"

namespace motet::http {

using HttpOptions = ServerOptions;

class HttpFront {
 public:
  static Result<std::unique_ptr<HttpFront>> start(api::Api& api, const HttpOptions& options);
  ~HttpFront();  // stop()

  uint16_t port() const { return server_->port(); }
  // No new connections; waits for the requests under way, at most `grace`. Whether all were answered.
  bool drain(Nanos grace) { return server_->drain(grace); }
  // Cancels what still runs; returns when the Api owes no answer.
  void stop() { server_->stop(); }

 private:
  HttpFront() = default;
  std::unique_ptr<Handler> handler_;
  std::unique_ptr<Server> server_;  // ends before the handler
};

class MetricsFront {
 public:
  // `text` is called for each GET /metrics, on a thread of the front.
  static Result<std::unique_ptr<MetricsFront>> start(std::function<std::string()> text, const HttpOptions& options);
  ~MetricsFront();

  uint16_t port() const { return server_->port(); }
  void stop() { server_->stop(); }

 private:
  MetricsFront() = default;
  std::unique_ptr<Handler> handler_;
  std::unique_ptr<Server> server_;
};

}  // namespace motet::http
