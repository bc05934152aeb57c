// NamedTensor, and BYTES tensors as they travel: each element a 4-byte little-endian length and its characters (KServe
// v2 binary tensor extension). Plain values; the functions may be called from any thread.
#pragma once

#include <string>
#include <vector>

#include "base/tensor/tensor.h"

namespace motet {

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

// Reads serialised elements into a kString tensor whose elements point into `bytes`, kept alive by `owner`. An Error
// tells a length that runs past the end, or a number of elements other than the shape's.
Result<Tensor> parse_string_tensor(std::span<const std::byte> bytes, Shape shape, std::shared_ptr<const void> owner);
// The same strings in memory of their own. REQUIRES: kString.
Tensor copy_strings(const TensorView& view);
// Bytes that serialise_strings writes for `view`. REQUIRES: kString.
size_t serialised_bytes(const TensorView& view);
void serialise_strings(const TensorView& view, std::string& out);

}  // namespace motet
