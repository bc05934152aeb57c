#include "body/sim/describe.h"

#include <cstdio>

namespace motet::sim {
namespace {

template <class T>
std::string number(Id<T> id) {
  return std::to_string(id.value);
}

struct InWords {
  std::string operator()(const brain::Arrived& e) const {
    return "Arrived query " + number(e.query) + " for instance " + number(e.instance) + " bucket " +
           std::to_string(e.bucket) + ", " + std::to_string(e.rows) + " rows, " + std::to_string(e.bytes.value) +
           " bytes, arrived " + describe(e.arrived_at) + ", deadline " + describe(e.deadline) + ", priority " +
           std::to_string(e.priority);
  }
  std::string operator()(const brain::Cancelled& e) const { return "Cancelled query " + number(e.query); }
  std::string operator()(const brain::Progress& e) const {
    return "Progress of execution " + number(e.execution) + ": " + std::to_string(e.steps_done) + " of " +
           std::to_string(e.steps_total) + " steps" + (e.paused ? ", paused" : "");
  }
  std::string operator()(const brain::Finished& e) const {
    return "Finished execution " + number(e.execution) + ", busy " + describe(e.busy);
  }
  std::string operator()(const brain::Failed& e) const {
    std::string what = e.execution ? "execution " + number(e.execution)
                                   : "load of instance " + number(e.instance) + " bucket " + std::to_string(e.bucket);
    return "Failed " + what + ": " + e.error.message;
  }
  std::string operator()(const brain::Loaded& e) const {
    std::string sizes;
    for (const brain::ProgramFeatures& p : e.programs) sizes += (sizes.empty() ? "" : " ") + std::to_string(p.batch);
    return "Loaded instance " + number(e.instance) + " bucket " + std::to_string(e.bucket) + ", " +
           std::to_string(e.bytes.value) + " bytes, batches [" + sizes + "]";
  }
  std::string operator()(const brain::Unloaded& e) const { return "Unloaded instance " + number(e.instance); }
  std::string operator()(const brain::PlanReady& e) const {
    std::string out = "PlanReady epoch " + std::to_string(e.epoch);
    for (const brain::PlanShare& s : e.shares)
      out += "; instance " + number(s.instance) + " cores " + s.cores.to_string() + " batch " +
             std::to_string(s.max_batch);
    return out;
  }
  std::string operator()(const brain::Tick&) const { return "Tick"; }
  std::string operator()(const brain::ConfigChanged& e) const {
    if (!e.wanted) return "ConfigChanged instance " + number(e.instance) + ": no longer wanted";
    const brain::ModelSettings& s = e.settings;
    return "ConfigChanged instance " + number(e.instance) + ": " + s.name + ", max_batch " +
           std::to_string(s.max_batch) + ", slo " + describe(s.slo) + (s.dynamic_batching ? ", dynamic batching" : "") +
           (s.allow_padding ? ", padding" : "") + (s.preserve_ordering ? ", ordered" : "") + ", queue " +
           std::to_string(s.max_queue) + ", delay " + describe(s.max_queue_delay) + ", priorities " +
           std::to_string(s.priority_levels) + ", expects " + std::to_string(e.expected_bytes.value) + " bytes";
  }

  std::string operator()(const brain::Start& a) const {
    std::string out = "Start execution " + number(a.execution) + " of instance " + number(a.instance) + " bucket " +
                      std::to_string(a.bucket) + " on cores " + a.cores.to_string() + ", queries [";
    for (size_t i = 0; i < a.queries.size(); ++i) out += (i ? " " : "") + number(a.queries[i]);
    out += "], parts [";
    for (size_t i = 0; i < a.parts.size(); ++i)
      out += (i ? " " : "") + std::to_string(a.parts[i].rows) + "/" + std::to_string(a.parts[i].batch);
    return out + "]";
  }
  std::string operator()(const brain::Yield& a) const { return "Yield execution " + number(a.execution); }
  std::string operator()(const brain::Resume& a) const {
    return "Resume execution " + number(a.execution) + " on cores " + a.cores.to_string();
  }
  std::string operator()(const brain::Resize& a) const {
    return "Resize execution " + number(a.execution) + " to cores " + a.cores.to_string();
  }
  std::string operator()(const brain::Kill& a) const { return "Kill execution " + number(a.execution); }
  std::string operator()(const brain::Reply& a) const {
    return "Reply to query " + number(a.query) + " from execution " + number(a.execution) +
           (a.ok ? ": ok" : ": " + std::string(code_name(a.error.code)) + " " + a.error.message);
  }
  std::string operator()(const brain::Shed& a) const {
    return "Shed query " + number(a.query) + ", " + std::string(describe(a.reason)) + ": " + a.error.message;
  }
  std::string operator()(const brain::Load& a) const {
    return "Load instance " + number(a.instance) + " bucket " + std::to_string(a.bucket);
  }
  std::string operator()(const brain::Unload& a) const {
    return "Unload instance " + number(a.instance) + " bucket " + std::to_string(a.bucket);
  }
  std::string operator()(const brain::Plan& a) const { return "Plan epoch " + std::to_string(a.epoch); }
  std::string operator()(const brain::WakeAt& a) const { return "WakeAt " + describe(a.at); }
};

}  // namespace

std::string describe(const brain::Event& event) { return std::visit(InWords{}, event); }
std::string describe(const brain::Action& action) { return std::visit(InWords{}, action); }

std::string describe(Nanos instant) {
  if (instant == kNever) return "never";
  char text[40];
  std::snprintf(text, sizeof text, "%.6f s", instant.seconds());
  return text;
}

std::string_view describe(brain::ShedReason reason) {
  switch (reason) {
    case brain::ShedReason::kDeadlinePassed: return "deadline passed";
    case brain::ShedReason::kDeadlineUnreachable: return "deadline unreachable";
    case brain::ShedReason::kQueueFull: return "queue full";
    case brain::ShedReason::kOverBudget: return "over budget";
    case brain::ShedReason::kNotReady: return "not ready";
  }
  return "unknown";
}

}  // namespace motet::sim
