#include "compute/device/cpu_budget.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>

namespace motet::device {
namespace {

namespace fs = std::filesystem;

// A machine made of files, gone when the test ends.
class CpuBudgetTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("motet-cpu-budget-" + std::to_string(std::random_device{}()));
    fs::create_directories(root_);
  }
  void TearDown() override { fs::remove_all(root_); }
  void file(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text << "\n";
  }
  void mount_v2(const std::string& mounted_root = "/") {
    file("proc/self/mountinfo", "30 23 0:26 " + mounted_root + " /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate");
  }
  CpuBudget read(int cpus) {
    std::vector<int> affinity;
    for (int cpu = 0; cpu < cpus; ++cpu) affinity.push_back(cpu);
    return read_cpu_budget(root_.string(), affinity);
  }
  fs::path root_;
};

TEST_F(CpuBudgetTest, WithoutCgroupsEveryCpuHasAWorker) {
  CpuBudget budget = read(6);
  EXPECT_EQ(budget.workers, 6);
  EXPECT_EQ(budget.quota_cores, 0);
  EXPECT_FALSE(budget.fractional);
  EXPECT_EQ(budget.describe(), "6 workers: may run on 6 CPUs, no cgroup quota");
}

TEST_F(CpuBudgetTest, V2TakesTheLeastQuotaAlongThePath) {
  mount_v2();
  file("proc/self/cgroup", "0::/slice/pod/box");
  file("sys/fs/cgroup/slice/cpu.max", "250000 100000");
  file("sys/fs/cgroup/slice/pod/cpu.max", "400000 100000");
  file("sys/fs/cgroup/slice/pod/box/cpu.max", "max 100000");
  CpuBudget budget = read(8);
  EXPECT_DOUBLE_EQ(budget.quota_cores, 2.5);
  EXPECT_EQ(budget.workers, 2);
  EXPECT_TRUE(budget.fractional);
  EXPECT_NE(budget.describe().find("2.50 cores; the quota is not whole"), std::string::npos);
}

TEST_F(CpuBudgetTest, V2WholeQuotaIsNotFractional) {
  mount_v2();
  file("proc/self/cgroup", "0::/");
  file("sys/fs/cgroup/cpu.max", "200000 100000");
  CpuBudget budget = read(4);
  EXPECT_EQ(budget.workers, 2);
  EXPECT_FALSE(budget.fractional);
}

TEST_F(CpuBudgetTest, LessThanOneCoreIsOneWorkerThatSleeps) {
  mount_v2();
  file("proc/self/cgroup", "0::/");
  file("sys/fs/cgroup/cpu.max", "50000 100000");
  CpuBudget budget = read(4);
  EXPECT_EQ(budget.workers, 1);
  EXPECT_TRUE(budget.fractional);
}

TEST_F(CpuBudgetTest, QuotaAboveTheAffinityDoesNotLimit) {
  mount_v2();
  file("proc/self/cgroup", "0::/");
  file("sys/fs/cgroup/cpu.max", "350000 100000");
  CpuBudget budget = read(3);
  EXPECT_EQ(budget.workers, 3);
  EXPECT_FALSE(budget.fractional);
}

TEST_F(CpuBudgetTest, V2InAContainerThatSeesOnlyItsOwnFolder) {
  mount_v2("/docker/abc");
  file("proc/self/cgroup", "0::/docker/abc/inner");
  file("sys/fs/cgroup/cpu.max", "300000 100000");
  file("sys/fs/cgroup/inner/cpu.max", "150000 100000");
  EXPECT_DOUBLE_EQ(read(8).quota_cores, 1.5);
  file("proc/self/cgroup", "0::/elsewhere");
  EXPECT_DOUBLE_EQ(read(8).quota_cores, 3.0);
}

TEST_F(CpuBudgetTest, V1ReadsTheCpuControllersQuota) {
  file("proc/self/mountinfo",
       "30 23 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
       "31 23 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct");
  file("proc/self/cgroup", "5:memory:/other\n4:cpu,cpuacct:/job");
  file("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1");
  file("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "350000");
  file("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000");
  CpuBudget budget = read(16);
  EXPECT_DOUBLE_EQ(budget.quota_cores, 3.5);
  EXPECT_EQ(budget.workers, 3);
}

TEST_F(CpuBudgetTest, NonsenseInTheFilesIsNoLimit) {
  mount_v2();
  file("proc/self/cgroup", "not a cgroup line");
  for (const char* text : {"", "many 100000", "100000", "100000 0", "-5 100000", "99999999999999999999 100000"}) {
    file("sys/fs/cgroup/cpu.max", text);
    EXPECT_EQ(read(4).workers, 4) << text;
  }
}

TEST_F(CpuBudgetTest, PhysicalCoresComeBeforeTheirSiblings) {
  for (int cpu = 0; cpu < 8; ++cpu) {
    int core = cpu % 4;
    file("sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list",
         std::to_string(core) + "," + std::to_string(core + 4));
  }
  EXPECT_EQ(read_cpu_budget(root_.string(), {0, 4, 1, 5, 6, 2}).cpus, (std::vector<int>{0, 1, 6, 4, 5, 2}));
}

TEST(CpuList, ReadsRangesAndStopsAtNonsense) {
  EXPECT_EQ(parse_cpu_list("0-2,5,7-8"), (std::vector<int>{0, 1, 2, 5, 7, 8}));
  EXPECT_EQ(parse_cpu_list(""), std::vector<int>{});
  EXPECT_EQ(parse_cpu_list("3,x,4"), std::vector<int>{3});
  EXPECT_EQ(parse_cpu_list("5-2"), std::vector<int>{});
  EXPECT_EQ(parse_cpu_list("0-99999999"), std::vector<int>{});
}

TEST(CpuBudgetOfThisMachine, HasAtLeastOneWorker) {
  CpuBudget budget = read_cpu_budget();
  EXPECT_GE(budget.workers, 1);
  EXPECT_GE(static_cast<int>(budget.cpus.size()), budget.workers);
}

}  // namespace
}  // namespace motet::device
