// The connection layer over real sockets: framing, limits, time limits, disconnects, draining.
#include "wire/front/http/server.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/clock.h"
#include "wire/front/http/fake_api.h"
#include "wire/front/http/http_front.h"
#include "wire/front/http/test_client.h"

namespace motet::http {
namespace {

constexpr char kRelu[] = R"({"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","data":[-1,0,2.5,3]}]})";
constexpr char kReluPath[] = "/v2/models/relu/infer";

class ServerTest : public testing::Test {
 protected:
  HttpOptions options() {
    HttpOptions o;
    o.address = "127.0.0.1";
    o.port = 0;
    return o;
  }
  void start(const HttpOptions& o) {
    auto front = HttpFront::start(api_, o);
    ASSERT_TRUE(front.ok()) << front.error().message;
    front_ = std::move(*front);
  }
  std::string infer_text(std::string_view extra = "") {
    std::string text = "POST " + std::string(kReluPath) + " HTTP/1.1\r\nHost: t\r\n";
    return text.append(extra)
        .append("Content-Length: ")
        .append(std::to_string(sizeof kRelu - 1))
        .append("\r\n\r\n")
        .append(kRelu);
  }

  FakeApi api_;
  std::unique_ptr<HttpFront> front_;
};

TEST_F(ServerTest, KeepsTheConnection) {
  start(options());
  TestClient client(front_->port());
  for (int i = 0; i < 3; ++i) {
    auto reply = client.request("POST", kReluPath, kRelu);
    ASSERT_TRUE(reply.has_value());
    EXPECT_EQ(reply->status, 200) << reply->body;
    EXPECT_NE(reply->body.find("[0.0,0.0,2.5,3.0]"), std::string::npos) << reply->body;
  }
}

TEST_F(ServerTest, ConnectionCloseIsHonoured) {
  start(options());
  TestClient client(front_->port());
  auto reply = client.request("GET", "/v2/health/live", "", "Connection: close\r\n");
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->headers["connection"], "close");
  EXPECT_TRUE(client.at_end());
}

TEST_F(ServerTest, Http10ClosesUnlessAskedToKeep) {
  start(options());
  TestClient keeps(front_->port());
  ASSERT_TRUE(keeps.send("GET /v2/health/live HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
  auto reply = keeps.receive();
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->headers["connection"], "keep-alive");
  ASSERT_TRUE(keeps.send("GET /v2/health/live HTTP/1.0\r\n\r\n"));
  ASSERT_TRUE(keeps.receive().has_value());
  EXPECT_TRUE(keeps.at_end());
}

TEST_F(ServerTest, AnswersPipelinedRequestsInOrder) {
  start(options());
  TestClient client(front_->port());
  std::string get = "GET /v2/models/relu HTTP/1.1\r\nHost: t\r\n\r\n";
  ASSERT_TRUE(client.send(infer_text() + get + infer_text()));
  auto first = client.receive();
  auto second = client.receive();
  auto third = client.receive();
  ASSERT_TRUE(first && second && third);
  EXPECT_NE(first->body.find("outputs"), std::string::npos);
  EXPECT_NE(second->body.find("\"platform\""), std::string::npos);
  EXPECT_EQ(first->body, third->body);
}

TEST_F(ServerTest, APipelinedRequestWaitsForTheOneThatRuns) {
  start(options());
  api_.hold();
  TestClient client(front_->port());
  ASSERT_TRUE(client.send(infer_text()));
  api_.wait_held(1);
  ASSERT_TRUE(client.send("GET /v2/health/live HTTP/1.1\r\nHost: t\r\n\r\n"));
  api_.release();
  auto first = client.receive();
  auto second = client.receive();
  ASSERT_TRUE(first && second);
  EXPECT_NE(first->body.find("outputs"), std::string::npos);
  EXPECT_EQ(second->body, "");
}

TEST_F(ServerTest, ReadsBodiesInPiecesAndInChunks) {
  start(options());
  TestClient client(front_->port());
  std::string text = infer_text();
  for (char c : text) ASSERT_TRUE(client.send(std::string_view(&c, 1)));
  auto reply = client.receive();
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->status, 200);
  std::string chunked = "POST " + std::string(kReluPath) + " HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n";
  std::string_view body = kRelu;
  chunked += "10;name=value\r\n" + std::string(body.substr(0, 16)) + "\r\n";
  char size[16];
  std::snprintf(size, sizeof size, "%zx\r\n", body.size() - 16);
  chunked += size + std::string(body.substr(16)) + "\r\n0\r\nX-Trailer: 1\r\n\r\n";
  ASSERT_TRUE(client.send(chunked + "GET /v2/health/live HTTP/1.1\r\nHost: t\r\n\r\n"));
  auto second = client.receive();
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->status, 200) << second->body;
  EXPECT_TRUE(client.receive().has_value()) << "what follows the chunks is the next request";
}

