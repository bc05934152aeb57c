#include "brain/control/answers.h"

#include <algorithm>

#include "brain/control/queues.h"

namespace motet::brain {
namespace {

void detach(Domain& d, Query& q) {
  if (q.execution == nullptr) {
    unqueue(d, q);
    return;
  }
  Execution& e = *q.execution;
  auto at = std::find(e.queries.begin(), e.queries.end(), &q);
  MOTET_CHECK(at != e.queries.end(), "a running query is in its execution");
  *at = nullptr;
  --e.live;
  q.execution = nullptr;
}

void forget(Domain& d, Query& q) {
  d.budget.release(q.bytes);
  d.queries.erase(q.id);
}

// Emits the answers at the front that are known.
void flush(Domain& d, InstanceId instance) {
  auto entry = d.ordered.find(instance);
  if (entry == d.ordered.end()) return;
  OrderedAnswers& answers = entry->second;
  while (!answers.empty() && answers.begin()->second.second) {
    auto& [query, action] = answers.begin()->second;
    d.actions.push_back(std::move(*action));
    forget(d, *query);
    answers.erase(answers.begin());
  }
  if (answers.empty()) d.ordered.erase(entry);
}

void settle(Domain& d, Query& q, Action answer, bool at_once) {
  detach(d, q);
  if (!q.ordered) {
    d.actions.push_back(std::move(answer));
    forget(d, q);
    return;
  }
  InstanceId instance = q.bucket->instance->id;
  if (at_once) {
    d.ordered.at(instance).erase(q.sequence);
    d.actions.push_back(std::move(answer));
    forget(d, q);
  } else {
    q.decided = true;
    d.ordered.at(instance).at(q.sequence).second = std::move(answer);
  }
  flush(d, instance);
}

}  // namespace

void reply_ok(Domain& d, Query& q, ExecutionId execution) { settle(d, q, Reply{q.id, execution, true, {}}, false); }

void reply_error(Domain& d, Query& q, Error error) {
  ExecutionId execution = q.execution != nullptr ? q.execution->id : ExecutionId();
  settle(d, q, Reply{q.id, execution, false, std::move(error)}, false);
}

void shed(Domain& d, Query& q, ShedReason reason, Error error) {
  settle(d, q, Shed{q.id, reason, std::move(error)}, false);
}

void reply_cancelled(Domain& d, Query& q) {
  ExecutionId execution = q.execution != nullptr ? q.execution->id : ExecutionId();
  Error error{Code::kCancelled, model_text(*q.bucket->instance) + ": the client cancelled the request"};
  settle(d, q, Reply{q.id, execution, false, std::move(error)}, true);
}

void refuse(Domain& d, QueryId query, ShedReason reason, Error error) {
  d.actions.push_back(Shed{query, reason, std::move(error)});
}

void refuse_invalid(Domain& d, QueryId query, Error error) {
  d.actions.push_back(Reply{query, ExecutionId(), false, std::move(error)});
}

}  // namespace motet::brain
