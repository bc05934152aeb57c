// Ops that choose elements by their values, so that only the data say how many there are: functions for
// data_dependent.cpp, which tells the contract. Pure, any thread.
#pragma once

#include <span>
#include <vector>

#include "base/result.h"
#include "base/tensor/tensor.h"
#include "compute/graph/graph.h"

namespace motet::ops {

using ChosenInputs = std::span<const Tensor* const>;

// [rank, count] INT64; a scalar gives [0, count].
Result<std::vector<Tensor>> non_zero(const graph::Node& node, ChosenInputs inputs);
// Elements, or slices along `axis`, where the condition (input 1) holds.
Result<std::vector<Tensor>> compress(const graph::Node& node, ChosenInputs inputs);
// Values or slices, the index of the first of each, where each input went, how many there are of each.
Result<std::vector<Tensor>> unique(const graph::Node& node, ChosenInputs inputs);
// [count, 3] INT64: batch, class and box, by batch, class and falling score.
Result<std::vector<Tensor>> non_max_suppression(const graph::Node& node, ChosenInputs inputs);

}  // namespace motet::ops
