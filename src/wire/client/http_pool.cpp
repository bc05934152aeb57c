#include "wire/client/http_pool.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <deque>
#include <optional>
#include <thread>
#include <vector>

#include "wire/client/calls.h"

namespace motet::client {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;
using Deadline = std::chrono::steady_clock::time_point;

constexpr uint64_t kMaxReplyBytes = uint64_t{1} << 30;
constexpr uint32_t kMaxHeaderBytes = 64 * 1024;

struct TimedCall {
  HttpCall call;
  Deadline deadline;
};

Deadline deadline_after(Nanos timeout) {
  const Nanos most = Nanos::from_seconds(86'400);
  return std::chrono::steady_clock::now() + std::chrono::nanoseconds(std::min(timeout, most).value);
}

}  // namespace

// Everything but send() runs on the one thread of `io`, so that nothing below needs a lock.
struct HttpPool::State {
  class Connection;

  State(Url to, int most) : url(std::move(to)), max_connections(most), resolver(io), work(asio::make_work_guard(io)) {}

  void dispatch(TimedCall call);
  void release(const std::shared_ptr<Connection>& connection, bool reusable);
  void answer(HttpCall& call, Result<HttpReply> reply);
  Error failure(const char* what, const boost::system::error_code& error) const;

  const Url url;
  const int max_connections;
  CallCount calls;  // synchronises itself
  asio::io_context io{1};
  tcp::resolver resolver;
  asio::executor_work_guard<asio::io_context::executor_type> work;
  std::vector<std::shared_ptr<Connection>> idle;
  std::deque<TimedCall> waiting;
  int open = 0;
  std::thread thread;
};

// One connection and the call it carries.
class HttpPool::State::Connection : public std::enable_shared_from_this<Connection> {
 public:
  explicit Connection(State& pool) : pool_(pool), stream_(pool.io) {}

  void carry(TimedCall call) {
    call_ = std::move(call);
    prepare();
    stream_.expires_at(call_.deadline);
    if (connected_) return write();
    connect();
  }

  void close() {
    boost::system::error_code ignored;
    stream_.socket().close(ignored);
  }

 private:
  void prepare() {
    request_ = {};
    request_.version(11);
    request_.method(call_.call.post ? http::verb::post : http::verb::get);
    request_.target(call_.call.target);
    request_.set(http::field::host, pool_.url.authority());
    request_.set(http::field::user_agent, "motet");
    if (call_.call.json_bytes > 0) {
      request_.set(http::field::content_type, "application/octet-stream");
      request_.set("Inference-Header-Content-Length", std::to_string(call_.call.json_bytes));
    }
    if (call_.call.post) {
      request_.body() = std::move(call_.call.body);
      request_.prepare_payload();
    }
  }

  void connect() {
    auto self = shared_from_this();
    pool_.resolver.async_resolve(
        pool_.url.host, std::to_string(pool_.url.port),
        [this, self](const boost::system::error_code& error, const tcp::resolver::results_type& found) {
          if (error) return fail("cannot find", error);
          stream_.async_connect(found, [this, self](const boost::system::error_code& failed, const tcp::endpoint&) {
            if (failed) return fail("cannot connect to", failed);
            boost::system::error_code ignored;
            stream_.socket().set_option(tcp::no_delay(true), ignored);
            connected_ = true;
            fresh_ = true;
            write();
          });
        });
  }

  void write() {
    auto self = shared_from_this();
    parser_.emplace();
    parser_->body_limit(kMaxReplyBytes);
    parser_->header_limit(kMaxHeaderBytes);
    http::async_write(stream_, request_, [this, self](const boost::system::error_code& error, size_t) {
      // A server that refuses a body midway answers before it closes: what it said is worth reading.
      if (error && (!fresh_ || error == beast::error::timeout)) return lost("lost the connection to", error);
      http::async_read(stream_, buffer_, *parser_, [this, self](const boost::system::error_code& failed, size_t bytes) {
        if (failed) return bytes == 0 ? lost("lost the connection to", failed) : fail("lost the connection to", failed);
        finish();
      });
    });
  }

