#include "wire/front/grpc/grpc_front.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <chrono>

#include "wire/front/grpc/call.h"
#include "wire/front/grpc/library_log.h"

namespace motet::grpc {
namespace {

class Service final : public ::grpc::CallbackGenericService {
 public:
  explicit Service(api::Api& api) : api_(api) {}

  ::grpc::ServerGenericBidiReactor* CreateReactor(::grpc::GenericCallbackServerContext* context) override {
    if (context->method() == "/inference.GRPCInferenceService/ModelInfer") return start_infer(api_, *context);
    if (context->method() == "/inference.GRPCInferenceService/ModelStreamInfer")
      return start_stream_infer(api_, *context);
    return start_unary(api_, *context);
  }

 private:
  api::Api& api_;
};

class Front final : public GrpcFront {
 public:
  explicit Front(api::Api& api) : service_(api) {}
  ~Front() override { drain(Nanos(0)); }

  Status listen(const GrpcOptions& options) {
    const bool ipv6 = options.address.find(':') != std::string::npos && options.address.front() != '[';
    const std::string where =
        (ipv6 ? "[" + options.address + "]" : options.address) + ":" + std::to_string(options.port);
    ::grpc::ServerBuilder builder;
    builder.AddListeningPort(where, ::grpc::InsecureServerCredentials(), &port_);
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT,
                               0);  // a second server on the port is an error, not a half share
    builder.SetMaxReceiveMessageSize(options.max_message_bytes);
    builder.SetMaxSendMessageSize(-1);
    builder.RegisterCallbackGenericService(&service_);
    server_ = builder.BuildAndStart();
    if (server_ != nullptr && port_ > 0) return {};
    return unavailable("cannot listen on " + where +
                       " for gRPC; accepted is an address of this machine and a port that is free");
  }

  uint16_t port() const override { return static_cast<uint16_t>(port_); }

  void drain(Nanos patience) override {
    if (server_ == nullptr) return;
    server_->Shutdown(std::chrono::system_clock::now() +
                      std::chrono::duration_cast<std::chrono::system_clock::duration>(
                          std::chrono::nanoseconds(std::min(patience, Nanos::from_seconds(86'400)).value)));
    server_->Wait();
    server_.reset();
  }

 private:
  Service service_;  // outlives server_
  int port_ = 0;
  std::unique_ptr<::grpc::Server> server_;
};

}  // namespace

Result<std::unique_ptr<GrpcFront>> GrpcFront::start(api::Api& api, const GrpcOptions& options) {
  route_library_log();
  auto front = std::make_unique<Front>(api);
  MOTET_RETURN_IF_ERROR(front->listen(options));
  return std::unique_ptr<GrpcFront>(std::move(front));
}

}  // namespace motet::grpc
