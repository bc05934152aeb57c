#include <cpuid.h>
#include <link.h>

#include <cstdlib>
#include <cstring>

#include "compute/engine/cache/model_cache.h"
#include "compute/ops/onednn/onednn.h"

namespace motet::engine {
namespace {

// "AMD EPYC 9B45": the brand string of the processor.
std::string cpu_name() {
  unsigned words[12] = {};
  for (unsigned i = 0; i < 3; ++i) {
    unsigned* w = words + size_t{4} * i;
    if (__get_cpuid(0x80000002 + i, w, w + 1, w + 2, w + 3) == 0) return "unknown CPU";
  }
  char text[sizeof(words) + 1] = {};
  std::memcpy(text, words, sizeof(words));
  return text;
}

// The linker's build id of this program: another build may pack or fold otherwise. The version where there is none.
std::string build_id() {
  std::string id;
  auto look = [](dl_phdr_info* info, size_t, void* out) -> int {
    for (int p = 0; p < info->dlpi_phnum; ++p) {
      const auto& header = info->dlpi_phdr[p];
      if (header.p_type != PT_NOTE) continue;
      const char* at = reinterpret_cast<const char*>(info->dlpi_addr + header.p_vaddr);
      const char* end = at + header.p_memsz;
      while (at + sizeof(ElfW(Nhdr)) <= end) {
        ElfW(Nhdr) note;
        std::memcpy(&note, at, sizeof(note));
        const char* name = at + sizeof(note);
        const char* content = name + (note.n_namesz + 3) / 4 * 4;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && std::memcmp(name, "GNU", 4) == 0)
          static_cast<std::string*>(out)->assign(content, note.n_descsz);
        at = content + (note.n_descsz + 3) / 4 * 4;
      }
    }
    return 1;  // the program itself comes first
  };
  dl_iterate_phdr(look, &id);
  return id.empty() ? MOTET_VERSION : id;
}

}  // namespace

std::filesystem::path default_cache_directory() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache == '/')
    return std::filesystem::path(cache) / "motet";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/')
    return std::filesystem::path(home) / ".cache" / "motet";
  return {};
}

const std::string& environment() {
  static const std::string text =
      cpu_name() + "\n" + ops::onednn::isa_name() + "\n" + ops::onednn::version() + "\n" + build_id();
  return text;
}

}  // namespace motet::engine
