#include "brain/control/describe.h"

namespace motet::brain {
namespace {

template <class T>
std::string number(Id<T> id) {
  return std::to_string(id.value);
}

struct InWords {
  std::string operator()(const Arrived& e) const {
    return "Arrived query " + number(e.query) + " for instance " + number(e.instance) + " bucket " +
           std::to_string(e.bucket) + ", " + std::to_string(e.rows) + " rows, " + std::to_string(e.bytes.value) +
           " bytes, arrived " + describe(e.arrived_at) + ", deadline " + describe(e.deadline) + ", priority " +
           std::to_string(e.priority);
  }
  std::string operator()(const Cancelled& e) const { return "Cancelled query " + number(e.query); }
  std::string operator()(const Progress& e) const {
    return "Progress of execution " + number(e.execution) + ": " + std::to_string(e.steps_done) + " of " +
           std::to_string(e.steps_total) + " steps" + (e.paused ? ", paused" : "");
  }
  std::string operator()(const Finished& e) const {
    return "Finished execution " + number(e.execution) + ", busy " + describe(e.busy);
  }
  std::string operator()(const Failed& e) const {
    std::string what = e.execution ? "execution " + number(e.execution)
                                   : "load of instance " + number(e.instance) + " bucket " + std::to_string(e.bucket);
    return "Failed " + what + ": " + e.error.message;
  }
  std::string operator()(const Loaded& e) const {
    std::string sizes;
    for (const ProgramFeatures& p : e.programs) sizes += (sizes.empty() ? "" : " ") + std::to_string(p.batch);
    return "Loaded instance " + number(e.instance) + " bucket " + std::to_string(e.bucket) + ", " +
           std::to_string(e.bytes.value) + " bytes, batches [" + sizes + "]";
  }
  std::string operator()(const Unloaded& e) const { return "Unloaded instance " + number(e.instance); }
  std::string operator()(const PlanReady& e) const {
    std::string out = "PlanReady epoch " + std::to_string(e.epoch);
    for (const PlanShare& s : e.shares)
      out += "; instance " + number(s.instance) + " cores " + s.cores.to_string() + " batch " +
             std::to_string(s.max_batch);
    return out;
  }
  std::string operator()(const Tick&) const { return "Tick"; }
  std::string operator()(const ConfigChanged& e) const {
    if (!e.wanted) return "ConfigChanged instance " + number(e.instance) + ": no longer wanted";
    const ModelSettings& s = e.settings;
    return "ConfigChanged instance " + number(e.instance) + ": " + s.name + ", max_batch " +
           std::to_string(s.max_batch) + ", slo " + describe(s.slo) + (s.dynamic_batching ? ", dynamic batching" : "") +
           (s.allow_padding ? ", padding" : "") + (s.preserve_ordering ? ", ordered" : "") + ", queue " +
           std::to_string(s.max_queue) + ", delay " + describe(s.max_queue_delay) + ", priorities " +
           std::to_string(s.priority_levels) + ", expects " + std::to_string(e.expected_bytes.value) + " bytes";
  }
  std::string operator()(const Retired& e) const {
    return "Retired instance " + number(e.instance) + " bucket " + std::to_string(e.bucket);
  }

  std::string operator()(const Start& a) const {
    std::string out = "Start execution " + number(a.execution) + " of instance " + number(a.instance) + " bucket " +
                      std::to_string(a.bucket) + " on cores " + a.cores.to_string() + ", queries [";
    for (size_t i = 0; i < a.queries.size(); ++i) out += (i ? " " : "") + number(a.queries[i]);
    out += "], parts [";
    for (size_t i = 0; i < a.parts.size(); ++i)
      out += (i ? " " : "") + std::to_string(a.parts[i].rows) + "/" + std::to_string(a.parts[i].batch);
    return out + "]";
  }
  std::string operator()(const Yield& a) const { return "Yield execution " + number(a.execution); }
  std::string operator()(const Resume& a) const {
    return "Resume execution " + number(a.execution) + " on cores " + a.cores.to_string();
  }
  std::string operator()(const Resize& a) const {
    return "Resize execution " + number(a.execution) + " to cores " + a.cores.to_string();
  }
  std::string operator()(const Kill& a) const { return "Kill execution " + number(a.execution); }
  std::string operator()(const Reply& a) const {
    return "Reply to query " + number(a.query) + " from execution " + number(a.execution) +
           (a.ok ? ": ok" : ": " + std::string(code_name(a.error.code)) + " " + a.error.message);
  }
  std::string operator()(const Shed& a) const {
    return "Shed query " + number(a.query) + ", " + std::string(describe(a.reason)) + ": " + a.error.message;
  }
  std::string operator()(const Load& a) const {
    return "Load instance " + number(a.instance) + " bucket " + std::to_string(a.bucket);
  }
  std::string operator()(const Unload& a) const {
    return "Unload instance " + number(a.instance) + " bucket " + std::to_string(a.bucket);
  }
  std::string operator()(const Plan& a) const { return "Plan epoch " + std::to_string(a.epoch); }
  std::string operator()(const WakeAt& a) const { return "WakeAt " + describe(a.at); }
};

}  // namespace

std::string describe(const Event& event) { return std::visit(InWords{}, event); }
std::string describe(const Action& action) { return std::visit(InWords{}, action); }

std::string describe(Nanos instant) {
  if (instant == kNever) return "never";
  bool negative = instant.value < 0;
  uint64_t ns = negative ? 0 - static_cast<uint64_t>(instant.value) : static_cast<uint64_t>(instant.value);
  std::string fraction = std::to_string(ns % 1'000'000'000);
  return (negative ? "-" : "") + std::to_string(ns / 1'000'000'000) + "." + std::string(9 - fraction.size(), '0') +
         fraction + " s";
}

std::string_view describe(ShedReason reason) {
  switch (reason) {
    case ShedReason::kDeadlinePassed: return "deadline passed";
    case ShedReason::kDeadlineUnreachable: return "deadline unreachable";
    case ShedReason::kQueueFull: return "queue full";
    case ShedReason::kOverBudget: return "over budget";
    case ShedReason::kNotReady: return "not ready";
  }
  return "unknown";
}

}  // namespace motet::brain
