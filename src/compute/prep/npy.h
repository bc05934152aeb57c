// One array in NumPy's .npy format (versions 1 to 3; numpy.lib.format): element types bool, u1..u8, i1..i8, f2, f4, f8,
// V2 (bfloat16 as ml_dtypes writes it), S and U strings; either byte order, C or Fortran order. Pickled objects are
// refused. Every length is checked. Any thread.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "base/tensor/tensor.h"

namespace motet::prep {

// The array in `bytes`. It views them where order and alignment allow, with `owner` keeping them alive, and is a copy
// elsewhere. An Error tells what is wrong at which part of the header, and what would be accepted.
Result<Tensor> parse_npy(std::span<const std::byte> bytes, std::shared_ptr<const void> owner);

// `view` as a .npy file of version 1. kString becomes S (padded with NUL to the longest element), kBF16 V2.
std::string format_npy(const TensorView& view);

}  // namespace motet::prep