  // A kept connection may have been closed by the server while it was idle: then the call goes out again on a new one.
  void lost(const char* what, const boost::system::error_code& error) {
    const bool stale = !fresh_ && error != beast::error::timeout;
    if (!stale) return fail(what, error);
    close();
    stream_.expires_at(call_.deadline);
    buffer_.clear();
    connected_ = false;
    connect();
  }

  void fail(const char* what, const boost::system::error_code& error) {
    close();
    HttpCall call = std::move(call_.call);
    pool_.release(shared_from_this(), false);
    pool_.answer(call, pool_.failure(what, error));
  }

  void finish() {
    auto message = parser_->release();
    fresh_ = false;
    HttpReply reply;
    reply.status = message.result_int();
    auto length = message["Inference-Header-Content-Length"];
    reply.header_length.assign(length.data(), length.size());
    reply.body = std::make_shared<std::string>(std::move(message.body()));
    HttpCall call = std::move(call_.call);
    stream_.expires_never();
    if (!message.keep_alive()) close();
    pool_.release(shared_from_this(), message.keep_alive());
    pool_.answer(call, std::move(reply));
  }

  State& pool_;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  http::request<http::string_body> request_;
  std::optional<http::response_parser<http::string_body>> parser_;
  TimedCall call_;
  bool connected_ = false;
  bool fresh_ = false;  // nothing has been answered on it yet
};

void HttpPool::State::dispatch(TimedCall call) {
  if (std::chrono::steady_clock::now() >= call.deadline) {
    return answer(call.call, failure("waited too long for a connection to", beast::error::timeout));
  }
  if (!idle.empty()) {
    std::shared_ptr<Connection> connection = std::move(idle.back());
    idle.pop_back();
    return connection->carry(std::move(call));
  }
  if (open >= max_connections) return waiting.push_back(std::move(call));
  ++open;
  std::make_shared<Connection>(*this)->carry(std::move(call));
}

void HttpPool::State::release(const std::shared_ptr<Connection>& connection, bool reusable) {
  if (reusable) {
    idle.push_back(connection);
  } else {
    --open;
  }
  if (waiting.empty()) return;
  // Through the queue, so that a long list of calls that have waited too long does not nest.
  asio::post(io, [this] {
    if (waiting.empty()) return;
    TimedCall next = std::move(waiting.front());
    waiting.pop_front();
    dispatch(std::move(next));
  });
}

void HttpPool::State::answer(HttpCall& call, Result<HttpReply> reply) {
  auto done = std::move(call.done);
  done(std::move(reply));
  done = nullptr;  // what it holds goes before the call counts as ended
  calls.end();
}

Error HttpPool::State::failure(const char* what, const boost::system::error_code& error) const {
  const bool late = error == beast::error::timeout;
  return {late ? Code::kDeadlineExceeded : Code::kUnavailable,
          std::string(what) + " " + url.authority() + ": " + error.message()};
}

HttpPool::HttpPool(Url url, int max_connections) : state_(std::make_unique<State>(std::move(url), max_connections)) {
  state_->thread = std::thread([state = state_.get()] { state->io.run(); });
}

HttpPool::~HttpPool() {
  state_->calls.wait_for_none();
  asio::post(state_->io, [state = state_.get()] {
    for (auto& connection : state->idle) connection->close();
    state->idle.clear();
    state->work.reset();
  });
  state_->thread.join();
}

void HttpPool::send(HttpCall call) {
  const Deadline deadline = deadline_after(call.timeout);
  state_->calls.begin();
  asio::post(state_->io, [state = state_.get(), timed = TimedCall{std::move(call), deadline}]() mutable {
    state->dispatch(std::move(timed));
  });
}

}  // namespace motet::client
