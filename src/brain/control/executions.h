// Executions: from Start to the device's report that the cores are free. Internal to control/.
#pragma once

#include "brain/control/domain.h"

namespace motet::brain {

void start(Domain& d, const StartBatch& decision);
void yield(Domain& d, ExecutionId execution);
void resume(Domain& d, ExecutionId execution, const CoreSet& cores);
void resize(Domain& d, ExecutionId execution, const CoreSet& cores);
// Fails its queries and stops it. What it holds stays charged until the device reports.
void kill_for(Domain& d, ExecutionId execution, const Error& error);
// Stops an execution all of whose queries have been answered.
void kill(Domain& d, Execution& execution);

void on_progress(Domain& d, const Progress& event);
void on_finished(Domain& d, const Finished& event);
void on_execution_failed(Domain& d, ExecutionId execution, const Error& error);

// Executions beyond their bound: the late ones fail their queries, the killed ones that stay silent count as stuck, and
// what then has no core left to run on is failed too.
void expire_executions(Domain& d);
// Why nothing of this instance can run, if every core it may use is stuck.
std::optional<Error> stuck_error(const Domain& d, const Instance& instance);

}  // namespace motet::brain
