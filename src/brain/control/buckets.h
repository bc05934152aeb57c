// The shape buckets of an instance: asked for on first use, at most max_buckets at a time, the least recently used idle
// one giving way. A bucket that finds no place, or no memory for a model on demand, waits for it. Internal to control/.
#pragma once

#include "brain/control/domain.h"

namespace motet::brain {

void bucket_loaded(Domain& d, Instance& instance, const Loaded& event);
void bucket_failed(Domain& d, Instance& instance, BucketId bucket, const Error& error);
// Drops an idle bucket whose memory is needed.
void evict_bucket(Domain& d, Instance& instance, BucketId bucket);
// Drops a bucket's programs though queries wait for them: these wait until they are loaded again. REQUIRES: no
// executions.
void recall_bucket(Domain& d, Bucket& bucket);
// Fails its queries: its load, or the wait for a place, has taken too long.
void expire_bucket(Domain& d, Instance& instance, BucketId bucket);
// Fails the waiting queries that cannot run on the present programs and settings.
void recheck_rows(Domain& d, Bucket& bucket);
// Forgets the buckets that are asked for and not there. REQUIRES: they have no queries.
void drop_unready_buckets(Domain& d, Instance& instance);
// True when the retired bucket is gone, or goes now: nothing waits for it and nothing runs it.
bool unload_retired(Domain& d, Instance& instance, BucketId bucket);
// REQUIRES: no executions.
void drop_all_buckets(Domain& d, Instance& instance);
// True when none waits any more.
bool place_waiting_buckets(Domain& d, Instance& instance);

}  // namespace motet::brain
