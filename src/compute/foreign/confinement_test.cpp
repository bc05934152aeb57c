// Foreign executors use the cores they were given and no others: held against what /proc says of every thread.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>

#include "compute/device/pool.h"
#include "compute/device/test_pool.h"
#include "compute/foreign/child.h"
#include "compute/foreign/openvino.h"
#include "compute/foreign/test_support.h"
#include "compute/foreign/worker.h"

namespace motet::foreign {
namespace {

using test::threads_of;

constexpr const char* kModel = "models/mobilenet_v2/1/model.onnx";
const Shape kImage = {1, 3, 224, 224};

std::shared_ptr<const engine::ForeignStep> compile(int width) {
  auto model = test::executor()->load(kModel, nullptr);
  EXPECT_TRUE(model.ok()) << model.error().message;
  auto step = (*model)->compile({kImage}, {.max_width = width, .calibrate = false});
  EXPECT_TRUE(step.ok()) << step.error().message;
  return *step;
}

int64_t gained(const std::vector<test::ThreadUse>& before, const test::ThreadUse& after) {
  for (const auto& use : before)
    if (use.id == after.id) return after.cpu_ns - use.cpu_ns;
  return after.cpu_ns;
}

TEST(Confinement, OnOneCoreOnlyTheCallingWorkerWorks) {
  MOTET_NEEDS_OPENVINO();
  auto pool = device::Pool::create({.workers = static_cast<int>(device::read_cpu_budget().cpus.size())});
  ASSERT_TRUE(pool.ok()) << pool.error().message;
  auto step = compile(1);
  const int leader = (*pool)->size() - 1;
  const int cpu = (*pool)->cpu_of(leader);
  int worker = 0;
  std::vector<test::ThreadUse> before, after;
  {
    device::OnWorker work(**pool, leader, [&] {
      worker = gettid();
      test::Tensors tensors(*step);
      auto team = device::PoolTeam::create(**pool, leader, CoreSet::single(leader));
      EXPECT_TRUE(test::run(*step, tensors, *team).ok());
      before = threads_of(getpid());
      for (int i = 0; i < 50; ++i) EXPECT_TRUE(test::run(*step, tensors, *team).ok());
      after = threads_of(getpid());
    });
  }
  int64_t mine = 0, others = 0;
  for (const auto& use : after) {
    int64_t gain = gained(before, use);
    (use.id == worker ? mine : others) += gain;
    if (use.id != worker) continue;
    EXPECT_EQ(use.processor, cpu);
    EXPECT_EQ(use.cpus, std::vector<int>{cpu}) << "the worker keeps its affinity";
  }
  EXPECT_GT(mine, 20'000'000) << "50 runs take CPU time";
  EXPECT_LT(others, mine / 50) << "no other thread works for it";
}

// Every thread of the process may run on `cpus` only, and has.
void expect_confined(int pid, const std::vector<int>& cpus) {
  auto threads = threads_of(pid);
  EXPECT_FALSE(threads.empty()) << "no process " << pid;
  for (const auto& use : threads) {
    EXPECT_EQ(use.cpus, cpus) << use.name;
    EXPECT_TRUE(std::find(cpus.begin(), cpus.end(), use.processor) != cpus.end())
        << use.name << " ran on CPU " << use.processor;
  }
}

TEST(Confinement, AChildStaysOnItsCpus) {
  MOTET_NEEDS_OPENVINO();
  std::vector<int> all = device::read_cpu_budget().cpus;
  if (all.size() < 2) GTEST_SKIP() << "skipped: this machine has one CPU";
  Children children({{"/proc/self/exe", kWorkerCommand}, "", std::filesystem::absolute(kModel)});
  auto child = children.take({all[1]});
  ASSERT_TRUE(child.ok()) << child.error().message;
  const int pid = (*child)->pid();
  ASSERT_TRUE((*child)->memory().grow(1 << 20).ok());
  (*child)->ask(Compile{.program = 1, .shapes = {kImage}, .calibrate = true});
  auto compiled = (*child)->answer(-1);
  ASSERT_TRUE(compiled && compiled->ok()) << (compiled ? compiled->error().message : "no answer");
  auto measured = decode_measured(**compiled);
  ASSERT_TRUE(measured.ok()) << measured.error().message;
  EXPECT_GT(measured->bytes, Bytes(1 << 20)) << "the weights are packed";
  expect_confined(pid, {all[1]});
  (*child)->ask(RunOnce{1, (*child)->memory().bytes(), {{kImage, 0}}, {{{1, 1000}, 800 << 10}}});
  auto ran = (*child)->answer(-1);
  ASSERT_TRUE(ran && ran->ok() && decode_ran(**ran).ok());
  expect_confined(pid, {all[1]});
  children.give(std::move(*child));
  auto again = children.take({all[1]});
  ASSERT_TRUE(again.ok());
  EXPECT_EQ((*again)->pid(), pid) << "on the same CPUs: the same child";
  children.give(std::move(*again));
  auto wider = children.take({all[0], all[1]});
  ASSERT_TRUE(wider.ok());
  EXPECT_NE((*wider)->pid(), pid) << "on others: another, in its place";
  EXPECT_EQ(test::children(), std::vector<int>{(*wider)->pid()});
}

TEST(Confinement, OnMoreCoresTheWorkersSleepWhileTheChildWorks) {
  MOTET_NEEDS_OPENVINO();
  std::vector<int> all = device::read_cpu_budget().cpus;
  if (all.size() < 2) GTEST_SKIP() << "skipped: this machine has one CPU";
  auto pool = device::Pool::create({.workers = 2});
  ASSERT_TRUE(pool.ok()) << pool.error().message;
  auto step = compile(2);
  int64_t workers_ns = 0, child_ns = 0;
  std::vector<int> cpus;
  {
    device::OnWorker work(**pool, 0, [&] {
      test::Tensors tensors(*step);
      auto team = device::PoolTeam::create(**pool, 0, CoreSet::range(0, 2));
      cpus = team->cpus();
      EXPECT_TRUE(test::run(*step, tensors, *team).ok());
      ASSERT_EQ(test::children().size(), 1u);
      const int pid = test::children()[0];
      auto sum = [&] {
        int64_t ns = 0;
        for (const auto& use : threads_of(pid)) ns += use.cpu_ns;
        return ns;
      };
      int64_t child_before = sum();
      int64_t workers_before = (*pool)->busy_ns(0) + (*pool)->busy_ns(1);
      for (int i = 0; i < 50; ++i) EXPECT_TRUE(test::run(*step, tensors, *team).ok());
      workers_ns = (*pool)->busy_ns(0) + (*pool)->busy_ns(1) - workers_before;
      child_ns = sum() - child_before;
      std::sort(cpus.begin(), cpus.end());
      expect_confined(pid, cpus);
    });
  }
  EXPECT_GT(child_ns, 20'000'000);
  EXPECT_LT(workers_ns, child_ns / 4) << "they copy tensors and wait asleep";
}

}  // namespace
}  // namespace motet::foreign
