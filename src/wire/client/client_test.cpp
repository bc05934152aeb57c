#include "wire/client/client.h"

#include <arpa/inet.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <set>
#include <thread>

#include "wire/proto/grpc_service.grpc.pb.h"

namespace motet::client {
namespace {

Request request(int value = 1) {
  Request r;
  r.model = "m";
  r.inputs.push_back({"x", Tensor::of<int32_t>({2}, std::vector<int32_t>{value, value})});
  r.timeout_us = 900;
  r.transport_timeout = Nanos::from_seconds(30);
  return r;
}

// ---- HTTP: a server of a few lines, which answers each request by `answer(head, body)`
// -----------------------------------

struct Scripted {
  std::string reply;
  bool close = false;
};

class TinyHttp {
 public:
  using Answer = std::function<Scripted(const std::string& head, const std::string& body)>;

  explicit TinyHttp(Answer answer) : answer_(std::move(answer)), socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(socket_, 256), 0);
    socklen_t length = sizeof address;
    ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] {
      for (int connection; (connection = ::accept(socket_, nullptr, nullptr)) >= 0;) {
        ++accepted;
        workers_.emplace_back([this, connection] { serve(connection); });
      }
    });
  }
  ~TinyHttp() {
    ::shutdown(socket_, SHUT_RDWR);
    ::close(socket_);
    acceptor_.join();
    for (std::thread& worker : workers_) worker.join();
  }

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  std::atomic<int> accepted{0};

  static std::string ok(const std::string& body, const std::string& headers = "") {
    return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + headers + "\r\n" + body;
  }

 private:
  void serve(int connection) {
    std::string in;
    char bytes[4096];
    for (;;) {
      size_t end = in.find("\r\n\r\n");
      if (end != in.npos) {
        const std::string head = in.substr(0, end + 4);
        const size_t at = head.find("\r\nContent-Length: ");
        const size_t length = at == head.npos ? 0 : std::stoul(head.substr(at + 18));
        if (in.size() >= head.size() + length) {
          const Scripted scripted = answer_(head, in.substr(head.size(), length));
          in.erase(0, head.size() + length);
          (void)!::write(connection, scripted.reply.data(), scripted.reply.size());
          if (scripted.close) break;
          continue;
        }
      }
      const ssize_t n = ::read(connection, bytes, sizeof bytes);
      if (n <= 0) break;
      in.append(bytes, static_cast<size_t>(n));
    }
    ::close(connection);
  }

  const Answer answer_;
  const int socket_;
  uint16_t port_ = 0;
  std::thread acceptor_;
  std::vector<std::thread> workers_;
};

// Answers the eight bytes of the request's one tensor.
Scripted echo(const std::string& head, const std::string& body) {
  const size_t at = head.find("Inference-Header-Content-Length: ");
  EXPECT_NE(at, head.npos);
  const std::string tensor = body.substr(std::stoul(head.substr(at + 33)));
  const std::string json =
      R"({"model_name":"m","model_version":"1","outputs":[{"name":"y","datatype":"INT32","shape":[2],"parameters":{"binary_data_size":8}}]})";
  return {TinyHttp::ok(json + tensor, "Inference-Header-Content-Length: " + std::to_string(json.size()) + "\r\n")};
}

std::unique_ptr<Client> connect(const std::string& url) {
  auto client = Client::create(url);
  EXPECT_TRUE(client.ok()) << client.error().message;
  return std::move(client).value();
}

TEST(HttpClient, ConnectionsAreKept) {
  TinyHttp server(echo);
  auto client = connect(server.url());
  EXPECT_EQ(client->protocol(), "http");
  for (int i = 0; i < 50; ++i) {
    auto response = client->infer(request(i));
    ASSERT_TRUE(response.ok()) << response.error().message;
    EXPECT_EQ(response->outputs[0].tensor.view().as<int32_t>()[1], i);
  }
  EXPECT_EQ(server.accepted, 1);
}

TEST(HttpClient, ManyCallsAtOnceEachGetTheirOwnAnswer) {
  TinyHttp server(echo);
  auto client = connect(server.url());
  constexpr int kCalls = 2000;
  std::mutex mutex;
  std::set<int> seen;
  for (int i = 0; i < kCalls; ++i) {
    client->infer_async(request(i), [&, i](Result<Response> response) {
      ASSERT_TRUE(response.ok()) << response.error().message;
      EXPECT_EQ(response->outputs[0].tensor.view().as<int32_t>()[0], i);
      std::lock_guard lock(mutex);
      seen.insert(i);
    });
  }
  client.reset();  // waits for all of them
  EXPECT_EQ(seen.size(), static_cast<size_t>(kCalls));
}

