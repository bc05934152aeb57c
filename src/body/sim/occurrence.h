// Occurrence: one entry of a trial's timeline. A plain value; an event on its way to the loop is owned by its
// occurrence.
#pragma once

#include <cstdint>
#include <memory>

#include "body/sim/timeline.h"
#include "brain/control/event.h"

namespace motet::sim {

struct Occurrence {
  enum class Kind : uint8_t {
    kArrival,     // id: model index
    kReport,      // the event reaches the loop, if `token` is still the generation of instance `id` (id 0: always)
    kSegmentEnd,  // device: execution `id` comes to the end, or to the boundary at which something was asked of it
    kProgress,    // device: execution `id` tells how far it is
    kLoadEnd,     // device: load of (id, bucket) is done
    kUnloadEnd,   // device: instance `id` is gone
    kFound,       // device: something that was lost or stuck comes to light
    kWake,        // the loop asked for a Tick
    kWanted,      // id: model index, its first ConfigChanged
  };
  Kind kind = Kind::kArrival;
  uint64_t id = 0;
  brain::BucketId bucket = 0;
  uint64_t token = 0;  // an entry whose token is out of date is void
  std::unique_ptr<brain::Event> event;

  // Belongs to the device: stands still when the device does.
  bool of_device() const {
    return kind == Kind::kSegmentEnd || kind == Kind::kProgress || kind == Kind::kLoadEnd || kind == Kind::kUnloadEnd ||
           kind == Kind::kFound;
  }
};

using TrialTimeline = Timeline<Occurrence>;

}  // namespace motet::sim
