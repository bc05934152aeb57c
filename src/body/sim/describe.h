// Events and actions in words, one line each, for the trail of a failing seed. Pure; any thread.
#pragma once

#include <string>

#include "brain/control/event.h"

namespace motet::sim {

std::string describe(const brain::Event& event);
std::string describe(const brain::Action& action);
// "12.345678 s".
std::string describe(Nanos instant);
std::string_view describe(brain::ShedReason reason);

}  // namespace motet::sim
