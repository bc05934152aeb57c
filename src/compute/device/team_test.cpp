#include "compute/device/team.h"

#include <gtest/gtest.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <thread>
#include <vector>

#include "base/random.h"
#include "compute/device/test_pool.h"

namespace motet::device {
namespace {

TEST(SerialTeam, RunsEveryPartInOrder) {
  std::vector<int> seen;
  auto body = [&](int part, int parts) {
    EXPECT_EQ(parts, 4);
    seen.push_back(part);
  };
  Team::serial().run(4, PartFunction(body));
  EXPECT_EQ(seen, (std::vector<int>{0, 1, 2, 3}));
}

TEST(Team, RangesCoverEverythingOnce) {
  auto pool = make_test_pool(3);
  OnWorker check(*pool, 0, [&] {
    auto team = PoolTeam::create(*pool, 0, pool->cores());
    for (int64_t count : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> hits(static_cast<size_t>(count));
      team->for_range(count, 3, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) hits[static_cast<size_t>(i)].fetch_add(1);
      });
      for (auto& hit : hits) EXPECT_EQ(hit.load(), 1);
    }
  });
}

TEST(PoolTeam, ThousandsOfRandomForksRunEveryPartOnce) {
  auto pool = make_test_pool(4, 50);
  OnWorker check(*pool, 2, [&] {
    Random random(1, "forks");
    auto team = PoolTeam::create(*pool, 2, CoreSet::single(2));
    for (int round = 0; round < 4000; ++round) {
      CoreSet cores = CoreSet::single(2);
      for (int core = 0; core < 4; ++core) {
        if (random.chance(0.6)) cores.add(core);
      }
      team->resize(cores);
      EXPECT_EQ(team->width(), cores.size());
      int parts = static_cast<int>(random.between(1, 9));
      std::array<std::atomic<int>, 9> hits{};
      int64_t plain[9] = {};  // written by whoever runs the part, read by the leader: ordering is the team's duty
      auto body = [&](int part, int count) {
        EXPECT_EQ(count, parts);
        hits[static_cast<size_t>(part)].fetch_add(1, std::memory_order_relaxed);
        plain[part] = part + round;
      };
      team->run(parts, PartFunction(body));
      for (int part = 0; part < parts; ++part) {
        EXPECT_EQ(hits[static_cast<size_t>(part)].load(std::memory_order_relaxed), 1);
        EXPECT_EQ(plain[part], part + round);
      }
    }
  });
}

// Parts only ever run on the team's own workers.
TEST(PoolTeam, DisjointTeamsNeverTouchEachOthersCores) {
  auto pool = make_test_pool(4, 20);
  std::array<std::thread::id, 4> ids;
  for (int core = 0; core < 4; ++core) {
    OnWorker name(*pool, core, [&, core] { ids[static_cast<size_t>(core)] = std::this_thread::get_id(); });
  }
  auto drive = [&](int leader, CoreSet cores) {
    auto team = PoolTeam::create(*pool, leader, cores);
    for (int round = 0; round < 3000; ++round) {
      auto body = [&](int, int) {
        bool mine = false;
        for (int core = cores.next(0); core >= 0; core = cores.next(core + 1)) {
          mine = mine || ids[static_cast<size_t>(core)] == std::this_thread::get_id();
        }
        EXPECT_TRUE(mine);
      };
      team->run(2 + round % 3, PartFunction(body));
    }
  };
  OnWorker left(*pool, 0, [&] { drive(0, CoreSet::range(0, 2)); });
  OnWorker right(*pool, 3, [&] { drive(3, CoreSet::range(2, 2)); });
}

// A worker helps one leader, then leads, then helps another.
TEST(PoolTeam, WorkersAreHandedFromLeaderToLeader) {
  auto pool = make_test_pool(3, 10);
  std::atomic<int64_t> total{0};
  for (int round = 0; round < 600; ++round) {
    int leader = round % 3;
    OnWorker lead(*pool, leader, [&] {
      auto team = PoolTeam::create(*pool, leader, pool->cores());
      auto body = [&](int part, int) { total.fetch_add(part, std::memory_order_relaxed); };
      team->run(6, PartFunction(body));
    });
  }
  EXPECT_EQ(total.load(), 600 * 15);
}

