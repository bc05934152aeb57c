// Reading a model's directory without trusting what lies there: bounded sizes, paths that stay inside, no exceptions.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace motet::repo {

// The names of the directories in `path`, sorted.
Result<std::vector<std::string>> directory_names(const std::filesystem::path& path);

// The whole file; an Error names it, also when it has more than `max_bytes`.
Result<std::string> read_file(const std::filesystem::path& path, int64_t max_bytes);

// `relative` under `directory`, with links followed. An Error if it is absolute, leaves `directory` or does not exist;
// `what` names the field it comes from.
Result<std::filesystem::path> path_inside(const std::filesystem::path& directory, const std::string& relative,
                                          const std::string& what);

}  // namespace motet::repo
