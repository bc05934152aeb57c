// ModelCache: what is kept between processes for one model, on this kind of CPU, by this build: packed weights, and
// whatever was measured about its programs (chosen layouts, predicted step times, how ops are cut). Found by the hash
// of the model's files; which hash a file has is remembered by its place, size and times, so that a file is read for
// its hash once. Until the hash is known nothing is found on disk, and what is put waits in memory for persist().
//
//   if (auto text = cache.tuned(program_key)) ... else cache.tune(program_key, measured_as_text);
//
// Any thread. Nothing fails: without a directory, or with one that cannot be used, tunings live as long as this object.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "compute/engine/cache/blob_store.h"

namespace motet::engine {

class ModelCache {
 public:
  // `root` is the cache's directory ("" for none); `files` are all that the model is made of, itself first.
  ModelCache(std::filesystem::path root, std::vector<std::filesystem::path> files);

  // What was put as tuned for this program, now or by an earlier process. The key names everything that the text
  // depends on beside model, CPU and build: shapes, width, options.
  std::optional<std::string> tuned(std::string_view program_key) const;
  void tune(std::string_view program_key, std::string text);

  // A weight packed in the form that `key` names.
  std::optional<Blob> packed(std::string_view key) const;
  // False if it is not kept on disk now: the hash is not known yet, or the directory cannot be written.
  bool put_packed(std::string_view key, std::span<const std::byte> bytes) const;

  const std::filesystem::path& root() const { return root_; }
  // Which files these are: equal for the same files unchanged; "" if one cannot be read.
  const std::string& identity() const { return identity_; }
  // The hash of what is in them; reads them if it is not known. Nothing if they cannot be read or have changed.
  std::optional<std::string> content();

  // Reads the files for their hash if it is not known, and writes the tunings that wait. For a background thread: takes
  // as long as reading the files. False if nothing can be kept.
  bool persist();
  // True once the content is known: packed() may find something, put_packed() may write.
  bool known() const;

 private:
  void open_scope(const std::string& hash);
  std::optional<std::string> hash_files() const;

  // Constant after construction.
  const std::filesystem::path root_;
  const std::vector<std::filesystem::path> files_;
  const std::string identity_;  // of the files as they were then; "" if one cannot be read

  mutable std::mutex mutex_;
  std::optional<std::string> content_;                               // guarded by mutex_
  std::shared_ptr<const BlobStore> store_;                           // null until the hash is known; guarded by mutex_
  mutable std::map<std::string, std::string, std::less<>> tunings_;  // guarded by mutex_
  std::set<std::string> unwritten_;                                  // keys of tunings_; guarded by mutex_
};

// The directory of the cache where none is named: $XDG_CACHE_HOME/motet, else ~/.cache/motet; "" without a home.
std::filesystem::path default_cache_directory();

// What packed weights and measured times depend on beside the model: CPU, instruction set, oneDNN's version, this
// build.
const std::string& environment();

}  // namespace motet::engine
