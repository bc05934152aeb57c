#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/random.h"
#include "compute/ops/vector/loops.h"

namespace motet::ops::vec {
namespace {

std::vector<const Loops*> every_isa() {
  const Loops* all[3] = {};
  const int count = available_isas(all);
  return {all, all + count};
}

// Distance in units in the last place of the exact value, as a float has them; below the normal range any such value is
// right.
double ulps(float got, double exact) {
  constexpr float kLeast = std::numeric_limits<float>::min();
  if (std::abs(exact) < kLeast && std::abs(got) <= kLeast) return 0;
  const auto rounded = static_cast<float>(exact);
  if (got == rounded || (std::isnan(got) && std::isnan(rounded))) return 0;
  const float next = std::nextafter(std::abs(rounded), std::numeric_limits<float>::infinity());
  return std::abs(static_cast<double>(got) - exact) /
         (static_cast<double>(next) - std::abs(static_cast<double>(rounded)));
}

// Bit patterns spread over all of f32, and the edges.
std::vector<float> inputs() {
  std::vector<float> x{0.0f,
                       -0.0f,
                       88.72f,
                       88.73f,
                       -87.4f,
                       -103.9f,
                       -104.1f,
                       1e-40f,
                       0.625f,
                       -0.93f,
                       0.93f,
                       4.05f,
                       std::numeric_limits<float>::infinity(),
                       -std::numeric_limits<float>::infinity(),
                       std::nanf("")};
  for (uint64_t bits = 0; bits < uint64_t{1} << 32; bits += 50021) {
    float v;
    const auto pattern = static_cast<uint32_t>(bits);
    std::memcpy(&v, &pattern, sizeof v);
    x.push_back(v);
  }
  for (float v = -20; v < 20; v += 0.00171f) x.push_back(v);
  return x;
}

TEST(Vector, FunctionsAreWithinThreeUlps) {
  struct Entry {
    Unary kind;
    double (*exact)(double);
    const char* name;
  };
  const Entry entries[] = {{Unary::kExp, [](double v) { return std::exp(v); }, "exp"},
                           {Unary::kTanh, [](double v) { return std::tanh(v); }, "tanh"},
                           {Unary::kErf, [](double v) { return std::erf(v); }, "erf"},
                           {Unary::kSigmoid, [](double v) { return 1 / (1 + std::exp(-v)); }, "sigmoid"}};
  const std::vector<float> x = inputs();
  std::vector<float> y(x.size());
  for (const Loops* loops : every_isa()) {
    for (const Entry& e : entries) {
      loops->unary(e.kind, x.data(), y.data(), static_cast<int64_t>(x.size()), 0, 0);
      double worst = 0;
      float at = 0;
      for (size_t i = 0; i < x.size(); ++i) {
        const double off = ulps(y[i], e.exact(x[i]));
        if (!(off <= worst)) {
          worst = off;
          at = x[i];
        }
      }
      EXPECT_LE(worst, 3) << e.name << " with " << loops->isa << " at " << at;
    }
  }
}

TEST(Vector, GeluIsNearTheExactValue) {
  constexpr double kErfScale = 0.70710678118654752, kTanhScale = 0.79788456080286536;
  struct Entry {
    Unary kind;
    double (*exact)(double);
    const char* name;
  };
  const Entry entries[] = {
      {Unary::kGeluErf, [](double v) { return 0.5 * v * (1 + std::erf(v * kErfScale)); }, "erf"},
      {Unary::kGeluTanh, [](double v) { return 0.5 * v * (1 + std::tanh(kTanhScale * (v + 0.044715 * v * v * v))); },
       "tanh"}};
  std::vector<float> x = {-1e12f, -100.0f, -0.0f, 0.0f, 1e-30f, 100.0f, 1e12f};
  for (int i = 0; i <= 40000; ++i) x.push_back(static_cast<float>(i) * 5e-4f - 10.0f);
  x.push_back(std::numeric_limits<float>::quiet_NaN());
  std::vector<float> y(x.size());
  for (const Loops* loops : every_isa()) {
    for (const Entry& e : entries) {
      loops->unary(e.kind, x.data(), y.data(), static_cast<int64_t>(x.size()), 0, 0);
      for (size_t i = 0; i + 1 < x.size(); ++i) {
        const double exact = e.exact(x[i]), allowed = x[i] > 0 ? 2.5e-7 * exact : std::abs(x[i]) < 10 ? 1e-6 : 0;
        ASSERT_LE(std::abs(y[i] - exact), allowed) << e.name << " with " << loops->isa << " at " << x[i];
      }
      EXPECT_TRUE(std::isnan(y.back())) << e.name << " with " << loops->isa;
    }
  }
}

TEST(Vector, CuttingARangeKeepsItsBits) {
  Random random(7, "vector");
  std::vector<float> x(301), whole(301), parts(301);
  for (float& v : x) v = static_cast<float>(random.uniform() * 8 - 4);
  for (const Loops* loops : every_isa()) {
    for (Unary kind : {Unary::kExp, Unary::kTanh, Unary::kErf, Unary::kGeluTanh, Unary::kSwish, Unary::kScaleShift}) {
      loops->unary(kind, x.data(), whole.data(), 301, 1.7f, 0.3f);
      for (int64_t cut = 0; cut < 301; cut += 13) {
        loops->unary(kind, x.data(), parts.data(), cut, 1.7f, 0.3f);
        loops->unary(kind, x.data() + cut, parts.data() + cut, 301 - cut, 1.7f, 0.3f);
        ASSERT_EQ(std::memcmp(whole.data(), parts.data(), sizeof(float) * 301), 0) << loops->isa << " cut at " << cut;
      }
    }
  }
}

// A row's result may not depend on how many rows are computed with it, nor on the columns beside it.
TEST(Vector, GemmRowsDoNotDependOnTheirNeighbours) {
  Random random(8, "gemm");
  constexpr int64_t kM = 9, kN = 150, kK = 37;
  std::vector<float> a(kM * kK), b(kK * kN), bias(kN), all(kM * kN), one(kN);
  for (auto* values : {&a, &b, &bias}) {
    for (float& v : *values) v = static_cast<float>(random.uniform() * 2 - 1);
  }
  for (const Loops* loops : every_isa()) {
    loops->gemm(kM, kN, kK, a.data(), kK, b.data(), kN, all.data(), kN, bias.data(), false);
    for (int64_t r = 0; r < kM; ++r) {
      loops->gemm(1, kN, kK, a.data() + r * kK, kK, b.data(), kN, one.data(), kN, bias.data(), false);
      ASSERT_EQ(std::memcmp(one.data(), all.data() + r * kN, sizeof(float) * kN), 0) << loops->isa << " row " << r;
      for (int64_t j = 0; j < kN; ++j) {
        double exact = bias[static_cast<size_t>(j)];
        for (int64_t k = 0; k < kK; ++k)
          exact += static_cast<double>(a[static_cast<size_t>(r * kK + k)]) * b[static_cast<size_t>(k * kN + j)];
        ASSERT_NEAR(one[static_cast<size_t>(j)], exact, 1e-5);
      }
    }
  }
}

TEST(Vector, FunctionsInPlaceGiveTheSameBits) {
  const std::vector<float> x = inputs();
  const auto n = static_cast<int64_t>(x.size());
  std::vector<float> apart(x.size());
  for (const Loops* loops : every_isa()) {
    for (Unary kind : {Unary::kTanh, Unary::kSigmoid, Unary::kGeluErf, Unary::kHardSwish}) {
      loops->unary(kind, x.data(), apart.data(), n, 0, 0);
      std::vector<float> in_place = x;
      loops->unary(kind, in_place.data(), in_place.data(), n, 0, 0);
      EXPECT_EQ(std::memcmp(apart.data(), in_place.data(), sizeof(float) * x.size()), 0) << loops->isa;
    }
  }
}

TEST(Vector, ProductsWithPanelsDoNotDependOnNeighbours) {
  constexpr int64_t kMost = kPanelMostRows, kK = 300, kN = 77, kPanels = 3;
  Random random(1, "panels");
  std::vector<float> a(kMost * kK), panels(kPanels * kK * kPanelColumns), bias(kN), one(kN), before(kMost * kN);
  for (auto* values : {&a, &panels, &bias, &before}) {
    for (float& v : *values) v = static_cast<float>(random.uniform() * 2 - 1);
  }
  for (const Loops* loops : every_isa()) {
    for (const bool accumulate : {false, true}) {
      for (int64_t m : {int64_t{1}, int64_t{3}, int64_t{8}, int64_t{13}, kMost}) {
        std::vector<float> all = before;
        loops->multiply_panels(m, kN, kK, a.data(), kK, panels.data(), all.data(), kN, bias.data(), accumulate);
        for (int64_t r = 0; r < kMost; ++r) {
          std::copy_n(before.data() + r * kN, kN, one.data());
          if (r < m)
            loops->multiply_panels(1, kN, kK, a.data() + r * kK, kK, panels.data(), one.data(), kN, bias.data(),
                                   accumulate);
          ASSERT_EQ(std::memcmp(one.data(), all.data() + r * kN, sizeof(float) * kN), 0)
              << loops->isa << " row " << r << " of " << m;
          for (int64_t j = 0; j < kN && r < m; ++j) {
            double exact = accumulate ? before[static_cast<size_t>(r * kN + j)] : bias[static_cast<size_t>(j)];
            for (int64_t k = 0; k < kK; ++k)
              exact += static_cast<double>(a[static_cast<size_t>(r * kK + k)]) *
                       panels[static_cast<size_t>((j / kPanelColumns * kK + k) * kPanelColumns + j % kPanelColumns)];
            ASSERT_NEAR(one[static_cast<size_t>(j)], exact, 2e-5);
          }
        }
      }
    }
  }
}

TEST(Vector, ReductionsOfAnyLength) {
  for (const Loops* loops : every_isa()) {
    for (int64_t n = 1; n < 70; ++n) {
      std::vector<float> x;
      double sum = 0, squares = 0;
      for (int64_t i = 0; i < n; ++i) {
        x.push_back(static_cast<float>((i * 7) % 11) - 20);
        sum += x.back();
        squares += x.back() * x.back();
      }
      EXPECT_EQ(loops->sum(x.data(), n), sum);
      EXPECT_EQ(loops->sum_of_squares(x.data(), n), squares);
      EXPECT_EQ(loops->dot(x.data(), x.data(), n), squares);
      EXPECT_EQ(loops->max(x.data(), n), *std::max_element(x.begin(), x.end()));
      x[static_cast<size_t>(n / 2)] = std::nanf("");
      EXPECT_TRUE(std::isnan(loops->max(x.data(), n))) << n;
    }
  }
}

// Windows over every edge, in double precision.
double depthwise_at(const DepthwisePlane& p, int64_t lane, int64_t row, int64_t column, int64_t lanes) {
  double sum = p.bias[lane];
  for (int64_t i = 0; i < p.kernel; ++i) {
    for (int64_t j = 0; j < p.kernel; ++j) {
      const int64_t r = row * p.stride - p.pad_top + i, c = column * p.stride - p.pad_left + j;
      if (r < 0 || r >= p.rows || c < 0 || c >= p.columns) continue;
      sum +=
          static_cast<double>(p.x[(r * p.columns + c) * p.pixel + lane]) * p.weights[(i * p.kernel + j) * lanes + lane];
    }
  }
  return sum;
}

TEST(Vector, DepthwiseConvolutionsOfEveryWindow) {
  Random random(5, "depthwise");
  for (const Loops* loops : every_isa()) {
    for (const int64_t kernel : {3, 5, 7}) {
      for (const int64_t stride : {1, 2}) {
        for (const int64_t columns : {7, 8, 12, 31}) {
          const int64_t rows = 8, pad = kernel / 2, pixel = loops->lanes + 3;
          const int64_t out_rows = (rows + 2 * pad - kernel) / stride + 1,
                        out = (columns + 2 * pad - kernel) / stride + 1;
          std::vector<float> x(static_cast<size_t>(rows * columns * pixel)), bias(static_cast<size_t>(loops->lanes));
          std::vector<float> weights(static_cast<size_t>(kernel * kernel * loops->lanes));
          for (auto* list : {&x, &bias, &weights})
            for (float& v : *list) v = static_cast<float>(random.uniform() * 2 - 1);
          std::vector<float> y(static_cast<size_t>(out_rows * out * pixel), 77.0f);
          DepthwisePlane p{.x = x.data(), .weights = weights.data(), .bias = bias.data(), .y = y.data()};
          p.pixel = pixel;
          p.rows = rows;
          p.columns = columns;
          p.out_columns = out;
          p.begin = 1;
          p.end = out_rows;
          p.kernel = kernel;
          p.stride = stride;
          p.pad_top = p.pad_left = pad;
          loops->depthwise(p);
          for (int64_t i = 0; i < out_rows * out * pixel; ++i) {
            const int64_t lane = i % pixel, at = i / pixel;
            const bool written = lane < loops->lanes && at >= out;
            const double want = written ? depthwise_at(p, lane, at / out, at % out, loops->lanes) : 77;
            ASSERT_NEAR(y[static_cast<size_t>(i)], want, 1e-5)
                << loops->isa << ' ' << kernel << ' ' << stride << ' ' << columns;
          }
        }
      }
    }
  }
}

TEST(Vector, PixelsTimesANumberAChannel) {
  for (const Loops* loops : every_isa()) {
    for (const int64_t channels : {1, 4, 8, 16, 35}) {
      std::vector<float> x(static_cast<size_t>(channels * 5)), factor(static_cast<size_t>(channels));
      for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i) - 9;
      for (size_t c = 0; c < factor.size(); ++c) factor[c] = static_cast<float>(c) + 0.5f;
      std::vector<float> y = x;
      loops->scale_pixels(y.data(), factor.data(), 5, channels, y.data());
      for (size_t i = 0; i < x.size(); ++i) ASSERT_EQ(y[i], x[i] * factor[i % factor.size()]) << loops->isa << channels;
    }
  }
}

}  // namespace
}  // namespace motet::ops::vec
