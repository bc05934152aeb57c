#include "apps/serve/serve.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>

#include "apps/executors/executors.h"
#include "apps/log.h"
#include "apps/serve/flags.h"
#include "base/log.h"
#include "body/serve/server.h"
#include "wire/export/prometheus.h"
#include "wire/front/grpc/grpc_front.h"
#include "wire/front/http/http_front.h"

namespace motet {
namespace {

// The front ends that are open. Closed in reverse order.
struct Fronts {
  std::unique_ptr<http::MetricsFront> metrics;
  std::unique_ptr<http::HttpFront> http;
  std::unique_ptr<grpc::GrpcFront> grpc;
};

// While it lives, the calling thread (and so each thread it starts, such as gRPC's own) stays on the loop's core, above
// that core's worker: the front ends and the loop share core 0.
class OnTheLoopsCore {
 public:
  explicit OnTheLoopsCore(const device::Pool& pool) {
    pthread_getaffinity_np(pthread_self(), sizeof(before_), &before_);
    niceness_ = getpriority(PRIO_PROCESS, static_cast<id_t>(gettid()));
    enter(pool.cpu_of(0));
  }
  ~OnTheLoopsCore() {
    pthread_setaffinity_np(pthread_self(), sizeof(before_), &before_);
    setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), niceness_);
  }
  OnTheLoopsCore(const OnTheLoopsCore&) = delete;
  OnTheLoopsCore& operator=(const OnTheLoopsCore&) = delete;

 private:
  static constexpr int kNiceness = -5;  // below the loop's own
  static void enter(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<size_t>(cpu), &set);
    pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
    setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kNiceness);
  }
  cpu_set_t before_{};
  int niceness_ = 0;
};

http::HttpOptions http_options(const std::string& address, int port, const ServeFlags& flags) {
  http::HttpOptions options;
  options.address = address;
  options.port = static_cast<uint16_t>(port);
  options.threads = flags.http_threads;
  options.max_body_bytes = static_cast<size_t>(flags.http_max_input_size);
  return options;
}

Status open_fronts(const ServeFlags& flags, serve::Server& server, observe::Registry& registry, Fronts& fronts) {
  OnTheLoopsCore here(server.pool());
  if (flags.allow_metrics) {
    auto text = [&server, &registry] {
      server.refresh_gauges();
      return exporter::prometheus_text(registry);
    };
    http::HttpOptions options = http_options(flags.metrics_address, flags.metrics_port, flags);
    options.threads = 1;
    MOTET_ASSIGN(fronts.metrics, http::MetricsFront::start(text, options));
    log_info("metrics at http://" + flags.metrics_address + ":" + std::to_string(fronts.metrics->port()) + "/metrics");
  }
  if (flags.allow_http) {
    MOTET_ASSIGN(fronts.http, http::HttpFront::start(server, http_options(flags.http_address, flags.http_port, flags)));
    log_info("HTTP at " + flags.http_address + ":" + std::to_string(fronts.http->port()));
  }
  if (flags.allow_grpc) {
    grpc::GrpcOptions options;
    options.address = flags.grpc_address;
    options.port = static_cast<uint16_t>(flags.grpc_port);
    MOTET_ASSIGN(fronts.grpc, grpc::GrpcFront::start(server, options));
    log_info("gRPC at " + flags.grpc_address + ":" + std::to_string(fronts.grpc->port()));
  }
  return {};
}

// Lets what has been answered leave, then closes.
void close_fronts(Fronts& fronts) {
  constexpr Nanos kFlush = Nanos::from_seconds(2);
  if (fronts.grpc) fronts.grpc->drain(kFlush);
  if (fronts.http) fronts.http->drain(kFlush);
  fronts.grpc.reset();
  fronts.http.reset();
  fronts.metrics.reset();
}

int fail(const Error& error) {
  log_error(error.message);
  flush_log();
  return 1;
}

// Blocks until SIGINT or SIGTERM; a second one ends the process at once.
void wait_for_signal(const sigset_t& signals) {
  int received = 0;
  sigwait(&signals, &received);
  log_info(std::string(received == SIGINT ? "SIGINT" : "SIGTERM") + ": draining; once more ends at once");
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  sigset_t unblock = signals;
  pthread_sigmask(SIG_UNBLOCK, &unblock, nullptr);
}

int serve_until_signal(const ServeFlags& flags, const sigset_t& signals) {
  observe::Registry registry;
  for (const std::string& hint : flags.hints) log_info(hint);
  log_info(device::read_cpu_budget().describe());
  install_executors(flags.openvino_dir);
  auto server = serve::Server::start(flags.server, registry);
  if (!server.ok()) return fail(server.error());
  Fronts fronts;
  if (Status open = open_fronts(flags, **server, registry, fronts); !open.ok()) return fail(open.error());
  auto failures = (*server)->wait_for_start();
  for (const auto& [model, error] : failures) log_error("model '" + model + "' did not load: " + error.message);
  if (!failures.empty() && flags.exit_on_error) {
    return fail(internal_error(std::to_string(failures.size()) +
                               " models did not load; with --exit-on-error=false the others are served"));
  }
  log_info("ready");
  wait_for_signal(signals);
  Nanos patience = Nanos::from_seconds(flags.exit_timeout_secs);
  bool clean = (*server)->drain(patience);
  close_fronts(fronts);
  log_info(clean ? "drained" : "not drained within --exit-timeout-secs; open queries were refused");
  flush_log();
  return clean ? 0 : 1;
}

}  // namespace

int serve_main(int argc, char** argv) {
  ParsedFlags parsed = parse_serve_flags(argc, argv);
  if (parsed.exit_code >= 0) return parsed.exit_code;
  // Signals are taken by sigwait alone; blocked before any thread starts, so that all inherit it.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  install_log(parsed.flags.log_verbose);
  return serve_until_signal(parsed.flags, signals);
}

}  // namespace motet