TEST_F(ServerTest, ExpectContinueIsAnsweredBeforeTheBody) {
  start(options());
  TestClient client(front_->port());
  std::string text = infer_text("Expect: 100-continue\r\n");
  size_t head = text.find("\r\n\r\n") + 4;
  ASSERT_TRUE(client.send(text.substr(0, head)));
  auto interim = client.receive();
  ASSERT_TRUE(interim.has_value());
  EXPECT_EQ(interim->status, 100);
  ASSERT_TRUE(client.send(text.substr(head)));
  auto reply = client.receive();
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->status, 200);
}

TEST_F(ServerTest, ABodyOverTheLimitIsRefusedBeforeItIsRead) {
  HttpOptions o = options();
  o.max_body_bytes = 1000;
  start(o);
  TestClient client(front_->port());
  ASSERT_TRUE(client.send("POST " + std::string(kReluPath) +
                          " HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n"));
  auto reply = client.receive();
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->status, 413);
  EXPECT_EQ(reply->body, R"({"error":"the body of 1001 bytes is over the limit of 1000 bytes"})");
  EXPECT_EQ(reply->headers["connection"], "close");
  TestClient chunks(front_->port());
  ASSERT_TRUE(chunks.send("POST " + std::string(kReluPath) +
                          " HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" +
                          std::string(1001, ' ')));
  reply = chunks.receive();
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->status, 413) << reply->body;
  TestClient fits(front_->port());
  std::string padded = std::string(kRelu) + std::string(1000 - (sizeof kRelu - 1), ' ');
  reply = fits.request("POST", kReluPath, padded);
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->status, 200) << reply->body;
}

TEST_F(ServerTest, MalformedRequestsGetAReasonAndTheServerServesOn) {
  HttpOptions o = options();
  o.max_header_bytes = 2000;
  start(o);
  struct Case {
    std::string text;
    int status;
  };
  std::string post = "POST " + std::string(kReluPath) + " HTTP/1.1\r\nHost: t\r\n";
  for (const Case& c :
       std::initializer_list<Case>{{"nonsense\r\n\r\n", 400},
                                   {"GET /v2 HTTP/1.1\r\nbroken header\r\n\r\n", 400},
                                   {"GET /v2 HTTP/2.0\r\n\r\n", 505},
                                   {post + "Content-Length: -5\r\n\r\n", 400},
                                   {post + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400},
                                   {post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
                                   {post + "Transfer-Encoding: gzip\r\n\r\n", 501},
                                   {post + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
                                   {post + "Expect: miracles\r\nContent-Length: 1\r\n\r\n", 417},
                                   {"GET /v2 HTTP/1.1\r\nX-Long: " + std::string(3000, 'a') + "\r\n\r\n", 431}}) {
    TestClient client(front_->port());
    ASSERT_TRUE(client.send(c.text));
    auto reply = client.receive();
    ASSERT_TRUE(reply.has_value()) << c.text;
    EXPECT_EQ(reply->status, c.status) << c.text << reply->body;
    EXPECT_EQ(reply->body.rfind("{\"error\":\"", 0), 0u) << reply->body;
    EXPECT_TRUE(client.at_end());
  }
  TestClient client(front_->port());
  EXPECT_EQ(client.request("POST", kReluPath, kRelu)->status, 200);
}

TEST_F(ServerTest, AClientThatLeavesCancelsItsQuery) {
  start(options());
  api_.hold();
  {
    TestClient client(front_->port());
    ASSERT_TRUE(client.send(infer_text()));
    api_.wait_held(1);
  }
  api_.wait_cancelled(1);
  api_.release();
  TestClient next(front_->port());
  EXPECT_EQ(next.request("POST", kReluPath, kRelu)->status, 200);
}

TEST_F(ServerTest, SlowRequestsRunOutOfTime) {
  HttpOptions o = options();
  o.header_timeout = Nanos::from_millis(30);
  o.transfer_timeout = Nanos::from_millis(30);
  o.idle_timeout = Nanos::from_millis(30);
  o.sweep_period = Nanos::from_millis(5);
  start(o);
  TestClient header(front_->port());
  ASSERT_TRUE(header.send("GET /v2 HTTP/1.1\r\nX-Slow: "));
  auto reply = header.receive();
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->status, 408) << reply->body;
  TestClient body(front_->port());
  ASSERT_TRUE(body.send("POST " + std::string(kReluPath) + " HTTP/1.1\r\nContent-Length: 10\r\n\r\n{"));
  reply = body.receive();
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->status, 408);
  TestClient idle(front_->port());
  EXPECT_TRUE(idle.at_end());
}

