// Rules about what the loop leaves behind at the end of a step, and at rest.
#include <algorithm>

#include "body/sim/checker.h"
#include "brain/control/describe.h"

namespace motet::sim {

using brain::describe;

namespace {

std::string text(Bytes b) { return std::to_string(b.value); }
std::string name(QueryId id) { return "query " + std::to_string(id.value); }

// Predictions are corrected by measurements, so a loop's own may be this many times the compiled one's, or the slowest
// run's.
constexpr double kCorrection = 4;
// How long after its deadline a query may be found in a queue.
constexpr Nanos kExpiryGrace = Nanos::from_millis(1);

}  // namespace

bool Checker::can_run_alone(const InstanceBook& instance, const BucketBook& bucket, const QueryBook& query) const {
  int rows = query.arrived.rows;
  if (bucket.programs.empty() || (instance.settings.max_batch > 0 && rows > instance.settings.max_batch)) return false;
  return instance.settings.max_batch == 0 || instance.settings.allow_padding || bucket.programs.front().batch == 1;
}

// At a model that preserves order the answer of a query that an earlier one holds back may be known to the loop only.
bool Checker::perhaps_decided(const InstanceBook& instance, QueryId id) const {
  return books_.queries[id.value - 1].ordered && *instance.unanswered.begin() < id;
}

// Whether the model's configuration lets it wait for company.
bool Checker::held_to_grow(const InstanceBook& instance, const QueryBook& query) const {
  return instance.settings.dynamic_batching && now_ < query.told_at + instance.settings.max_queue_delay;
}

void Checker::check_memory(const brain::Loop& loop, bool grew) {
  Charges mine = books_.charges();
  Bytes budget = scenario_.options.memory_budget;
  Bytes charged = loop.charged();
  charged_before_ = charged;
  if (mine.least <= budget) over_budget_ = false;
  if (mine.least > budget && (!over_budget_ || grew))
    return breaks("memory",
                  text(mine.least) + " bytes are in use (queries, arenas, weights), the budget is " + text(budget));
  if (charged < mine.least || charged > mine.most)
    return breaks("memory", "the loop says that " + text(charged) + " bytes are charged; by our books it is " +
                                text(mine.least) + (mine.least == mine.most ? "" : " to " + text(mine.most)));
}

void Checker::check_time() {
  const brain::LoopOptions& options = scenario_.options;
  for (ExecutionId id : books_.running) {
    const ExecutionBook& e = *books_.execution(id);
    double correction = std::max(kCorrection, books_.instance(e.start.instance)->slowest) * options.lateness_factor;
    auto allowed = Nanos(static_cast<int64_t>(static_cast<double>(e.predicted.value) * correction));
    Nanos bound = e.at + allowed + options.lateness_slack;
    if (e.disturbed || now_ <= bound) continue;
    for (QueryId query : e.start.queries)
      if (books_.query(query)->state != QueryState::kAnswered &&
          !perhaps_decided(*books_.instance(e.start.instance), query))
        return breaks("late", "execution " + std::to_string(id.value) + " was started at " + describe(e.at) + " with " +
                                  describe(e.predicted) + " predicted, and its " + name(query) +
                                  " has not been failed");
  }
  for (const auto& [id, instance] : books_.instances) {
    for (QueryId query : instance.queued) {
      if (perhaps_decided(instance, query)) continue;
      Nanos deadline = books_.query(query)->deadline;
      if (deadline != kNever && now_ > deadline + kExpiryGrace)
        return breaks("expired", name(query) + " is in a queue, its deadline was " + describe(deadline));
    }
  }
}

// Nothing runs: then nothing that could run may be left waiting.
void Checker::check_idle() {
  if (!books_.running.empty()) return;
  Bytes room = scenario_.options.memory_budget - books_.charges().most;
  for (const auto& [id, instance] : books_.instances) {
    if (instance.presence != Presence::kLoaded) continue;
    for (QueryId waiting : instance.queued) {
      const QueryBook& query = *books_.query(waiting);
      auto bucket = instance.buckets.find(query.arrived.bucket);
      if (bucket == instance.buckets.end() || !bucket->second.loaded || bucket->second.unasked) continue;
      if (perhaps_decided(instance, waiting)) continue;
      if (!can_run_alone(instance, bucket->second, query) || bucket->second.programs.back().arena > room) continue;
      if (held_to_grow(instance, query)) continue;
      return breaks("idle", "no execution runs, and " + name(waiting) + " of instance " + std::to_string(id.value) +
                                ", which is loaded, has waited since " + describe(query.told_at));
    }
  }
}

void Checker::check_status(const brain::Loop& loop) {
  for (const brain::InstanceStatus& status : loop.status()) {
    const InstanceBook* instance = books_.instance(status.instance);
    std::string what = "status() of instance " + std::to_string(status.instance.value);
    if (!instance) return breaks("lifecycle", what + ": there is no such instance");
    auto decided = static_cast<int>(std::count_if(instance->queued.begin(), instance->queued.end(),
                                                  [&](QueryId id) { return perhaps_decided(*instance, id); }));
    auto queued = static_cast<int>(instance->queued.size());
    if (status.queued > queued || status.queued < queued - decided || status.running != instance->running)
      return breaks("lifecycle", what + " says " + std::to_string(status.queued) + " queued and " +
                                     std::to_string(status.running) + " running; it is " +
                                     std::to_string(instance->queued.size()) + " and " +
                                     std::to_string(instance->running));
    if (status.state == brain::Lifecycle::kReady && instance->presence != Presence::kLoaded)
      return breaks("lifecycle", what + " says ready, and it is not loaded");
    if (status.state == brain::Lifecycle::kUnloaded && instance->presence != Presence::kAbsent)
      return breaks("lifecycle", what + " says unloaded, and it is not absent");
    if (status.state == brain::Lifecycle::kFailed && status.reason.message.empty())
      return breaks("lifecycle", what + " says failed without a reason");
  }
}

bool Checker::at_rest() const {
  if (!books_.running.empty() || books_.query_bytes.value != 0) return false;
  for (const auto& [id, instance] : books_.instances) {
    if (!instance.unanswered.empty()) return false;
    if (instance.presence == Presence::kLoading || instance.presence == Presence::kUnloading) return false;
    if (!instance.wanted && instance.presence != Presence::kAbsent) return false;
    for (const auto& [bucket, book] : instance.buckets)
      if (!book.loaded) return false;
  }
  return device_.live() == 0;
}

void Checker::rests(const brain::Loop& loop, Nanos now) {
  now_ = now;
  for (const auto& [id, instance] : books_.instances) {
    std::string who = "instance " + std::to_string(id.value);
    if (!instance.unanswered.empty()) {
      const QueryBook& query = *books_.query(*instance.unanswered.begin());
      return breaks("rest", name(query.arrived.query) + " of " + who + " waits for ever: it came at " +
                                describe(query.told_at) +
                                (query.state == QueryState::kQueued
                                     ? " and is queued still"
                                     : " and was started in execution " + std::to_string(query.execution.value)));
    }
    if (instance.presence == Presence::kLoading) return breaks("rest", who + " is loading for ever");
    if (instance.presence == Presence::kUnloading) return breaks("rest", who + " is unloading for ever");
    if (!instance.wanted && instance.presence != Presence::kAbsent)
      return breaks("rest", who + " is not wanted and never unloaded");
    for (const auto& [bucket, book] : instance.buckets)
      if (!book.loaded)
        return breaks("rest", "bucket " + std::to_string(bucket) + " of " + who + " is loading for ever");
  }
  if (!books_.running.empty() || device_.live() != 0)
    return breaks("rest", std::to_string(books_.running.size()) + " executions never came to an end");
  for (const QueryBook& query : books_.queries)
    if (query.state != QueryState::kAnswered) return breaks("rest", name(query.arrived.query) + " was never answered");
  Charges mine = books_.charges();
  if (loop.charged() < mine.least || loop.charged() > mine.most)
    return breaks("rest", "at rest the loop says that " + text(loop.charged()) +
                              " bytes are charged; what is loaded takes " + text(mine.least));
  check_status(loop);
  for (const brain::InstanceStatus& status : loop.status()) {
    const InstanceBook& instance = *books_.instance(status.instance);
    bool settled = status.state == brain::Lifecycle::kReady || status.state == brain::Lifecycle::kFailed;
    if (instance.wanted ? !settled
                        : status.state != brain::Lifecycle::kUnloaded && status.state != brain::Lifecycle::kFailed)
      return breaks("rest", "at rest the loop says that instance " + std::to_string(status.instance.value) + ", " +
                                (instance.wanted ? "wanted" : "not wanted") + ", is " +
                                std::string(brain::lifecycle_name(status.state)));
  }
}

void Checker::served(QueryId probe, Nanos now) {
  now_ = now;
  const QueryBook& query = *books_.query(probe);
  if (query.ok || query.code == Code::kResourceExhausted) return;
  // A bound shorter than a load takes refuses what it must load first.
  Nanos slowest_load;
  for (const BucketTruth& bucket : scenario_.model(query.arrived.instance)->buckets)
    slowest_load = std::max(slowest_load, bucket.load_time);
  if (scenario_.options.load_bound <= slowest_load + scenario_.report_delay) return;
  breaks("serves again", "everything had come to rest and the device is well, but probe " + name(probe) +
                             " was not served: " + std::string(code_name(query.code)));
}

}  // namespace motet::sim
