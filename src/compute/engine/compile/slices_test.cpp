// Slices of steps: kernels that do not bear slicing.
#include <gtest/gtest.h>

#include <algorithm>

#include "compute/engine/compile/survey.h"
#include "compute/engine/runner.h"

// What oneDNN's parallel regions compile to; defined by compute/device.
extern "C" {
void GOMP_parallel(void (*function)(void*), void* data, unsigned threads, unsigned flags);
void GOMP_barrier();
}

namespace motet::engine {
namespace {

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
  auto found = survey(wiping, 1, Nanos(0));
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->steps[0].units.total, 4);
  EXPECT_FALSE(found->steps[0].sliceable);
  cut_steps(wiping, *found);
  EXPECT_EQ(wiping.infos[0].slices, 1);
  EXPECT_TRUE(wiping.body[0].slices.whole());
}

// Parts that take a while each.
class Busy final : public ops::Kernel {
 public:
  void run(const ops::KernelArgs& args, device::Team& team) const override {
    auto part = [&](int p, int) {
      volatile float sum = 0;
      for (int i = 0; i < 20000; ++i) sum = sum + static_cast<float>(i);
      reinterpret_cast<float*>(args.outputs[0].data)[p] = sum;
    };
    team.run(4, device::PartFunction(part));
  }
  std::string implementation() const override { return "test"; }
};

TEST(Slices, PartsShareTheCoresThatAProgramIsMadeFor) {
  const CompiledProgram program = program_of(std::make_unique<Busy>(), 4);
  auto alone = survey(program, 1, Nanos(0)), together = survey(program, 4, Nanos(0));
  ASSERT_TRUE(alone && together);
  EXPECT_EQ(alone->wide, alone->steps[0].total);
  EXPECT_LT(together->wide, together->total);
  EXPECT_GE(together->wide, *std::max_element(together->steps[0].times.begin(), together->steps[0].times.end()));
}

TEST(Slices, WhatIsTypicalIsNotTheShortest) {
  EXPECT_EQ(typical({Nanos(5)}), Nanos(5));
  EXPECT_EQ(typical({Nanos(9), Nanos(4)}), Nanos(4));
  EXPECT_EQ(typical({Nanos(8), Nanos(1), Nanos(7)}), Nanos(7));
  EXPECT_EQ(typical({Nanos(1), Nanos(9), Nanos(8), Nanos(7), Nanos(90), Nanos(6)}), Nanos(7));
}

// Wipes as Wiping does, and takes long from its second run on.
class LateWiping final : public ops::Kernel {
 public:
  void run(const ops::KernelArgs& args, device::Team& team) const override {
    volatile float sum = 0;
    for (int i = 0; runs_ > 0 && i < 2000000; ++i) sum = sum + static_cast<float>(i);
    ++runs_;
    wiping_.run(args, team);
  }
  std::string implementation() const override { return "test"; }

 private:
  const Wiping wiping_;
  mutable int runs_ = 0;
};

TEST(Slices, AStepThatIsLongInALaterRoundIsPutToTheProofThen) {
  CompiledProgram program = program_of(std::make_unique<LateWiping>(), 4);
  program.quantum = Nanos::from_millis(1);
  auto found = survey(program, 1, Nanos(0), nullptr, 2);
  ASSERT_TRUE(found.has_value());
  EXPECT_FALSE(found->steps[0].sliceable);
}

class CountingRuns final : public ops::Kernel {
 public:
  void run(const ops::KernelArgs&, device::Team& team) const override {
    ++count_;
    team.for_range(64, 1, [](int64_t, int64_t) {});
  }
  std::string implementation() const override { return "test"; }
  int count() const { return count_; }

 private:
  mutable int count_ = 0;
};

TEST(Slices, AtLeastSoManyRoundsAreRunWhateverTheBudget) {
  auto kernel = std::make_unique<CountingRuns>();
  const CountingRuns* runs = kernel.get();
  CompiledProgram program = program_of(std::move(kernel), 4);
  program.quantum = kNever;  // nothing is put to the proof
  ASSERT_TRUE(survey(program, 1, Nanos(0)).has_value());
  EXPECT_EQ(runs->count(), 1);
  ASSERT_TRUE(survey(program, 1, Nanos(0), nullptr, 3).has_value());
  EXPECT_EQ(runs->count(), 4);
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
  auto found = survey(program, 2, Nanos(0));
  ASSERT_TRUE(found.has_value());
  EXPECT_TRUE(found->steps[0].barrier);
  cut_steps(program, *found);
  EXPECT_TRUE(program.infos[0].barrier);
  EXPECT_TRUE(program.body[0].slices.whole());
}

}  // namespace
}  // namespace motet::engine
