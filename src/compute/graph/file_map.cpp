#include "compute/graph/file_map.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "compute/graph/text.h"

namespace motet::graph {
namespace {

Error file_error(const std::filesystem::path& path, const char* verb, int code) {
  std::string what =
      std::string("cannot ") + verb + " " + in_quotes(path.native()) + ": " + std::generic_category().message(code);
  return code == ENOENT || code == ENOTDIR ? not_found(std::move(what)) : invalid_argument(std::move(what));
}

}  // namespace

Result<std::shared_ptr<const FileMap>> FileMap::open(const std::filesystem::path& path, bool follow_link) {
  // O_NONBLOCK: opening a FIFO must not wait for its writer.
  int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | (follow_link ? 0 : O_NOFOLLOW));
  if (descriptor < 0) return file_error(path, "open", errno);
  struct stat status{};
  if (::fstat(descriptor, &status) != 0) {
    int code = errno;
    ::close(descriptor);
    return file_error(path, "stat", code);
  }
  if (!S_ISREG(status.st_mode)) {
    ::close(descriptor);
    return invalid_argument(in_quotes(path.native()) + " is not a regular file");
  }
  auto size = static_cast<size_t>(status.st_size);
  void* address = nullptr;
  if (size > 0) {
    address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (address == MAP_FAILED) {
      int code = errno;
      ::close(descriptor);
      return file_error(path, "map", code);
    }
  }
  ::close(descriptor);
  return std::shared_ptr<const FileMap>(new FileMap(address, size));
}

FileMap::~FileMap() {
  if (address_ != nullptr) ::munmap(address_, size_);
}

}  // namespace motet::graph
