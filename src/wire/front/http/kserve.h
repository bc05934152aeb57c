// KServe v2 over HTTP: routes a request to the Api and its answer back. Stateless beside the Api; any thread.
#pragma once

#include <cstddef>

#include "wire/api/api.h"
#include "wire/front/http/exchange.h"
#include "wire/front/http/route.h"

namespace motet::http {

class KserveHandler final : public Handler {
 public:
  KserveHandler(api::Api& api, size_t max_body_bytes) : api_(api), max_body_bytes_(max_body_bytes) {}
  std::shared_ptr<api::Call> handle(HttpRequest request, ReplyDone done) override;

 private:
  HttpReply answer(const Route& route, const HttpRequest& request) const;
  HttpReply model_answer(const Route& route) const;
  std::shared_ptr<api::Call> infer(const Route& route, HttpRequest request, const ReplyDone& done);
  void load_or_unload(const Route& route, const HttpRequest& request, const ReplyDone& done);
  // The body without its Content-Encoding.
  Result<std::shared_ptr<const Body>> plain_body(const HttpRequest& request) const;

  api::Api& api_;
  const size_t max_body_bytes_;
};

}  // namespace motet::http
