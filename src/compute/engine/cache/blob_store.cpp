#include "compute/engine/cache/blob_store.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <set>
#include <system_error>
#include <vector>

#include "base/log.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace motet::engine {
namespace {

namespace fs = std::filesystem;

constexpr char kMagic[8] = {'M', 'O', 'T', 'E', 'T', 'B', 'L', '1'};
constexpr std::string_view kTemporary = ".tmp";

// At the start of every file; the payload follows.
struct Header {
  char magic[8];
  uint64_t payload_bytes;
  uint64_t payload_hash;
  XXH128_hash_t key_hash;
  uint64_t unused[2];
  uint64_t header_hash;  // of the bytes before
};
static_assert(sizeof(Header) == 64);

uint64_t hash_of(const Header& header) { return XXH3_64bits(&header, offsetof(Header, header_hash)); }

std::string hex(XXH128_hash_t hash) {
  char text[33];
  std::snprintf(text, sizeof(text), "%016llx%016llx", static_cast<unsigned long long>(hash.high64),
                static_cast<unsigned long long>(hash.low64));
  return text;
}

struct Roots {
  std::mutex mutex;
  std::set<fs::path> roots;  // guarded by mutex
};
// Those that refused a write, in this process.
Roots& refusals() {
  static Roots instance;
  return instance;
}

// Roots that this process has put something below since it trimmed them last.
Roots& grown_roots() {
  static Roots instance;
  return instance;
}

bool refused(const fs::path& root) {
  std::lock_guard lock(refusals().mutex);
  return refusals().roots.contains(root);
}

bool refuse(const fs::path& root, const std::string& what) {
  bool fresh = false;
  {
    std::lock_guard lock(refusals().mutex);
    fresh = refusals().roots.insert(root).second;
  }
  if (fresh) log_warning("cache '" + root.native() + "' is not written: " + what);
  return false;
}

std::string last_error() { return std::generic_category().message(errno); }

bool write_all(int descriptor, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    ssize_t wrote = ::write(descriptor, bytes.data(), bytes.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(wrote));
  }
  return true;
}

class Mapping {
 public:
  Mapping(void* address, size_t bytes) : address_(address), bytes_(bytes) {}
  ~Mapping() { ::munmap(address_, bytes_); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  const std::byte* data() const { return static_cast<const std::byte*>(address_); }

 private:
  void* address_;
  size_t bytes_;
};

// The file's bytes and status; nothing if there is no such file or it cannot be mapped.
std::shared_ptr<const Mapping> map(const fs::path& file, size_t& bytes, struct stat& status) {
  int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (descriptor < 0) return nullptr;
  void* address = MAP_FAILED;
  if (::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
    bytes = static_cast<size_t>(status.st_size);
    address = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, descriptor, 0);
  }
  ::close(descriptor);
  return address == MAP_FAILED ? nullptr : std::make_shared<const Mapping>(address, bytes);
}

// Which files this process has read and found whole, by what changes when one is written or replaced. What is mapped
// again and again, by models that come and go, is not read for its checksum each time.
class Proven {
 public:
  bool has(const struct stat& file) {
    std::lock_guard lock(mutex_);
    return files_.contains(key(file));
  }
  void add(const struct stat& file) {
    std::lock_guard lock(mutex_);
    if (files_.size() >= kMost) files_.clear();
    files_.insert(key(file));
  }

 private:
  using Key = std::array<int64_t, 7>;
  static constexpr size_t kMost = 1 << 16;
  static Key key(const struct stat& s) {
    return {static_cast<int64_t>(s.st_dev),          static_cast<int64_t>(s.st_ino),
            static_cast<int64_t>(s.st_size),         static_cast<int64_t>(s.st_mtim.tv_sec),
            static_cast<int64_t>(s.st_mtim.tv_nsec), static_cast<int64_t>(s.st_ctim.tv_sec),
            static_cast<int64_t>(s.st_ctim.tv_nsec)};
  }
  std::mutex mutex_;
  std::set<Key> files_;  // guarded by mutex_
};
Proven& proven() {
  static Proven instance;
  return instance;
}

// Has the pages mapped here and now: else the first execution that reads them pays for it.
void touch_pages(const Mapping& mapping, size_t bytes) {
  constexpr size_t kAround = size_t{64} << 10;  // what Linux maps at one fault
  for (size_t at = 0; at < bytes; at += kAround) (void)*static_cast<const volatile std::byte*>(mapping.data() + at);
}

bool sound(const Mapping& mapping, size_t bytes, const struct stat& status, std::string_view key) {
  if (bytes < sizeof(Header)) return false;
  Header header;
  std::memcpy(&header, mapping.data(), sizeof(header));
  if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0 || header.header_hash != hash_of(header) ||
      header.payload_bytes != bytes - sizeof(Header) ||
      !XXH128_isEqual(header.key_hash, XXH3_128bits(key.data(), key.size())))
    return false;
  if (proven().has(status)) {
    touch_pages(mapping, bytes);
    return true;
  }
  if (header.payload_hash != XXH3_64bits(mapping.data() + sizeof(Header), header.payload_bytes)) return false;
  proven().add(status);
  return true;
}

}  // namespace

