#include "apps/bench/bench.h"

#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>

#include "apps/bench/fill.h"
#include "apps/bench/print.h"
#include "apps/bench/server_side.h"
#include "apps/bench/traffic.h"
#include "apps/term/progress.h"
#include "compute/prep/file.h"

namespace motet {
namespace {

struct Flags {
  std::string url = "http://localhost:8000";
  std::vector<std::string> models;
  std::vector<std::string> shapes;
  std::vector<std::string> inputs;
  std::string arrivals = "poisson";
  std::string json;
  std::string metrics;
  std::string burst;
  double fill = 0;
  double duration_s = 10;
  double timeout_s = 60;
  uint64_t seed = 1;
  int64_t batch = 1;
  int concurrency = 0;
  int warmup = 3;
  bool latencies = false;
};

constexpr const char* kAbout =
    "Loads the models of a KServe v2 server (Motet, Triton, or another) and prints what it answered.\n"
    "Open loop: queries go out on a schedule that does not wait for answers, and latency counts from the time at which "
    "a "
    "query was meant to go out, so that queueing shows. Attainment is the share of all queries of the schedule that "
    "were "
    "served within the SLO; shed means refused as unavailable (HTTP 503).\n"
    "With --concurrency N, closed loop: N queries of each model are kept open.\n"
    "Inputs are random, made from the model's metadata, or come from an .npz file.";

void add_options(CLI::App& app, Flags& flags) {
  app.add_option("URL", flags.url, "Server: http://HOST:PORT, HOST:PORT (HTTP) or grpc://HOST:PORT")
      ->capture_default_str();
  app.add_option("--model", flags.models,
                 "MODEL[:RATE[:SLO_MS]]: queries a second, and the latency they should keep (repeatable). "
                 "Without SLO_MS, the model's own parameter slo_ms counts; MODEL::SLO_MS gives no rate")
      ->required()
      ->expected(1)
      ->take_all();
  app.add_option("--duration", flags.duration_s, "Seconds for which queries are sent")
      ->capture_default_str()
      ->check(CLI::Range(0.01, 1e6));
  app.add_option("--arrivals", flags.arrivals,
                 "poisson, constant, or trace:FILE with an offset in seconds a line, or lines `second,count`")
      ->capture_default_str();
  app.add_option("--concurrency", flags.concurrency,
                 "Closed loop: so many queries of each model are kept open, and no rate is given")
      ->check(CLI::Range(1, 100000));
  app.add_option("--batch", flags.batch, "Rows in a query")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
  app.add_option("--shape", flags.shapes,
                 "INPUT=1x3x224x224: the shape of an input with open extents, batch included (repeatable)")
      ->expected(1)
      ->take_all();
  app.add_option("--input", flags.inputs,
                 "FILE.npz, or MODEL=FILE.npz: the inputs to send instead of random ones (repeatable)")
      ->expected(1)
      ->take_all();
  app.add_option("--seed", flags.seed, "Seed of arrivals and random inputs")->capture_default_str();
  app.add_option("--warmup", flags.warmup, "Queries of each model before the load, one after another")
      ->capture_default_str()
      ->check(CLI::Range(0, 100000));
  app.add_option("--timeout", flags.timeout_s, "Seconds after which a query counts as failed")
      ->capture_default_str()
      ->check(CLI::Range(0.001, 86400.0));
  app.add_option("--fill", flags.fill,
                 "Rates by a short probe: together the models take this share of what the server can do, divided "
                 "evenly (0.6: 60 %)")
      ->check(CLI::Range(0.001, 100.0));
  app.add_option("--burst", flags.burst,
                 "SHARE:SECONDS, with --fill: for so long, in the middle of the run, fill this share instead (1.5:3)");
  app.add_option("--metrics", flags.metrics,
                 "http://HOST:PORT/metrics of the server: adds batch sizes and core use to the table");
  app.add_flag("--latencies", flags.latencies, "With --json: every latency of the served, for percentiles over runs");
  app.add_option("--json", flags.json,
                 "Also write the report as JSON to this file; - for standard output, without the table");
}

Result<bench::TrafficOptions> traffic_options(const Flags& flags) {
  bench::TrafficOptions options;
  for (const std::string& text : flags.models) {
    MOTET_ASSIGN(bench::ModelFlag model, bench::parse_model_flag(text));
    options.models.push_back(std::move(model));
  }
  for (const std::string& text : flags.shapes) MOTET_RETURN_IF_ERROR(bench::parse_shape_flag(text, options.shapes));
  MOTET_ASSIGN(options.arrivals, bench::parse_arrival_flag(flags.arrivals));
  options.closed_loop = flags.concurrency > 0;
  options.batch = flags.batch;
  options.seed = flags.seed;
  options.inputs = flags.inputs;
  options.timeout_s = flags.timeout_s;
  return options;
}

// Opens connections and lets the server compile what it compiles at first use. A shed query is no reason to stop.
Status warm_up(client::Client& client, const std::vector<load::Stream>& streams, int queries) {
  for (const load::Stream& stream : streams) {
    for (int i = 0; i < queries; ++i) {
      auto response = client.infer(stream.requests[static_cast<size_t>(i) % stream.requests.size()]);
      if (response.ok() || response.error().code == Code::kUnavailable) continue;
      return Error{response.error().code, "model '" + stream.model + "': " + response.error().message};
    }
  }
  return {};
}

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    size_t colon = line.find(": ");
    if (line.rfind("model name", 0) == 0 && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "an unknown CPU";
}

Status write_report(const load::Report& report, const bench::Conditions& conditions, const std::string& json) {
  if (json != "-") std::fputs(bench::report_table(report, conditions).c_str(), stdout);
  if (json.empty()) return {};
  std::string text = bench::report_json(report, conditions);
  if (json != "-") return prep::write_file(json, std::as_bytes(std::span(text)));
  std::fputs(text.c_str(), stdout);
  return {};
}

Status fill(client::Client& client, std::vector<load::Stream>& streams, const Flags& flags,
            bench::Conditions& conditions) {
  std::optional<bench::BurstFlag> burst;
  if (!flags.burst.empty()) {
    MOTET_ASSIGN(burst, bench::parse_burst_flag(flags.burst));
  }
  Nanos duration(static_cast<int64_t>(flags.duration_s * 1e9));
  conditions.arrivals += ", " + std::to_string(static_cast<int>(flags.fill * 100)) + " % of capacity";
  if (burst) {
    conditions.arrivals += " and " + std::to_string(static_cast<int>(burst->length.seconds())) + " s at " +
                           std::to_string(static_cast<int>(burst->share * 100)) + " %";
  }
  return bench::fill_rates(client, streams, flags.fill, burst, duration, flags.seed);
}

Result<load::Report> run(const Flags& flags, bench::Conditions& conditions) {
  if (!flags.burst.empty() && flags.fill <= 0) return invalid_argument("--burst needs --fill");
  if (flags.fill > 0 && flags.concurrency > 0) return invalid_argument("--fill is open loop; --concurrency is not");
  MOTET_ASSIGN(bench::TrafficOptions traffic, traffic_options(flags));
  traffic.rates_follow = flags.fill > 0;
  MOTET_ASSIGN(std::unique_ptr<client::Client> client, client::Client::create(flags.url));
  conditions = {flags.url,
                std::string(client->protocol()),
                flags.concurrency > 0 ? "closed loop of " + std::to_string(flags.concurrency) : flags.arrivals,
                cpu_model(),
                flags.seed,
                flags.batch};
  conditions.latencies = flags.latencies;
  MOTET_ASSIGN(std::vector<load::Stream> streams, bench::make_streams(*client, traffic));
  MOTET_RETURN_IF_ERROR(warm_up(*client, streams, flags.warmup));
  if (flags.fill > 0) MOTET_RETURN_IF_ERROR(fill(*client, streams, flags, conditions));
  load::Options options;
  options.duration = Nanos(static_cast<int64_t>(flags.duration_s * 1e9));
  options.seed = flags.seed;
  term::Progress progress("load", options.duration.value / 1'000'000);
  options.on_progress = [&progress, &options](Nanos elapsed) {
    progress.set(std::min(elapsed, options.duration).value / 1'000'000);
  };
  load::SteadyPacer pacer;
  bench::ServerCounters before;
  if (!flags.metrics.empty()) {
    MOTET_ASSIGN(before, bench::fetch_metrics(flags.metrics));
  }
  auto report = flags.concurrency > 0 ? load::run_closed_loop(*client, streams, flags.concurrency, options, pacer)
                                      : load::run_open_loop(*client, streams, options, pacer);
  if (report.ok() && !flags.metrics.empty()) {
    MOTET_ASSIGN(bench::ServerCounters after, bench::fetch_metrics(flags.metrics));
    conditions.server = bench::difference(before, after);
  }
  return report;
}

// A generator that waits for a core which a server beside it keeps busy measures its own wait: it goes first, as far as
// the machine allows. "send lag" says what is left of it. Threads started later inherit it.
void go_first() {
  constexpr int kNiceness = -15;  // above the server's loop and fronts
  setpriority(PRIO_PROCESS, 0, kNiceness);
}

}  // namespace

int bench_main(int argc, char** argv) {
  Flags flags;
  CLI::App app(kAbout, "motet bench");
  add_options(app, flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  go_first();
  bench::Conditions conditions;
  auto report = run(flags, conditions);
  Status status = report.ok() ? write_report(*report, conditions, flags.json) : Status(report.error());
  if (!status.ok()) {
    std::fprintf(stderr, "motet bench: %s\n", status.error().message.c_str());
    return 1;
  }
  for (const load::StreamReport& stream : report->streams) {
    if (stream.served > 0) return 0;
  }
  std::fputs("motet bench: nothing was served\n", stderr);
  return 1;
}

}  // namespace motet
