// Forming one batch from a queue: what any batching Dispatcher needs. Pure functions of the view.
#pragma once

#include <vector>

#include "brain/sched/dispatcher.h"
#include "brain/sched/parts.h"

namespace motet::brain {

struct BatchOffer {
  enum class Kind : uint8_t {
    kStart,     // queries and plan are set
    kWait,      // it may still grow: look again at `until`, or when an event comes
    kNoMemory,  // not even its first query's arena fits what is left
  };
  Kind kind = Kind::kWait;
  Nanos until = kNever;
  std::vector<const Query*> queries;
  PartsPlan plan;
};

// The batch that `bucket` would start now at `width`: queries in their order up to the batch limit, as long as no
// member would miss its deadline by prediction for the sake of growth; a preferred size if one is reached; held back
// for max_queue_delay while it may grow and no deadline presses; shortened to what memory allows. REQUIRES: the bucket
// is ready and its queue is not empty.
BatchOffer offer_batch(const DispatchView& view, const Bucket& bucket, int width);

// How long `rows` rows take, as far as the model's promise asks one to be careful: the 99th percentile, or the median
// for a model that promises its SLO to fewer than nine queries in ten.
Nanos careful_time(const Instance& instance, LatencyBounds bounds);
LatencyBounds rows_time(const Bucket& bucket, int rows, int width);

}  // namespace motet::brain
