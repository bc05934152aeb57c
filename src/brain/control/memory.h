// Memory: what gives way when the budget is full, and whether a load may begin. Programs of models on demand are a
// cache: idle ones are dropped, the least worth first (fleet/eviction.h). Internal to control/.
#pragma once

#include "brain/control/domain.h"

namespace motet::brain {

// Makes `bytes` fit the budget, dropping idle programs of models on demand if need be. False, with nothing dropped, if
// that is not enough. Those of `keep` stay.
bool make_room(Domain& d, Bytes bytes, InstanceId keep = {});
// Whether a load of this instance's programs, wanted since then, may begin now: not too many are under way, and what it
// will take fits beside what those will. Where programs that are worth less than the idle ones are in use, it waits for
// those a little: as long as the last load of what it would drop took, at most.
bool may_load(Domain& d, Instance& instance, Nanos wanted_since);
// Why a load of this instance's programs can never begin, whatever gives way, if it cannot.
std::optional<Error> never_loads(Domain& d, const Instance& instance);
// Bytes that loading programs of a model on demand is expected to take.
Bytes expected_load(const Instance& instance);
// Makes room for what the most due query that could run needs.
void make_room_to_run(Domain& d);
// The same for a query that will be refused otherwise, nothing being under way that would give memory back: programs
// that other queries wait for give way too, and those wait until they are loaded again. True if any gave way. REQUIRES:
// the query waits in a ready bucket.
bool make_room_to_answer(Domain& d, const Query& q);
// When the programs that `instance` lacks could be there, by what its last load took: now if that is not known.
Nanos loaded_by(const Domain& d, const Instance& instance, BucketId bucket);

}  // namespace motet::brain
