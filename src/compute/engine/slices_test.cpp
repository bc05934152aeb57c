// Slices of steps: how far a call goes, and kernels that do not bear slicing.
#include <gtest/gtest.h>

#include "compute/engine/runner.h"
#include "compute/engine/survey.h"

// What oneDNN's parallel regions compile to; defined by compute/device.
extern "C" {
void GOMP_parallel(void (*function)(void*), void* data, unsigned threads, unsigned flags);
void GOMP_barrier();
}

namespace motet::engine {
namespace {

Slices even(int units, int per_slice, Nanos unit) {
  Slices slices;
  slices.units = {.stages = {{.first = 0, .units = units, .serial = false}}, .total = units};
  for (int u = 0; u <= units; ++u) slices.before.push_back(unit * u);
  for (int u = per_slice; u < units; u += per_slice) slices.ends.push_back(u);
  slices.ends.push_back(units);
  return slices;
}

TEST(Slices, ACallTakesWhatFitsTheQuantumAtItsWidth) {
  Slices slices = even(12, 2, Nanos(400));  // slices of 800
  EXPECT_EQ(slices.reach(0, 1, Nanos(1000)).last, 2);
  EXPECT_EQ(slices.reach(10, 1, Nanos(1000)).last, 12);
  const Nanos unit = Nanos::from_micros(200), quantum = Nanos::from_millis(1);
  Slices longer = even(12, 2, unit);  // slices of 0.4 ms
  EXPECT_EQ(longer.reach(0, 2, quantum).last, 8) << "four units on each core: the rest of the quantum is margin";
  EXPECT_EQ(longer.reach(8, 2, quantum).last, 12);
  EXPECT_EQ(longer.reach(0, 4, quantum).last, 12);
  EXPECT_EQ(even(12, 1, unit).reach(0, 3, quantum).last, 12);
  EXPECT_EQ(even(4, 1, unit * 3).reach(0, 2, quantum).last, 2) << "one unit on each core";
  EXPECT_EQ(even(9, 1, unit * 2).reach(0, 2, quantum).last, 4) << "not five, which would leave a core idle";
  EXPECT_EQ(slices.reach(0, 4, Nanos(1)).last, 4) << "at least one slice, and what runs beside it";
}

TEST(Slices, CallsOnSeveralCoresGetShorterWhereTheyTookLonger) {
  const Nanos quantum = Nanos::from_millis(1);
  Slices slices = even(40, 4, Nanos::from_micros(100));
  EXPECT_EQ(slices.reach(0, 2, quantum).last, 16);
  EXPECT_EQ(slices.reach(0, 2, quantum).predicted, Nanos::from_micros(800));
  for (int call = 0; call < 20; ++call) slices.pace.learn(Nanos::from_micros(100), Nanos::from_micros(150));
  EXPECT_EQ(slices.reach(0, 2, quantum).last, 12);
  EXPECT_EQ(slices.reach(0, 1, quantum).last, 4) << "one core is as it was surveyed";
  for (int call = 0; call < 200; ++call) slices.pace.learn(Nanos::from_micros(100), Nanos::from_micros(50));
  EXPECT_GE(slices.reach(0, 2, quantum).last, 16);
}

// Fills its output with ones, having wiped it outside the region: every slice wipes what the ones before it left.
class Wiping final : public ops::Kernel {
 public:
  void run(const ops::KernelArgs& args, device::Team& team) const override {
    auto out = args.outputs[0].as<float>();
    std::fill(out.begin(), out.end(), 0.0F);
    team.for_range(static_cast<int64_t>(out.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) out[static_cast<size_t>(i)] = 1;
    });
  }
  std::string implementation() const override { return "test"; }
};

CompiledProgram program_of(ops::KernelPtr kernel, int parts) {
  CompiledProgram program;
  program.quantum = Nanos(1);  // any time is too long
  program.output_ports.push_back({"y", DType::kF32, {64}});
  program.buffers.push_back({.kind = Buffer::Kind::kOutput, .bytes = 256});
  Step step;
  step.kernel = std::move(kernel);
  step.key = "y";
  step.parts = parts;
  step.outputs = {{0, TensorView{DType::kF32, {64}, nullptr}}};
  program.body.push_back(std::move(step));
  program.infos.emplace_back();
  program.stages = single_lane(1);
  return program;
}

TEST(Slices, AKernelThatRepeatsWorkOutsideItsRegionsIsNotCut) {
  CompiledProgram wiping = program_of(std::make_unique<Wiping>(), 4);
  auto found = survey(wiping, Nanos(0));
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->steps[0].units.total, 4);
  EXPECT_FALSE(found->steps[0].sliceable);
  cut_steps(wiping, *found);
  EXPECT_EQ(wiping.infos[0].slices, 1);
  EXPECT_TRUE(wiping.body[0].slices.whole());
}

class Meeting final : public ops::Kernel {
 public:
  void run(const ops::KernelArgs&, device::Team& team) const override {
    device::TeamScope scope(team);
    GOMP_parallel([](void*) { GOMP_barrier(); }, nullptr, 2, 0);
  }
  std::string implementation() const override { return "test"; }
};

TEST(Slices, AKernelWhosePartsMeetIsMarkedAndNotCut) {
  CompiledProgram program = program_of(std::make_unique<Meeting>(), 2);
  auto found = survey(program, Nanos(0));
  ASSERT_TRUE(found.has_value());
  EXPECT_TRUE(found->steps[0].barrier);
  cut_steps(program, *found);
  EXPECT_TRUE(program.infos[0].barrier);
  EXPECT_TRUE(program.body[0].slices.whole());
}

}  // namespace
}  // namespace motet::engine
