// Earliest deadline first, with batching (Liu and Layland, 1973, over batches). The most due queue or paused execution
// gets the free cores of its share.
//
// Order: by deadline; a query without one is due kPatience after its arrival, so it waits behind urgent ones but not
// for ever. Shed: a query whose deadline is nearer than its predicted time, were it started as soon as a core could be
// had; and one that no memory is left for even in the smallest parts, when nothing is under way that would give any
// back. Cores: the free ones of the share are divided by the work that waits for them (queues, full batches in them,
// paused
//   executions), at least one each; more if the deadline needs it; no more than still make the run 5 % faster.
// Preemption: an execution yields if an urgent query would otherwise miss its deadline and so meets it, if it is due
// later
//   and itself still meets its own deadline after, and if it has run for a quantum since it got its cores. A yield is
//   taken to need the longest step that the one that runs may be in: a foreign executor's model is one step, and yields
//   to nobody.
#pragma once

#include "brain/sched/dispatcher.h"

namespace motet::brain {

class EdfDispatcher final : public Dispatcher {
 public:
  static constexpr Nanos kPatience = Nanos::from_seconds(1);
  static constexpr Nanos kQuantum = Nanos::from_millis(1);  // longest step, by prediction

  static constexpr Nanos kProbe = Nanos::from_seconds(1);

  Promises promises() const override;
  Decision next(const DispatchView& view, PolicyState& state) const override;
};

}  // namespace motet::brain
