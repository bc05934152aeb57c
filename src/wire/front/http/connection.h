// One connection of the server: a state machine over asynchronous reads and writes. Internal to this room. Everything
// runs on the connection's strand, except open, finish_idle, abort and expire_if_due, which post to it.
#pragma once

#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/strand.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "base/clock.h"
#include "wire/front/http/chunked_body.h"
#include "wire/front/http/server.h"

namespace motet::http {

using Socket =
    boost::asio::basic_stream_socket<boost::asio::ip::tcp, boost::asio::strand<boost::asio::io_context::executor_type>>;

class Connection;

// What the connections share; lives until the last of them and the last unanswered request are gone.
struct ServerCore {
  explicit ServerCore(Handler& h, const ServerOptions& o) : io(o.threads), handler(h), options(o) {}

  boost::asio::io_context io;
  Handler& handler;
  const ServerOptions options;
  const SteadyClock clock;
  std::atomic<bool> draining{false};

  std::mutex mutex;
  std::condition_variable changed;
  std::set<std::shared_ptr<Connection>> connections;  // guarded by mutex
  size_t owed = 0;                                    // guarded by mutex: requests that the Handler has not answered
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<ServerCore> core, Socket socket);

  // From any thread. `full`: the server has too many connections; says so and closes.
  void open(bool full);
  void finish_idle();
  void abort();
  void expire_if_due(Nanos now);

 private:
  enum class Phase : unsigned char { kIdle, kHeader, kBody, kHandling, kWriting, kLingering, kClosed };
  using HeaderParser = boost::beast::http::request_parser<boost::beast::http::empty_body>;
  using ChunkParser = boost::beast::http::request_parser<ChunkedBody>;

  void enter(Phase phase, Nanos limit);
  void await_request();
  void watch_readable();
  void on_readable(bool failed);
  void begin(Nanos arrived_at);
  void on_header(boost::system::error_code ec);
  std::optional<HttpReply> check_header();
  void begin_body();
  void read_sized_body(size_t bytes);
  void read_chunked_body();
  void on_chunked_body(boost::system::error_code ec);
  void handle();
  void on_answer(const ReplyMaker& make);
  void write(HttpReply reply, bool keep_alive);
  void on_written(boost::system::error_code ec);
  void linger();
  void close();
  void expire();

  const std::shared_ptr<ServerCore> core_;
  Socket socket_;
  boost::beast::flat_buffer buffer_;
  Phase phase_ = Phase::kIdle;
  std::atomic<int64_t> due_ns_;  // when the phase's time is up

  std::optional<HeaderParser> parser_;
  std::optional<ChunkParser> chunks_;
  HttpRequest request_;
  bool keep_alive_ = false;
  bool http_1_0_ = false;
  bool head_only_ = false;
  std::shared_ptr<Body> body_;
  std::shared_ptr<api::Call> call_;

  bool watching_ = false;             // a wait for readability is outstanding
  std::optional<Nanos> readable_at_;  // bytes of the next request wait in the socket since then
  Nanos buffered_at_;                 // when the bytes in buffer_ were read
  HttpReply reply_;
  std::string reply_head_;
  std::array<char, 4096> discard_;
};

}  // namespace motet::http
