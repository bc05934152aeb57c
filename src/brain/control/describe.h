// Events and actions in words, one line each: for reports of a difference or a failure. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

#include "brain/control/event.h"

namespace motet::brain {

std::string describe(const Event& event);
std::string describe(const Action& action);
// "12.345678901 s", "never".
std::string describe(Nanos instant);
std::string_view describe(ShedReason reason);

}  // namespace motet::brain
