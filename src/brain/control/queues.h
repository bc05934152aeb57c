// Queues: where admitted queries wait, and the indexes over them. Internal to control/.
#pragma once

#include "brain/control/domain.h"

namespace motet::brain {

// Puts an admitted query at its place. REQUIRES: it waits nowhere.
void enqueue(Domain& d, Query& query);
// Takes it out again. REQUIRES: it waits in its bucket's queue.
void unqueue(Domain& d, Query& query);
// Renews the bucket's places in the indexes after its queue or its phase changed.
void reindex(Domain& d, Bucket& bucket);
// Sheds every waiting query whose deadline has come.
void shed_expired(Domain& d);

}  // namespace motet::brain
