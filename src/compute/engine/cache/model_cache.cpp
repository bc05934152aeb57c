#include "compute/engine/cache/model_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <system_error>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace motet::engine {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFiles = "files";  // the scope that remembers which content a file has
constexpr size_t kReadBytes = size_t{1} << 20;

std::string as_text(const Blob& blob) { return {reinterpret_cast<const char*>(blob.bytes.data()), blob.bytes.size()}; }

std::span<const std::byte> as_bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

// Place, size and times of the files: what changes when one is written or replaced. "" if one is not there.
std::string identity_of(const std::vector<fs::path>& files) {
  std::string text;
  for (const fs::path& file : files) {
    struct stat s{};
    if (::stat(file.c_str(), &s) != 0) return {};
    for (int64_t part :
         {static_cast<int64_t>(s.st_dev), static_cast<int64_t>(s.st_ino), static_cast<int64_t>(s.st_size),
          static_cast<int64_t>(s.st_mtim.tv_sec), static_cast<int64_t>(s.st_mtim.tv_nsec),
          static_cast<int64_t>(s.st_ctim.tv_sec), static_cast<int64_t>(s.st_ctim.tv_nsec)})
      text += std::to_string(part) + ' ';
  }
  return text;
}

}  // namespace

ModelCache::ModelCache(fs::path root, std::vector<fs::path> files)
    : root_(std::move(root)), files_(std::move(files)), identity_(identity_of(files_)) {
  if (root_.empty() || identity_.empty()) return;
  if (auto known = BlobStore(root_, std::string(kFiles)).get(identity_)) open_scope(as_text(*known));
}

void ModelCache::open_scope(const std::string& hash) {
  auto store = std::make_shared<const BlobStore>(root_, content_hash(as_bytes(hash + environment())));
  store->touch();
  std::lock_guard lock(mutex_);
  content_ = hash;
  store_ = std::move(store);
}

std::optional<std::string> ModelCache::content() {
  {
    std::lock_guard lock(mutex_);
    if (content_) return content_;
  }
  if (identity_.empty()) return std::nullopt;
  auto hash = hash_files();
  if (!hash || identity_of(files_) != identity_) return std::nullopt;
  std::lock_guard lock(mutex_);
  return content_ = hash;
}

bool ModelCache::known() const {
  std::lock_guard lock(mutex_);
  return store_ != nullptr;
}

std::optional<std::string> ModelCache::tuned(std::string_view program_key) const {
  std::shared_ptr<const BlobStore> store;
  {
    std::lock_guard lock(mutex_);
    if (auto found = tunings_.find(program_key); found != tunings_.end()) return found->second;
    store = store_;
  }
  if (!store) return std::nullopt;
  auto blob = store->get("tune:" + std::string(program_key));
  if (!blob) return std::nullopt;
  std::lock_guard lock(mutex_);
  return tunings_.emplace(program_key, as_text(*blob)).first->second;
}

void ModelCache::tune(std::string_view program_key, std::string text) {
  std::shared_ptr<const BlobStore> store;
  std::string key(program_key);
  {
    std::lock_guard lock(mutex_);
    tunings_.insert_or_assign(key, text);
    store = store_;
    if (!store) unwritten_.insert(key);
  }
  if (store) store->put("tune:" + key, as_bytes(text));
}

std::optional<Blob> ModelCache::packed(std::string_view key) const {
  std::shared_ptr<const BlobStore> store;
  {
    std::lock_guard lock(mutex_);
    store = store_;
  }
  return store ? store->get("packed:" + std::string(key)) : std::nullopt;
}

bool ModelCache::put_packed(std::string_view key, std::span<const std::byte> bytes) const {
  std::shared_ptr<const BlobStore> store;
  {
    std::lock_guard lock(mutex_);
    store = store_;
  }
  return store && store->put("packed:" + std::string(key), bytes);
}

// By reading, not by mapping: pages of a map would count as this process's memory.
std::optional<std::string> ModelCache::hash_files() const {
  std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(), XXH3_freeState);
  if (!state) return std::nullopt;
  XXH3_128bits_reset(state.get());
  std::vector<std::byte> buffer(kReadBytes);
  for (const fs::path& file : files_) {
    int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return std::nullopt;
    uint64_t total = 0;
    ssize_t got = 0;
    while ((got = ::read(descriptor, buffer.data(), buffer.size())) > 0) {
      XXH3_128bits_update(state.get(), buffer.data(), static_cast<size_t>(got));
      total += static_cast<uint64_t>(got);
    }
    ::close(descriptor);
    if (got < 0) return std::nullopt;
    XXH3_128bits_update(state.get(), &total, sizeof(total));  // where one file ends and the next begins
  }
  XXH128_hash_t hash = XXH3_128bits_digest(state.get());
  return content_hash(std::as_bytes(std::span(&hash, 1)));
}

bool ModelCache::persist() {
  if (root_.empty() || identity_.empty()) return false;
  if (!known()) {
    auto hash = content();
    if (!hash) return false;  // changed since it was loaded: not what we have
    if (!BlobStore(root_, std::string(kFiles)).put(identity_, as_bytes(*hash))) return false;
    open_scope(*hash);
  }
  std::map<std::string, std::string, std::less<>> waiting;
  std::shared_ptr<const BlobStore> store;
  {
    std::lock_guard lock(mutex_);
    for (const std::string& key : unwritten_) waiting.emplace(key, tunings_.at(key));
    unwritten_.clear();
    store = store_;
  }
  bool written = true;
  for (const auto& [key, text] : waiting) written = store->put("tune:" + key, as_bytes(text)) && written;
  return written;
}

}  // namespace motet::engine