// A helper that is still busy with its own task holds up nobody: the leader does the parts itself.
TEST(PoolTeam, ABusyHelperIsNotWaitedFor) {
  auto pool = make_test_pool(2);
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  OnWorker busy(*pool, 1, [&] { released.wait(); });
  int ran = 0;
  {
    OnWorker lead(*pool, 0, [&] {
      auto team = PoolTeam::create(*pool, 0, pool->cores());
      std::thread::id self = std::this_thread::get_id();
      auto body = [&](int, int) {
        EXPECT_EQ(std::this_thread::get_id(), self);
        ++ran;
      };
      team->run(4, PartFunction(body));
    });
  }
  EXPECT_EQ(ran, 4);
  release.set_value();
}

TEST(PoolTeam, NestedRunsStayOnTheirCaller) {
  auto pool = make_test_pool(3);
  OnWorker lead(*pool, 0, [&] {
    auto team = PoolTeam::create(*pool, 0, pool->cores());
    std::atomic<int> inner{0};
    auto outer_body = [&](int, int) {
      std::thread::id self = std::this_thread::get_id();
      auto inner_body = [&](int, int) {
        EXPECT_EQ(std::this_thread::get_id(), self);
        inner.fetch_add(1);
      };
      team->run(5, PartFunction(inner_body));
    };
    team->run(3, PartFunction(outer_body));
    EXPECT_EQ(inner.load(), 15);
  });
}

TEST(PoolTeam, ConcurrentOnlyWhenEveryPartHasAThread) {
  auto pool = make_test_pool(2);
  OnWorker lead(*pool, 0, [&] {
    auto team = PoolTeam::create(*pool, 0, pool->cores());
    EXPECT_TRUE(team->concurrent(2));
    EXPECT_FALSE(team->concurrent(3));
    team->resize(CoreSet::single(0));
    EXPECT_FALSE(team->concurrent(2));
    EXPECT_FALSE(Team::serial().concurrent(2));
  });
}

TEST(PoolTeamDeathTest, RefusesWhatBreaksIt) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_DEATH(
      {
        auto pool = make_test_pool(2);
        PoolTeam::create(*pool, 0, pool->cores());
      },
      "created by its leader");
  EXPECT_DEATH(
      {
        auto pool = make_test_pool(2);
        OnWorker lead(*pool, 0, [&] { PoolTeam::create(*pool, 0, CoreSet::single(1)); });
      },
      "keeps its leader");
  EXPECT_DEATH(
      {
        auto pool = make_test_pool(2);
        OnWorker lead(*pool, 0, [&] { PoolTeam::create(*pool, 0, CoreSet::range(0, 3)); });
      },
      "cores are the pool's");
}

// CPU time of every thread of this process that is a pool worker, by the CPU it is pinned to, from /proc.
std::map<int, int64_t> worker_ticks_by_cpu() {
  std::map<int, int64_t> ticks;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream file(task.path() / "stat");
    std::string line;
    std::getline(file, line);
    size_t close = line.rfind(')');
    if (close == std::string::npos || line.find("(motet-core-") == std::string::npos) continue;
    std::istringstream fields(line.substr(close + 2));
    std::vector<std::string> words;
    for (std::string word; fields >> word;) words.push_back(word);
    if (words.size() < 37) continue;
    // proc(5): after the name come field 3 onwards; utime is 14, stime 15, processor 39.
    ticks[std::stoi(words[36])] += std::stoll(words[11]) + std::stoll(words[12]);
  }
  return ticks;
}

TEST(PoolTeam, CpuTimeStaysOnTheTeamsCpus) {
  Result<std::unique_ptr<Pool>> created = Pool::create({});
  ASSERT_TRUE(created.ok()) << created.error().message;
  Pool& pool = **created;
  if (pool.size() < 2) GTEST_SKIP() << "needs two CPUs, this process has one";
  int64_t outside_before = pool.busy_ns(1);
  int64_t ticks_before = worker_ticks_by_cpu()[pool.cpu_of(1)];
  {
    OnWorker lead(pool, 0, [&] {
      auto team = PoolTeam::create(pool, 0, CoreSet::single(0));
      auto body = [](int, int) {
        volatile int64_t sum = 0;
        for (int64_t i = 0; i < 10'000; ++i) sum = sum + i;
      };
      int64_t start = pool.busy_ns(0);
      while (pool.busy_ns(0) - start < 60'000'000) team->run(8, PartFunction(body));
    });
  }
  EXPECT_GE(worker_ticks_by_cpu()[pool.cpu_of(0)], 3);
  EXPECT_LE(worker_ticks_by_cpu()[pool.cpu_of(1)] - ticks_before, 1);
  EXPECT_LT(pool.busy_ns(1) - outside_before, 20'000'000);
}

}  // namespace
}  // namespace motet::device
