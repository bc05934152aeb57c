#include "brain/fleet/eviction.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace motet::brain {
namespace {

Resident resident(uint64_t id, int64_t bytes, int64_t load_ms, double per_s) {
  return {InstanceId(id), 1, Bytes(bytes), Nanos::from_millis(load_ms), per_s};
}

std::vector<uint64_t> ids(const std::vector<Resident>& list) {
  std::vector<uint64_t> out;
  for (const Resident& r : list) out.push_back(r.instance.value);
  return out;
}

using Ids = std::vector<uint64_t>;

TEST(Eviction, DropsTheLeastAskedFor) {
  std::vector<Resident> all = {resident(1, 100, 10, 5), resident(2, 100, 10, 1), resident(3, 100, 10, 3)};
  EXPECT_EQ(ids(choose_victims(all, Bytes(1))), Ids({2}));
  EXPECT_EQ(ids(choose_victims(all, Bytes(101))), Ids({2, 3}));
}

TEST(Eviction, DropsWhatLoadsFastestAndWhatTakesMost) {
  std::vector<Resident> by_time = {resident(1, 100, 50, 1), resident(2, 100, 5, 1)};
  EXPECT_EQ(ids(choose_victims(by_time, Bytes(100))), Ids({2}));
  std::vector<Resident> by_bytes = {resident(1, 100, 10, 1), resident(2, 1000, 10, 1)};
  EXPECT_EQ(ids(choose_victims(by_bytes, Bytes(100))), Ids({2}));
}

TEST(Eviction, OfWhatLoadsQuicklyTheSizeDoesNotCount) {
  std::vector<Resident> all = {resident(1, 10'000'000, 5, 1.0), resident(2, 40'000'000, 3, 1.2)};
  EXPECT_EQ(ids(choose_victims(all, Bytes(1))), Ids({1}));
  all[0].load_time = Nanos::from_millis(100);  // that takes longer than bringing in its bytes
  EXPECT_EQ(ids(choose_victims(all, Bytes(1))), Ids({2}));
}

TEST(Eviction, KeepsWhatIsNotNeededInTheEnd) {
  // 1 and 2 go first, and are not needed once 3 has to go anyway.
  std::vector<Resident> all = {resident(1, 10, 1, 0.01), resident(2, 20, 1, 0.1), resident(3, 1000, 100, 10)};
  EXPECT_EQ(ids(choose_victims(all, Bytes(1000))), Ids({3}));
  EXPECT_EQ(ids(choose_victims(all, Bytes(1015))), Ids({2, 3}));
  EXPECT_EQ(ids(choose_victims(all, Bytes(1025))), Ids({1, 2, 3}));
}

TEST(Eviction, DropsNothingWhereAllIsNotEnough) {
  std::vector<Resident> all = {resident(1, 10, 1, 1), resident(2, 10, 1, 1)};
  EXPECT_TRUE(choose_victims(all, Bytes(21)).empty());
  EXPECT_TRUE(choose_victims({}, Bytes(1)).empty());
  EXPECT_TRUE(choose_victims(all, Bytes(0)).empty());
}

TEST(Eviction, EqualsGoByName) {
  std::vector<Resident> all = {resident(3, 10, 1, 1), resident(1, 10, 1, 1), resident(2, 10, 1, 1)};
  EXPECT_EQ(ids(choose_victims(all, Bytes(20))), Ids({1, 2}));
}

TEST(Eviction, FreesEnoughAndNothingInVain) {
  Random random(1, "eviction");
  for (int round = 0; round < 500; ++round) {
    std::vector<Resident> all;
    Bytes total;
    for (int64_t i = random.between(0, 20); i > 0; --i) {
      all.push_back(
          resident(static_cast<uint64_t>(i), random.between(0, 1000), random.between(0, 100), random.uniform() * 10));
      total += all.back().bytes;
    }
    Bytes needed(random.between(1, 3000));
    auto victims = choose_victims(all, needed);
    if (needed > total) {
      EXPECT_TRUE(victims.empty());
      continue;
    }
    Bytes freed;
    for (const Resident& v : victims) freed += v.bytes;
    EXPECT_GE(freed, needed);
    for (const Resident& v : victims) EXPECT_LT(freed - v.bytes, needed);
  }
}

}  // namespace
}  // namespace motet::brain
