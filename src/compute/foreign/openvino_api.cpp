#include "compute/foreign/openvino_api.h"

#include <dlfcn.h>

#include <cstdlib>
#include <sstream>
#include <system_error>
#include <vector>

namespace motet::foreign::ov {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kLibrary = "libopenvino_c.so";

// The C library in `folder`, with or without a version after its name.
fs::path library_in(const fs::path& folder) {
  std::error_code error;
  fs::path found;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    if (it->path().filename().string().starts_with(kLibrary)) found = std::max(found, it->path());
  return found;
}

// Where under `directory` a wheel or an archive has its libraries.
fs::path library_under(const fs::path& directory) {
  for (const char* below : {"", "libs", "openvino/libs", "runtime/lib/intel64", "lib/intel64", "lib"})
    if (fs::path found = library_in(directory / below); !found.empty()) return found;
  return {};
}

// The wheel's folders in a Python environment.
void add_environment(const fs::path& environment, std::vector<fs::path>& places) {
  std::error_code error;
  for (const char* lib : {"lib", "lib64"})
    for (fs::directory_iterator it(environment / lib, error), end; !error && it != end; it.increment(error))
      if (it->path().filename().string().starts_with("python"))
        for (const char* packages : {"site-packages", "dist-packages"})
          places.push_back(it->path() / packages / "openvino");
}

// In order: the active Python environment, one called venv beside the program or above it, the system's, the archives'.
std::vector<fs::path> well_known_places() {
  std::vector<fs::path> places;
  if (const char* active = std::getenv("VIRTUAL_ENV")) add_environment(active, places);
  std::error_code error;
  fs::path program = fs::read_symlink("/proc/self/exe", error);
  for (fs::path folder = program.parent_path(); !error && folder.has_relative_path(); folder = folder.parent_path())
    add_environment(folder / "venv", places);
  for (const char* system : {"/usr/local", "/usr"}) add_environment(system, places);
  std::error_code no_archives;
  for (fs::directory_iterator it("/opt/intel", no_archives), end; !no_archives && it != end; it.increment(no_archives))
    if (it->path().filename().string().starts_with("openvino")) places.push_back(it->path());
  return places;
}

constexpr std::string_view kHow =
    "install it with `pip install openvino`, and name its folder by --openvino-dir or MOTET_OPENVINO_DIR";

}  // namespace

std::string Api::last_error() const {
  const char* text = ov_get_last_err_msg();
  if (text == nullptr) return "no reason given";
  std::istringstream lines(text);
  ov_free(text);
  std::string joined;
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line.starts_with("Exception from")) continue;
    joined += (joined.empty() ? "" : " ") + line;
  }
  constexpr size_t kLongest = 600;
  if (joined.size() > kLongest) joined = joined.substr(0, kLongest) + "...";
  return joined.empty() ? "no reason given" : joined;
}

Status Api::check(ov_status_e status, const std::string& what) const {
  if (status == 0) return {};
  return unsupported("openvino: " + what + ": " + last_error());
}

Result<fs::path> find_library(const fs::path& directory) {
  fs::path given = directory;
  const char* variable = std::getenv("MOTET_OPENVINO_DIR");
  if (given.empty() && variable != nullptr) given = variable;
  if (!given.empty()) {
    if (fs::path found = library_under(given); !found.empty()) return found;
    return not_found("openvino: no " + std::string(kLibrary) + " in '" + given.string() +
                     "' or its libs/; name the folder of an installed openvino");
  }
  std::string looked;
  for (const fs::path& place : well_known_places()) {
    if (fs::path found = library_under(place); !found.empty()) return found;
    looked += (looked.empty() ? "" : ", ") + place.string();
  }
  return not_found("openvino is not installed (looked in " + (looked.empty() ? "no place" : looked) + "); " +
                   std::string(kHow));
}

Result<Api> load_api(const fs::path& library) {
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return unsupported("openvino: " + std::string(dlerror()));
  Api api;
  std::string missing;
  auto find = [&](const char* name) {
    void* symbol = dlsym(handle, name);
    if (symbol == nullptr) missing += (missing.empty() ? "" : ", ") + std::string(name);
    return symbol;
  };
#define MOTET_OPENVINO_LOAD(name, result, parameters) api.name = reinterpret_cast<decltype(api.name)>(find(#name));
  MOTET_OPENVINO_FUNCTIONS(MOTET_OPENVINO_LOAD)
#undef MOTET_OPENVINO_LOAD
  if (!missing.empty())
    return unsupported("openvino: " + library.string() + " has no " + missing + "; version 2026.4 is accepted");
  return api;
}

}  // namespace motet::foreign::ov
