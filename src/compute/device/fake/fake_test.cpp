#include "compute/device/fake/fake.h"

#include <gtest/gtest.h>

#include <set>

namespace motet::device {
namespace {

TEST(FakeTeam, RunsEveryPartOnceAndChargesVirtualTime) {
  FakeClock clock;
  FakeTeam team(2, Nanos::from_micros(100), 7, clock);
  std::set<int> seen;
  auto body = [&](int part, int parts) {
    EXPECT_EQ(parts, 5);
    EXPECT_TRUE(seen.insert(part).second);
  };
  team.run(5, PartFunction(body));
  EXPECT_EQ(seen.size(), 5u);
  ASSERT_EQ(team.runs().size(), 1u);
  EXPECT_EQ(team.runs()[0].width, 2);
  EXPECT_GT(team.runs()[0].took.value, 0);
  EXPECT_EQ(clock.now(), team.runs()[0].took);
}

TEST(FakeTeam, SameSeedSameTimes) {
  FakeClock a_clock;
  FakeClock b_clock;
  FakeTeam a(3, Nanos::from_micros(10), 11, a_clock);
  FakeTeam b(3, Nanos::from_micros(10), 11, b_clock);
  auto body = [](int, int) {};
  for (int i = 0; i < 50; ++i) {
    a.run(4, PartFunction(body));
    b.run(4, PartFunction(body));
    EXPECT_EQ(a_clock.now(), b_clock.now());
  }
}

TEST(FakeTeam, ShrinksAndGrowsBetweenRuns) {
  FakeClock clock;
  FakeTeam team(4, Nanos(0), 3, clock);
  team.resize_at_random(4);
  std::set<int> widths;
  auto body = [](int, int) {};
  for (int i = 0; i < 100; ++i) {
    team.run(8, PartFunction(body));
    widths.insert(team.width());
  }
  EXPECT_EQ(widths, (std::set<int>{1, 2, 3, 4}));
  EXPECT_EQ(team.parts_run(), 800);
}

TEST(FakePool, KeepsTheOrderOfOneWorker) {
  FakePool pool(2, 5);
  struct Note {
    std::vector<int>* order;
    int number;
  };
  std::vector<int> first;
  std::vector<int> second;
  std::vector<Note> notes;
  for (int i = 0; i < 10; ++i) notes.push_back({i % 2 == 0 ? &first : &second, i});
  auto run = [](void* argument) {
    auto* note = static_cast<Note*>(argument);
    note->order->push_back(note->number);
  };
  for (Note& note : notes) pool.submit(note.number % 2, {run, &note});
  EXPECT_EQ(pool.drain(), 10);
  EXPECT_EQ(first, (std::vector<int>{0, 2, 4, 6, 8}));
  EXPECT_EQ(second, (std::vector<int>{1, 3, 5, 7, 9}));
}

}  // namespace
}  // namespace motet::device
