#include "wire/front/grpc/grpc_front.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "base/clock.h"
#include "wire/front/grpc/fake_api.h"
#include "wire/front/grpc/status.h"
#include "wire/proto/grpc_service.grpc.pb.h"
#include "wire/proto/health.pb.h"

namespace motet::grpc {
namespace {

using ::grpc::ClientContext;
using ::grpc::StatusCode;
using inference::ModelInferRequest;
using inference::ModelInferResponse;

// A front on a free port, and a stub made by gRPC's own generator.
class GrpcFrontTest : public ::testing::Test {
 protected:
  GrpcFrontTest() {
    auto front = GrpcFront::start(api_, {"127.0.0.1", 0, 64 * 1024});
    EXPECT_TRUE(front.ok()) << front.error().message;
    front_ = std::move(front).value();
    channel_ =
        ::grpc::CreateChannel("127.0.0.1:" + std::to_string(front_->port()), ::grpc::InsecureChannelCredentials());
    stub_ = inference::GRPCInferenceService::NewStub(channel_);
  }

  static ModelInferRequest request(const std::string& model) {
    ModelInferRequest m;
    m.set_model_name(model);
    m.set_id("q-1");
    auto* input = m.add_inputs();
    input->set_name("x");
    input->set_datatype("INT32");
    input->add_shape(3);
    m.add_raw_input_contents(std::string("\1\0\0\0\2\0\0\0\3\0\0\0", 12));
    return m;
  }
  ::grpc::Status infer(const ModelInferRequest& m, ModelInferResponse& out) {
    ClientContext context;
    return stub_->ModelInfer(&context, m, &out);
  }

