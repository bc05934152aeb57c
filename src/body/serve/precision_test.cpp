#include "body/serve/precision.h"

#include <gtest/gtest.h>

#include <set>

#include "body/serve/facts.h"

namespace motet::serve {
namespace {

using engine::Precision;
using repo::PrecisionWish;

std::vector<NamedTensor> query(float value, int64_t rows = 1, int64_t width = 2) {
  Tensor tensor = Tensor::zeros(DType::kF32, {rows, width});
  for (float& x : tensor.view().as<float>()) x = value;
  return {{"x", tensor}};
}

TEST(PrecisionState, StaysExactWithoutAWish) {
  PrecisionState state(PrecisionWish::kExact, 0.05, "m");
  state.sample_live();
  EXPECT_FALSE(state.reduced());
  EXPECT_FALSE(state.sampling());
  EXPECT_EQ(state.report().why_exact(), "");
  EXPECT_EQ(precision_in_words(state.report()), "precision exact");
}

TEST(PrecisionState, MeasuresOnceEnoughQueriesAreAnswered) {
  PrecisionState state(PrecisionWish::kBf16, 0.05, "m");
  EXPECT_FALSE(state.offer(query(0), true)) << "nobody asked for live samples yet";
  state.sample_live();
  EXPECT_NE(state.report().why_exact().find("not measured yet: 32 answered queries"), std::string::npos);
  for (int64_t i = 1; i < PrecisionState::kLiveQueries; ++i)
    ASSERT_FALSE(state.offer(query(static_cast<float>(i)), true)) << i;
  EXPECT_TRUE(state.offer(query(32), true));
  EXPECT_FALSE(state.sampling());
  EXPECT_FALSE(state.offer(query(33), true)) << "only once";
  std::vector<Sample> samples = state.take_samples();
  ASSERT_EQ(samples.size(), PrecisionState::kLiveSamples);
  std::set<float> kept;
  for (const Sample& sample : samples) kept.insert(sample.inputs[0].view().as<float>()[0]);
  EXPECT_EQ(kept.size(), samples.size()) << "each query at most once";
  EXPECT_GT(*kept.rbegin(), 8) << "not the first ones only";
}

TEST(PrecisionState, KeepsTheFirstRowsInMemoryOfTheirOwn) {
  PrecisionState state(PrecisionWish::kAutomatic, 0.05, "m");
  state.sample_live();
  auto large = query(1, 1, PrecisionState::kSampleBytes / 4 + 1);
  for (int64_t i = 0; i < 2 * PrecisionState::kLiveQueries; ++i) EXPECT_FALSE(state.offer(large, true)) << "too large";
  auto rows = query(3, 7);
  for (int64_t i = 1; i < PrecisionState::kLiveQueries; ++i) state.offer(rows, true);
  EXPECT_TRUE(state.offer(rows, true));
  rows[0].tensor.view().as<float>()[0] = 9;
  const Sample sample = state.take_samples().front();
  EXPECT_EQ(sample.inputs[0].shape(), (Shape{PrecisionState::kSampleRows, 2}));
  EXPECT_EQ(sample.shapes, (std::vector<Shape>{{2}}));
  EXPECT_EQ(sample.inputs[0].view().as<float>()[0], 3);
}

TEST(PrecisionState, SettlesByTheBound) {
  PrecisionState state(PrecisionWish::kBf16, 0.05, "m");
  EXPECT_EQ(state.alternatives(), (std::vector<Precision>{Precision::kBf16}));
  std::vector<brain::Variant> variants{{"exact", "", 0, Nanos(9)}, {"bf16", "", 0.004, Nanos(5)}};
  state.settle(variants, "2 samples of model_warmup");
  EXPECT_EQ(state.current(), Precision::kBf16);
  EXPECT_EQ(state.error(), 0.004);
  EXPECT_EQ(precision_in_words(state.report()),
            "precision bf16 with an error of 0.004 on 2 samples of model_warmup, within the bound of 0.05");
  variants[1].error = 0.07;
  state.settle(variants, "8 live queries");
  EXPECT_EQ(state.current(), Precision::kExact);
  EXPECT_EQ(state.error(), 0);
  EXPECT_EQ(precision_in_words(state.report()),
            "precision stays exact: bf16: its error of 0.07 is above the bound of 0.05");
  const PrecisionReport report = state.report();
  ASSERT_EQ(report.alternatives.size(), 1u);
  EXPECT_TRUE(report.alternatives[0].known);
  EXPECT_EQ(report.alternatives[0].error, 0.07);
}

TEST(PrecisionState, OneErrorAboveTheBoundMakesItExactForGood) {
  PrecisionState state(PrecisionWish::kBf16, 0.05, "m");
  std::vector<brain::Variant> variants{{"exact", "", 0, Nanos(9)}, {"bf16", "", 0.004, Nanos(5)}};
  state.settle(variants, "2 samples of model_warmup");
  auto watch = [&](int64_t queries) {
    for (int64_t i = 1; i < queries; ++i) ASSERT_FALSE(state.offer(query(1), true)) << i;
    ASSERT_TRUE(state.offer(query(1), true));
    ASSERT_EQ(state.take_samples().size(), PrecisionState::kLiveSamples);
  };
  watch(PrecisionState::kWatchQueries);
  EXPECT_FALSE(state.recheck({"bf16", "", 0.02, Nanos(5)}, "8 live queries"));
  EXPECT_EQ(state.error(), 0.02);
  watch(PrecisionState::kWatchQueries * PrecisionState::kWatchGrowth);
  EXPECT_FALSE(state.recheck({"bf16", "", 0.01, Nanos(5)}, "8 live queries"));
  EXPECT_EQ(state.error(), 0.02) << "the greatest so far";
  EXPECT_EQ(state.current(), Precision::kBf16);
  EXPECT_TRUE(state.recheck({"bf16", "", 0.06, Nanos(5)}, "8 live queries"));
  EXPECT_EQ(state.current(), Precision::kExact);
  EXPECT_EQ(state.report().why_exact(), "bf16: its error of 0.06 is above the bound of 0.05");
  EXPECT_FALSE(state.recheck({"bf16", "", 0.06, Nanos(5)}, "8 live queries")) << "it is exact already";
}

TEST(PrecisionState, AutomaticTakesTheFastestWithinTheBound) {
  PrecisionState state(PrecisionWish::kAutomatic, 0.05, "m");
  std::vector<brain::Variant> variants{
      {"exact", "", 0, Nanos(9)}, {"bf16", "", 0.004, Nanos(5)}, {"int8", "no VNNI here", 0, Nanos(0)}};
  state.settle(variants, "1 sample of model_warmup");
  EXPECT_EQ(state.current(), Precision::kBf16);
  EXPECT_FALSE(state.report().alternatives[1].known);
  EXPECT_EQ(state.report().alternatives[1].refusal, "no VNNI here");
}

}  // namespace
}  // namespace motet::serve
