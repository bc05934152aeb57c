#include "apps/serve/serve.h"

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>

#include "apps/log.h"
#include "apps/serve/flags.h"
#include "base/log.h"
#include "body/serve/server.h"
#include "wire/export/prometheus.h"
#include "wire/front/grpc/grpc_front.h"
#include "wire/front/http/http_front.h"
#include "wire/front/http/metrics_front.h"

namespace motet {
namespace {

// The front ends that are open. Closed in reverse order.
struct Fronts {
  std::unique_ptr<http::MetricsFront> metrics;
  std::unique_ptr<http::HttpFront> http;
  std::unique_ptr<grpc::GrpcFront> grpc;
};

Status open_fronts(const ServeFlags& flags, serve::Server& server, observe::Registry& registry, Fronts& fronts) {
  if (flags.allow_metrics) {
    auto text = [&server, &registry] {
      server.refresh_gauges();
      return exporter::prometheus_text(registry);
    };
    MOTET_ASSIGN(fronts.metrics,
                 http::MetricsFront::start(text, flags.metrics_address, static_cast<uint16_t>(flags.metrics_port)));
    log_info("metrics at http://" + flags.metrics_address + ":" + std::to_string(fronts.metrics->port()) + "/metrics");
  }
  if (flags.allow_http) {
    http::HttpOptions options;
    options.address = flags.http_address;
    options.port = static_cast<uint16_t>(flags.http_port);
    options.threads = flags.http_threads;
    options.max_body_bytes = static_cast<uint64_t>(flags.http_max_input_size);
    MOTET_ASSIGN(fronts.http, http::HttpFront::start(server, options));
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
  fronts.grpc.reset();
  fronts.http.reset();
  fronts.metrics.reset();
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
