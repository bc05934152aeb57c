// The parts of read_cpu_budget() that depend on files, with their root folder as an argument, so that tests can show
// them a machine of their own. Any thread; unreadable files mean "no limit known".
#pragma once

#include <string>
#include <vector>

#include "compute/device/pool.h"

namespace motet::device {

// `affinity`: CPUs that the process may run on. Files are read under `root`: proc/self/cgroup, proc/self/mountinfo, the
// cgroup file systems these name, and sys/devices/system/cpu. The CPUs of the answer are in the order in which workers
// take them: one of every physical core first, then their siblings.
CpuBudget read_cpu_budget(const std::string& root, const std::vector<int>& affinity);

// The cgroup quota in cores, the least along the path to the root of the hierarchy, v1 or v2; 0 when unlimited.
double read_cpu_quota(const std::string& root);

// "0-2,5" as numbers; what is malformed ends the list.
std::vector<int> parse_cpu_list(const std::string& text);

}  // namespace motet::device