TEST(HttpClient, AKeptConnectionThatTheServerClosedIsReplaced) {
  TinyHttp server([](const std::string& head, const std::string& body) {
    Scripted scripted = echo(head, body);
    scripted.close = true;  // without having said so
    return scripted;
  });
  auto client = connect(server.url());
  for (int i = 0; i < 5; ++i) {
    auto response = client->infer(request(i));
    ASSERT_TRUE(response.ok()) << response.error().message;
  }
  EXPECT_EQ(server.accepted, 5);
}

TEST(HttpClient, FailuresAreErrors) {
  TinyHttp hangs_up([](const std::string&, const std::string&) { return Scripted{"", true}; });
  EXPECT_EQ(connect(hangs_up.url())->infer(request()).error().code, Code::kUnavailable);
  TinyHttp garbage([](const std::string&, const std::string&) { return Scripted{"what?\r\n\r\n", true}; });
  EXPECT_EQ(connect(garbage.url())->infer(request()).error().code, Code::kUnavailable);
  TinyHttp busy([](const std::string&, const std::string&) {
    return Scripted{"HTTP/1.1 503 Busy\r\nContent-Length: 20\r\n\r\n{\"error\":\"too busy\"}", true};
  });
  auto refused = connect(busy.url())->infer(request());
  EXPECT_EQ(refused.error().code, Code::kUnavailable);
  EXPECT_EQ(refused.error().message, "too busy");
  std::string port;
  {
    TinyHttp gone(echo);
    port = gone.url();
  }
  auto response = connect(port)->infer(request());
  EXPECT_EQ(response.error().code, Code::kUnavailable);
  EXPECT_NE(response.error().message.find("cannot connect to 127.0.0.1:"), std::string::npos)
      << response.error().message;
  EXPECT_FALSE(Client::create("ftp://x").ok());
}

TEST(HttpClient, ASilentServerTimesOut) {
  TinyHttp silent([](const std::string&, const std::string&) { return Scripted{}; });
  auto client = connect(silent.url());
  Request r = request();
  r.transport_timeout = Nanos::from_millis(20);
  EXPECT_EQ(client->infer(r).error().code, Code::kDeadlineExceeded);
}

TEST(HttpClient, AsksForWhatTheModelIs) {
  TinyHttp server([](const std::string& head, const std::string&) {
    if (head.starts_with("GET /v2/health/ready ")) return Scripted{TinyHttp::ok("")};
    if (head.starts_with("GET /v2/models/a%2Fb "))
      return Scripted{TinyHttp::ok(R"({"name":"a/b","versions":["1"],"inputs":[],"outputs":[]})")};
    return Scripted{"HTTP/1.1 404 Not Found\r\nContent-Length: 19\r\n\r\n{\"error\":\"unknown\"}"};
  });
  auto client = connect(server.url());
  EXPECT_TRUE(client->server_ready().ok());
  EXPECT_EQ(client->model_metadata("a/b")->name, "a/b");
  EXPECT_EQ(client->model_config("none").error().code, Code::kNotFound);
}

// ---- gRPC: a service made by gRPC's own generator
// ------------------------------------------------------------------------

