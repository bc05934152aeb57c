// The byte encoding of events, actions and loop options: what a recording (recording.h) is made of. Encoding never
// fails. Decoding trusts nothing: an Error says at which byte what was wrong and what would be accepted. Any thread.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "brain/control/bytes.h"
#include "brain/control/event.h"
#include "brain/control/loop.h"

namespace motet::brain {

struct TimedEvent {
  Nanos now;
  Event event;
  friend bool operator==(const TimedEvent&, const TimedEvent&) = default;
};

void append_event(std::string& out, Nanos now, const Event& event);
void append_action(std::string& out, const Action& action);
void append_options(std::string& out, const LoopOptions& options);

// From the reader's position on; what follows is left for the next call.
Result<TimedEvent> read_event(ByteReader& in);
Result<Action> read_action(ByteReader& in);
Result<LoopOptions> read_options(ByteReader& in);

// The same for bytes that hold exactly one.
Result<TimedEvent> decode_event(std::string_view bytes);
Result<Action> decode_action(std::string_view bytes);

}  // namespace motet::brain
