#include "compute/prep/npz.h"

#include <zip.h>

#include <cstring>
#include <set>
#include <string>

#include "compute/prep/file.h"
#include "compute/prep/npy.h"

namespace motet::prep {

namespace {

constexpr uint64_t kMostUnpackedBytes = uint64_t{8} << 30;
constexpr int64_t kMostArrays = 65536;

// End of central directory and nothing before it (APPNOTE.TXT 4.3.16): libzip writes no file for it.
constexpr std::string_view kEmptyArchive("PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 22);

struct Discard {
  void operator()(zip_t* archive) const { zip_discard(archive); }
};
using Archive = std::unique_ptr<zip_t, Discard>;

struct CloseEntry {
  void operator()(zip_file_t* file) const { zip_fclose(file); }
};

Result<Archive> open_archive(std::span<const std::byte> bytes, const std::string& name) {
  if (bytes.size() < kEmptyArchive.size()) {
    return invalid_argument(name + " is not a readable .npz (a zip of .npy arrays): it has " +
                            std::to_string(bytes.size()) + " bytes");
  }
  zip_error_t failure;
  zip_error_init(&failure);
  zip_source_t* source = zip_source_buffer_create(bytes.data(), bytes.size(), 0, &failure);
  zip_t* archive = source == nullptr ? nullptr : zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &failure);
  if (archive == nullptr) {
    std::string reason = zip_error_strerror(&failure);
    if (source != nullptr) zip_source_free(source);
    zip_error_fini(&failure);
    return invalid_argument(name + " is not a readable .npz (a zip of .npy arrays): " + reason);
  }
  zip_error_fini(&failure);
  return Archive(archive);
}

Result<Tensor> read_entry(zip_t* archive, zip_uint64_t index, uint64_t size) {
  if (size > std::numeric_limits<int64_t>::max() / 2) return invalid_argument("an array of impossible size");
  std::unique_ptr<zip_file_t, CloseEntry> file(zip_fopen_index(archive, index, 0));
  if (!file) return invalid_argument(zip_strerror(archive));
  // Grown as it is read: a false size in the directory costs nothing.
  auto bytes = std::make_shared<std::vector<std::byte>>();
  constexpr uint64_t kChunk = uint64_t{1} << 22;
  while (bytes->size() < size) {
    size_t have = bytes->size();
    auto want = static_cast<size_t>(std::min(kChunk, size - have));
    bytes->resize(have + want);
    zip_int64_t got = zip_fread(file.get(), bytes->data() + have, want);
    if (got < 0) return invalid_argument(zip_file_strerror(file.get()));
    bytes->resize(have + static_cast<size_t>(got));
    if (got == 0)
      return invalid_argument("cut off after " + std::to_string(have) + " of " + std::to_string(size) + " bytes");
  }
  std::span<const std::byte> view(*bytes);
  return parse_npy(view, std::move(bytes));
}

// Entry `index` of the archive; `total` is what the entries before unpacked to.
Result<NamedTensor> read_array(zip_t* archive, zip_uint64_t index, const std::string& name, uint64_t& total) {
  zip_stat_t stat;
  zip_stat_init(&stat);
  if (zip_stat_index(archive, index, 0, &stat) != 0 || (stat.valid & ZIP_STAT_NAME) == 0 ||
      (stat.valid & ZIP_STAT_SIZE) == 0) {
    return invalid_argument(name + ": entry " + std::to_string(index) + " has no name or size");
  }
  std::string array = stat.name;
  if (!array.ends_with(".npy")) return invalid_argument(name + ": entry '" + array + "' is not a .npy array");
  array.erase(array.size() - 4);
  if (stat.size > kMostUnpackedBytes - total) {
    return resource_exhausted(name + " unpacks to more than the " + std::to_string(kMostUnpackedBytes) +
                              " bytes allowed");
  }
  total += stat.size;
  Result<Tensor> tensor = read_entry(archive, index, stat.size);
  if (!tensor.ok()) return Error{tensor.error().code, name + ", array '" + array + "': " + tensor.error().message};
  return NamedTensor{std::move(array), std::move(tensor).value()};
}

// Adds one array; `bytes` must stay alive until the archive is closed.
bool add_array(zip_t* archive, const std::string& entry, const std::string& bytes) {
  zip_source_t* source = zip_source_buffer(archive, bytes.data(), bytes.size(), 0);
  if (source == nullptr) return false;
  zip_int64_t index = zip_file_add(archive, entry.c_str(), source, ZIP_FL_ENC_UTF_8);
  if (index < 0) {
    zip_source_free(source);
    return false;
  }
  return zip_set_file_compression(archive, static_cast<zip_uint64_t>(index), ZIP_CM_STORE, 0) == 0;
}

}  // namespace

Result<std::vector<NamedTensor>> parse_npz(std::span<const std::byte> bytes, std::string_view name_view) {
  std::string name(name_view);
  MOTET_ASSIGN(Archive archive, open_archive(bytes, name));
  zip_int64_t count = zip_get_num_entries(archive.get(), 0);
  if (count < 0 || count > kMostArrays) return invalid_argument(name + " has " + std::to_string(count) + " arrays");
  std::vector<NamedTensor> tensors;
  std::set<std::string> names;
  uint64_t total = 0;
  for (zip_uint64_t i = 0; i < static_cast<zip_uint64_t>(count); ++i) {
    MOTET_ASSIGN(NamedTensor tensor, read_array(archive.get(), i, name, total));
    if (!names.insert(tensor.name).second)
      return invalid_argument(name.append(" has two arrays '").append(tensor.name).append("'"));
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

Result<std::vector<NamedTensor>> read_npz(const std::filesystem::path& path) {
  MOTET_ASSIGN(FileBytes bytes, read_file(path, int64_t{8} << 30));
  return parse_npz(*bytes, path.string());
}

Status write_npz(const std::filesystem::path& path, std::span<const NamedTensor> tensors) {
  if (tensors.empty()) return write_file(path, std::as_bytes(std::span(kEmptyArchive)));
  int code = 0;
  Archive archive(zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &code));
  if (!archive) {
    zip_error_t failure;
    zip_error_init_with_code(&failure, code);
    std::string reason = zip_error_strerror(&failure);
    zip_error_fini(&failure);
    return invalid_argument("cannot create " + path.string() + ": " + reason);
  }
  std::vector<std::string> arrays;  // alive until the archive is closed, which is when they are written
  arrays.reserve(tensors.size());
  for (const NamedTensor& named : tensors) {
    if (!add_array(archive.get(), named.name + ".npy", arrays.emplace_back(format_npy(named.tensor.view())))) {
      return invalid_argument("cannot write " + path.string() + ": " + zip_strerror(archive.get()));
    }
  }
  if (zip_close(archive.get()) != 0)
    return invalid_argument("cannot write " + path.string() + ": " + zip_strerror(archive.get()));
  [[maybe_unused]] zip_t* closed = archive.release();
  return {};
}

}  // namespace motet::prep
