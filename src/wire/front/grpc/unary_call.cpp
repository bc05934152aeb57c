#include "wire/front/grpc/call.h"
#include "wire/front/grpc/methods.h"
#include "wire/front/grpc/status.h"

namespace motet::grpc {
namespace {

// One call of a method that is not an inference: read, handled, answered.
class UnaryCall final : public Reactor {
 public:
  UnaryCall(api::Api& api, Handler handler) : api_(api), handler_(handler) {}

  Reactor* start() {
    StartRead(&message_);
    return this;
  }

  void OnReadDone(bool ok) override {
    if (!ok) return Finish(to_status(invalid_argument("the call carries no message")));
    handler_(api_, message_, [this](Result<::grpc::ByteBuffer> response) {
      if (!response.ok()) return Finish(to_status(response.error()));
      message_ = std::move(response).value();
      StartWriteAndFinish(&message_, ::grpc::WriteOptions(), ::grpc::Status::OK);
    });
  }

  void OnDone() override { delete this; }

 private:
  api::Api& api_;
  const Handler handler_;
  ::grpc::ByteBuffer message_;  // the request, then the response
};

class RefusedCall final : public Reactor {
 public:
  explicit RefusedCall(const Error& error) { Finish(to_status(error)); }
  void OnDone() override { delete this; }
};

}  // namespace

Reactor* start_unary(api::Api& api, const ::grpc::GenericCallbackServerContext& context) {
  const Handler handler = find_handler(context.method());
  if (handler == nullptr) return new RefusedCall(unsupported("method " + context.method() + " is not served"));
  return (new UnaryCall(api, handler))->start();
}

}  // namespace motet::grpc
