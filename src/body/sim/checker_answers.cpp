// Rules about answers: each query has one, an ok one is true, a refusal has a reason that our books confirm.
#include <algorithm>

#include "body/sim/checker.h"
#include "brain/control/describe.h"

namespace motet::sim {

using brain::describe;

namespace {

std::string name(QueryId id) { return "query " + std::to_string(id.value); }

constexpr Nanos kTriedWithin = Nanos::from_seconds(2);

}  // namespace

void Checker::answered(QueryBook& query) {
  QueryId id = query.arrived.query;
  if (id != arriving_) books_.query_bytes -= query.arrived.bytes;
  query.state = QueryState::kAnswered;
  if (InstanceBook* instance = books_.instance(query.arrived.instance)) {
    instance->unanswered.erase(id);
    instance->queued.erase(id);
  }
}

void Checker::act(const brain::Reply& a) {
  QueryBook* query = books_.query(a.query);
  if (!query) return breaks("answered once", "Reply to " + name(a.query) + ", which never arrived");
  if (query->state == QueryState::kAnswered)
    return breaks("answered once", "Reply to " + name(a.query) + ", which has been answered");
  if (a.ok) {
    if (!check_ok_reply(a, *query)) return;
    ++counts_.ok;
    query->ok = true;
  } else {
    if (a.error.message.empty()) return breaks("reason", "Reply to " + name(a.query) + " fails it without a word");
    if (!query->cancelled && !explained(a, *query))
      return breaks("reason", "Reply to " + name(a.query) + " fails it, and nothing that happened explains why: " +
                                  std::string(code_name(a.error.code)) + " " + a.error.message);
    query->code = a.error.code;
    ++(query->cancelled ? counts_.cancelled : counts_.failed);
  }
  answered(*query);
}

bool Checker::check_ok_reply(const brain::Reply& a, const QueryBook& query) {
  std::string what = "Reply ok to " + name(a.query);
  const ExecutionBook* execution = books_.execution(a.execution);
  if (!execution || query.state != QueryState::kStarted || query.execution != a.execution)
    return breaks("true answer",
                  what + " from execution " + std::to_string(a.execution.value) + ", which it was not in"),
           false;
  if (!execution->told_well || !device_.finished_well(a.execution))
    return breaks("true answer",
                  what + " from execution " + std::to_string(a.execution.value) + ", which has not finished"),
           false;
  const InstanceBook& instance = *books_.instance(query.arrived.instance);
  if (query.ordered) {
    QueryId first = *instance.unanswered.begin();
    if (first < a.query && books_.query(first)->ordered)
      return breaks("order",
                    what + " before " + name(first) + ", which arrived earlier at a model that preserves order"),
             false;
  }
  return true;
}

// Whether something that happened accounts for a failed query that nobody cancelled.
bool Checker::explained(const brain::Reply& a, const QueryBook& query) {
  // Decided long ago, perhaps, and held back for the sake of order.
  if (query.ordered) return true;
  const InstanceBook* instance = books_.instance(query.arrived.instance);
  bool timed = query.deadline != kNever && now_ >= query.deadline;
  if (query.state == QueryState::kStarted) {
    const ExecutionBook& execution = *books_.execution(query.execution);
    // At the least: what is learnt may be far below what was predicted.
    Nanos bound = execution.at + scenario_.options.lateness_slack;
    // A late one may still have ended well before its answer could leave.
    Nanos until = execution.told ? execution.told_at : now_;
    return (execution.told && !execution.told_well) || timed || execution.disturbed || until >= bound;
  }
  if (!instance || !instance->wanted || instance->failed || instance->presence != Presence::kLoaded) return true;
  if (timed || instance->failed_buckets.contains(query.arrived.bucket)) return true;
  Nanos load_bound = scenario_.options.load_bound;
  auto asked = instance->buckets.find(query.arrived.bucket);
  if (asked != instance->buckets.end() && !asked->second.loaded && now_ >= asked->second.asked_at + load_bound)
    return true;
  auto since = instance->asked_for.find(query.arrived.bucket);
  if (since != instance->asked_for.end() && now_ >= since->second + load_bound) return true;
  // Cores that are held by an execution that should have ended long ago are a reason too.
  for (ExecutionId id : books_.running) {
    const ExecutionBook& e = *books_.execution(id);
    if (now_ >= e.at + scenario_.options.lateness_slack) return true;
  }
  auto bucket = instance->buckets.find(query.arrived.bucket);
  if (bucket == instance->buckets.end() || !bucket->second.loaded)
    return query.arrived.rows > std::max(instance->settings.max_batch, 1) || over_budget_ ||
           a.error.code == Code::kResourceExhausted;
  return !can_run_alone(*instance, bucket->second, query) || over_budget_ || a.error.code == Code::kResourceExhausted;
}

void Checker::act(const brain::Shed& a) {
  QueryBook* query = books_.query(a.query);
  if (!query) return breaks("answered once", "Shed of " + name(a.query) + ", which never arrived");
  if (query->state == QueryState::kAnswered)
    return breaks("answered once", "Shed of " + name(a.query) + ", which has been answered");
  if (query->state == QueryState::kStarted)
    return breaks("answered once", "Shed of " + name(a.query) + ", which was started; only a Reply can answer it");
  if (a.error.message.empty()) return breaks("reason", "Shed of " + name(a.query) + " without a word");
  if (!check_shed(a, *query)) return;
  query->code = a.error.code;
  ++counts_.shed[static_cast<size_t>(a.reason)];
  answered(*query);
}

// Predictions may be wrong and are corrected only by running: with the device idle, nothing may be refused for the sake
// of one that has not been tried for long.
bool Checker::check_tries(const QueryBook& query, const std::string& what) {
  const InstanceBook* instance = books_.instance(query.arrived.instance);
  if (!books_.running.empty() || query.ordered || query.deadline <= now_ || !instance) return true;
  auto bucket = instance->buckets.find(query.arrived.bucket);
  if (bucket == instance->buckets.end() || !bucket->second.loaded || bucket->second.programs.empty()) return true;
  if (now_ < bucket->second.tried_at + kTriedWithin) return true;
  Bytes need = books_.charges().most + query.arrived.bytes + bucket->second.programs.back().arena;
  if (need > scenario_.options.memory_budget) return true;
  return breaks("gives up",
                what + ": nothing runs, and its bucket was last tried at " + describe(bucket->second.tried_at)),
         false;
}

bool Checker::check_shed(const brain::Shed& a, const QueryBook& query) {
  std::string what = "Shed of " + name(a.query) + " (" + std::string(describe(a.reason)) + ")";
  const InstanceBook* instance = books_.instance(query.arrived.instance);
  switch (a.reason) {
    case brain::ShedReason::kDeadlinePassed:
      if (query.deadline > now_) return breaks("reason", what + ": its deadline is " + describe(query.deadline)), false;
      return true;
    case brain::ShedReason::kDeadlineUnreachable:
      if (query.deadline == kNever) return breaks("reason", what + ": it has no deadline, nor its model an SLO"), false;
      return check_tries(query, what);
    case brain::ShedReason::kQueueFull: {
      int limit = instance ? instance->settings.max_queue : 0;
      auto waiting = instance ? static_cast<int>(instance->queued.size()) : 0;
      if (a.query != arriving_) return breaks("reason", what + ": it had been admitted"), false;
      if (limit == 0 || waiting - 1 < limit)
        return breaks("reason", what + ": " + std::to_string(waiting - 1) + " queries wait, max_queue is " +
                                    std::to_string(limit)),
               false;
      return true;
    }
    case brain::ShedReason::kOverBudget: {
      // Fits if, beside all that is charged, its bytes and the largest arena of its bucket find room.
      if (!instance || instance->presence != Presence::kLoaded) return true;
      if (query.ordered) return true;  // decided long ago, perhaps
      auto bucket = instance->buckets.find(query.arrived.bucket);
      if (bucket == instance->buckets.end() || !bucket->second.loaded || bucket->second.programs.empty()) return true;
      Bytes need = books_.charges().most + query.arrived.bytes + bucket->second.programs.back().arena;
      if (need <= scenario_.options.memory_budget)
        return breaks("reason", what + ": with it and its arena " + std::to_string(need.value) +
                                    " bytes would be charged, the budget is " +
                                    std::to_string(scenario_.options.memory_budget.value)),
               false;
      return true;
    }
    case brain::ShedReason::kNotReady:
      if (instance && instance->wanted && !instance->failed && instance->presence == Presence::kLoaded &&
          instance->failed_buckets.empty() && instance->buckets.contains(query.arrived.bucket) &&
          instance->buckets.at(query.arrived.bucket).loaded)
        return breaks("reason", what + ": its instance and bucket are loaded"), false;
      return true;
  }
  return breaks("reason", what + ": there is no such reason"), false;
}

// What must be answered in the step that settles it.
void Checker::check_prompt() {
  if (const QueryBook* query = books_.query(cancelling_);
      query && query->state == QueryState::kQueued &&
      !perhaps_decided(*books_.instance(query->arrived.instance), cancelling_))
    return breaks("prompt answer", name(cancelling_) + " waited in a queue, was cancelled, and is not answered");
  const ExecutionBook* execution = books_.execution(ended_);
  if (!execution) return;
  for (QueryId id : execution->start.queries) {
    const QueryBook& query = *books_.query(id);
    if (query.state == QueryState::kAnswered) continue;
    const InstanceBook& instance = *books_.instance(query.arrived.instance);
    if (!perhaps_decided(instance, id))
      return breaks("prompt answer", "execution " + std::to_string(ended_.value) + " was reported ended, and its " +
                                         name(id) + " is not answered");
  }
}

}  // namespace motet::sim
