#include "body/sim/checker.h"

#include <algorithm>

#include "brain/control/describe.h"
#include "brain/sched/dispatcher.h"

namespace motet::sim {

using brain::describe;

Checker::Checker(const Scenario& scenario, const Device& device) : scenario_(scenario), device_(device) {
  for (const brain::DispatcherEntry& entry : brain::dispatchers())
    if (entry.name == scenario.options.dispatcher) starvation_bound_ = entry.make()->promises().starvation_bound;
}

void Checker::breaks(std::string rule, std::string words) {
  if (!violation_) violation_ = Violation{std::move(rule), std::move(words), now_};
}

void Checker::hears(const brain::Event& event, Nanos now) {
  now_ = now;
  arriving_ = {};
  cancelling_ = {};
  ended_ = {};
  Bytes before = books_.charges().most;
  std::visit([this](const auto& e) { hear(e); }, event);
  // A load may bring more than it announced; then nothing new may be charged until there is room again.
  Bytes after = books_.charges().most;
  if (std::holds_alternative<brain::Loaded>(event) && after > before && after > scenario_.options.memory_budget)
    over_budget_ = true;
}

void Checker::answers(std::span<const brain::Action> actions, const brain::Loop& loop, Nanos now) {
  now_ = now;
  bool grew = false;
  bool woke = false;
  for (const brain::Action& action : actions) {
    grew |= std::holds_alternative<brain::Start>(action) || std::holds_alternative<brain::Load>(action);
    woke |= std::holds_alternative<brain::WakeAt>(action) && std::get<brain::WakeAt>(action).at <= now;
    std::visit([this](const auto& a) { act(a); }, action);
    if (violation_) return;
  }
  if (QueryBook* query = books_.query(arriving_); query && query->state != QueryState::kAnswered) {
    books_.query_bytes += query->arrived.bytes;
    grew = true;
  }
  wakes_at_once_ = woke ? wakes_at_once_ + 1 : 0;
  if (wakes_in_vain())
    return breaks("wake", "the loop asked a thousand times in a row to be woken at once (" + describe(now) + ")");
  check_prompt();
  check_memory(loop, grew);
  check_time();
  check_idle();
  if (++steps_ % 32 == 0) check_status(loop);
}

// ---- what the loop is told
// --------------------------------------------------------------------------------------------

void Checker::hear(const brain::Arrived& e) {
  MOTET_CHECK(e.query.value == books_.queries.size() + 1, "query ids of a trial rise by one");
  QueryBook query;
  query.arrived = e;
  query.told_at = now_;
  query.deadline = e.deadline;
  if (InstanceBook* instance = books_.instance(e.instance)) {
    const brain::ModelSettings& s = instance->settings;
    if (s.slo != kNever) query.deadline = std::min(query.deadline, e.arrived_at + s.slo);
    if (s.priority_levels > 0) query.priority = e.priority > 0 ? e.priority : s.default_priority;
    query.settings = instance->settings_count;
    query.ordered = s.preserve_ordering;
    instance->unanswered.insert(e.query);
    instance->queued.insert(e.query);
    if (!instance->buckets.contains(e.bucket)) instance->asked_for.try_emplace(e.bucket, now_);
  }
  books_.queries.push_back(std::move(query));
  arriving_ = e.query;
}

void Checker::hear(const brain::Cancelled& e) {
  QueryBook* query = books_.query(e.query);
  if (!query) return;
  query->cancelled = true;
  if (query->state == QueryState::kQueued) cancelling_ = e.query;
}

void Checker::hear(const brain::Progress& e) {
  if (ExecutionBook* execution = books_.execution(e.execution); execution && e.paused && execution->yielding) {
    execution->yielding = false;
    execution->paused = true;
  }
}

void Checker::hear_end(ExecutionId id, bool well) {
  ExecutionBook* execution = books_.execution(id);
  if (!execution || execution->told) return;
  execution->told = true;
  execution->told_well = well;
  execution->told_at = now_;
  ended_ = id;
  std::erase(books_.running, id);
  --books_.instance(execution->start.instance)->running;
}

void Checker::hear(const brain::Finished& e) {
  hear_end(e.execution, true);
  const ExecutionBook* execution = books_.execution(e.execution);
  if (ended_ != e.execution || !execution) return;
  // What a loop may learn from it; more than the time that has passed is no measurement.
  auto busy = static_cast<double>(std::min(e.busy, now_ - execution->at).value);
  double& slowest = books_.instance(execution->start.instance)->slowest;
  slowest = std::max(slowest, busy / static_cast<double>(std::max<int64_t>(execution->predicted.value, 1)));
}

void Checker::hear(const brain::Failed& e) {
  if (e.execution) return hear_end(e.execution, false);
  InstanceBook* instance = books_.instance(e.instance);
  if (!instance) return;
  if (e.bucket == 0) {
    if (instance->presence != Presence::kLoading) return;
    instance->presence = Presence::kAbsent;
    instance->failed = true;
    instance->buckets.clear();
    return;
  }
  auto bucket = instance->buckets.find(e.bucket);
  if (bucket == instance->buckets.end() || bucket->second.loaded) return;
  instance->buckets.erase(bucket);
  instance->failed_buckets.insert(e.bucket);
}

void Checker::hear(const brain::Loaded& e) {
  InstanceBook* instance = books_.instance(e.instance);
  if (!instance) return;
  if (e.bucket == 0) {
    if (instance->presence != Presence::kLoading) return;
    instance->presence = Presence::kLoaded;
    instance->bytes = e.bytes;
    return;
  }
  if (instance->presence != Presence::kLoading && instance->presence != Presence::kLoaded) return;
  auto bucket = instance->buckets.find(e.bucket);
  bool unasked = bucket == instance->buckets.end();
  if (unasked || !bucket->second.loaded) instance->buckets[e.bucket] = {true, unasked, e.bytes, e.programs, now_, now_};
}

void Checker::hear(const brain::Unloaded& e) {
  InstanceBook* instance = books_.instance(e.instance);
  if (!instance || instance->presence != Presence::kUnloading) return;
  instance->presence = Presence::kAbsent;
  instance->leaving = Bytes(0);
}

void Checker::hear(const brain::PlanReady& e) {
  if (e.epoch == books_.asked_epoch) books_.plans.clear();
  books_.plans.push_back(e);
}

void Checker::hear(const brain::ConfigChanged& e) {
  InstanceBook& instance = books_.instances[e.instance];
  instance.instance = e.instance;
  ++instance.settings_count;
  instance.wanted = e.wanted;
  if (!e.wanted) return;
  instance.settings = e.settings;
  instance.expected = e.settings.on_demand ? Bytes(0) : e.expected_bytes;
  instance.failed = false;
}

// ---- lifecycle
// --------------------------------------------------------------------------------------------------------

void Checker::act(const brain::Load& a) {
  std::string what = describe(brain::Action(a));
  InstanceBook* instance = books_.instance(a.instance);
  if (!instance) return breaks("lifecycle", what + ": there is no such instance");
  if (a.bucket == 0) {
    if (!instance->wanted) return breaks("lifecycle", what + ": it is not wanted");
    if (instance->presence != Presence::kAbsent) return breaks("lifecycle", what + ": it is not absent");
    instance->presence = Presence::kLoading;
    instance->load_asked_at = now_;
    instance->failed_buckets.clear();
    return;
  }
  if (instance->presence != Presence::kLoaded) return breaks("lifecycle", what + ": its instance is not loaded");
  if (auto known = instance->buckets.find(a.bucket); known != instance->buckets.end() && !known->second.unasked)
    return breaks("lifecycle", what + ": it is loaded or loading already");
  instance->buckets[a.bucket] = {};
  instance->buckets[a.bucket].asked_at = now_;
  instance->asked_for.erase(a.bucket);
  if (instance->buckets.size() > static_cast<size_t>(scenario_.options.max_buckets))
    breaks("lifecycle", what + ": that makes " + std::to_string(instance->buckets.size()) + " buckets, " +
                            std::to_string(scenario_.options.max_buckets) + " are allowed");
}

void Checker::act(const brain::Unload& a) {
  std::string what = describe(brain::Action(a));
  InstanceBook* instance = books_.instance(a.instance);
  if (!instance) return breaks("lifecycle", what + ": there is no such instance");
  for (ExecutionId id : books_.running) {
    const brain::Start& start = books_.execution(id)->start;
    if (start.instance == a.instance && (a.bucket == 0 || start.bucket == a.bucket))
      return breaks("lifecycle",
                    what + ": execution " + std::to_string(id.value) + " of it has not been reported ended");
  }
  if (a.bucket != 0) {
    for (QueryId query : instance->queued)  // dropped for want of memory: they wait for another load
      if (books_.query(query)->arrived.bucket == a.bucket) instance->asked_for.try_emplace(a.bucket, now_);
    if (instance->buckets.erase(a.bucket) == 0) breaks("lifecycle", what + ": it is neither loaded nor loading");
    return;
  }
  if (instance->presence != Presence::kLoaded && instance->presence != Presence::kLoading)
    return breaks("lifecycle", what + ": it is neither loaded nor loading");
  bool overdue =
      instance->presence == Presence::kLoading && now_ >= instance->load_asked_at + scenario_.options.load_bound;
  if (instance->wanted && !over_budget_ && !overdue) return breaks("lifecycle", what + ": it is wanted");
  if (instance->wanted) instance->failed = true;
  if (instance->presence == Presence::kLoading) instance->bytes = instance->expected;
  instance->presence = Presence::kUnloading;
  for (const auto& [id, bucket] : instance->buckets) instance->leaving += bucket.bytes;
  instance->buckets.clear();
}

void Checker::act(const brain::Plan& a) { books_.asked_epoch = a.epoch; }

void Checker::act(const brain::WakeAt& a) {
  if (a.at < Nanos(0)) breaks("wake", "WakeAt " + describe(a.at) + ": before time began");
}

}  // namespace motet::sim
