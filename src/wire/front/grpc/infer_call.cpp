#include <grpc/support/time.h>

#include <mutex>

#include "base/clock.h"
#include "wire/front/grpc/call.h"
#include "wire/front/grpc/infer_message.h"
#include "wire/front/grpc/status.h"

namespace motet::grpc {

Arrival::Arrival(const ::grpc::GenericCallbackServerContext& context) : at(SteadyClock().now()) {
  const gpr_timespec given = context.raw_deadline();
  if (gpr_time_cmp(given, gpr_inf_future(given.clock_type)) == 0) return;
  const gpr_timespec left =
      gpr_time_sub(gpr_convert_clock_type(given, GPR_CLOCK_MONOTONIC), gpr_now(GPR_CLOCK_MONOTONIC));
  deadline = at + Nanos::from_seconds(left.tv_sec) + Nanos(left.tv_nsec);
}

namespace {

// One ModelInfer: read, asked, answered. The answer comes once; the client may go away at any time before it.
class InferCall final : public Reactor {
 public:
  InferCall(api::Api& api, const ::grpc::GenericCallbackServerContext& context) : api_(api), arrival_(context) {}

  Reactor* start() {
    StartRead(&request_);
    return this;
  }

  void OnReadDone(bool ok) override {
    if (!ok) return Finish(to_status(invalid_argument("the call carries no ModelInferRequest")));
    auto request = decode_request(request_);
    request_.Clear();
    if (!request.ok()) return Finish(to_status(request.error()));
    request->arrived_at = arrival_.at;
    request->deadline = arrival_.deadline;
    // The answer may come before infer() returns; gRPC is not done with this object before the reaction has returned.
    std::shared_ptr<api::Call> call = api_.infer(
        std::move(request).value(), [this](Result<api::InferResponse> response) { answer(std::move(response)); });
    bool cancelled = false;
    {
      std::lock_guard lock(mutex_);
      call_ = call;
      cancelled = cancelled_;
    }
    if (cancelled && call != nullptr) call->cancel();
  }

  void OnCancel() override {
    std::shared_ptr<api::Call> call;
    {
      std::lock_guard lock(mutex_);
      cancelled_ = true;
      call = call_;
    }
    if (call != nullptr) call->cancel();
  }

  void OnDone() override { delete this; }

 private:
  void answer(Result<api::InferResponse> response) {
    if (!response.ok()) return Finish(to_status(response.error()));
    response_ = encode_response(*response);
    StartWriteAndFinish(&response_, ::grpc::WriteOptions(), ::grpc::Status::OK);
  }

  api::Api& api_;
  const Arrival arrival_;
  ::grpc::ByteBuffer request_;
  ::grpc::ByteBuffer response_;

  std::mutex mutex_;
  std::shared_ptr<api::Call> call_;  // guarded by mutex_
  bool cancelled_ = false;           // guarded by mutex_
};

}  // namespace

Reactor* start_infer(api::Api& api, const ::grpc::GenericCallbackServerContext& context) {
  return (new InferCall(api, context))->start();
}

}  // namespace motet::grpc
