// Rules about executions: what may be started together, on which sizes, on which cores, and what comes first.
#include <algorithm>

#include "body/sim/checker.h"
#include "brain/control/describe.h"

namespace motet::sim {

using brain::describe;

namespace {

std::string name(ExecutionId id) { return "execution " + std::to_string(id.value); }
std::string name(QueryId id) { return "query " + std::to_string(id.value); }

}  // namespace

void Checker::act(const brain::Start& a) {
  InstanceBook* instance = books_.instance(a.instance);
  if (!a.execution || books_.execution(a.execution))
    return breaks("start", "Start of " + name(a.execution) + ": its id names nothing or was used before");
  if (!instance || instance->presence != Presence::kLoaded)
    return breaks("lifecycle", "Start of " + name(a.execution) + ": instance " + std::to_string(a.instance.value) +
                                   " is not loaded");
  auto bucket = instance->buckets.find(a.bucket);
  if (bucket == instance->buckets.end() || !bucket->second.loaded)
    return breaks("lifecycle",
                  "Start of " + name(a.execution) + ": bucket " + std::to_string(a.bucket) + " is not loaded");
  bucket->second.unasked = false;
  bucket->second.tried_at = now_;
  if (!check_batch(a, *instance)) return;
  int rows = 0;
  for (QueryId id : a.queries) rows += books_.query(id)->arrived.rows;
  if (!check_parts(a, *instance, bucket->second, rows)) return;
  if (!check_cores(a.execution, a.instance, a.cores)) return;
  if (!check_precedence(a, *instance)) return;

  ExecutionBook book;
  book.start = a;
  book.at = now_;
  for (const brain::StartPart& part : a.parts) {
    for (const brain::ProgramFeatures& p : bucket->second.programs) {
      if (p.batch != part.batch) continue;
      book.arena_least = std::max(book.arena_least, p.arena);
      book.arena_most += p.arena;
      book.predicted += p.predicted[std::min(static_cast<size_t>(a.cores.size()), p.predicted.size()) - 1];
    }
  }
  books_.executions.emplace(a.execution, std::move(book));
  books_.running.push_back(a.execution);
  ++instance->running;
  for (QueryId id : a.queries) {
    QueryBook* query = books_.query(id);
    query->state = QueryState::kStarted;
    query->execution = a.execution;
    instance->queued.erase(id);
  }
}

bool Checker::check_batch(const brain::Start& a, const InstanceBook& instance) {
  std::string what = "Start of " + name(a.execution);
  if (a.queries.empty()) return breaks("start", what + ": it has no query"), false;
  int64_t rows = 0;
  for (size_t i = 0; i < a.queries.size(); ++i) {
    QueryId id = a.queries[i];
    const QueryBook* query = books_.query(id);
    if (!query) return breaks("start", what + ": " + name(id) + " never arrived"), false;
    if (query->state == QueryState::kAnswered)
      return breaks("start", what + ": " + name(id) + " has been answered"), false;
    if (query->state == QueryState::kStarted || std::count(a.queries.begin(), a.queries.end(), id) > 1)
      return breaks("start", what + ": " + name(id) + " was started before, in " + name(query->execution)), false;
    if (query->arrived.instance != a.instance || query->arrived.bucket != a.bucket)
      return breaks("start", what + ": " + name(id) + " is of another instance or bucket"), false;
    rows += query->arrived.rows;
  }
  const brain::ModelSettings& s = instance.settings;
  if (a.queries.size() > 1 && (s.max_batch == 0 || !s.dynamic_batching))
    return breaks("start", what + ": " + std::to_string(a.queries.size()) +
                               " queries in a batch of a model that does not batch"),
           false;
  if (s.max_batch > 0 && rows > s.max_batch)
    return breaks("start", what + ": " + std::to_string(rows) + " rows, max_batch is " + std::to_string(s.max_batch)),
           false;
  return true;
}

bool Checker::check_parts(const brain::Start& a, const InstanceBook& instance, const BucketBook& bucket, int rows) {
  std::string what = "Start of " + name(a.execution);
  int64_t sum = 0;
  for (const brain::StartPart& part : a.parts) {
    bool compiled = std::any_of(bucket.programs.begin(), bucket.programs.end(),
                                [&](const brain::ProgramFeatures& p) { return p.batch == part.batch; });
    if (!compiled)
      return breaks("parts", what + ": no program of batch " + std::to_string(part.batch) + " was compiled"), false;
    if (part.rows < 1 || part.rows > part.batch)
      return breaks("parts",
                    what + ": " + std::to_string(part.rows) + " rows in a program for " + std::to_string(part.batch)),
             false;
    if (part.rows < part.batch && !instance.settings.allow_padding && instance.settings.max_batch > 0)
      return breaks("parts", what + ": padded from " + std::to_string(part.rows) + " to " + std::to_string(part.batch) +
                                 " rows, which the model does not allow"),
             false;
    sum += part.rows;
  }
  if (sum != rows)
    return breaks("parts", what + ": parts of " + std::to_string(sum) + " rows for queries of " + std::to_string(rows)),
           false;
  return true;
}

bool Checker::check_cores(ExecutionId self, InstanceId instance, const CoreSet& cores) {
  std::string what = name(self) + " on cores " + cores.to_string();
  if (cores.empty()) return breaks("partition", what + ": none"), false;
  if (!scenario_.options.cores.includes(cores))
    return breaks("partition", what + ": the domain has " + scenario_.options.cores.to_string()), false;
  for (ExecutionId id : books_.running) {
    if (id == self) continue;
    // What the device really holds, and what the loop must think held, because it has not heard otherwise.
    const ExecutionBook& other = *books_.execution(id);
    CoreSet held = device_.held(id);
    if (!other.paused) held = held | other.start.cores;
    if (held.intersects(cores))
      return breaks("partition", what + ": " + name(id) + " holds " + held.to_string()), false;
  }
  CoreSet share;
  bool named = books_.plans.empty();
  if (named) share = scenario_.options.cores;
  for (const brain::PlanReady& plan : books_.plans) {
    auto it =
        std::find_if(plan.shares.begin(), plan.shares.end(), [&](const auto& s) { return s.instance == instance; });
    named |= it == plan.shares.end();
    share = share | (it == plan.shares.end() ? scenario_.options.cores : it->cores);
  }
  if (!share.includes(cores))
    return breaks("partition",
                  what + ": the plan gives instance " + std::to_string(instance.value) + " " + share.to_string()),
           false;
  return true;
}

// Orders queries: the deadline, or without one the arrival plus the bound within which the policy promises not to
// starve it.
Nanos Checker::due(const QueryBook& query) const {
  if (query.deadline != kNever || starvation_bound_ == kNever) return query.deadline;
  return query.arrived.arrived_at + starvation_bound_;
}

bool Checker::check_precedence(const brain::Start& a, const InstanceBook& instance) {
  const QueryBook& first = *books_.query(a.queries.front());
  auto in_batch = [&](QueryId id) { return std::find(a.queries.begin(), a.queries.end(), id) != a.queries.end(); };
  bool starved = first.deadline == kNever && due(first) <= now_;
  if (instance.settings.priority_levels > 0 && !starved && first.settings == instance.settings_count) {
    int best = first.priority;
    for (QueryId id : a.queries) best = std::min(best, books_.query(id)->priority);
    for (QueryId id : instance.queued) {
      const QueryBook& query = *books_.query(id);
      if (query.arrived.bucket != a.bucket || query.settings != instance.settings_count || in_batch(id)) continue;
      if (perhaps_decided(instance, id)) continue;
      if (query.priority < best && can_run_alone(instance, instance.buckets.at(a.bucket), query))
        return breaks("priority", "Start of " + name(a.execution) + " with priority " + std::to_string(best) + ": " +
                                      name(id) + " of priority " + std::to_string(query.priority) + " waits"),
               false;
    }
  }
  // A query without deadline that has waited beyond the bound comes before all that became due later.
  Nanos earliest = kNever;
  for (QueryId id : a.queries) earliest = std::min(earliest, due(*books_.query(id)));
  Bytes room = scenario_.options.memory_budget - books_.charges().most;
  for (const auto& [id, other] : books_.instances) {
    if (other.presence != Presence::kLoaded) continue;
    for (QueryId waiting : other.queued) {
      const QueryBook& query = *books_.query(waiting);
      if (query.deadline != kNever || due(query) > now_ || due(query) >= earliest || in_batch(waiting)) continue;
      if (perhaps_decided(other, waiting) || held_to_grow(other, query)) continue;
      auto bucket = other.buckets.find(query.arrived.bucket);
      if (bucket == other.buckets.end() || !bucket->second.loaded || books_.plans.size() != 1) continue;
      if (!can_run_alone(other, bucket->second, query) || bucket->second.programs.back().arena > room) continue;
      const auto& shares = books_.plans.back().shares;
      auto share = std::find_if(shares.begin(), shares.end(), [&](const auto& s) { return s.instance == id; });
      if (share == shares.end() || !share->cores.includes(a.cores)) continue;
      return breaks("starvation", "Start of " + name(a.execution) + ", due " + describe(earliest) + ": " +
                                      name(waiting) + " has waited since " + describe(query.arrived.arrived_at) +
                                      " and was due " + describe(due(query))),
             false;
    }
  }
  return true;
}

void Checker::act(const brain::Yield& a) {
  ExecutionBook* execution = books_.execution(a.execution);
  if (!execution || execution->told) return breaks("start", "Yield of " + name(a.execution) + ", which does not run");
  execution->disturbed = true;
  execution->yielding = true;
}

void Checker::act(const brain::Resume& a) {
  ExecutionBook* execution = books_.execution(a.execution);
  if (!execution || execution->told || !execution->paused)
    return breaks("start", "Resume of " + name(a.execution) + ", which is not paused");
  if (!check_cores(a.execution, execution->start.instance, a.cores)) return;
  execution->paused = false;
  execution->start.cores = a.cores;
}

void Checker::act(const brain::Resize& a) {
  ExecutionBook* execution = books_.execution(a.execution);
  if (!execution || execution->told || execution->paused)
    return breaks("start", "Resize of " + name(a.execution) + ", which does not run");
  if (!check_cores(a.execution, execution->start.instance, a.cores)) return;
  execution->disturbed = true;
  execution->start.cores = execution->start.cores | a.cores;  // until it is known to have left the old ones
}

void Checker::act(const brain::Kill& a) {
  ExecutionBook* execution = books_.execution(a.execution);
  if (!execution || execution->told) breaks("start", "Kill of " + name(a.execution) + ", which does not run");
}

}  // namespace motet::sim
