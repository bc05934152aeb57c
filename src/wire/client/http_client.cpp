#include "wire/client/http_client.h"

#include <future>

#include "wire/client/http_pool.h"

namespace motet::client {
namespace {

// An open-loop sender has as many calls open as the server is slow; each takes a connection.
constexpr int kMaxConnections = 512;
constexpr Nanos kControlTimeout = Nanos::from_seconds(60);

class HttpClient final : public Client {
 public:
  explicit HttpClient(Url url) : pool_(std::move(url), kMaxConnections) {}

  std::string_view protocol() const override { return "http"; }

  Status server_ready() override {
    MOTET_ASSIGN(HttpReply reply, get("/v2/health/ready"));
    if (reply.status == 200) return {};
    return unavailable("the server is not ready: HTTP status " + std::to_string(reply.status));
  }

  Result<ModelMetadata> model_metadata(std::string_view model) override {
    MOTET_ASSIGN(HttpReply reply, get("/v2/models/" + percent_encode(model)));
    return decode_metadata(reply);
  }

  Result<std::shared_ptr<const inference::ModelConfig>> model_config(std::string_view model) override {
    MOTET_ASSIGN(HttpReply reply, get("/v2/models/" + percent_encode(model) + "/config"));
    return decode_config(reply);
  }

  Result<Response> infer(const Request& request) override {
    std::promise<Result<Response>> promise;
    infer_async(request, [&](Result<Response> response) { promise.set_value(std::move(response)); });
    return promise.get_future().get();
  }

  void infer_async(const Request& request, Done done) override {
    InferBody body = encode_infer(request);
    HttpCall call;
    call.post = true;
    call.target = infer_path(request);
    call.body = std::move(body.bytes);
    call.json_bytes = body.json_bytes;
    call.timeout = request.transport_timeout;
    call.done = [done = std::move(done)](Result<HttpReply> reply) {
      if (!reply.ok()) return done(std::move(reply).error());
      done(decode_infer(*reply));
    };
    pool_.send(std::move(call));
  }

 private:
  Result<HttpReply> get(std::string target) {
    std::promise<Result<HttpReply>> promise;
    HttpCall call;
    call.target = std::move(target);
    call.timeout = kControlTimeout;
    call.done = [&](Result<HttpReply> reply) { promise.set_value(std::move(reply)); };
    pool_.send(std::move(call));
    return promise.get_future().get();
  }

  HttpPool pool_;
};

}  // namespace

std::unique_ptr<Client> make_http_client(Url url) { return std::make_unique<HttpClient>(std::move(url)); }

}  // namespace motet::client
