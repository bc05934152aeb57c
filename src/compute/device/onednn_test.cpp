// Proves that the dynamic linker binds libdnnl's OpenMP regions to this program's entry points.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cmath>
#include <oneapi/dnnl/dnnl.hpp>
#include <vector>

#include "base/random.h"
#include "compute/device/fake/fake.h"
#include "compute/device/team.h"
#include "compute/device/test_pool.h"

namespace motet::device {
namespace {

// C = A * B, square, made for `width` cores and run on `team`.
std::vector<float> multiply(int64_t n, int width, Team& team, const std::vector<float>& a,
                            const std::vector<float>& b) {
  set_compile_width(width);
  dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  dnnl::memory::desc desc({n, n}, dnnl::memory::data_type::f32, dnnl::memory::format_tag::ab);
  dnnl::matmul::primitive_desc plan(dnnl::matmul::desc(desc, desc, desc), engine);
  dnnl::matmul primitive(plan);
  std::vector<float> c(static_cast<size_t>(n * n));
  dnnl::memory am(desc, engine, const_cast<float*>(a.data()));
  dnnl::memory bm(desc, engine, const_cast<float*>(b.data()));
  dnnl::memory cm(desc, engine, c.data());
  TeamScope scope(team);
  primitive.execute(stream, {{DNNL_ARG_SRC, am}, {DNNL_ARG_WEIGHTS, bm}, {DNNL_ARG_DST, cm}});
  stream.wait();
  return c;
}

std::vector<float> noise(int64_t n, std::string_view name) {
  Random random(3, name);
  std::vector<float> values(static_cast<size_t>(n * n));
  for (float& v : values) v = static_cast<float>(random.uniform() - 0.5);
  return values;
}

TEST(OneDnn, RegionsRunOnOurTeams) {
  constexpr int64_t kN = 192;
  std::vector<float> a = noise(kN, "a");
  std::vector<float> b = noise(kN, "b");
  FakeClock clock;
  FakeTeam fake(3, Nanos(0), 1, clock);
  std::vector<float> c = multiply(kN, 3, fake, a, b);
  EXPECT_GE(fake.parts_run(), 2) << "libdnnl did not call this program's GOMP_parallel";
  for (const FakeTeam::Run& run : fake.runs()) EXPECT_LE(run.parts, 3);
  for (int64_t i = 0; i < kN; i += 37) {
    double sum = 0;
    for (int64_t k = 0; k < kN; ++k)
      sum += double{a[static_cast<size_t>(i * kN + k)]} * b[static_cast<size_t>(k * kN + i)];
    EXPECT_NEAR(c[static_cast<size_t>(i * kN + i)], sum, 1e-3);
  }
  set_compile_width(1);
}

TEST(OneDnn, SameBitsAtAnyWidth) {
  constexpr int64_t kN = 160;
  std::vector<float> a = noise(kN, "a");
  std::vector<float> b = noise(kN, "b");
  std::vector<float> alone = multiply(kN, 2, Team::serial(), a, b);
  auto pool = make_test_pool(2);
  OnWorker lead(*pool, 0, [&] {
    auto team = PoolTeam::create(*pool, 0, pool->cores());
    EXPECT_EQ(multiply(kN, 2, *team, a, b), alone);
    team->resize(CoreSet::single(0));
    EXPECT_EQ(multiply(kN, 2, *team, a, b), alone);
  });
  set_compile_width(1);
}

}  // namespace
}  // namespace motet::device
