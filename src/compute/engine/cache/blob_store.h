// BlobStore: blobs by key in a directory, one file each, kept between processes. A blob is read by mapping its file, so
// it takes no memory that the machine could not have back, and is checked against its checksum first, once a process as
// long as the file stays the same: a damaged or half-written file is removed and reads as absent. Writers put a whole
// file beside its place and rename it there, so several processes may share a directory. A directory that cannot be
// written (read-only, full) costs one log line; from then on nothing more is written to that root by this process.
// Nothing here fails: a cache that cannot be used is an empty one. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/units.h"

namespace motet::engine {

struct Blob {
  std::span<const std::byte> bytes;  // 64-byte aligned
  std::shared_ptr<const void> owner;
};

class BlobStore {
 public:
  // Of one scope below `root`: "files", or a model's hash. Neither need exist. Scopes are folder names.
  BlobStore(std::filesystem::path root, const std::string& scope);

  std::optional<Blob> get(std::string_view key) const;
  // Replaces what is there. False if it could not be written.
  bool put(std::string_view key, std::span<const std::byte> bytes) const;
  // Marks the scope as used now, for trim().
  void touch() const;

  const std::filesystem::path& folder() const { return folder_; }

 private:
  std::filesystem::path file_of(std::string_view key) const;

  const std::filesystem::path root_, folder_;
};

// True if this process has put something below `root` since it was trimmed last: only then is there anything to trim,
// which looks at every file.
bool grown(const std::filesystem::path& root);

// Removes the scopes that have gone unused longest until those below `root` take no more than `limit` together, and
// what is left of writers that died. Returns the bytes removed.
Bytes trim(const std::filesystem::path& root, Bytes limit);

// The XXH3 hash of `bytes` (128 bits, as 32 hexadecimal digits).
std::string content_hash(std::span<const std::byte> bytes);

}  // namespace motet::engine
