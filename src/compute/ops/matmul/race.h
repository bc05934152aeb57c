// Two ways of multiplying by a constant matrix, timed against each other on this CPU. Takes milliseconds; any thread.
#pragma once

#include <array>
#include <optional>

#include "base/units.h"
#include "compute/ops/kernel.h"

namespace motet::ops {

// [rows, depth] of `type` times f32 [depth, columns], into `result`.
struct RaceProduct {
  int64_t rows = 0, depth = 0, columns = 0;
  DType type = DType::kF32, result = DType::kF32;
};

using PlanProduct = Result<KernelPtr> (*)(const NodeRequest&);

// The least time of each on one core, in `rounds` interleaved rounds over zeros. Nothing if one of them refuses.
std::optional<std::array<Nanos, 2>> race(const RaceProduct& product, std::array<PlanProduct, 2> plans, int rounds);

}  // namespace motet::ops
