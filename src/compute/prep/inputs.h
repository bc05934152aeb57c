// The kinds of input, a function each. Internal to compute/prep; prepare.h says what they promise.
#pragma once

#include "compute/prep/prepare.h"

namespace motet::prep {

struct Source {
  std::string_view name;
  std::span<const std::byte> bytes;
};

Result<Prepared> prepare_image(const Recipe& recipe, const Source& source, std::span<const InputSpec> inputs);
Result<Prepared> prepare_audio(const Recipe& recipe, const Source& source, std::span<const InputSpec> inputs);
Result<Prepared> prepare_bytes(const Recipe& recipe, const Source& source, std::span<const InputSpec> inputs);
Result<Prepared> prepare_numbers(const Recipe& recipe, const Source& source, std::span<const InputSpec> inputs);
Result<Prepared> prepare_tensors(const Recipe& recipe, const Source& source, std::span<const InputSpec> inputs);

// The input of that name, or an Error listing those there are.
Result<const InputSpec*> find_input(std::span<const InputSpec> inputs, std::string_view name);
// The input that takes the data: recipe.tensor, or the only one that neither a state nor the rate fills.
Result<const InputSpec*> data_input(const Recipe& recipe, std::span<const InputSpec> inputs);
// A tensor of `spec`'s dtype and `shape` with these values, rounded and clamped for integers. An Error for dtypes that
// hold no numbers.
Result<Tensor> tensor_of(const InputSpec& spec, Shape shape, std::span<const float> values);

}  // namespace motet::prep
