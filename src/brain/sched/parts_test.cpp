#include "brain/sched/parts.h"

#include <gtest/gtest.h>

namespace motet::brain {
namespace {

// A fixed cost of 1 ms and 1 ms a row.
std::vector<Program> programs(std::vector<int> sizes) {
  std::vector<Program> all;
  for (int batch : sizes) {
    std::vector<Nanos> predicted = {Nanos::from_millis(1 + batch), Nanos::from_millis(1 + batch) / 2};
    all.push_back({{batch, Bytes(batch * 10), predicted}, ProgramLatency(predicted)});
  }
  return all;
}

std::vector<StartPart> parts(std::vector<int> sizes, int rows, bool padding = false) {
  return plan_parts(programs(std::move(sizes)), rows, 1, true, padding).parts;
}

TEST(Parts, ExactlyOneIfCompiled) {
  EXPECT_EQ(parts({1, 2, 4, 5}, 5), (std::vector<StartPart>{{5, 5}}));
  EXPECT_EQ(parts({1, 2, 4, 8}, 5, true), (std::vector<StartPart>{{4, 4}, {1, 1}}));
}

TEST(Parts, ElseTheLargestThatSum) {
  EXPECT_EQ(parts({1, 2, 4}, 11), (std::vector<StartPart>{{4, 4}, {4, 4}, {2, 2}, {1, 1}}));
  EXPECT_EQ(parts({4, 6}, 8), (std::vector<StartPart>{{4, 4}, {4, 4}})) << "taking 6 first would leave 2";
  EXPECT_EQ(parts({3, 5}, 9), (std::vector<StartPart>{{3, 3}, {3, 3}, {3, 3}}));
  EXPECT_TRUE(parts({4, 6}, 7).empty());
  EXPECT_TRUE(parts({4, 6}, 3).empty());
  EXPECT_TRUE(parts({}, 3).empty());
}

TEST(Parts, PaddedWhereAllowedAndFaster) {
  EXPECT_EQ(parts({1, 8}, 7, false).size(), 7u);
  EXPECT_EQ(parts({1, 8}, 7, true), (std::vector<StartPart>{{8, 7}})) << "9 ms against 14";
  EXPECT_EQ(parts({1, 8}, 3, true).size(), 3u) << "6 ms against 9";
  EXPECT_EQ(parts({1, 4}, 7, true), (std::vector<StartPart>{{4, 4}, {4, 3}}));
  EXPECT_EQ(parts({4, 8}, 3, true), (std::vector<StartPart>{{4, 3}})) << "nothing else fits";
  EXPECT_EQ(parts({4}, 9, true), (std::vector<StartPart>{{4, 4}, {4, 4}, {4, 1}}));
}

TEST(Parts, AModelWithoutBatchTakesItsQueryWhole) {
  EXPECT_EQ(plan_parts(programs({1}), 1, 1, false, false).parts, (std::vector<StartPart>{{1, 1}}));
}

// Whatever the sizes: rows sum, only compiled sizes, padding only where allowed, and the two functions agree.
TEST(Parts, TimeAndArenaAreThoseOfTheParts) {
  for (const std::vector<int>& sizes : {std::vector<int>{1, 2, 4, 8}, {1}, {3}, {2, 3}, {4, 6}, {1, 16}, {5, 7, 11}}) {
    for (int rows = 1; rows <= 60; ++rows) {
      for (bool padding : {false, true}) {
        for (int width : {1, 2}) {
          std::vector<Program> all = programs(sizes);
          PartsPlan plan = plan_parts(all, rows, width, true, padding);
          EXPECT_EQ(plan.time.p50, parts_time(all, rows, width, true, padding).p50);
          if (plan.parts.empty()) {
            EXPECT_FALSE(padding);
            EXPECT_EQ(plan.time.p50, kNever);
            continue;
          }
          int given = 0;
          Nanos time;
          Bytes arena;
          for (const StartPart& part : plan.parts) {
            const Program& p = program_of(all, part);
            EXPECT_GE(part.rows, 1);
            EXPECT_TRUE(part.rows == part.batch || (padding && part.rows < part.batch));
            given += part.rows;
            time += p.latency.at(width).p50;
            arena = std::max(arena, p.features.arena);
          }
          EXPECT_EQ(given, rows);
          EXPECT_EQ(plan.time.p50, time);
          EXPECT_EQ(plan.arena, arena);
        }
      }
    }
  }
}

TEST(Parts, PaddingNeverCostsTime) {
  for (int rows = 1; rows <= 60; ++rows) {
    std::vector<Program> all = programs({1, 2, 8});
    EXPECT_LE(parts_time(all, rows, 1, true, true).p50, parts_time(all, rows, 1, true, false).p50);
  }
}

TEST(Parts, NamesTheSizes) { EXPECT_EQ(sizes_text(programs({1, 2, 4})), "1, 2, 4"); }

}  // namespace
}  // namespace motet::brain
