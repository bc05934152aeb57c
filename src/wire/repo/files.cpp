#include "wire/repo/files.h"

#include <algorithm>
#include <fstream>

namespace motet::repo {
namespace fs = std::filesystem;

Result<std::vector<std::string>> directory_names(const fs::path& path) {
  std::error_code error;
  std::vector<std::string> names;
  fs::directory_iterator entries(path, error);
  while (!error && entries != fs::directory_iterator()) {
    std::error_code ignored;
    if (entries->is_directory(ignored)) names.push_back(entries->path().filename().string());
    entries.increment(error);
  }
  if (error) return not_found("directory " + path.string() + " cannot be read: " + error.message());
  std::sort(names.begin(), names.end());
  return names;
}

Result<std::string> read_file(const fs::path& path, int64_t max_bytes) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  if (error) return not_found("file " + path.string() + " cannot be read: " + error.message());
  if (size > static_cast<uint64_t>(max_bytes)) {
    return resource_exhausted("file " + path.string() + " has " + std::to_string(size) + " bytes; at most " +
                              std::to_string(max_bytes) + " are read");
  }
  std::ifstream file(path, std::ios::binary);
  std::string text(size, '\0');
  if (!file.read(text.data(), static_cast<std::streamsize>(size)))
    return not_found("file " + path.string() + " cannot be read");
  return text;
}

Result<fs::path> path_inside(const fs::path& directory, const std::string& relative, const std::string& what) {
  const Error outside =
      invalid_argument(what + " is '" + relative + "'; accepted is a file inside " + directory.string());
  if (relative.empty() || relative.find('\0') != std::string::npos) return outside;
  const fs::path asked(relative);
  if (asked.is_absolute() || std::find(asked.begin(), asked.end(), "..") != asked.end()) return outside;
  std::error_code error;
  const fs::path root = fs::canonical(directory, error);
  if (error) return not_found("directory " + directory.string() + " cannot be read: " + error.message());
  fs::path real = fs::canonical(root / asked, error);
  if (error) return not_found(what + " is '" + relative + "', and there is no such file in " + directory.string());
  if (std::mismatch(root.begin(), root.end(), real.begin(), real.end()).first != root.end()) return outside;
  return real;
}

}  // namespace motet::repo
