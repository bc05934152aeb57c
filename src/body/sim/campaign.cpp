#include "body/sim/campaign.h"

#include <cstdio>

#include "brain/control/describe.h"

namespace motet::sim {

using brain::describe;

namespace {

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
      out += escape;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string member(std::string_view name, uint64_t value) { return quoted(name) + ": " + std::to_string(value); }

}  // namespace

CampaignTotals run_campaign(uint64_t first, uint64_t count, const MakeLoop& make_loop,
                            const std::function<bool(const TrialReport&)>& done) {
  CampaignTotals totals;
  for (uint64_t i = 0; i < count; ++i) {
    TrialReport report = run_twice(first + i, make_loop);
    ++totals.seeds;
    totals.events += report.events;
    totals.actions += report.actions;
    totals.virtual_hours += report.virtual_time.seconds() / 3600.0;
    for (size_t a = 0; a < totals.action_kinds.size(); ++a) totals.action_kinds[a] += report.action_kinds[a];
    for (size_t f = 0; f < kFaultKinds; ++f) totals.faults[f] += report.faults[f];
    totals.answers.ok += report.answers.ok;
    totals.answers.failed += report.answers.failed;
    totals.answers.cancelled += report.answers.cancelled;
    for (size_t r = 0; r < report.answers.shed.size(); ++r) totals.answers.shed[r] += report.answers.shed[r];
    if (report.violation) totals.violations.push_back(report);
    if (!done(report)) break;
  }
  return totals;
}

std::string to_json(const CampaignTotals& totals) {
  char hours[40];
  std::snprintf(hours, sizeof hours, "%.3f", totals.virtual_hours);
  std::string out = "{\n  \"bar\": \"vopr-violations\", " + member("value", totals.violations.size()) +
                    ", \"limit\": 0,\n  " + member("seeds", totals.seeds) + ", " + member("events", totals.events) +
                    ", " + member("actions", totals.actions) + ", \"virtual_hours\": " + hours + ",\n  \"answers\": {" +
                    member("ok", totals.answers.ok) + ", " + member("failed", totals.answers.failed) + ", " +
                    member("cancelled", totals.answers.cancelled);
  for (size_t r = 0; r < totals.answers.shed.size(); ++r)
    out += ", " + member("shed: " + std::string(describe(static_cast<brain::ShedReason>(r))), totals.answers.shed[r]);
  out += "},\n  \"action_kinds\": {";
  for (size_t a = 0; a < totals.action_kinds.size(); ++a)
    out += (a ? ", " : "") + member(action_name(a), totals.action_kinds[a]);
  out += "},\n  \"faults\": {";
  for (size_t f = 0; f < kFaultKinds; ++f)
    out += (f ? ", " : "") + member(fault_name(static_cast<Fault>(f)), totals.faults[f]);
  out += "},\n  \"violations\": [";
  for (size_t v = 0; v < totals.violations.size(); ++v) {
    const TrialReport& report = totals.violations[v];
    out += std::string(v ? "," : "") + "\n    {" + member("seed", report.seed) +
           ", \"rule\": " + quoted(report.violation->rule) + ", \"words\": " + quoted(report.violation->words) + "}";
  }
  return out + "]\n}\n";
}

}  // namespace motet::sim
