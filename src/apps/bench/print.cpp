#include "apps/bench/print.h"

#include <cstdio>

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

}  // namespace

std::string report_table(const load::Report& report, const Conditions& conditions) {
  std::string out = "live, " + conditions.url + " over " + conditions.protocol + ", " + conditions.arrivals + ", " +
                    number(report.duration.seconds(), 1) + " s, batch " + std::to_string(conditions.batch) + ", seed " +
                    std::to_string(conditions.seed) + "; generated on " + conditions.cpu +
                    "\nlatency in ms, from the " + (report.closed_loop ? "send" : "intended send") + " time\n";
  term::Table table({"model", "slo", "rate/s", "sent", "served", "shed", "failed", "unsent", "attainment", "served/s",
                     "mean", "p50", "p95", "p99", "max", "send lag"});
  for (const load::StreamReport& s : report.streams) {
    bool promised = s.slo != kNever;
    table.row({s.model, promised ? number(s.slo.millis(), 1) : "-", number(intended_per_s(s, report), 1),
               std::to_string(s.sent), std::to_string(s.served), std::to_string(s.shed), std::to_string(s.failed),
               std::to_string(s.unsent), promised ? number(100 * s.attainment(), 2) + " %" : "-",
               number(s.served_per_s(), 1), millis(s.mean()), millis(s.percentile(0.5)), millis(s.percentile(0.95)),
               millis(s.percentile(0.99)), millis(s.percentile(1)), millis(s.max_send_lag)});
  }
  out += table.to_string();
  for (const load::StreamReport& s : report.streams) {
    for (const auto& [text, count] : s.errors) out += s.model + ": " + std::to_string(count) + " x " + text + "\n";
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
    w.key("errors").begin_object();
    for (const auto& [text, n] : s.errors) count(text.c_str(), n);
    w.end_object().end_object();
  }
  w.end_array().end_object();
  return w.text() + "\n";
}

}  // namespace motet::bench
