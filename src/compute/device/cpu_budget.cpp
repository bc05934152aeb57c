#include "compute/device/cpu_budget.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>
#include <thread>

namespace motet::device {

namespace {

std::optional<std::string> read_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!file || !std::getline(file, line)) return std::nullopt;
  return line;
}

std::optional<int64_t> parse_number(const std::string& text) {
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

// quota / period in cores; 0 when either says "no limit".
double cores_of(std::optional<int64_t> quota_us, std::optional<int64_t> period_us) {
  if (!quota_us || !period_us || *quota_us <= 0 || *period_us <= 0) return 0;
  return static_cast<double>(*quota_us) / static_cast<double>(*period_us);
}

// cgroup v2: "max 100000" or "150000 100000".
double quota_v2(const std::string& folder) {
  std::istringstream words(read_line(folder + "/cpu.max").value_or(""));
  std::string quota;
  std::string period;
  words >> quota >> period;
  return cores_of(parse_number(quota), parse_number(period));
}

double quota_v1(const std::string& folder) {
  return cores_of(parse_number(read_line(folder + "/cpu.cfs_quota_us").value_or("")),
                  parse_number(read_line(folder + "/cpu.cfs_period_us").value_or("")));
}

bool has_word(const std::string& list, const std::string& word) {
  std::istringstream words(list);
  for (std::string w; std::getline(words, w, ',');) {
    if (w == word) return true;
  }
  return false;
}

// A mounted cgroup hierarchy with the cpu controller.
struct Hierarchy {
  bool v2 = false;
  std::string mounted_root;  // which folder of the hierarchy is mounted
  std::string mount_point;
};

// proc/self/mountinfo: "36 35 0:31 /root /mount/point opts - cgroup2 source superopts" (proc(5)).
std::vector<Hierarchy> read_hierarchies(const std::string& root) {
  std::vector<Hierarchy> found;
  std::ifstream file(root + "/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::istringstream left(line.substr(0, dash));
    std::istringstream right(line.substr(dash + 3));
    std::string id;
    std::string parent;
    std::string device;
    Hierarchy h;
    left >> id >> parent >> device >> h.mounted_root >> h.mount_point;
    std::string type;
    std::string source;
    std::string options;
    right >> type >> source >> options;
    h.v2 = type == "cgroup2";
    if (h.v2 || (type == "cgroup" && has_word(options, "cpu"))) found.push_back(h);
  }
  return found;
}

// This process's folder in the hierarchy, from proc/self/cgroup: "0::/path" (v2) or "4:cpu,cpuacct:/path" (v1).
std::string own_path(const std::string& root, bool v2) {
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    size_t first = line.find(':');
    size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    std::string controllers = line.substr(first + 1, second - first - 1);
    if (v2 ? controllers.empty() : has_word(controllers, "cpu")) return line.substr(second + 1);
  }
  return "/";
}

// The path below the mount point, "" or "/a/b"; "" when it lies outside of what is mounted (a container without a
// cgroup namespace of its own sees only its own folder).
std::string below_mount(const Hierarchy& h, std::string path) {
  if (h.mounted_root != "/") {
    bool inside = path == h.mounted_root || path.starts_with(h.mounted_root + "/");
    if (!inside) return "";
    path.erase(0, h.mounted_root.size());
  }
  if (path == "/" || path.find("..") != std::string::npos) return "";
  return path;
}

// One CPU of each physical core first, in order of number.
std::vector<int> spread_over_cores(const std::string& root, const std::vector<int>& affinity) {
  std::vector<int> first;
  std::vector<int> siblings;
  std::set<int> taken;
  for (int cpu : affinity) {
    (taken.contains(cpu) ? siblings : first).push_back(cpu);
    std::string folder = root + "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
    for (int sibling : parse_cpu_list(read_line(folder + "thread_siblings_list").value_or(""))) taken.insert(sibling);
  }
  first.insert(first.end(), siblings.begin(), siblings.end());
  return first;
}

std::vector<int> read_affinity() {
  std::vector<int> cpus;
  for (size_t most = CoreSet::kMaxCores; most <= 65536 && cpus.empty();
       most *= 2) {  // EINVAL if the kernel has more CPUs
    cpu_set_t* set = CPU_ALLOC(most);
    size_t bytes = CPU_ALLOC_SIZE(most);
    CPU_ZERO_S(bytes, set);
    if (sched_getaffinity(0, bytes, set) == 0) {
      for (size_t cpu = 0; cpu < most; ++cpu) {
        if (CPU_ISSET_S(cpu, bytes, set)) cpus.push_back(static_cast<int>(cpu));
      }
    }
    CPU_FREE(set);
  }
  if (cpus.empty()) {
    for (int cpu = 0; cpu < std::max(1, static_cast<int>(std::thread::hardware_concurrency())); ++cpu)
      cpus.push_back(cpu);
  }
  return cpus;
}

}  // namespace

std::vector<int> parse_cpu_list(const std::string& text) {
  std::vector<int> cpus;
  std::istringstream ranges(text);
  for (std::string range; std::getline(ranges, range, ',');) {
    std::optional<int64_t> low = parse_number(range);
    size_t dash = range.find('-');
    std::optional<int64_t> high = dash == std::string::npos ? low : parse_number(range.substr(dash + 1));
    if (!low || !high || *low < 0 || *high < *low || *high > 65536) break;
    for (int64_t cpu = *low; cpu <= *high; ++cpu) cpus.push_back(static_cast<int>(cpu));
  }
  return cpus;
}

double read_cpu_quota(const std::string& root) {
  double least = 0;
  for (const Hierarchy& h : read_hierarchies(root)) {
    std::string path = below_mount(h, own_path(root, h.v2));
    std::string folder = root;
    folder.append(h.mount_point).append(path);
    size_t top = folder.size() - path.size();
    for (;;) {
      double cores = h.v2 ? quota_v2(folder) : quota_v1(folder);
      if (cores > 0 && (least == 0 || cores < least)) least = cores;
      if (folder.size() <= top) break;
      folder.erase(std::max(top, folder.rfind('/')));
    }
  }
  return least;
}

CpuBudget read_cpu_budget(const std::string& root, const std::vector<int>& affinity) {
  CpuBudget budget;
  budget.cpus = spread_over_cores(root, affinity);
  budget.quota_cores = read_cpu_quota(root);
  double cpus = static_cast<double>(budget.cpus.size());
  double usable = std::min(cpus, static_cast<double>(CoreSet::kMaxCores));
  bool limited = budget.quota_cores > 0 && budget.quota_cores < usable;
  if (limited) usable = budget.quota_cores;
  budget.workers = std::max(1, static_cast<int>(std::floor(usable)));
  budget.fractional = limited && usable != static_cast<double>(budget.workers);
  return budget;
}

CpuBudget read_cpu_budget() { return read_cpu_budget("", read_affinity()); }

std::string CpuBudget::describe() const {
  std::string text = std::to_string(workers) + (workers == 1 ? " worker" : " workers") + ": may run on " +
                     std::to_string(cpus.size()) + (cpus.size() == 1 ? " CPU" : " CPUs");
  if (quota_cores > 0) {
    std::array<char, 32> cores{};
    std::snprintf(cores.data(), cores.size(), "%.2f", quota_cores);
    text += ", cgroup quota " + std::string(cores.data()) + " cores";
  } else {
    text += ", no cgroup quota";
  }
  if (fractional) text += "; the quota is not whole, so waiting workers sleep instead of spinning";
  return text;
}

}  // namespace motet::device
