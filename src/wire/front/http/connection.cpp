#include "wire/front/http/connection.h"

#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/bind_handler.hpp>
#include <boost/beast/http/read.hpp>
#include <charconv>
#include <cstring>
#include <limits>

namespace motet::http {
namespace {

namespace asio = boost::asio;
namespace beast_http = boost::beast::http;
using boost::system::error_code;

// Bytes read ahead of the parser: the header must fit, pipelined requests and chunks come through it.
constexpr size_t kReadAheadBytes = 64 << 10;
constexpr Nanos kLingerTime = Nanos::from_seconds(2);

// A slower peer than 1 MiB/s gets the fixed part only.
Nanos transfer_time(const ServerOptions& options, size_t bytes) {
  return options.transfer_timeout + Nanos::from_seconds(static_cast<int64_t>(bytes >> 20));
}

std::string to_text(boost::beast::string_view view) { return {view.data(), view.size()}; }

// The client broke the grammar, rather than the connection.
bool is_malformed(error_code ec) {
  return ec && ec.category() == beast_http::make_error_code(beast_http::error::bad_method).category() &&
         ec != beast_http::error::end_of_stream && ec != beast_http::error::partial_message;
}

// The JSON length that the header names, when it is a plain number: only a hint for the allocation here.
size_t json_hint(const HttpRequest& request, size_t body_bytes) {
  size_t value = 0;
  if (!request.json_length || !request.content_encoding.empty()) return 0;
  const std::string& text = *request.json_length;
  auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  return read.ec == std::errc() && read.ptr == text.data() + text.size() ? std::min(value, body_bytes) : 0;
}

std::string reply_head(const HttpReply& reply, std::string_view connection) {
  size_t bytes = reply.text.size();
  for (const Piece& piece : reply.pieces) bytes += piece.bytes;
  std::string head = "HTTP/1.1 " + std::to_string(reply.status) + " ";
  head.append(http_reason(reply.status)).append("\r\nContent-Type: ").append(reply.content_type);
  if (!reply.content_encoding.empty()) head.append("\r\nContent-Encoding: ").append(reply.content_encoding);
  if (reply.json_length)
    head.append("\r\nInference-Header-Content-Length: ").append(std::to_string(*reply.json_length));
  if (!reply.allow.empty()) head.append("\r\nAllow: ").append(reply.allow);
  if (!connection.empty()) head.append("\r\nConnection: ").append(connection);
  head.append("\r\nContent-Length: ").append(std::to_string(bytes)).append("\r\n\r\n");
  return head;
}

}  // namespace

Connection::Connection(std::shared_ptr<ServerCore> core, Socket socket)
    : core_(std::move(core)),
      socket_(std::move(socket)),
      buffer_(std::max(kReadAheadBytes, core_->options.max_header_bytes + 4096)),
      due_ns_(kNever.value) {}

void Connection::enter(Phase phase, Nanos limit) {
  phase_ = phase;
  due_ns_.store((core_->clock.now() + limit).value, std::memory_order_relaxed);
}

void Connection::open(bool full) {
  asio::post(socket_.get_executor(), [self = shared_from_this(), full] {
    if (self->phase_ == Phase::kClosed) return;
    error_code ignored;
    self->socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
    if (!full) return self->await_request();
    self->write(error_reply(503, "the server has as many connections as it takes: " +
                                     std::to_string(self->core_->options.max_connections)),
                false);
  });
}

void Connection::await_request() {
  if (core_->draining.load(std::memory_order_relaxed) && buffer_.size() == 0 && !readable_at_) return close();
  enter(Phase::kIdle, core_->options.idle_timeout);
  if (buffer_.size() > 0) return begin(buffered_at_);
  if (readable_at_) return begin(*std::exchange(readable_at_, std::nullopt));
  watch_readable();
}

// One wait serves both ends: between requests it tells the first readable byte, while a query runs that the client
// left.
void Connection::watch_readable() {
  if (watching_) return;
  watching_ = true;
  socket_.async_wait(Socket::wait_read, [self = shared_from_this()](error_code ec) {
    self->watching_ = false;
    self->on_readable(bool(ec));
  });
}

void Connection::on_readable(bool failed) {
  if (phase_ == Phase::kClosed) return;
  // A write under way finds out for itself, and a client may close its end while it reads the answer.
  if (failed && phase_ == Phase::kWriting) return;
  if (failed) return close();
  Nanos now = core_->clock.now();
  if (phase_ == Phase::kIdle) return begin(now);
  if (phase_ != Phase::kHandling && phase_ != Phase::kWriting) return;
  char byte = 0;
  ssize_t got = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (got > 0) {
    readable_at_ = now;  // pipelined; from here on the client's leaving is noticed when its request is read
  } else if (phase_ == Phase::kHandling) {
    bool spurious = got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
    if (spurious) return watch_readable();
    close();
  }
}

void Connection::begin(Nanos arrived_at) {
  readable_at_.reset();
  request_ = {};
  request_.arrived_at = arrived_at;
  body_.reset();
  chunks_.reset();
  parser_.emplace();
  parser_->header_limit(static_cast<uint32_t>(core_->options.max_header_bytes));
  parser_->body_limit(
      std::numeric_limits<uint64_t>::max());  // check_header looks at the length, and can say what it is
  enter(Phase::kHeader, core_->options.header_timeout);
  beast_http::async_read_header(socket_, buffer_, *parser_, [self = shared_from_this()](error_code ec, size_t) {
    if (self->phase_ == Phase::kHeader) self->on_header(ec);
  });
}

void Connection::on_header(error_code ec) {
  buffered_at_ = core_->clock.now();
  if (ec == beast_http::error::header_limit || ec == beast_http::error::buffer_overflow) {
    return write(error_reply(431, "the request header is longer than " +
                                      std::to_string(core_->options.max_header_bytes) + " bytes"),
                 false);
  }
  if (ec == beast_http::error::bad_version)
    return write(error_reply(505, "the HTTP version is not supported: speak HTTP/1.1 or HTTP/1.0"), false);
  if (is_malformed(ec)) return write(error_reply(400, "the request is not HTTP/1.1: " + ec.message()), false);
  if (ec) return close();
  const auto& head = parser_->get();
  keep_alive_ = parser_->keep_alive();
  http_1_0_ = head.version() < 11;
  request_.method = to_text(head.method_string());
  request_.target = to_text(head.target());
  request_.content_encoding = to_text(head[beast_http::field::content_encoding]);
  request_.accept_encoding = to_text(head[beast_http::field::accept_encoding]);
  auto json_length = head.find("Inference-Header-Content-Length");
  if (json_length != head.end()) request_.json_length = to_text(json_length->value());
  head_only_ = head.method() == beast_http::verb::head;
  if (auto refusal = check_header()) return write(*std::move(refusal), false);
  if (!boost::beast::iequals(head[beast_http::field::expect], "100-continue") || buffer_.size() > 0)
    return begin_body();
  enter(Phase::kBody, core_->options.header_timeout);
  asio::async_write(socket_, asio::buffer("HTTP/1.1 100 Continue\r\n\r\n", 25),
                    [self = shared_from_this()](error_code failed, size_t) {
                      if (self->phase_ != Phase::kBody) return;
                      if (failed) return self->close();
                      self->begin_body();
                    });
}

// What can be refused before the body is read.
std::optional<HttpReply> Connection::check_header() {
  const auto& head = parser_->get();
  size_t limit = core_->options.max_body_bytes;
  if (auto length = parser_->content_length(); length && *length > limit) {
    return error_reply(413, "the body of " + std::to_string(*length) + " bytes is over the limit of " +
                                std::to_string(limit) + " bytes");
  }
  auto transfer = head[beast_http::field::transfer_encoding];
  if (!transfer.empty() && !boost::beast::iequals(transfer, "chunked")) {
    return error_reply(
        501, "Transfer-Encoding '" + to_text(transfer) + "' is not supported: use chunked, or Content-Length");
  }
  auto expect = head[beast_http::field::expect];
  if (!expect.empty() && !boost::beast::iequals(expect, "100-continue")) {
    return error_reply(417, "Expect '" + to_text(expect) + "' cannot be met: 100-continue can");
  }
  return std::nullopt;
}

void Connection::begin_body() {
  if (parser_->chunked()) return read_chunked_body();
  auto length = parser_->content_length();
  read_sized_body(length ? static_cast<size_t>(*length) : 0);
}

// Straight from the socket into the Body: no copy beside the bytes that came with the header.
void Connection::read_sized_body(size_t bytes) {
  body_ = std::make_shared<Body>(bytes, json_hint(request_, bytes));
  size_t early = std::min(bytes, buffer_.size());
  body_->append(buffer_.data().data(), early);
  buffer_.consume(early);
  if (early == bytes) return handle();
  enter(Phase::kBody, transfer_time(core_->options, bytes));
  auto room = body_->room(bytes - early).first(bytes - early);
  asio::async_read(socket_, asio::buffer(room.data(), room.size()),
                   [self = shared_from_this()](error_code ec, size_t got) {
                     if (self->phase_ != Phase::kBody) return;
                     if (ec) return self->close();
                     self->body_->grow(got);
                     self->handle();
                   });
}

void Connection::read_chunked_body() {
  body_ = std::make_shared<Body>(0, json_hint(request_, core_->options.max_body_bytes));
  chunks_.emplace(std::move(*parser_), body_);
  chunks_->body_limit(core_->options.max_body_bytes);
  enter(Phase::kBody, transfer_time(core_->options, core_->options.max_body_bytes));
  beast_http::async_read(socket_, buffer_, *chunks_, [self = shared_from_this()](error_code ec, size_t) {
    if (self->phase_ == Phase::kBody) self->on_chunked_body(ec);
  });
}

void Connection::on_chunked_body(error_code ec) {
  buffered_at_ = core_->clock.now();
  if (ec == beast_http::error::body_limit) {
    return write(error_reply(413, "the chunked body is over the limit of " +
                                      std::to_string(core_->options.max_body_bytes) + " bytes"),
                 false);
  }
  if (is_malformed(ec)) return write(error_reply(400, "the chunked body is malformed: " + ec.message()), false);
  if (ec) return close();
  handle();
}

void Connection::handle() {
  enter(Phase::kHandling, kNever);
  request_.body = std::move(body_);
  chunks_.reset();
  parser_.reset();
  {
    std::lock_guard lock(core_->mutex);
    ++core_->owed;
  }
  auto self = shared_from_this();
  auto call = core_->handler.handle(std::move(request_), [self, core = core_](ReplyMaker make) {
    asio::post(self->socket_.get_executor(), [self, make = std::move(make)] { self->on_answer(make); });
  });
  if (phase_ != Phase::kHandling) return;
  call_ = std::move(call);
  if (!readable_at_ && buffer_.size() == 0) watch_readable();
}

void Connection::on_answer(const ReplyMaker& make) {
  {
    std::lock_guard lock(core_->mutex);
    --core_->owed;
    core_->changed.notify_all();
  }
  if (phase_ != Phase::kHandling) return;
  call_.reset();
  write(make(), keep_alive_);
}

void Connection::write(HttpReply reply, bool keep_alive) {
  keep_alive_ = keep_alive && !core_->draining.load(std::memory_order_relaxed);
  reply_ = std::move(reply);
  reply_head_ = reply_head(reply_, !keep_alive_ ? "close" : http_1_0_ ? "keep-alive" : "");
  std::vector<asio::const_buffer> buffers{asio::buffer(reply_head_)};
  size_t bytes = reply_.text.size();
  if (!head_only_) {
    buffers.push_back(asio::buffer(reply_.text));
    for (const Piece& piece : reply_.pieces) {
      bytes += piece.bytes;
      buffers.emplace_back(piece.data, piece.bytes);
    }
  }
  enter(Phase::kWriting, transfer_time(core_->options, bytes));
  asio::async_write(socket_, buffers, [self = shared_from_this()](error_code ec, size_t) {
    if (self->phase_ == Phase::kWriting) self->on_written(ec);
  });
}

void Connection::on_written(error_code ec) {
  reply_ = {};
  head_only_ = false;
  if (ec) return close();
  if (keep_alive_) return await_request();
  error_code ignored;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  enter(Phase::kLingering, kLingerTime);
  linger();
}

// Reads what the client still sends, for a while: closing with unread bytes would reset the connection, and the client
// might never see the answer.
void Connection::linger() {
  socket_.async_read_some(asio::buffer(discard_), [self = shared_from_this()](error_code ec, size_t) {
    if (self->phase_ != Phase::kLingering) return;
    if (ec) return self->close();
    self->linger();
  });
}

void Connection::close() {
  if (phase_ == Phase::kClosed) return;
  phase_ = Phase::kClosed;
  due_ns_.store(kNever.value, std::memory_order_relaxed);
  error_code ignored;
  socket_.close(ignored);
  if (auto call = std::exchange(call_, nullptr)) call->cancel();
  std::lock_guard lock(core_->mutex);
  core_->connections.erase(shared_from_this());
  core_->changed.notify_all();
}

void Connection::finish_idle() {
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    if (self->phase_ == Phase::kIdle) self->close();
  });
}

void Connection::abort() {
  asio::post(socket_.get_executor(), [self = shared_from_this()] { self->close(); });
}

void Connection::expire_if_due(Nanos now) {
  if (now.value < due_ns_.load(std::memory_order_relaxed)) return;
  asio::post(socket_.get_executor(), [self = shared_from_this()] { self->expire(); });
}

void Connection::expire() {
  // The phase may have ended well since the sweep saw it.
  if (core_->clock.now().value < due_ns_.load(std::memory_order_relaxed)) return;
  if (phase_ != Phase::kHeader && phase_ != Phase::kBody) return close();
  error_code ignored;
  socket_.cancel(ignored);
  write(error_reply(408, "the request was not complete in time: its header may take " +
                             std::to_string(core_->options.header_timeout.value / 1'000'000) + " ms, its body " +
                             std::to_string(core_->options.transfer_timeout.value / 1'000'000) +
                             " ms and 1 s for each MiB"),
        false);
}

}  // namespace motet::http
