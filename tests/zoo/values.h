// Inputs of the zoo's models: the same values for the same name, seed and extents as tools/zoo/spec.py makes. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/tensor/tensor.h"

namespace motet::zoo {

struct Input {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::string> dims;  // numbers, "batch" and "length"
  std::string kind;               // "image", "uniform", "integer", "prefix"
  double low = 0, high = 1;
};

// `length` is not read where no extent is called so.
Shape shape_of(const Input& input, int64_t batch, int64_t length);
// An Error names a kind or a dtype that is not known.
Result<Tensor> draw(const Input& input, uint64_t seed, int64_t batch, int64_t length);

}  // namespace motet::zoo
