#include "wire/front/http/http_front.h"

#include "wire/front/http/kserve.h"

namespace motet::http {
namespace {

// Prometheus' exposition format, version 0.0.4.
constexpr char kMetricsContentType[] = "text/plain; version=0.0.4; charset=utf-8";

class MetricsHandler final : public Handler {
 public:
  explicit MetricsHandler(std::function<std::string()> text) : text_(std::move(text)) {}

  std::shared_ptr<api::Call> handle(HttpRequest request, ReplyDone done) override {
    HttpReply reply;
    if (request.target.substr(0, request.target.find('?')) != "/metrics") {
      reply = error_reply(404, "Not Found");
    } else if (request.method != "GET") {
      reply = error_reply(405, "Method Not Allowed");
      reply.allow = "GET";
    } else {
      reply.content_type = kMetricsContentType;
      reply.text = text_();
    }
    done([reply = std::move(reply)] { return reply; });
    return nullptr;
  }

 private:
  const std::function<std::string()> text_;
};

}  // namespace

Result<std::unique_ptr<HttpFront>> HttpFront::start(api::Api& api, const HttpOptions& options) {
  std::unique_ptr<HttpFront> front(new HttpFront);
  front->handler_ = std::make_unique<KserveHandler>(api, options.max_body_bytes);
  MOTET_ASSIGN(front->server_, Server::start(*front->handler_, options));
  return front;
}

HttpFront::~HttpFront() = default;

Result<std::unique_ptr<MetricsFront>> MetricsFront::start(std::function<std::string()> text,
                                                          const HttpOptions& options) {
  std::unique_ptr<MetricsFront> front(new MetricsFront);
  front->handler_ = std::make_unique<MetricsHandler>(std::move(text));
  MOTET_ASSIGN(front->server_, Server::start(*front->handler_, options));
  return front;
}

MetricsFront::~MetricsFront() = default;

}  // namespace motet::http
