#include "compute/device/slice_team.h"

#include <gtest/gtest.h>

#include <set>
#include <utility>

#include "base/clock.h"
#include "compute/device/fake/fake.h"
#include "compute/device/test_pool.h"

extern "C" {
void GOMP_parallel(void (*function)(void*), void* data, unsigned threads, unsigned flags);
void GOMP_barrier();
int omp_get_num_threads();
int omp_get_thread_num();
}

namespace motet::device {
namespace {

using Done = std::vector<std::pair<int, int>>;  // (region, part), in the order in which they ran

// Two stages: two regions of up to five parts, then work of its own thread.
void work(Team& team, Done& done) {
  if (team.begin_stage()) {
    team.for_range(5, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) done.emplace_back(0, static_cast<int>(i));
    });
    team.for_range(2, 1, [&](int64_t begin, int64_t) { done.emplace_back(1, static_cast<int>(begin)); });
  }
  if (team.begin_stage()) done.emplace_back(2, 0);
}

UnitTable table_of(int parts) {
  SteadyClock clock;
  SurveyTeam survey(parts, clock);
  Done done;
  work(survey, done);
  survey.finish();
  EXPECT_EQ(survey.times().size(), static_cast<size_t>(survey.table().total));
  return survey.table();
}

TEST(SliceTeam, TheSurveyCountsUnitsByStage) {
  UnitTable table = table_of(3);
  ASSERT_EQ(table.stages.size(), 2u);
  EXPECT_EQ(table.stages[0].units, 5);  // three parts and two
  EXPECT_FALSE(table.stages[0].serial);
  EXPECT_TRUE(table.stages[1].serial);
  EXPECT_EQ(table.total, 6);
  EXPECT_EQ(table_of(1).total, 3);
}

TEST(SliceTeam, AnyCutsIntoSlicesDoAllTheWorkOnceInOrder) {
  for (int parts : {1, 2, 3, 7}) {
    UnitTable table = table_of(parts);
    Done whole;
    SliceTeam all(Team::serial(), parts);
    work(all, whole);
    for (int cuts = 0; cuts < 1 << (table.total - 1); ++cuts) {
      Done done;
      SliceTeam team(Team::serial(), parts);
      for (int first = 0, last = 1; last <= table.total; ++last) {
        if (last < table.total && (cuts & 1 << (last - 1)) == 0) continue;
        team.select(table, first, last);
        work(team, done);
        first = last;
      }
      EXPECT_EQ(done, whole) << parts << " parts, cuts " << cuts;
    }
  }
}

TEST(SliceTeam, PartsKeepTheirNumbersOnAnyCores) {
  auto pool = make_test_pool(2);
  OnWorker lead(*pool, 0, [&] {
    auto cores = PoolTeam::create(*pool, 0, pool->cores());
    SliceTeam team(*cores, 6);
    TeamScope scope(team);
    UnitTable table{.stages = {{.first = 0, .units = 6, .serial = false}}, .total = 6};
    std::array<std::atomic<int>, 6> hits{};
    auto region = [](void* data) {
      auto& counts = *static_cast<std::array<std::atomic<int>, 6>*>(data);
      EXPECT_EQ(omp_get_num_threads(), 6);
      counts[static_cast<size_t>(omp_get_thread_num())].fetch_add(1);
    };
    for (auto [first, last] : {std::pair(0, 1), std::pair(1, 4), std::pair(4, 6)}) {
      team.select(table, first, last);
      GOMP_parallel(region, &hits, 6, 0);
      for (int part = 0; part < 6; ++part) EXPECT_EQ(hits[static_cast<size_t>(part)].load(), part < last ? 1 : 0);
    }
  });
}

TEST(SliceTeam, ACallThatIsAskedToEndHasRunAllUnitsBeforeWhereItEnds) {
  auto pool = make_test_pool(2);
  OnWorker lead(*pool, 0, [&] {
    auto cores = PoolTeam::create(*pool, 0, pool->cores());
    for (int ask_at = 0; ask_at < 24; ++ask_at) {
      for (int width : {1, 2}) {
        Team& on = width == 1 ? Team::serial() : *cores;
        SliceTeam team(on, 24);
        UnitTable table{.stages = {{.first = 0, .units = 24, .serial = false}}, .total = 24};
        std::array<std::atomic<int>, 24> hits{};
        Stop stop{0};
        auto part = [&](int i, int) {
          hits[static_cast<size_t>(i)].fetch_add(1);
          if (i == ask_at) stop.store(1);
        };
        constexpr int kLeast = 8;
        team.select(table, 2, kLeast, stop);
        team.run(24, PartFunction(part));
        const int reached = team.reached();
        EXPECT_GE(reached, kLeast);
        if (ask_at < 2) EXPECT_EQ(reached, 24) << "none asked";
        if (width == 1 && ask_at >= 2) EXPECT_EQ(reached, std::max(kLeast, ask_at + 1));
        for (int i = 0; i < 24; ++i) EXPECT_EQ(hits[static_cast<size_t>(i)].load(), i >= 2 && i < reached ? 1 : 0);
        if (reached == 24) continue;
        team.select(table, reached, reached + 1, kGoOn);
        team.run(24, PartFunction(part));
        EXPECT_EQ(team.reached(), 24);
        for (int i = 2; i < 24; ++i) EXPECT_EQ(hits[static_cast<size_t>(i)].load(), 1);
      }
    }
  });
}

TEST(SliceTeam, ACallMayEndBetweenStages) {
  const UnitTable table = table_of(3);
  Done whole, done;
  SliceTeam all(Team::serial(), 3);
  work(all, whole);
  SliceTeam team(Team::serial(), 3);
  for (int first = 0; first < table.total; first = team.reached()) {
    team.select(table, first, first + 1, kAtOnce);
    work(team, done);
    EXPECT_EQ(team.reached(), first + 1);
  }
  EXPECT_EQ(done, whole);
}

TEST(SliceTeam, BarriersAreFoundWithoutThreads) {
  SteadyClock clock;
  for (bool barrier : {false, true}) {
    SurveyTeam survey(4, clock);
    TeamScope scope(survey);
    bool flag = barrier;
    GOMP_parallel(
        [](void* data) {
          if (*static_cast<bool*>(data)) GOMP_barrier();
        },
        &flag, 4, 0);
    survey.finish();
    EXPECT_EQ(survey.met_barrier(), barrier);
    EXPECT_EQ(survey.table().total, 4);
  }
}

}  // namespace
}  // namespace motet::device
