// Answers: the one way in which an admitted query ends. Each takes the query out of its queue or execution, releases
// its bytes, forgets it, and emits its answer, at once or, for a model that preserves order, when all admitted before
// it have theirs. Internal to control/.
#pragma once

#include "brain/control/domain.h"

namespace motet::brain {

void reply_ok(Domain& d, Query& query, ExecutionId execution);
void reply_error(Domain& d, Query& query, Error error);
void shed(Domain& d, Query& query, ShedReason reason, Error error);
// The client has gone: answered now, whatever the order.
void reply_cancelled(Domain& d, Query& query);

// Refusals of a query that was never admitted.
void refuse(Domain& d, QueryId query, ShedReason reason, Error error);
void refuse_invalid(Domain& d, QueryId query, Error error);

}  // namespace motet::brain
