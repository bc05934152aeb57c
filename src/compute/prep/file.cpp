#include "compute/prep/file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace motet::prep {

namespace {

struct Close {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, Close>;

Error io_error(const std::filesystem::path& path, const char* what) {
  Code code = errno == ENOENT ? Code::kNotFound : Code::kInvalidArgument;
  return {code, std::string("cannot ") + what + " " + path.string() + ": " + std::strerror(errno)};
}

}  // namespace

Result<FileBytes> read_file(const std::filesystem::path& path, int64_t most_bytes) {
  std::error_code failed;
  if (std::filesystem::is_directory(path, failed))
    return invalid_argument(path.string() + " is a folder; a file is expected");
  errno = 0;
  File file(std::fopen(path.c_str(), "rb"));
  if (!file) return io_error(path, "open");
  auto bytes = std::make_shared<std::vector<std::byte>>();
  constexpr size_t kChunk = size_t{1} << 20;
  for (;;) {
    size_t have = bytes->size();
    bytes->resize(have + kChunk);
    size_t got = std::fread(bytes->data() + have, 1, kChunk, file.get());
    bytes->resize(have + got);
    if (static_cast<int64_t>(bytes->size()) > most_bytes) {
      return resource_exhausted(path.string() + " has more than the " + std::to_string(most_bytes) + " bytes allowed");
    }
    if (got < kChunk) break;
  }
  if (std::ferror(file.get()) != 0) return io_error(path, "read");
  return FileBytes(std::move(bytes));
}

Status write_file(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  errno = 0;
  File file(std::fopen(path.c_str(), "wb"));
  if (!file) return io_error(path, "create");
  if (std::fwrite(bytes.data(), 1, bytes.size(), file.get()) != bytes.size()) return io_error(path, "write");
  if (std::fclose(file.release()) != 0) return io_error(path, "write");
  return {};
}

}  // namespace motet::prep
