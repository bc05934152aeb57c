#include <deque>
#include <map>
#include <mutex>

#include "base/clock.h"
#include "wire/front/grpc/call.h"
#include "wire/front/grpc/infer_message.h"
#include "wire/front/grpc/status.h"

namespace motet::grpc {
namespace {

// Requests of one stream that may be under way or wait to be written; beyond it the stream is not read.
constexpr size_t kMaxOpen = 256;

// One ModelStreamInfer: many requests on one call, each answered by one message, in the order in which they are ready.
// A request that fails is a message with its error; the stream goes on. It ends when the client has ended it and all is
// written.
class StreamCall final : public Reactor {
 public:
  StreamCall(api::Api& api, const ::grpc::GenericCallbackServerContext& context)
      : api_(api), deadline_(Arrival(context).deadline) {}

  Reactor* start() {
    StartRead(&message_);
    return this;
  }

  void OnReadDone(bool ok) override {
    uint64_t number = 0;
    {
      std::unique_lock lock(mutex_);
      reading_ended_ = !ok;
      if (!ok) return advance(lock);
      number = ++last_number_;
      open_.emplace(number, nullptr);
    }
    const Nanos arrived_at = SteadyClock().now();
    auto request = decode_request(message_);
    message_.Clear();
    if (request.ok()) {
      request->arrived_at = arrived_at;
      request->deadline = deadline_;
      ask(number, std::move(request).value());
    } else {
      answer(number, "", request.error());
    }
    std::unique_lock lock(mutex_);
    ready_to_read_ = true;
    advance(lock);
  }

  void OnWriteDone(bool ok) override {
    std::unique_lock lock(mutex_);
    writing_ = false;
    outbox_.pop_front();
    broken_ = broken_ || !ok;
    advance(lock);
  }

  void OnCancel() override {
    std::vector<std::shared_ptr<api::Call>> calls;
    {
      std::lock_guard lock(mutex_);
      cancelled_ = true;
      for (auto& [number, call] : open_)
        if (call != nullptr) calls.push_back(call);
    }
    for (auto& call : calls) call->cancel();
  }

  void OnDone() override { delete this; }

 private:
  void ask(uint64_t number, api::InferRequest request) {
    const std::string id = request.id;
    std::shared_ptr<api::Call> call = api_.infer(
        std::move(request),
        [this, number, id](Result<api::InferResponse> response) { answer(number, id, std::move(response)); });
    bool cancelled = false;
    {
      std::lock_guard lock(mutex_);
      auto open = open_.find(number);
      if (open == open_.end()) return;  // answered already
      open->second = call;
      cancelled = cancelled_;
    }
    if (cancelled && call != nullptr) call->cancel();
  }

  void answer(uint64_t number, const std::string& id, Result<api::InferResponse> response) {
    ::grpc::ByteBuffer message =
        response.ok() ? encode_stream_response(std::move(response).value()) : encode_stream_error(response.error(), id);
    std::unique_lock lock(mutex_);
    open_.erase(number);
    outbox_.push_back(std::move(message));
    advance(lock);
  }

  // Reads on when there is room, writes the next answer, and ends the call once there is nothing left to do. Lets go of
  // `lock`; the call may be gone when this returns.
  void advance(std::unique_lock<std::mutex>& lock) {
    const bool unheard = broken_ || cancelled_;
    while (unheard && outbox_.size() > (writing_ ? 1U : 0U)) outbox_.pop_back();
    const bool read = ready_to_read_ && (unheard || open_.size() + outbox_.size() < kMaxOpen);
    const bool write = !writing_ && !outbox_.empty();
    const bool finish = !write && !writing_ && !finished_ && reading_ended_ && open_.empty();
    if (read) ready_to_read_ = false;
    if (write) writing_ = true;
    if (finish) finished_ = true;
    const ::grpc::ByteBuffer* message = write ? &outbox_.front() : nullptr;
    lock.unlock();
    if (read) StartRead(&message_);
    if (write) StartWrite(message);
    if (finish) Finish(::grpc::Status::OK);
  }

  api::Api& api_;
  const Nanos deadline_;
  ::grpc::ByteBuffer message_;  // of the read under way

  std::mutex mutex_;
  // Guarded by mutex_.
  std::map<uint64_t, std::shared_ptr<api::Call>> open_;
  std::deque<::grpc::ByteBuffer> outbox_;  // the first is being written while writing_
  uint64_t last_number_ = 0;
  bool writing_ = false;
  bool ready_to_read_ = false;  // the last message has been taken over, and no read is under way
  bool reading_ended_ = false;
  bool cancelled_ = false;
  bool broken_ = false;  // a write failed
  bool finished_ = false;
};

}  // namespace

Reactor* start_stream_infer(api::Api& api, const ::grpc::GenericCallbackServerContext& context) {
  return (new StreamCall(api, context))->start();
}

}  // namespace motet::grpc
