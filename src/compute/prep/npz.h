// NumPy's .npz: a zip of .npy arrays, one a tensor, named NAME.npy. Any thread. Errors name the file and the array.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/tensor/named.h"

namespace motet::prep {

// All arrays, in the file's order. Stored and deflated entries; the sum of the uncompressed sizes is limited.
Result<std::vector<NamedTensor>> read_npz(const std::filesystem::path& path);
// The same from memory; `name` is for errors.
Result<std::vector<NamedTensor>> parse_npz(std::span<const std::byte> bytes, std::string_view name);
// Replaces `path`, arrays stored without compression, so that numpy can map them.
Status write_npz(const std::filesystem::path& path, std::span<const NamedTensor> tensors);

}  // namespace motet::prep