std::string content_hash(std::span<const std::byte> bytes) { return hex(XXH3_128bits(bytes.data(), bytes.size())); }

BlobStore::BlobStore(fs::path root, const std::string& scope) : root_(std::move(root)), folder_(root_ / scope) {}

fs::path BlobStore::file_of(std::string_view key) const { return folder_ / hex(XXH3_128bits(key.data(), key.size())); }

std::optional<Blob> BlobStore::get(std::string_view key) const {
  fs::path file = file_of(key);
  size_t bytes = 0;
  struct stat status{};
  auto mapping = map(file, bytes, status);
  if (!mapping) return std::nullopt;
  if (!sound(*mapping, bytes, status, key)) {
    log_warning("cache file '" + file.native() + "' is damaged; it is made again");
    std::error_code ignored;  // in a read-only directory it stays, and is found damaged again
    fs::remove(file, ignored);
    return std::nullopt;
  }
  std::span<const std::byte> payload(mapping->data() + sizeof(Header), bytes - sizeof(Header));
  return Blob{payload, std::move(mapping)};
}

bool BlobStore::put(std::string_view key, std::span<const std::byte> bytes) const {
  if (refused(root_)) return false;
  {
    std::lock_guard lock(grown_roots().mutex);
    grown_roots().roots.insert(root_);
  }
  std::error_code code;
  fs::create_directories(folder_, code);
  if (code) return refuse(root_, "cannot make '" + folder_.native() + "': " + code.message());
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  header.payload_bytes = bytes.size();
  header.payload_hash = XXH3_64bits(bytes.data(), bytes.size());
  header.key_hash = XXH3_128bits(key.data(), key.size());
  header.header_hash = hash_of(header);

  static std::atomic<uint64_t> writes{0};
  fs::path file = file_of(key);
  fs::path temporary = file;
  temporary += "." + std::to_string(::getpid()) + "." + std::to_string(writes.fetch_add(1)) + std::string(kTemporary);
  int descriptor = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (descriptor < 0) return refuse(root_, "cannot make '" + temporary.native() + "': " + last_error());
  std::string failure;
  if (!write_all(descriptor, std::as_bytes(std::span(&header, 1))) || !write_all(descriptor, bytes))
    failure = "cannot write '" + temporary.native() + "': " + last_error();
  if (::close(descriptor) != 0 && failure.empty())
    failure = "cannot write '" + temporary.native() + "': " + last_error();
  if (failure.empty() && ::rename(temporary.c_str(), file.c_str()) != 0)
    failure = "cannot name '" + file.native() + "': " + last_error();
  if (failure.empty()) return true;
  ::unlink(temporary.c_str());
  return refuse(root_, failure);
}

void BlobStore::touch() const { ::utimensat(AT_FDCWD, folder_.c_str(), nullptr, 0); }

bool grown(const fs::path& root) {
  std::lock_guard lock(grown_roots().mutex);
  return grown_roots().roots.contains(root);
}

Bytes trim(const fs::path& root, Bytes limit) {
  {
    std::lock_guard lock(grown_roots().mutex);
    grown_roots().roots.erase(root);
  }
  struct Scope {
    fs::file_time_type used;
    fs::path folder;
    int64_t bytes = 0;
  };
  std::vector<Scope> scopes;
  int64_t total = 0, removed = 0;
  std::error_code code;
  const auto stale = fs::file_time_type::clock::now() - std::chrono::hours(1);
  for (const fs::directory_entry& folder : fs::directory_iterator(root, code)) {
    if (!folder.is_directory(code)) continue;
    Scope scope{folder.last_write_time(code), folder.path()};
    for (const fs::directory_entry& file : fs::directory_iterator(folder.path(), code)) {
      auto bytes = static_cast<int64_t>(file.file_size(code));
      if (code) continue;
      if (file.path().native().ends_with(kTemporary) && file.last_write_time(code) < stale) {
        if (fs::remove(file.path(), code)) removed += bytes;
        continue;
      }
      scope.bytes += bytes;
    }
    total += scope.bytes;
    scopes.push_back(std::move(scope));
  }
  std::sort(scopes.begin(), scopes.end(), [](const Scope& a, const Scope& b) { return a.used < b.used; });
  for (const Scope& scope : scopes) {
    if (total <= limit.value) break;
    fs::remove_all(scope.folder, code);  // maps of its files stay valid
    total -= scope.bytes;
    removed += scope.bytes;
  }
  return Bytes(removed);
}

}  // namespace motet::engine
