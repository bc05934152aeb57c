// Lifecycle: instances from wanted to unloaded, and their shape buckets, loaded on first use and dropped by least
// recent use. An instance is loading until its weights are in place, warming up from its first program on if the body
// compiles any before it says that the instance is in, then ready; draining when no longer wanted, until its last
// answer. Internal to control/.
#pragma once

#include "brain/control/domain.h"

namespace motet::brain {

void on_config(Domain& d, const ConfigChanged& event);
void on_loaded(Domain& d, const Loaded& event);
void on_load_failed(Domain& d, InstanceId instance, BucketId bucket, const Error& error);
void on_unloaded(Domain& d, const Unloaded& event);
void on_plan(Domain& d, const PlanReady& event);
void on_retired(Domain& d, const Retired& event);

// The bucket of an admitted query, asked for if it is not there. REQUIRES: the instance is ready.
Bucket& bucket_for(Domain& d, Instance& instance, BucketId id);
// Loads that have taken too long fail.
void expire_loads(Domain& d);
// At the end of a step: unloads what has drained, gives freed places to buckets that wait for one.
void settle_lifecycle(Domain& d);

// Why `rows` rows cannot run on the programs of a ready bucket, if they cannot.
std::optional<Error> rows_error(const Bucket& bucket, int rows);

}  // namespace motet::brain
