// A test of the conformance suite: kernels that are wrong in the ways kernels are wrong, each of which it must catch.
#include <gtest/gtest.h>

#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"
#include "compute/ops/testing/cases.h"

namespace motet::ops::testing {
namespace {

// y = x w + bias over [rows, k] and [k, n], right but for what each test plants.
struct Product {
  int64_t rows, k, n;
  bool biased;
  static Product of(const NodeRequest& r) {
    return {r.inputs[0].shape[0], r.inputs[0].shape[1], r.inputs[1].shape[1], has_input(r, 2)};
  }
  float at(const KernelArgs& args, int64_t row, int64_t column, int64_t length, bool with_bias) const {
    float sum = with_bias && biased ? input_data<float>(args, 2)[column] : 0;
    for (int64_t i = 0; i < length; ++i)
      sum += input_data<float>(args, 0)[row * k + i] * input_data<float>(args, 1)[i * n + column];
    return sum;
  }
};

enum class Plant : uint8_t {
  kNothing,
  kLastTermMissing,
  kBiasMissing,
  kLastColumnStale,
  kPastTheEnd,
  kStaleScratch,
  kWidthShows,
  kCarriesOver,
  kOutsideRegions,
  kMisroundsLongSums,
};

template <Plant plant>
Result<KernelPtr> plan_product(const NodeRequest& request) {
  const Product p = Product::of(request);
  const auto scratch = static_cast<size_t>(p.rows * p.n) * sizeof(float);
  return make_kernel(
      [p](const KernelArgs& args, device::Team& team) {
        auto* y = output_data<float>(args, 0);
        auto* sums = reinterpret_cast<float*>(args.scratch);
        const int64_t count = p.rows * p.n;
        const int64_t length = p.k - (plant == Plant::kLastTermMissing ? 1 : 0);
        float carried = 0;
        auto first = [&](int part, int parts) {
          for (int64_t i = count * part / parts; i < count * (part + 1) / parts; ++i) {
            if (plant == Plant::kStaleScratch && i == count - 1) continue;
            sums[i] = p.at(args, i / p.n, i % p.n, length, plant != Plant::kBiasMissing);
            if (plant == Plant::kWidthShows && part > 0)
              sums[i] += 1e-7f * sums[i] * static_cast<float>(team.width() > 1);
            if (plant == Plant::kMisroundsLongSums) sums[i] = bf16_to_float(float_to_bf16(sums[i]));
            carried = 1;
          }
        };
        team.run(team.width(), first);
        if (plant == Plant::kOutsideRegions) {
          for (int64_t i = 0; i < count; ++i) sums[i] += 1;
        }
        auto second = [&](int part, int parts) {
          for (int64_t i = count * part / parts; i < count * (part + 1) / parts; ++i) {
            if (plant == Plant::kLastColumnStale && i % p.n == p.n - 1 && p.n > 1) continue;
            y[i] = sums[i] - (plant == Plant::kOutsideRegions ? 1 : 0);
            if (plant == Plant::kCarriesOver && carried == 0) y[i] = 0;
          }
        };
        team.run(team.width(), second);
        if (plant == Plant::kPastTheEnd) y[count] = 1;
      },
      {.implementation = "planted", .scratch_bytes = scratch});
}

// Average over a window of three with one of padding at either end, counting what lies in the padding as `outside`.
template <bool correct>
Result<KernelPtr> plan_window(const NodeRequest& request) {
  const int64_t n = request.inputs[0].shape[3];
  return make_kernel([n, planes = elements(request.inputs[0].shape) / n](const KernelArgs& args, device::Team& team) {
    team.for_range(planes, 1, [&](int64_t begin, int64_t end) {
      for (int64_t plane = begin; plane < end; ++plane) {
        const float* x = input_data<float>(args, 0) + plane * n;
        for (int64_t o = 0; o < n; ++o) {
          float sum = 0, taps = 0;
          for (int64_t i = o - 1; i <= o + 1; ++i) {
            if (i < 0 || i >= n) continue;
            sum += x[i];
            taps += 1;
          }
          output_data<float>(args, 0)[plane * n + o] = sum / (correct ? taps : 3);
        }
      }
    });
  });
}

Case product_case() {
  Cases cases("planted");
  const Array a = cases.array({5, 40}), b = cases.array({40, 7}), bias = cases.array({7});
  return {.op = "MatMul",
          .inputs = {f32_tensor(a), f32_tensor(b), f32_tensor(bias)},
          .expected = broadcast(matmul(a, b), bias, plus),
          .roundings = 42,
          .magnitude = broadcast(matmul(sizes_of(a), sizes_of(b)), sizes_of(bias), plus)};
}

Outcome planted(const Case& c, Result<KernelPtr> (*plan)(const NodeRequest&)) {
  const Implementation implementation{"planted", plan};
  return check(c, {&implementation, 1});
}

// True if some fault says so.
bool caught(const Outcome& outcome, std::string_view what) {
  for (const std::string& fault : outcome.faults)
    if (fault.find(what) != std::string::npos) return true;
  return false;
}

TEST(Planted, ARightKernelPasses) {
  const Outcome outcome = planted(product_case(), plan_product<Plant::kNothing>);
  EXPECT_EQ(outcome.runs, 4);
  EXPECT_TRUE(outcome.faults.empty()) << outcome.faults[0];
}

TEST(Planted, WrongResultsAreCaught) {
  EXPECT_TRUE(caught(planted(product_case(), plan_product<Plant::kLastTermMissing>), "is right"));
  EXPECT_TRUE(caught(planted(product_case(), plan_product<Plant::kBiasMissing>), "is right"));
  EXPECT_TRUE(caught(planted(product_case(), plan_product<Plant::kLastColumnStale>), "element 6"));
  EXPECT_TRUE(caught(planted(product_case(), plan_product<Plant::kStaleScratch>), "element 34"));
  EXPECT_TRUE(caught(planted(product_case(), plan_product<Plant::kMisroundsLongSums>), "roundings off"));
}

TEST(Planted, AWriteBeyondTheOutputIsCaught) {
  EXPECT_TRUE(caught(planted(product_case(), plan_product<Plant::kPastTheEnd>), "past the end of output 0"));
}

TEST(Planted, BitsThatDependOnWidthOrOnCutsAreCaught) {
  EXPECT_TRUE(caught(planted(product_case(), plan_product<Plant::kWidthShows>), "depend on the width"));
  EXPECT_TRUE(caught(planted(product_case(), plan_product<Plant::kCarriesOver>), "where it is cut"));
  EXPECT_TRUE(caught(planted(product_case(), plan_product<Plant::kOutsideRegions>), "where it is cut"));
}

TEST(Planted, WrongPaddingIsCaught) {
  Cases cases("padding");
  const Array x = cases.array({1, 2, 1, 9});
  const ConvParameters p{{1, 1}, {1, 1}, {0, 1, 0, 1}, 1};
  const Case c{.op = "AveragePool",
               .inputs = {f32_tensor(x)},
               .expected = pool(x, {1, 3}, p, false, false),
               .roundings = 6,
               .floor = 2};
  EXPECT_TRUE(planted(c, plan_window<true>).faults.empty());
  EXPECT_TRUE(caught(planted(c, plan_window<false>), "element 0"));
}

Result<KernelPtr> refuse_silently(const NodeRequest&) { return unsupported(""); }

TEST(Planted, ARefusalWithoutReasonAndAnOpThatNobodyRunsAreCaught) {
  EXPECT_TRUE(caught(planted(product_case(), refuse_silently), "without a reason"));
  const Implementation list[] = {{"planted", plan_product<Plant::kBiasMissing>},
                                 {"right", plan_product<Plant::kNothing>}};
  const Outcome outcome = check(product_case(), list);
  EXPECT_TRUE(caught(outcome, "by planted"))
      << "each implementation is held to it, not only the first that takes the node";
  EXPECT_FALSE(caught(outcome, "by right"));
}

}  // namespace
}  // namespace motet::ops::testing
