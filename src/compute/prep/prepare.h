// From a file to the requests a model is sent, by its recipe. Any thread.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/tensor/named.h"
#include "compute/prep/image.h"
#include "compute/prep/recipe.h"

namespace motet::prep {

// An input as the model declares it, with the batch; -1 is any extent.
struct InputSpec {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
};

// What interpret() needs to know of the input.
struct Context {
  Image photo;         // as decoded; empty unless an image
  Region region;       // the part of it that the model saw
  double seconds = 0;  // length of the sound
  double window_seconds = 0;
};

struct Prepared {
  // One request each, in order. Inputs that carry state are in the first only.
  std::vector<std::vector<NamedTensor>> calls;
  std::vector<std::pair<std::string, std::string>> states;  // (input, output)
  Context context;
};

// The requests for the file `bytes` called `name`. An Error names the file and what is accepted, or the input that the
// recipe cannot fill.
Result<Prepared> prepare(const Recipe& recipe, std::string_view name, std::span<const std::byte> bytes,
                         std::span<const InputSpec> inputs);

// Adds to `next` the state that `outputs`, of the call before, holds. An Error names the output that is missing.
Status carry_state(const Prepared& prepared, std::span<const NamedTensor> outputs, std::vector<NamedTensor>& next);

}  // namespace motet::prep
