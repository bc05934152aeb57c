#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <set>
#include <thread>

#include "compute/device/fake/fake.h"
#include "compute/device/region.h"
#include "compute/device/team.h"
#include "compute/device/test_pool.h"

// What a program compiled for OpenMP calls.
extern "C" {
void GOMP_parallel(void (*function)(void*), void* data, unsigned threads, unsigned flags);
void GOMP_barrier();
int omp_get_max_threads();
int omp_get_num_threads();
int omp_get_thread_num();
int omp_in_parallel();
void omp_set_num_threads(int width);
}

namespace motet::device {
namespace {

struct Seen {
  std::array<std::atomic<int>, 16> hits{};
  std::atomic<int> count{0};
  std::atomic<int> bad{0};
};

void note_part(void* data) {
  auto* seen = static_cast<Seen*>(data);
  int part = omp_get_thread_num();
  if (omp_in_parallel() != 1 || part < 0 || part >= omp_get_num_threads()) seen->bad.fetch_add(1);
  seen->hits[static_cast<size_t>(part)].fetch_add(1);
  seen->count.fetch_add(1);
}

TEST(GompShim, WithoutATeamPartsRunOnTheCaller) {
  Seen seen;
  GOMP_parallel(note_part, &seen, 5, 0);
  EXPECT_EQ(seen.count.load(), 5);
  EXPECT_EQ(seen.bad.load(), 0);
  EXPECT_EQ(omp_in_parallel(), 0);
  EXPECT_EQ(omp_get_num_threads(), 1);
}

TEST(GompShim, PartsOutnumberCores) {
  auto pool = make_test_pool(2);
  OnWorker lead(*pool, 0, [&] {
    auto team = PoolTeam::create(*pool, 0, pool->cores());
    TeamScope scope(*team);
    for (unsigned parts = 2; parts <= 16; ++parts) {
      Seen seen;
      GOMP_parallel(note_part, &seen, parts, 0);
      EXPECT_EQ(seen.bad.load(), 0);
      for (unsigned part = 0; part < 16; ++part) EXPECT_EQ(seen.hits[part].load(), part < parts ? 1 : 0);
    }
  });
}

TEST(GompShim, AnswersTheCompileWidthOfTheThread) {
  EXPECT_GE(omp_get_max_threads(), 1);
  set_compile_width(6);
  EXPECT_EQ(omp_get_max_threads(), 6);
  Seen seen;
  GOMP_parallel(note_part, &seen, 0, 0);
  EXPECT_EQ(seen.count.load(), 6);
  omp_set_num_threads(2);
  EXPECT_EQ(omp_get_max_threads(), 2);
  std::thread([] { EXPECT_EQ(omp_get_max_threads(), 1); }).join();
  set_compile_width(1);
  auto pool = make_test_pool(3);
  OnWorker look(*pool, 1, [] { EXPECT_EQ(omp_get_max_threads(), 3); });
}

void nested_region(void* data) {
  GOMP_parallel(
      [](void* inner) {
        auto* count = static_cast<std::atomic<int>*>(inner);
        EXPECT_EQ(omp_get_num_threads(), 1);
        EXPECT_EQ(omp_get_thread_num(), 0);
        EXPECT_EQ(omp_in_parallel(), 1);
        count->fetch_add(1);
      },
      data, 4, 0);
}

TEST(GompShim, NestedRegionsHaveOneThread) {
  std::atomic<int> count{0};
  GOMP_parallel(nested_region, &count, 3, 0);
  EXPECT_EQ(count.load(), 3);
}

struct Phases {
  std::array<std::atomic<int>, 4> arrived{};
  std::atomic<int> bad{0};
};

void barrier_body(void* data) {
  auto* phases = static_cast<Phases*>(data);
  for (auto& phase : phases->arrived) {
    phase.fetch_add(1);
    GOMP_barrier();
    if (phase.load() != omp_get_num_threads()) phases->bad.fetch_add(1);
  }
}

TEST(GompShim, BarrierHoldsWhenEveryPartHasACore) {
  auto pool = make_test_pool(3);
  OnWorker lead(*pool, 0, [&] {
    auto team = PoolTeam::create(*pool, 0, pool->cores());
    TeamScope scope(*team);
    for (int round = 0; round < 200; ++round) {
      Phases phases;
      GOMP_parallel(barrier_body, &phases, 3, 0);
      EXPECT_EQ(phases.bad.load(), 0);
    }
  });
}

TEST(GompShim, BarrierOutsideARegionIsNothing) {
  BarrierCount count;
  GOMP_barrier();
  EXPECT_FALSE(count.met());
}

TEST(GompShimDeathTest, BarrierAmongPartsThatShareAThreadSaysSo) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_DEATH(
      {
        Phases phases;
        GOMP_parallel(barrier_body, &phases, 2, 0);
      },
      "run this primitive as wide as it was made");
}

TEST(GompShim, RegionsLandOnTheBoundTeamAndOnlyWhileBound) {
  FakeClock clock;
  FakeTeam outer(2, Nanos(0), 1, clock);
  FakeTeam inner(4, Nanos(0), 2, clock);
  Seen seen;
  {
    TeamScope first(outer);
    {
      TeamScope second(inner);
      GOMP_parallel(note_part, &seen, 7, 0);
    }
    GOMP_parallel(note_part, &seen, 3, 0);
  }
  GOMP_parallel(note_part, &seen, 2, 0);
  EXPECT_EQ(inner.parts_run(), 7);
  EXPECT_EQ(outer.parts_run(), 3);
  EXPECT_EQ(seen.bad.load(), 0);
}

}  // namespace
}  // namespace motet::device
