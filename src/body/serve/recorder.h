// Recorder: writes what the loop hears and says to a file, in the format of brain/control/recording.h. record() is
// called from the loop's thread and only appends to memory; a thread of its own writes. A file that cannot be written
// ends the recording with one log line.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "brain/control/event.h"
#include "brain/control/loop.h"

namespace motet::serve {

class Recorder {
 public:
  // Creates (or empties) `file`. An Error names it and says what failed.
  static Result<std::unique_ptr<Recorder>> open(const std::string& file, const brain::LoopOptions& options);
  virtual ~Recorder() = default;  // writes what is left

  virtual void record(Nanos now, const brain::Event& event, std::span<const brain::Action> actions) = 0;
};

}  // namespace motet::serve
