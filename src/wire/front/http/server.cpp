#include "wire/front/http/server.h"

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <thread>

#include "base/log.h"
#include "wire/front/http/connection.h"

namespace motet::http {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {
constexpr Nanos kLongestGrace = Nanos::from_seconds(24 * 3600);  // keeps now + grace within the clock's range
}

class Server::Impl {
 public:
  Impl(Handler& handler, const ServerOptions& options)
      : core_(std::make_shared<ServerCore>(handler, options)),
        work_(asio::make_work_guard(core_->io)),
        control_(asio::make_strand(core_->io)),
        acceptor_(control_),
        timer_(control_) {}

  Status listen() {
    const ServerOptions& options = core_->options;
    std::string where = options.address + ":" + std::to_string(options.port);
    error_code ec;
    auto address = asio::ip::make_address(options.address, ec);
    if (ec) return invalid_argument("'" + options.address + "' is no IP address to listen on; 0.0.0.0 means all");
    tcp::endpoint endpoint(address, options.port);
    acceptor_.open(endpoint.protocol(), ec);
    if (!ec) acceptor_.set_option(tcp::acceptor::reuse_address(true), ec);
    if (!ec) acceptor_.bind(endpoint, ec);
    if (!ec) acceptor_.listen(asio::socket_base::max_listen_connections, ec);
    if (!ec) port_ = acceptor_.local_endpoint(ec).port();
    if (ec) return unavailable("cannot listen on " + where + ": " + ec.message());
    return {};
  }

  void run() {
    accept();
    sweep();
    for (int i = 0; i < core_->options.threads; ++i) {
      threads_.emplace_back([core = core_] {
        if (core->options.on_thread_start) core->options.on_thread_start();
        core->io.run();
      });
    }
  }

  uint16_t port() const { return port_; }

  bool drain(Nanos grace) {
    core_->draining.store(true, std::memory_order_relaxed);
    close_acceptor();
    std::unique_lock lock(core_->mutex);
    for (const auto& connection : core_->connections) connection->finish_idle();
    auto limit = std::chrono::nanoseconds(std::min(grace, kLongestGrace).value);
    return core_->changed.wait_for(lock, limit, [this] { return core_->connections.empty() && core_->owed == 0; });
  }

  void stop() {
    if (threads_.empty()) return;
    core_->draining.store(true, std::memory_order_relaxed);
    close_acceptor();
    {
      std::unique_lock lock(core_->mutex);
      // A connection whose accept was already under way may still turn up: ask again until none is left.
      auto gone = [this] { return core_->connections.empty() && core_->owed == 0; };
      while (!gone()) {
        for (const auto& connection : core_->connections) connection->abort();
        core_->changed.wait_for(lock, std::chrono::milliseconds(50), gone);
      }
    }
    asio::post(control_, [this] { timer_.cancel(); });
    work_.reset();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

 private:
  void close_acceptor() {
    asio::post(control_, [this] {
      error_code ignored;
      acceptor_.close(ignored);
    });
  }

  void accept() {
    acceptor_.async_accept(asio::make_strand(core_->io), [this](error_code ec, Socket socket) {
      if (core_->draining.load(std::memory_order_relaxed) || ec == asio::error::operation_aborted) return;
      if (!ec) {
        welcome(std::move(socket));
        return accept();
      }
      // Out of descriptors, most likely: trying again at once would spin.
      log_warning("http: a connection could not be accepted: " + ec.message());
      retry_accept_ = true;
    });
  }

  void welcome(Socket socket) {
    auto connection = std::make_shared<Connection>(core_, std::move(socket));
    bool full = false;
    {
      std::lock_guard lock(core_->mutex);
      if (core_->draining.load(std::memory_order_relaxed)) return;  // drain() and stop() may have counted already
      full = core_->connections.size() >= core_->options.max_connections;
      core_->connections.insert(connection);
    }
    connection->open(full);
  }

  // Looks at the time limits of every connection.
  void sweep() {
    timer_.expires_after(std::chrono::nanoseconds(core_->options.sweep_period.value));
    timer_.async_wait([this](error_code ec) {
      if (ec) return;
      Nanos now = core_->clock.now();
      {
        std::lock_guard lock(core_->mutex);
        for (const auto& connection : core_->connections) connection->expire_if_due(now);
      }
      if (std::exchange(retry_accept_, false)) accept();
      sweep();
    });
  }

  const std::shared_ptr<ServerCore> core_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  asio::strand<asio::io_context::executor_type> control_;  // the acceptor, the timer and retry_accept_
  asio::basic_socket_acceptor<tcp, asio::strand<asio::io_context::executor_type>> acceptor_;
  asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>,
                             asio::strand<asio::io_context::executor_type>>
      timer_;
  bool retry_accept_ = false;
  uint16_t port_ = 0;
  std::vector<std::thread> threads_;
};

Result<std::unique_ptr<Server>> Server::start(Handler& handler, const ServerOptions& options) {
  if (options.threads < 1 || options.threads > 1024) {
    return invalid_argument("an HTTP server has 1 to 1024 threads, not " + std::to_string(options.threads));
  }
  auto impl = std::make_unique<Impl>(handler, options);
  MOTET_RETURN_IF_ERROR(impl->listen());
  impl->run();
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() { stop(); }
uint16_t Server::port() const { return impl_->port(); }
bool Server::drain(Nanos grace) { return impl_->drain(grace); }
void Server::stop() { impl_->stop(); }

}  // namespace motet::http
