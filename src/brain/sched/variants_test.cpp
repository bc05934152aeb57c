#include "brain/sched/variants.h"

#include <gtest/gtest.h>

#include <cmath>

namespace motet::brain {
namespace {

Variant variant(const char* name, double error, double ms, const char* refusal = "") {
  return {name, refusal, error, Nanos(static_cast<int64_t>(ms * 1e6))};
}
const Variant kExact = variant("exact", 0, 4);

TEST(Variants, TheOneAskedForIsTakenWithinTheBound) {
  std::vector<Variant> variants{kExact, variant("bf16", 0.02, 5)};
  VariantChoice choice = choose_variant(variants, 0.02, false);
  EXPECT_EQ(choice.chosen, 1u) << "though it is slower: it was asked for";
  EXPECT_EQ(choice.reasons[1], "");
  EXPECT_EQ(choice.reasons[0], "bf16 was asked for");
}

TEST(Variants, AboveTheBoundItIsRefusedWithTheFigure) {
  std::vector<Variant> variants{kExact, variant("bf16", 0.0213, 2)};
  VariantChoice choice = choose_variant(variants, 0.02, false);
  EXPECT_EQ(choice.chosen, 0u);
  EXPECT_EQ(choice.reasons[1], "its error of 0.0213 is above the bound of 0.02");
}

TEST(Variants, WhatCannotBeHadOrComparedIsRefused) {
  std::vector<Variant> variants{kExact, variant("bf16", 0, 1, "this CPU has no AVX512_BF16"),
                                variant("int8", INFINITY, 1), variant("int4", NAN, 1)};
  VariantChoice choice = choose_variant(variants, 1, true);
  EXPECT_EQ(choice.chosen, 0u);
  EXPECT_EQ(choice.reasons[1], "this CPU has no AVX512_BF16");
  EXPECT_NE(choice.reasons[2].find("cannot be compared"), std::string::npos);
  EXPECT_NE(choice.reasons[3].find("cannot be compared"), std::string::npos);
}

TEST(Variants, TheFastestIsTakenWhenAnyMayBe) {
  std::vector<Variant> variants{kExact, variant("bf16", 0.01, 2), variant("int8", 0.04, 1)};
  EXPECT_EQ(choose_variant(variants, 0.05, true).chosen, 2u);
  VariantChoice choice = choose_variant(variants, 0.03, true);
  EXPECT_EQ(choice.chosen, 1u);
  EXPECT_EQ(choice.reasons[0], "not faster than bf16 by prediction: 4.000 ms against 2.000 ms");
  EXPECT_EQ(choice.reasons[2], "its error of 0.04 is above the bound of 0.03");
  EXPECT_EQ(choose_variant(variants, 0.001, true).chosen, 0u);
}

TEST(Variants, EquallyFastIsNotFaster) {
  std::vector<Variant> variants{kExact, variant("bf16", 0.01, 4), variant("int8", 0, 4)};
  EXPECT_EQ(choose_variant(variants, 1, true).chosen, 0u) << "an error must buy something";
}

}  // namespace
}  // namespace motet::brain
