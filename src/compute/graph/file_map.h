// FileMap: a whole file mapped read-only for as long as anyone holds it. Pages are read when first touched. A file that
// is cut short by another process while mapped ends this one with SIGBUS, which explain_cut_files() gives a reason:
// model files are replaced by rename, never rewritten in place. Any thread may read.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"

namespace motet::graph {

class FileMap {
 public:
  // Maps a regular file. `follow_link` false refuses a path whose last part is a symbolic link.
  static Result<std::shared_ptr<const FileMap>> open(const std::filesystem::path& path, bool follow_link);
  ~FileMap();
  FileMap(const FileMap&) = delete;
  FileMap& operator=(const FileMap&) = delete;

  // Gives the pages of `bytes` back to the machine, if they lie in a FileMap that exists; they are read again when they
  // are touched again. For what has been copied and will hardly be needed soon.
  static void release(std::span<const std::byte> bytes);

  // From now on a process that ends so writes the file's name and what to do instead to standard error before. Takes
  // the process's SIGBUS. For a program's first lines.
  static void explain_cut_files();

  std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(address_), size_}; }

 private:
  FileMap(void* address, size_t size, std::string path);

  void* address_;  // nullptr for an empty file
  size_t size_;
};

}  // namespace motet::graph