TEST_F(ServerTest, ArrivalIsTheFirstReadableByte) {
  start(options());
  SteadyClock clock;
  TestClient client(front_->port());
  ASSERT_TRUE(client.request("GET", "/v2/health/live").has_value());
  Nanos before = clock.now();
  std::string text = infer_text();
  ASSERT_TRUE(client.send(text.substr(0, 10)));
  // The header is complete only later; the answer to another connection's request tells that the first bytes were seen.
  TestClient other(front_->port());
  ASSERT_TRUE(other.request("GET", "/v2/health/live").has_value());
  Nanos middle = clock.now();
  ASSERT_TRUE(client.send(text.substr(10)));
  ASSERT_TRUE(client.receive().has_value());
  Nanos arrived = api_.last_request().arrived_at;
  EXPECT_GE(arrived, before);
  EXPECT_LE(arrived, middle);
}

TEST_F(ServerTest, DrainAnswersWhatRunsAndTakesNothingNew) {
  start(options());
  api_.hold();
  TestClient idle(front_->port());
  ASSERT_TRUE(idle.request("GET", "/v2/health/live").has_value());
  TestClient busy(front_->port());
  ASSERT_TRUE(busy.send(infer_text()));
  api_.wait_held(1);
  EXPECT_FALSE(front_->drain(Nanos::from_millis(20))) << "a query is still held";
  EXPECT_TRUE(idle.at_end());
  api_.release();
  auto reply = busy.receive();
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->status, 200);
  EXPECT_EQ(reply->headers["connection"], "close");
  EXPECT_TRUE(busy.at_end());
  ::shutdown(busy.fd(), SHUT_RDWR);
  EXPECT_TRUE(front_->drain(Nanos::from_seconds(10)));
  EXPECT_FALSE(TestClient(front_->port()).connected());
}

TEST_F(ServerTest, StopCancelsWhatRuns) {
  start(options());
  api_.hold();
  TestClient busy(front_->port());
  ASSERT_TRUE(busy.send(infer_text()));
  api_.wait_held(1);
  front_->stop();
  api_.wait_cancelled(1);
  EXPECT_FALSE(busy.receive().has_value());
}

TEST_F(ServerTest, TooManyConnectionsAreToldSo) {
  HttpOptions o = options();
  o.max_connections = 1;
  start(o);
  TestClient first(front_->port());
  ASSERT_TRUE(first.request("GET", "/v2/health/live").has_value());
  TestClient second(front_->port());
  auto reply = second.receive();
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->status, 503);
}

TEST_F(ServerTest, AddressesThatCannotBeListenedOnAreErrors) {
  HttpOptions o = options();
  o.address = "localhost";
  auto named = HttpFront::start(api_, o);
  ASSERT_FALSE(named.ok());
  EXPECT_NE(named.error().message.find("'localhost' is no IP address"), std::string::npos);
  start(options());
  o = options();
  o.port = front_->port();
  auto taken = HttpFront::start(api_, o);
  ASSERT_FALSE(taken.ok());
  EXPECT_NE(taken.error().message.find(std::to_string(o.port)), std::string::npos) << taken.error().message;
}

TEST_F(ServerTest, ManyClientsAndThreads) {
  HttpOptions o = options();
  o.threads = 3;
  std::atomic<int> started{0};
  o.on_thread_start = [&started] { ++started; };
  start(o);
  std::vector<std::thread> clients;
  std::atomic<int> good{0};
  for (int t = 0; t < 6; ++t) {
    clients.emplace_back([this, &good] {
      TestClient client(front_->port());
      for (int i = 0; i < 40; ++i) {
        auto reply = client.request("POST", kReluPath, kRelu);
        if (reply && reply->status == 200) ++good;
      }
    });
  }
  for (std::thread& t : clients) t.join();
  EXPECT_EQ(good.load(), 240);
  EXPECT_EQ(started.load(), 3);
}

TEST(MetricsFront, ServesItsTextAndNothingElse) {
  HttpOptions o;
  o.address = "127.0.0.1";
  o.port = 0;
  auto front = MetricsFront::start([] { return std::string("a 1\n"); }, o);
  ASSERT_TRUE(front.ok());
  TestClient client((*front)->port());
  auto reply = client.request("GET", "/metrics");
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->body, "a 1\n");
  EXPECT_EQ(reply->headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_EQ(client.request("POST", "/metrics", "x")->status, 405);
  EXPECT_EQ(client.request("GET", "/v2")->status, 404);
}

}  // namespace
}  // namespace motet::http
