// Wrong loops: the real one behind a decorator that breaks one promise now and then. Built into the test only, to show
// that the checker finds what it is there to find. Each breaks it rarely: most of its steps are the real loop's.
#pragma once

#include <memory>
#include <string_view>

#include "body/sim/trial.h"

namespace motet::sim {

struct WrongLoop {
  std::string_view name;
  std::string_view what;
  std::unique_ptr<brain::Loop> (*decorate)(std::unique_ptr<brain::Loop> right, const brain::LoopOptions& options);
};

std::span<const WrongLoop> wrong_loops();

// The real loop, or the wrong one made of it.
MakeLoop right_loop();
MakeLoop wrong_loop(const WrongLoop& wrong);

}  // namespace motet::sim
