// Encodings come back as they went, and bytes that are none are refused without harm.
#include "brain/control/codec.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "brain/control/describe.h"

namespace motet::brain {
namespace {

// Values over all magnitudes, both signs.
class Draw {
 public:
  explicit Draw(uint64_t seed) : random_(seed, "codec") {}
  uint64_t u64() { return random_.next() >> random_.below(64); }
  int64_t i64() { return static_cast<int64_t>(u64()) * (random_.chance(0.5) ? 1 : -1); }
  int i32() { return static_cast<int>(static_cast<uint32_t>(u64())); }
  bool yes() { return random_.chance(0.5); }
  std::string text() {
    std::string s;
    for (uint64_t n = random_.below(20); n > 0; --n) s.push_back(static_cast<char>(random_.below(256)));
    return s;
  }
  CoreSet cores() {
    CoreSet s;
    for (uint64_t n = random_.below(5); n > 0; --n) s.add(static_cast<int>(random_.below(CoreSet::kMaxCores)));
    return s;
  }
  Error error() { return {static_cast<Code>(random_.below(9)), text()}; }
  template <class F>
  auto list(F&& one) {
    std::vector<decltype(one())> v;
    for (uint64_t n = random_.below(4); n > 0; --n) v.push_back(one());
    return v;
  }
  Event event() {
    switch (random_.below(std::variant_size_v<Event>)) {
      case 0:
        return Arrived{QueryId(u64()), InstanceId(u64()), u64(), i32(),          Bytes(i64()),
                       Nanos(i64()),   Nanos(i64()),      i32(), TenantId(u64())};
      case 1: return Cancelled{QueryId(u64())};
      case 2: return Progress{ExecutionId(u64()), i64(), i64(), yes()};
      case 3: return Finished{ExecutionId(u64()), Nanos(i64())};
      case 4: return Failed{ExecutionId(u64()), InstanceId(u64()), u64(), error()};
      case 5:
        return Loaded{InstanceId(u64()), u64(), Bytes(i64()), list([&] {
                        return ProgramFeatures{i32(), Bytes(i64()), list([&] { return Nanos(i64()); }),
                                               list([&] { return Nanos(i64()); })};
                      })};
      case 6: return Unloaded{InstanceId(u64())};
      case 7: return PlanReady{u64(), list([&] { return PlanShare{InstanceId(u64()), cores(), i32()}; })};
      case 8: return Tick{};
      case 9: return Retired{InstanceId(u64()), u64()};
      default: {
        ModelSettings s{
            text(), i64(), i32(), Nanos(i64()), 0.97, yes(), yes(), Nanos(i64()), list([&] { return i32(); }),
            yes(),  i32(), i32(), i32()};
        return ConfigChanged{InstanceId(u64()), yes(), s, Bytes(i64())};
      }
    }
  }
  Action action() {
    switch (random_.below(std::variant_size_v<Action>)) {
      case 0:
        return Start{ExecutionId(u64()),
                     InstanceId(u64()),
                     u64(),
                     list([&] { return QueryId(u64()); }),
                     list([&] { return StartPart{i32(), i32()}; }),
                     cores()};
      case 1: return Yield{ExecutionId(u64())};
      case 2: return Resume{ExecutionId(u64()), cores()};
      case 3: return Resize{ExecutionId(u64()), cores()};
      case 4: return Kill{ExecutionId(u64())};
      case 5: return Reply{QueryId(u64()), ExecutionId(u64()), yes(), error()};
      case 6: return Shed{QueryId(u64()), static_cast<ShedReason>(random_.below(5)), error()};
      case 7: return Load{InstanceId(u64()), u64()};
      case 8: return Unload{InstanceId(u64()), u64()};
      case 9: return Plan{u64()};
      default: return WakeAt{Nanos(i64())};
    }
  }
  Random& random() { return random_; }

 private:
  Random random_;
};

TEST(Codec, EventsAndActionsComeBack) {
  Draw draw(1);
  for (int i = 0; i < 5000; ++i) {
    TimedEvent timed{Nanos(draw.i64()), draw.event()};
    std::string bytes;
    append_event(bytes, timed.now, timed.event);
    auto event = decode_event(bytes);
    ASSERT_TRUE(event.ok()) << event.error().message;
    ASSERT_EQ(*event, timed) << describe(timed.event);
    Action sent = draw.action();
    bytes.clear();
    append_action(bytes, sent);
    auto action = decode_action(bytes);
    ASSERT_TRUE(action.ok()) << action.error().message;
    ASSERT_EQ(*action, sent) << describe(sent);
    EXPECT_FALSE(describe(sent).empty());
  }
}

TEST(Codec, OptionsComeBack) {
  LoopOptions o;
  o.cores = CoreSet::range(3, 80);
  o.memory_budget = Bytes(12345);
  o.dispatcher = "x";
  o.planner = "y";
  o.max_buckets = 9;
  o.lateness_factor = 8;
  o.lateness_slack = Nanos(7);
  o.load_bound = Nanos(6);
  std::string bytes;
  append_options(bytes, o);
  ByteReader in(bytes);
  auto back = read_options(in);
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(*back, o);
  EXPECT_TRUE(in.at_end());
}

TEST(Codec, EveryCutIsRefused) {
  Draw draw(2);
  for (int i = 0; i < 500; ++i) {
    std::string bytes;
    append_event(bytes, Nanos(draw.i64()), draw.event());
    for (size_t n = 0; n < bytes.size(); ++n) {
      auto event = decode_event(std::string_view(bytes).substr(0, n));
      ASSERT_FALSE(event.ok());
      ASSERT_NE(event.error().message.find("byte "), std::string::npos);
    }
    bytes.push_back('x');
    ASSERT_FALSE(decode_event(bytes).ok()) << "one byte too many";
  }
}

// What decodes from altered bytes encodes to something that decodes to the same: no value is half read.
TEST(Codec, AlteredBytesDoNoHarm) {
  Draw draw(3);
  for (int i = 0; i < 20000; ++i) {
    std::string bytes;
    append_event(bytes, Nanos(draw.i64()), draw.event());
    for (int n = 0; n < 3; ++n) bytes[draw.random().below(bytes.size())] = static_cast<char>(draw.random().below(256));
    auto event = decode_event(bytes);
    if (!event.ok()) continue;
    std::string again;
    append_event(again, event->now, event->event);
    auto twice = decode_event(again);
    ASSERT_TRUE(twice.ok());
    std::string thrice;
    append_event(thrice, twice->now, twice->event);
    ASSERT_EQ(again, thrice);
  }
}

TEST(Codec, SaysWhatWouldBeAccepted) {
  std::string bytes;
  ByteWriter(bytes).u64(99);
  EXPECT_EQ(decode_action(bytes).error().message, "byte 1: the kind of an action is 99; at most 10 is accepted");
  bytes.clear();
  ByteWriter writer(bytes);
  writer.i64(5);
  writer.u64(7);      // PlanReady
  writer.u64(1);      // epoch
  writer.u64(10000);  // shares
  EXPECT_NE(decode_event(bytes).error().message.find("the length of a list is 10000"), std::string::npos);
  EXPECT_FALSE(decode_event(std::string(11, '\xFF')).ok());
}

}  // namespace
}  // namespace motet::brain
