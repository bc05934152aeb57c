#include "wire/client/grpc_client.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <chrono>
#include <future>

#include "wire/client/calls.h"
#include "wire/client/grpc_message.h"
#include "wire/proto/grpc_service.pb.h"

namespace motet::client {
namespace {

constexpr Nanos kControlTimeout = Nanos::from_seconds(60);

Code code_of(::grpc::StatusCode code) {
  switch (code) {
    case ::grpc::StatusCode::INVALID_ARGUMENT:
    case ::grpc::StatusCode::OUT_OF_RANGE:
    case ::grpc::StatusCode::FAILED_PRECONDITION: return Code::kInvalidArgument;
    case ::grpc::StatusCode::NOT_FOUND: return Code::kNotFound;
    case ::grpc::StatusCode::ALREADY_EXISTS: return Code::kAlreadyExists;
    case ::grpc::StatusCode::UNAVAILABLE: return Code::kUnavailable;
    case ::grpc::StatusCode::UNIMPLEMENTED: return Code::kUnsupported;
    case ::grpc::StatusCode::RESOURCE_EXHAUSTED: return Code::kResourceExhausted;
    case ::grpc::StatusCode::DEADLINE_EXCEEDED: return Code::kDeadlineExceeded;
    case ::grpc::StatusCode::CANCELLED: return Code::kCancelled;
    default: return Code::kInternal;
  }
}

// One call under way: owns what gRPC looks at until it ends.
struct OpenCall {
  ::grpc::ClientContext context;
  ::grpc::ByteBuffer request;
  ::grpc::ByteBuffer response;
};

::grpc::ByteBuffer to_buffer(std::string bytes) {
  auto* keep = new std::string(std::move(bytes));
  ::grpc::Slice slice(keep->data(), keep->size(), [](void* kept) { delete static_cast<std::string*>(kept); }, keep);
  return {&slice, 1};
}

class GrpcClient final : public Client {
 public:
  explicit GrpcClient(const Url& url) : channel_(make_channel(url)), stub_(channel_) {}
  ~GrpcClient() override { calls_.wait_for_none(); }

  std::string_view protocol() const override { return "grpc"; }

  Status server_ready() override {
    MOTET_ASSIGN(auto reply, ask<inference::ServerReadyResponse>("ServerReady", inference::ServerReadyRequest()));
    if (reply.ready()) return {};
    return unavailable("the server is not ready");
  }

  Result<ModelMetadata> model_metadata(std::string_view model) override {
    inference::ModelMetadataRequest request;
    request.set_name(std::string(model));
    MOTET_ASSIGN(auto reply, ask<inference::ModelMetadataResponse>("ModelMetadata", request));
    return decode_grpc_metadata(reply);
  }

  Result<std::shared_ptr<const inference::ModelConfig>> model_config(std::string_view model) override {
    inference::ModelConfigRequest request;
    request.set_name(std::string(model));
    MOTET_ASSIGN(auto reply, ask<inference::ModelConfigResponse>("ModelConfig", request));
    return std::shared_ptr<const inference::ModelConfig>(
        std::make_shared<inference::ModelConfig>(std::move(*reply.mutable_config())));
  }

  Result<Response> infer(const Request& request) override {
    std::promise<Result<Response>> promise;
    infer_async(request, [&](Result<Response> response) { promise.set_value(std::move(response)); });
    return promise.get_future().get();
  }

  void infer_async(const Request& request, Done done) override {
    send("ModelInfer", encode_grpc_infer(request), request.transport_timeout,
         [done = std::move(done)](Result<::grpc::ByteBuffer> reply) {
           if (!reply.ok()) return done(std::move(reply).error());
           auto message = std::make_shared<inference::ModelInferResponse>();
           if (Status parsed = parse(*reply, *message); !parsed.ok()) return done(std::move(parsed).error());
           done(decode_grpc_infer(std::move(message)));
         });
  }

 private:
  using ReplyDone = std::function<void(Result<::grpc::ByteBuffer>)>;

  static std::shared_ptr<::grpc::Channel> make_channel(const Url& url) {
    ::grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    arguments.SetMaxSendMessageSize(-1);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection of this client's own
    return ::grpc::CreateCustomChannel(url.authority(), ::grpc::InsecureChannelCredentials(), arguments);
  }

  static Status parse(::grpc::ByteBuffer& bytes, google::protobuf::Message& message) {
    ::grpc::ProtoBufferReader reader(&bytes);
    if (reader.status().ok() && message.ParseFromZeroCopyStream(&reader)) return {};
    return internal_error("the server's answer is not a " + message.GetDescriptor()->name());
  }

  void send(const char* method, std::string message, Nanos timeout, ReplyDone done) {
    calls_.begin();
    auto call = std::make_shared<OpenCall>();
    call->request = to_buffer(std::move(message));
    const Nanos most = std::min(timeout, Nanos::from_seconds(86'400));
    call->context.set_deadline(std::chrono::system_clock::now() + std::chrono::nanoseconds(most.value));
    stub_.UnaryCall(&call->context, std::string("/inference.GRPCInferenceService/") + method, ::grpc::StubOptions(),
                    &call->request, &call->response,
                    [this, call, done = std::move(done)](const ::grpc::Status& status) mutable {
                      if (status.ok()) {
                        done(std::move(call->response));
                      } else {
                        done(Error{code_of(status.error_code()), status.error_message()});
                      }
                      done = nullptr;  // what it holds goes before the call counts as ended
                      call.reset();
                      calls_.end();
                    });
  }

  template <class Reply>
  Result<Reply> ask(const char* method, const google::protobuf::Message& request) {
    std::promise<Result<::grpc::ByteBuffer>> promise;
    send(method, request.SerializeAsString(), kControlTimeout,
         [&](Result<::grpc::ByteBuffer> reply) { promise.set_value(std::move(reply)); });
    MOTET_ASSIGN(::grpc::ByteBuffer bytes, promise.get_future().get());
    Reply reply;
    MOTET_RETURN_IF_ERROR(parse(bytes, reply));
    return reply;
  }

  const std::shared_ptr<::grpc::Channel> channel_;
  ::grpc::GenericStub stub_;
  CallCount calls_;  // synchronises itself
};

}  // namespace

std::unique_ptr<Client> make_grpc_client(const Url& url) { return std::make_unique<GrpcClient>(url); }

}  // namespace motet::client