class EchoService final : public inference::GRPCInferenceService::Service {
 public:
  ::grpc::Status ModelInfer(::grpc::ServerContext*, const inference::ModelInferRequest* in,
                            inference::ModelInferResponse* out) override {
    if (in->model_name() == "busy") return {::grpc::StatusCode::UNAVAILABLE, "too busy"};
    EXPECT_EQ(in->parameters().at("timeout").int64_param(), 900);
    out->set_model_name(in->model_name());
    out->set_model_version("4");
    (*out->mutable_parameters())["precision"].set_string_param("int8");
    (*out->mutable_parameters())["precision_error"].set_double_param(0.125);
    for (int i = 0; i < in->inputs_size(); ++i) {
      auto* output = out->add_outputs();
      output->set_name("y");
      output->set_datatype(in->inputs(i).datatype());
      *output->mutable_shape() = in->inputs(i).shape();
      if (in->model_name() == "typed") {
        output->mutable_contents()->add_int_contents(7);
        output->mutable_contents()->add_int_contents(8);
      } else if (in->model_name() != "short") {
        out->add_raw_output_contents(in->raw_input_contents(i));
      } else {
        out->add_raw_output_contents("x");
      }
    }
    return ::grpc::Status::OK;
  }
  ::grpc::Status ServerReady(::grpc::ServerContext*, const inference::ServerReadyRequest*,
                             inference::ServerReadyResponse* out) override {
    out->set_ready(true);
    return ::grpc::Status::OK;
  }
  ::grpc::Status ModelMetadata(::grpc::ServerContext*, const inference::ModelMetadataRequest* in,
                               inference::ModelMetadataResponse* out) override {
    out->set_name(in->name());
    auto* input = out->add_inputs();
    input->set_name("x");
    input->set_datatype("INT64");
    input->add_shape(-1);
    return ::grpc::Status::OK;
  }
  ::grpc::Status ModelConfig(::grpc::ServerContext*, const inference::ModelConfigRequest* in,
                             inference::ModelConfigResponse* out) override {
    out->mutable_config()->set_name(in->name());
    return ::grpc::Status::OK;
  }
};

class GrpcClientTest : public ::testing::Test {
 protected:
  GrpcClientTest() {
    int port = 0;
    ::grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", ::grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    client_ = connect("grpc://127.0.0.1:" + std::to_string(port));
  }
  ~GrpcClientTest() override {
    client_.reset();
    server_->Shutdown();
  }

  EchoService service_;
  std::unique_ptr<::grpc::Server> server_;
  std::unique_ptr<Client> client_;
};

TEST_F(GrpcClientTest, TensorsGoThereAndBack) {
  Request r = request(5);
  r.inputs.push_back({"s", Tensor::of<std::string_view>({2}, std::vector<std::string_view>{"ab", ""})});
  r.inputs.push_back({"large", Tensor::zeros(DType::kF32, {300, 300})});
  auto response = client_->infer(r);
  ASSERT_TRUE(response.ok()) << response.error().message;
  EXPECT_EQ(response->version, "4");
  EXPECT_EQ(response->precision, "int8");
  EXPECT_EQ(response->precision_error, 0.125);
  EXPECT_EQ(response->outputs[0].tensor.view().as<int32_t>()[1], 5);
  EXPECT_EQ(response->outputs[1].tensor.view().as<std::string_view>()[0], "ab");
  EXPECT_EQ(response->outputs[2].tensor.view().bytes(), 360'000u);
  r = request(5);
  r.model = "typed";
  EXPECT_EQ(client_->infer(r)->outputs[0].tensor.view().as<int32_t>()[1], 8);
}

TEST_F(GrpcClientTest, StatusesAndLyingAnswersAreErrors) {
  Request r = request();
  r.model = "busy";
  auto response = client_->infer(r);
  EXPECT_EQ(response.error().code, Code::kUnavailable);
  EXPECT_EQ(response.error().message, "too busy");
  r.model = "short";
  EXPECT_FALSE(client_->infer(r).ok());
  auto nobody = connect("grpc://127.0.0.1:1");
  EXPECT_EQ(nobody->infer(request()).error().code, Code::kUnavailable);
}

TEST_F(GrpcClientTest, ManyCallsAtOnceEachGetTheirOwnAnswer) {
  constexpr int kCalls = 2000;
  std::mutex mutex;
  std::set<int> seen;
  for (int i = 0; i < kCalls; ++i) {
    client_->infer_async(request(i), [&, i](Result<Response> response) {
      ASSERT_TRUE(response.ok()) << response.error().message;
      EXPECT_EQ(response->outputs[0].tensor.view().as<int32_t>()[0], i);
      std::lock_guard lock(mutex);
      seen.insert(i);
    });
  }
  client_.reset();  // waits for all of them
  EXPECT_EQ(seen.size(), static_cast<size_t>(kCalls));
}

TEST_F(GrpcClientTest, AsksForWhatTheModelIs) {
  EXPECT_EQ(client_->protocol(), "grpc");
  EXPECT_TRUE(client_->server_ready().ok());
  EXPECT_EQ(client_->model_metadata("m")->inputs[0].dtype, DType::kI64);
  EXPECT_EQ((*client_->model_config("m"))->name(), "m");
}

}  // namespace
}  // namespace motet::client
