#include "apps/bench/print.h"

#include <cstdio>
#include <utility>
#include <vector>

#include "apps/perf/json.h"
#include "apps/term/table.h"

namespace motet::bench {
namespace {

std::string number(double value, int digits) {
  char text[48];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string millis(Nanos time) { return number(time.millis(), 2); }

double intended_per_s(const load::StreamReport& stream, const load::Report& report) {
  return report.duration.value > 0 ? static_cast<double>(stream.intended) / report.duration.seconds() : 0;
}

// Rows in a batch, on average, as the server counted them.
std::string mean_batch(const ServerCounters& server, const std::string& model) {
  auto found = server.models.find(model);
  if (found == server.models.end() || found->second.executions <= 0) return "-";
  return number(found->second.rows / found->second.executions, 2);
}

// Share of all cores that the model's executions held.
double core_share(const ServerCounters& server, const std::string& model, const load::Report& report) {
  auto found = server.models.find(model);
  if (found == server.models.end() || server.cores == 0 || report.duration.value <= 0) return 0;
  return found->second.core_s / (report.duration.seconds() * server.cores);
}

std::string core_use(const ServerCounters& server, const load::StreamReport& stream, const load::Report& report) {
  return server.cores == 0 ? "-" : number(100 * core_share(server, stream.model, report), 1) + " %";
}

}  // namespace

std::string report_table(const load::Report& report, const Conditions& conditions) {
  std::string out = "live, " + conditions.url + " over " + conditions.protocol + ", " + conditions.arrivals + ", " +
                    number(report.duration.seconds(), 1) + " s, batch " + std::to_string(conditions.batch) + ", seed " +
                    std::to_string(conditions.seed) + "; generated on " + conditions.cpu +
                    "\nlatency in ms, from the " + (report.closed_loop ? "send" : "intended send") + " time\n";
  std::vector<std::string> header = {"model",  "slo",    "rate/s",     "sent",     "served", "shed",
                                     "failed", "unsent", "attainment", "served/s", "mean",   "p50",
                                     "p95",    "p99",    "max",        "send lag"};
  if (conditions.server) header.insert(header.end(), {"batch", "core use"});
  term::Table table(std::move(header));
  for (const load::StreamReport& s : report.streams) {
    bool promised = s.slo != kNever;
    std::vector<std::string> row = {s.model,
                                    promised ? number(s.slo.millis(), 1) : "-",
                                    number(intended_per_s(s, report), 1),
                                    std::to_string(s.sent),
                                    std::to_string(s.served),
                                    std::to_string(s.shed),
                                    std::to_string(s.failed),
                                    std::to_string(s.unsent),
                                    promised ? number(100 * s.attainment(), 2) + " %" : "-",
                                    number(s.served_per_s(), 1),
                                    millis(s.mean()),
                                    millis(s.percentile(0.5)),
                                    millis(s.percentile(0.95)),
                                    millis(s.percentile(0.99)),
                                    millis(s.percentile(1)),
                                    millis(s.max_send_lag)};
    if (conditions.server) {
      row.push_back(mean_batch(*conditions.server, s.model));
      row.push_back(core_use(*conditions.server, s, report));
    }
    table.row(std::move(row));
  }
  out += table.to_string();
  if (conditions.server && conditions.server->cores > 0) {
    out += "the server's " + std::to_string(conditions.server->cores) + " cores were busy for " +
           number(100 * conditions.server->busy_s / (report.duration.seconds() * conditions.server->cores), 1) +
           " % of the run\n";
  }
  for (const load::StreamReport& s : report.streams) {
    if (s.errors.empty()) continue;
    out += s.model + ": " + std::to_string(s.shed + s.failed) +
           " refused or failed, such as: " + s.errors.begin()->first + "\n";
  }
  return out;
}

std::string report_json(const load::Report& report, const Conditions& conditions) {
  JsonWriter w;
  w.begin_object()
      .field("kind", "live")
      .field("url", conditions.url)
      .field("protocol", conditions.protocol)
      .field("arrivals", conditions.arrivals);
  w.field("cpu", conditions.cpu).field("seed", static_cast<int64_t>(conditions.seed)).field("batch", conditions.batch);
  w.field("closed_loop", report.closed_loop ? int64_t{1} : int64_t{0})
      .field("duration_s", report.duration.seconds())
      .key("models")
      .begin_array();
  for (const load::StreamReport& s : report.streams) {
    auto count = [&w](const char* name, uint64_t n) { w.field(name, static_cast<int64_t>(n)); };
    w.begin_object().field("model", s.model);
    if (s.slo != kNever) w.field("slo_ms", s.slo.millis()).field("attainment", s.attainment());
    count("intended", s.intended);
    count("sent", s.sent);
    count("served", s.served);
    count("shed", s.shed);
    count("failed", s.failed);
    count("unsent", s.unsent);
    w.field("rows_per_query", s.rows_per_query)
        .field("intended_per_s", intended_per_s(s, report))
        .field("served_per_s", s.served_per_s());
    w.field("mean_ms", s.mean().millis())
        .field("p50_ms", s.percentile(0.5).millis())
        .field("p95_ms", s.percentile(0.95).millis());
    w.field("p99_ms", s.percentile(0.99).millis())
        .field("max_ms", s.percentile(1).millis())
        .field("max_send_lag_ms", s.max_send_lag.millis());
    if (conditions.latencies) {
      w.key("latencies_ms").begin_array();
      for (Nanos latency : s.latencies) w.value(latency.millis());
      w.end_array();
    }
    if (conditions.server) {
      auto found = conditions.server->models.find(s.model);
      if (found != conditions.server->models.end()) {
        w.field("server_rows", found->second.rows).field("server_executions", found->second.executions);
        w.field("core_share", core_share(*conditions.server, s.model, report));
      }
    }
    w.key("errors").begin_object();
    for (const auto& [text, n] : s.errors) count(text.c_str(), n);
    w.end_object().end_object();
  }
  w.end_array().end_object();
  return w.text() + "\n";
}

}  // namespace motet::bench
