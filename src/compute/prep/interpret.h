// From a model's answers to Findings, by its recipe. Any thread.
#pragma once

#include <span>
#include <vector>

#include "base/result.h"
#include "base/tensor/named.h"
#include "compute/prep/findings.h"
#include "compute/prep/prepare.h"

namespace motet::prep {

// `answers`: the outputs of every call that prepare() asked for, in order. An Error names the output that is missing,
// or of a shape or dtype that the recipe cannot read.
Result<Findings> interpret(const Recipe& recipe, const Context& context,
                           std::span<const std::vector<NamedTensor>> answers);

}  // namespace motet::prep