  FakeApi api_;
  std::unique_ptr<GrpcFront> front_;
  std::shared_ptr<::grpc::Channel> channel_;
  std::unique_ptr<inference::GRPCInferenceService::Stub> stub_;
};

TEST_F(GrpcFrontTest, AnInferenceGoesThereAndBack) {
  ModelInferRequest m = request("echo");
  (*m.mutable_parameters())["timeout"].set_int64_param(77);
  ModelInferResponse out;
  auto status = infer(m, out);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(out.model_name(), "echo");
  EXPECT_EQ(out.model_version(), "1");
  EXPECT_EQ(out.id(), "q-1");
  ASSERT_EQ(out.outputs_size(), 1);
  EXPECT_EQ(out.outputs(0).datatype(), "INT32");
  EXPECT_EQ(out.raw_output_contents(0), m.raw_input_contents(0));
  EXPECT_EQ(out.parameters().at("from").string_param(), "fake");
  EXPECT_EQ(api_.last().timeout_us, 77);
  EXPECT_EQ(api_.last().deadline, kNever);
}

TEST_F(GrpcFrontTest, RefusalsHaveTheirStatus) {
  const std::pair<Code, StatusCode> codes[] = {{Code::kInvalidArgument, StatusCode::INVALID_ARGUMENT},
                                               {Code::kNotFound, StatusCode::NOT_FOUND},
                                               {Code::kAlreadyExists, StatusCode::ALREADY_EXISTS},
                                               {Code::kUnavailable, StatusCode::UNAVAILABLE},
                                               {Code::kUnsupported, StatusCode::UNIMPLEMENTED},
                                               {Code::kResourceExhausted, StatusCode::RESOURCE_EXHAUSTED},
                                               {Code::kDeadlineExceeded, StatusCode::DEADLINE_EXCEEDED},
                                               {Code::kCancelled, StatusCode::CANCELLED},
                                               {Code::kInternal, StatusCode::INTERNAL}};
  for (const auto& [code, expected] : codes) {
    api_.refusal = {code, "because \xe2\x98\x83"};
    ModelInferResponse out;
    auto status = infer(request("refuse"), out);
    EXPECT_EQ(status.error_code(), expected);
    EXPECT_EQ(status.error_message(), "because \xe2\x98\x83");
  }
  api_.refusal.message.assign(100'000, 'x');
  ModelInferResponse out;
  EXPECT_LT(infer(request("refuse"), out).error_message().size(), 3000u);
}

TEST_F(GrpcFrontTest, BadMessagesAreRefusedAndTheServerServesOn) {
  ModelInferRequest m = request("echo");
  m.mutable_inputs(0)->set_shape(0, 4);
  ModelInferResponse out;
  EXPECT_EQ(infer(m, out).error_code(), StatusCode::INVALID_ARGUMENT);
  m = request("echo");
  m.mutable_raw_input_contents(0)->resize(128 * 1024);
  EXPECT_EQ(infer(m, out).error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(infer(request("echo"), out).ok());
}

// Sends `bytes` to `method` and waits for the status.
::grpc::Status call_raw(const std::shared_ptr<::grpc::Channel>& channel, const std::string& method,
                        const std::string& bytes) {
  ::grpc::GenericStub stub(channel);
  ::grpc::CompletionQueue queue;
  ClientContext context;
  ::grpc::Slice slice(bytes);
  ::grpc::ByteBuffer request(&slice, 1), response;
  auto call = stub.PrepareUnaryCall(&context, method, request, &queue);
  call->StartCall();
  ::grpc::Status status;
  call->Finish(&response, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  return status;
}

TEST_F(GrpcFrontTest, GarbageAndUnknownMethodsAreRefused) {
  const std::string service = "/inference.GRPCInferenceService/";
  for (const char* method : {"ModelInfer", "ModelReady", "RepositoryModelLoad", "ModelConfig"})
    EXPECT_EQ(call_raw(channel_, service + method, "\xff\xff\xff").error_code(), StatusCode::INVALID_ARGUMENT)
        << method;
  EXPECT_EQ(call_raw(channel_, service + "Nothing", "").error_code(), StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(call_raw(channel_, "/other.Service/ModelInfer", "").error_code(), StatusCode::UNIMPLEMENTED);
  EXPECT_TRUE(call_raw(channel_, service + "ServerLive", "").ok());
}

TEST_F(GrpcFrontTest, TheClientsDeadlineTravels) {
  ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(100));
  ModelInferResponse out;
  ASSERT_TRUE(stub_->ModelInfer(&context, request("echo"), &out).ok());
  const api::InferRequest last = api_.last();
  EXPECT_GT(last.deadline, last.arrived_at + Nanos::from_seconds(50));
  EXPECT_LT(last.deadline, last.arrived_at + Nanos::from_seconds(101));
}

TEST_F(GrpcFrontTest, TheClockStartsWhenTheHeadersArrive) {
  ::grpc::GenericStub stub(channel_);
  ::grpc::CompletionQueue queue;
  ClientContext context;
  auto next = [&] {
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    return ok;
  };
  auto call = stub.PrepareCall(&context, "/inference.GRPCInferenceService/ModelInfer", &queue);
  call->StartCall(nullptr);
  ASSERT_TRUE(next());
  // Another call on the same connection is answered: so the headers before it have been read.
  EXPECT_TRUE(call_raw(channel_, "/inference.GRPCInferenceService/ServerLive", "").ok());
  const Nanos before_message = SteadyClock().now();
  const std::string bytes = request("echo").SerializeAsString();
  ::grpc::Slice slice(bytes);
  call->WriteLast(::grpc::ByteBuffer(&slice, 1), ::grpc::WriteOptions(), nullptr);
  ASSERT_TRUE(next());
  ::grpc::ByteBuffer response;
  call->Read(&response, nullptr);
  ASSERT_TRUE(next());
  ::grpc::Status status;
  call->Finish(&status, nullptr);
  ASSERT_TRUE(next());
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_LT(api_.last().arrived_at, before_message);
}

TEST_F(GrpcFrontTest, AClientThatGoesAwayCancels) {
  ::grpc::CompletionQueue queue;
  ClientContext context;
  ModelInferResponse out;
  ::grpc::Status status;
  auto call = stub_->AsyncModelInfer(&context, request("held"), &queue);
  call->Finish(&out, &status, nullptr);
  api_.wait_held(1);
  context.TryCancel();
  api_.wait_cancelled(1);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  EXPECT_EQ(status.error_code(), StatusCode::CANCELLED);
}

TEST_F(GrpcFrontTest, APassedDeadlineCancels) {
  ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(30));
  ModelInferResponse out;
  EXPECT_EQ(stub_->ModelInfer(&context, request("held"), &out).error_code(), StatusCode::DEADLINE_EXCEEDED);
}

TEST_F(GrpcFrontTest, DrainingEndsWhatIsUnderWay) {
  ::grpc::CompletionQueue queue;
  ClientContext context;
  ModelInferResponse out;
  ::grpc::Status status;
  auto call = stub_->AsyncModelInfer(&context, request("held"), &queue);
  call->Finish(&out, &status, nullptr);
  api_.wait_held(1);
  front_->drain(Nanos(0));
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  EXPECT_FALSE(status.ok());
  api_.wait_cancelled(1);
}

TEST_F(GrpcFrontTest, ThePortIsOursAlone) {
  auto second = GrpcFront::start(api_, {"127.0.0.1", front_->port(), 1024});
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.error().message.find("127.0.0.1:" + std::to_string(front_->port())), std::string::npos)
      << second.error().message;
}

TEST_F(GrpcFrontTest, HealthAndMetadata) {
  ClientContext c1, c2, c3, c4, c5, c6, c7;
  inference::ServerLiveResponse live;
  ASSERT_TRUE(stub_->ServerLive(&c1, {}, &live).ok());
  EXPECT_TRUE(live.live());
  inference::ServerReadyResponse ready;
  ASSERT_TRUE(stub_->ServerReady(&c2, {}, &ready).ok());
  EXPECT_TRUE(ready.ready());
  inference::ModelReadyRequest which;
  which.set_name("none");
  inference::ModelReadyResponse model_ready;
  ASSERT_TRUE(stub_->ModelReady(&c3, which, &model_ready).ok());
  EXPECT_FALSE(model_ready.ready());
  inference::ServerMetadataResponse server;
  ASSERT_TRUE(stub_->ServerMetadata(&c4, {}, &server).ok());
  EXPECT_EQ(server.extensions_size(), 2);
  inference::ModelMetadataRequest model;
  model.set_name("echo");
  inference::ModelMetadataResponse metadata;
  ASSERT_TRUE(stub_->ModelMetadata(&c5, model, &metadata).ok());
  EXPECT_EQ(metadata.inputs(0).datatype(), "FP32");
  EXPECT_EQ(metadata.inputs(0).shape(0), -1);
  EXPECT_EQ(metadata.outputs(0).datatype(), "BYTES");
  EXPECT_EQ(metadata.versions_size(), 2);
  EXPECT_EQ(metadata.parameters().at("executor").string_param(), "native");
  EXPECT_EQ(metadata.parameters().at("precision_error").double_param(), 0.25);
  model.set_name("none");
  EXPECT_EQ(stub_->ModelMetadata(&c6, model, &metadata).error_code(), StatusCode::NOT_FOUND);
  inference::ModelConfigRequest config_request;
  config_request.set_name("echo");
  inference::ModelConfigResponse config;
  ASSERT_TRUE(stub_->ModelConfig(&c7, config_request, &config).ok());
  EXPECT_EQ(config.config().max_batch_size(), 8);
}

TEST_F(GrpcFrontTest, TheHealthServiceAnswersOrchestrators) {
  EXPECT_TRUE(call_raw(channel_, "/grpc.health.v1.Health/Check", "").ok());
  ::grpc::health::v1::HealthCheckRequest request;
  request.set_service("inference.GRPCInferenceService");
  EXPECT_TRUE(call_raw(channel_, "/grpc.health.v1.Health/Check", request.SerializeAsString()).ok());
  request.set_service("nobody");
  EXPECT_EQ(call_raw(channel_, "/grpc.health.v1.Health/Check", request.SerializeAsString()).error_code(),
            StatusCode::NOT_FOUND);
}

TEST_F(GrpcFrontTest, StatisticsAndIndex) {
  ClientContext c1, c2, c3;
  inference::ModelStatisticsResponse statistics;
  ASSERT_TRUE(stub_->ModelStatistics(&c1, {}, &statistics).ok());
  EXPECT_EQ(statistics.model_stats(0).inference_count(), 6u);
  EXPECT_EQ(statistics.model_stats(0).inference_stats().success().ns(), 4000u);
  EXPECT_EQ(statistics.model_stats(0).batch_stats(0).compute_infer().ns(), 2u);
  inference::RepositoryIndexResponse index;
  ASSERT_TRUE(stub_->RepositoryIndex(&c2, {}, &index).ok());
  EXPECT_EQ(index.models_size(), 2);
  EXPECT_EQ(index.models(1).reason(), "why");
  inference::RepositoryIndexRequest ready;
  ready.set_ready(true);
  ASSERT_TRUE(stub_->RepositoryIndex(&c3, ready, &index).ok());
  EXPECT_EQ(index.models_size(), 1);
}

TEST_F(GrpcFrontTest, LoadingAndUnloading) {
  auto load = [&](const inference::RepositoryModelLoadRequest& m) {
    ClientContext context;
    inference::RepositoryModelLoadResponse out;
    return stub_->RepositoryModelLoad(&context, m, &out).error_code();
  };
  inference::RepositoryModelLoadRequest m;
  m.set_model_name("echo");
  (*m.mutable_parameters())["config"].set_string_param("{}");
  EXPECT_EQ(load(m), StatusCode::OK);
  EXPECT_EQ(api_.loaded, "echo/{}");
  m.set_model_name("none");
  EXPECT_EQ(load(m), StatusCode::NOT_FOUND);
  (*m.mutable_parameters())["file:1/model.onnx"].set_bytes_param("x");
  EXPECT_EQ(load(m), StatusCode::UNIMPLEMENTED);
  m.clear_parameters();
  m.set_repository_name("r");
  EXPECT_EQ(load(m), StatusCode::UNIMPLEMENTED);
  m.clear_repository_name();
  (*m.mutable_parameters())["colour"].set_string_param("red");
  EXPECT_EQ(load(m), StatusCode::INVALID_ARGUMENT);
  inference::RepositoryModelUnloadRequest u;
  inference::RepositoryModelUnloadResponse out;
  u.set_model_name("echo");
  (*u.mutable_parameters())["unload_dependents"].set_bool_param(true);
  ClientContext context;
  EXPECT_TRUE(stub_->RepositoryModelUnload(&context, u, &out).ok());
  EXPECT_EQ(api_.unloaded, "echo+");
}

TEST_F(GrpcFrontTest, WhatIsNotDoneSaysSo) {
  ClientContext c1, c2, c3, c4, c5, c6, c7, c8;
  inference::SystemSharedMemoryStatusResponse status;
  ASSERT_TRUE(stub_->SystemSharedMemoryStatus(&c1, {}, &status).ok());
  EXPECT_TRUE(status.regions().empty());
  inference::CudaSharedMemoryRegisterRequest region;
  region.set_name("r1");
  inference::CudaSharedMemoryRegisterResponse registered;
  auto refused = stub_->CudaSharedMemoryRegister(&c2, region, &registered);
  EXPECT_EQ(refused.error_code(), StatusCode::UNIMPLEMENTED);
  EXPECT_NE(refused.error_message().find("CUDA shared memory is not done by this server; region 'r1'"),
            std::string::npos);
  inference::SystemSharedMemoryUnregisterResponse unregistered;
  EXPECT_TRUE(stub_->SystemSharedMemoryUnregister(&c3, {}, &unregistered).ok());
  inference::TraceSettingResponse trace;
  ASSERT_TRUE(stub_->TraceSetting(&c4, {}, &trace).ok());
  EXPECT_EQ(trace.settings().at("trace_level").value(0), "OFF");
  inference::TraceSettingRequest change;
  (*change.mutable_settings())["trace_rate"].add_value("1");
  EXPECT_EQ(stub_->TraceSetting(&c5, change, &trace).error_code(), StatusCode::UNIMPLEMENTED);
  inference::LogSettingsResponse log;
  ASSERT_TRUE(stub_->LogSettings(&c6, {}, &log).ok());
  EXPECT_TRUE(log.settings().at("log_info").bool_param());
  inference::LogSettingsRequest quiet;
  (*quiet.mutable_settings())["log_info"].set_bool_param(false);
  EXPECT_EQ(stub_->LogSettings(&c7, quiet, &log).error_code(), StatusCode::UNIMPLEMENTED);
  inference::SystemSharedMemoryStatusRequest one;
  one.set_name("r1");
  EXPECT_EQ(stub_->SystemSharedMemoryStatus(&c8, one, &status).error_code(), StatusCode::NOT_FOUND);
}

TEST_F(GrpcFrontTest, AStreamAnswersEachRequestAndSurvivesABadOne) {
  ClientContext context;
  auto stream = stub_->ModelStreamInfer(&context);
  constexpr int kRequests = 600;  // more than may be open at once
  std::thread writer([&] {
    for (int i = 0; i < kRequests; ++i) {
      ModelInferRequest m = request(i % 100 == 7 ? "refuse" : "echo");
      m.set_id(std::to_string(i));
      stream->Write(m);
    }
    stream->WritesDone();
  });
  inference::ModelStreamInferResponse out;
  int good = 0, bad = 0;
  std::set<std::string> ids;
  while (stream->Read(&out)) {
    ids.insert(out.infer_response().id());
    if (out.error_message().empty()) {
      ++good;
      EXPECT_TRUE(out.infer_response().parameters().at("triton_final_response").bool_param());
    } else {
      ++bad;
    }
  }
  writer.join();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(good, kRequests - 6);
  EXPECT_EQ(bad, 6);
  EXPECT_EQ(ids.size(), static_cast<size_t>(kRequests));
}

TEST_F(GrpcFrontTest, AStreamThatIsCancelledCancelsItsRequests) {
  ClientContext context;
  auto stream = stub_->ModelStreamInfer(&context);
  for (int i = 0; i < 300; ++i) stream->Write(request("held"));
  api_.wait_held(256);  // then it reads no more
  context.TryCancel();
  api_.wait_cancelled(256);
  EXPECT_EQ(stream->Finish().error_code(), StatusCode::CANCELLED);
  front_->drain(Nanos::from_seconds(60));  // ends only once the call has
}

}  // namespace
}  // namespace motet::grpc
