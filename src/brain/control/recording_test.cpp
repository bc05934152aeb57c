// A recorded run replays to the same actions; one altered event is found.
#include "brain/control/recording.h"

#include <gtest/gtest.h>

#include "brain/control/virtual_body.h"

namespace motet::brain {
namespace {

using testing::ms;

struct Step {
  Nanos now;
  Event event;
};

LoopOptions options() {
  LoopOptions o;
  o.cores = CoreSet::range(0, 2);
  return o;
}

// A run with batches, a cancellation, a shed and a failed load.
std::vector<Step> run() {
  ModelSettings s;
  s.name = "m";
  s.max_batch = 4;
  s.dynamic_batching = true;
  s.slo = ms(5);
  InstanceId m(1), bad(2);
  std::vector<Step> steps = {
      {ms(1), ConfigChanged{m, true, s, Bytes(10)}},
      {ms(1), ConfigChanged{bad, true, s, Bytes(10)}},
      {ms(2), Loaded{m, 0, Bytes(10), {}}},
      {ms(2), Failed{{}, bad, 0, internal_error("no such file")}},
      {ms(3), Arrived{QueryId(1), m, 9, 1, Bytes(1), ms(3), kNever, 0, {}}},
      {ms(4), Loaded{m, 9, Bytes(1), {{1, Bytes(1), {ms(2), ms(1)}}, {2, Bytes(1), {ms(3), ms(2)}}}}},
  };
  uint64_t next = 2;
  for (int64_t t = 4; t < 16; ++t) {
    for (int i = 0; i < 3; ++i)
      steps.push_back({ms(t), Arrived{QueryId(next++), m, 9, 1, Bytes(1), ms(t), kNever, 0, {}}});
    steps.push_back({ms(t), Cancelled{QueryId(next - 1)}});
    steps.push_back({ms(t), Arrived{QueryId(next++), m, 9, 1, Bytes(1), ms(t), ms(t) + Nanos(9), 0, {}}});
    steps.push_back({ms(t), Finished{ExecutionId(static_cast<uint64_t>(t - 3)), ms(1)}});
  }
  return steps;
}

std::string record(const std::vector<Step>& steps) {
  auto loop = std::move(Loop::create(options())).value();
  std::string bytes;
  RecordingWriter writer(options(), bytes);
  for (const Step& s : steps) writer.append(bytes, s.now, s.event, loop->step(s.event, s.now));
  return bytes;
}

TEST(Recording, ReplaysToTheSameActions) {
  std::vector<Step> steps = run();
  auto report = replay(record(steps));
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_FALSE(report->difference);
  EXPECT_FALSE(report->cut_short);
  EXPECT_EQ(report->events, steps.size());
  EXPECT_GT(report->actions, 50u);
  EXPECT_GT(report->cancels, 0u);
  EXPECT_GT(report->sheds, 0u);
  EXPECT_EQ(report->failed_loads, 1u);
}

TEST(Recording, NamesTheFirstStepThatDiffers) {
  // The actions of the true run, recorded beside one altered event.
  std::vector<Step> steps = run();
  auto loop = std::move(Loop::create(options())).value();
  std::string bytes;
  RecordingWriter writer(options(), bytes);
  for (size_t i = 0; i < steps.size(); ++i) {
    std::span<const Action> said = loop->step(steps[i].event, steps[i].now);
    Event heard = steps[i].event;
    if (i == 6) std::get<Arrived>(heard).deadline = ms(4);
    writer.append(bytes, steps[i].now, heard, said);
  }
  auto report = replay(bytes);
  ASSERT_TRUE(report.ok());
  ASSERT_TRUE(report->difference);
  EXPECT_EQ(report->difference->record, 7u);
  EXPECT_EQ(report->events, 7u);
  EXPECT_NE(report->difference->event.find("Arrived query 2"), std::string::npos);
  EXPECT_NE(report->difference->replayed.find("Shed query 2"), std::string::npos) << report->difference->replayed;
  EXPECT_NE(report->difference->recorded, report->difference->replayed);
}

TEST(Recording, EveryAlteredByteIsFound) {
  std::string bytes = record(run());
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string altered = bytes;
    altered[i] = static_cast<char>(altered[i] ^ 0x15);
    auto report = replay(altered);
    ASSERT_TRUE(!report.ok() || report->difference || report->cut_short) << "byte " << i;
  }
}

TEST(Recording, ACutEndsItEarly) {
  std::string bytes = record(run());
  auto whole = replay(bytes);
  auto cut = replay(std::string_view(bytes).substr(0, bytes.size() - 3));
  ASSERT_TRUE(cut.ok());
  EXPECT_TRUE(cut->cut_short);
  EXPECT_EQ(cut->events, whole->events - 1);
  for (size_t n : {size_t{0}, size_t{4}, size_t{8}, size_t{12}, size_t{30}})
    EXPECT_FALSE(replay(std::string_view(bytes).substr(0, n)).ok()) << n;
}

TEST(Recording, RefusesWhatIsNone) {
  EXPECT_NE(replay("MOTETREX and so on").error().message.find("MOTETREC"), std::string::npos);
  std::string other = "MOTETREC";
  other.push_back(9);
  EXPECT_EQ(replay(other + std::string(40, 'x')).error().message, "a recording of format 9; format 2 is accepted");
}

}  // namespace
}  // namespace motet::brain
