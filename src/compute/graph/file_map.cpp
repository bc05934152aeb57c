#include "compute/graph/file_map.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>

#include "compute/graph/text.h"

namespace motet::graph {
namespace {

Error file_error(const std::filesystem::path& path, const char* verb, int code) {
  std::string what =
      std::string("cannot ") + verb + " " + in_quotes(path.native()) + ": " + std::generic_category().message(code);
  return code == ENOENT || code == ENOTDIR ? not_found(std::move(what)) : invalid_argument(std::move(what));
}

struct Range {
  uintptr_t end;  // one past the last byte
  std::string path;
};

// The maps that exist, by their first byte.
struct Maps {
  std::mutex mutex;
  std::map<uintptr_t, Range> ranges;
};
Maps& maps() {
  static auto* instance = new Maps;  // outlives every map
  return *instance;
}

uintptr_t place(const void* address) { return reinterpret_cast<uintptr_t>(address); }

struct sigaction before;  // what SIGBUS did

void say(std::string_view text) { (void)!::write(STDERR_FILENO, text.data(), text.size()); }

// Returns to the read that failed, which then ends the process as it would have.
void on_bus_error(int, siginfo_t* info, void*) {
  ::sigaction(SIGBUS, &before, nullptr);
  if (!maps().mutex.try_lock()) return;
  auto after = maps().ranges.upper_bound(place(info->si_addr));
  if (after != maps().ranges.begin()) {
    const auto& [begin, range] = *--after;
    if (place(info->si_addr) < range.end) {
      say("motet: ");
      say(range.path);
      say(" was cut short while it was in use; this process ends. Replace model files by rename (write the new one "
          "beside "
          "the old, then mv), not in place\n");
    }
  }
  maps().mutex.unlock();
}

}  // namespace

FileMap::FileMap(void* address, size_t size, std::string path) : address_(address), size_(size) {
  std::lock_guard lock(maps().mutex);
  if (size > 0) maps().ranges.emplace(place(address), Range{place(address) + size, std::move(path)});
}

void FileMap::explain_cut_files() {
  struct sigaction action{};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGBUS, &action, &before);
}

void FileMap::release(std::span<const std::byte> bytes) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  uintptr_t first = place(bytes.data()) / page * page;
  uintptr_t last = (place(bytes.data()) + bytes.size() + page - 1) / page * page;
  std::lock_guard lock(maps().mutex);  // so that the map cannot go meanwhile
  auto after = maps().ranges.upper_bound(place(bytes.data()));
  if (bytes.empty() || after == maps().ranges.begin()) return;
  const auto& [begin, range] = *--after;
  if (place(bytes.data()) + bytes.size() > range.end) return;
  (void)::madvise(reinterpret_cast<void*>(std::max(first, begin)), last - std::max(first, begin), MADV_DONTNEED);
}

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
  return std::shared_ptr<const FileMap>(new FileMap(address, size, path.string()));
}

FileMap::~FileMap() {
  if (address_ == nullptr) return;
  {
    std::lock_guard lock(maps().mutex);
    maps().ranges.erase(place(address_));
  }
  ::munmap(address_, size_);
}

}  // namespace motet::graph
