// One file through one model: prepare, ask, carry the state, interpret. Whom it asks is an argument. One thread.
#pragma once

#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "compute/prep/interpret.h"

namespace motet {

// Sends one set of inputs and returns the outputs.
using Ask = std::function<Result<std::vector<NamedTensor>>(std::vector<NamedTensor> inputs)>;

struct Recognised {
  prep::Findings findings;
  std::vector<Nanos> latencies;  // of each call, in order
};

Result<Recognised> recognise(const prep::Recipe& recipe, std::string_view name, std::span<const std::byte> bytes,
                             std::span<const prep::InputSpec> inputs, const Clock& clock, const Ask& ask);

// "3.21 ms", or "1875 calls, 0.41 ms each (median), 0.79 s in all".
std::string describe_latency(std::vector<Nanos> latencies);

}  // namespace motet
