// For this room's tests: the shipped model through OpenVINO, whether OpenVINO is there, and what /proc says of threads.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/tensor/tensor.h"
#include "compute/device/team.h"
#include "compute/engine/foreign_step.h"

namespace motet::foreign::test {

// Why OpenVINO cannot be tested here, or "".
std::string missing();
#define MOTET_NEEDS_OPENVINO()                                                \
  do {                                                                        \
    if (std::string why = test::missing(); !why.empty()) GTEST_SKIP() << why; \
  } while (false)

// Opened, with this program as its children's.
std::shared_ptr<engine::ForeignExecutor> executor();

// A team whose cores are these CPUs of the machine; its region functions are not for use.
class OnCpus final : public device::Team {
 public:
  explicit OnCpus(std::vector<int> cpus) : cpus_(std::move(cpus)) {}
  int width() const override { return static_cast<int>(cpus_.size()); }
  void run(int parts, device::PartFunction f) override {
    for (int part = 0; part < parts; ++part) f(part, parts);
  }
  std::vector<int> cpus() const override { return cpus_; }

 private:
  const std::vector<int> cpus_;
};

// Inputs drawn at random for a step, and room for its outputs.
struct Tensors {
  explicit Tensors(const engine::ForeignStep& step);
  std::vector<Tensor> inputs, outputs;
  std::vector<TensorView> in, out;  // no data where an output's extents are not known
};

// One run from start to end.
Status run(const engine::ForeignStep& step, Tensors& tensors, device::Team& team);

struct ThreadUse {
  int id = 0;
  std::string name;
  int64_t cpu_ns = 0;
  int processor = -1;     // where it ran last
  std::vector<int> cpus;  // where it may run
};
// Of every thread of a process.
std::vector<ThreadUse> threads_of(int pid);
// Processes that this one has started and not collected.
std::vector<int> children();
// Whether a child has ended, and is not collected yet.
bool ended(int pid);

}  // namespace motet::foreign::test
