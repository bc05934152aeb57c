#include "apps/infer/recognise.h"

#include <gtest/gtest.h>

#include <string>

namespace motet {
namespace {

class StepClock final : public Clock {
 public:
  Nanos now() const override { return Nanos(at_ += 1'000'000); }

 private:
  mutable int64_t at_ = 0;
};

std::string wav(int samples) {
  auto u32 = [](uint32_t v) { return std::string(reinterpret_cast<const char*>(&v), 4); };
  auto u16 = [](uint16_t v) { return std::string(reinterpret_cast<const char*>(&v), 2); };
  auto data = static_cast<uint32_t>(samples * 2);
  return "RIFF" + u32(36 + data) + "WAVEfmt " + u32(16) + u16(1) + u16(1) + u32(16000) + u32(32000) + u16(2) + u16(16) +
         "data" + u32(data) + std::string(data, '\x01');
}

TEST(Recognise, CarriesTheStateFromCallToCall) {
  auto recipe = prep::parse_recipe({{"recipe.input", "audio"},
                                    {"recipe.window", "512"},
                                    {"recipe.context", "64"},
                                    {"recipe.state", "state:stateN"},
                                    {"recipe.output", "speech"}});
  ASSERT_TRUE(recipe.ok()) << recipe.error().message;
  std::vector<prep::InputSpec> inputs{{"input", DType::kF32, {-1, -1}}, {"state", DType::kF32, {2, -1, 4}}};
  int calls = 0;
  auto ask = [&](std::vector<NamedTensor> given) -> Result<std::vector<NamedTensor>> {
    EXPECT_EQ(given.size(), 2u);
    EXPECT_EQ(given[0].tensor.shape(), (Shape{1, 576}));
    EXPECT_EQ(given[1].name, "state");
    EXPECT_EQ(given[1].tensor.view().as<float>()[0], static_cast<float>(calls));
    ++calls;
    Tensor state = Tensor::zeros(DType::kF32, {2, 1, 4});
    state.view().as<float>()[0] = static_cast<float>(calls);
    float probability = 0.9F;
    return std::vector<NamedTensor>{{"output", Tensor::of<float>({1, 1}, std::span<const float>(&probability, 1))},
                                    {"stateN", state}};
  };
  std::string file = wav(16000);
  StepClock clock;
  auto done = recognise(*recipe, "a.wav", std::as_bytes(std::span(file)), inputs, clock, ask);
  ASSERT_TRUE(done.ok()) << done.error().message;
  EXPECT_EQ(calls, 32);
  ASSERT_EQ(done->findings.speech.size(), 1u);
  EXPECT_DOUBLE_EQ(done->findings.speech[0].end_s, 1.0);
  ASSERT_EQ(done->latencies.size(), 32u);
  EXPECT_EQ(done->latencies[5], Nanos::from_millis(1));
  EXPECT_EQ(describe_latency(done->latencies), "32 calls, 1.00 ms each (median), 0.03 s in all");
}

TEST(Recognise, StopsAtTheFirstRefusal) {
  auto recipe = prep::parse_recipe({{"recipe.input", "numbers"}, {"recipe.output", "score"}});
  ASSERT_TRUE(recipe.ok());
  std::vector<prep::InputSpec> inputs{{"user", DType::kI64, {-1}}};
  std::string file = "7";
  StepClock clock;
  auto done =
      recognise(*recipe, "a.txt", std::as_bytes(std::span(file)), inputs, clock,
                [](std::vector<NamedTensor>) -> Result<std::vector<NamedTensor>> { return unavailable("queue full"); });
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().message, "queue full");
}

TEST(DescribeLatency, OneCallIsItsTime) { EXPECT_EQ(describe_latency({Nanos(3'210'000)}), "3.21 ms"); }

}  // namespace
}  // namespace motet
