// Whole files in memory, with a limit. Any thread. Errors name the file, the size and the limit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace motet::prep {

// Greatest file read as input: photos, sound and arrays beyond it are refused.
inline constexpr int64_t kMostFileBytes = int64_t{1} << 31;

using FileBytes = std::shared_ptr<const std::vector<std::byte>>;

Result<FileBytes> read_file(const std::filesystem::path& path, int64_t most_bytes = kMostFileBytes);
// Replaces `path` by `bytes`.
Status write_file(const std::filesystem::path& path, std::span<const std::byte> bytes);

}  // namespace motet::prep
