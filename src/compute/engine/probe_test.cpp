#include "compute/engine/probe.h"

#include <gtest/gtest.h>

// What oneDNN's parallel regions compile to; defined by compute/device.
extern "C" {
void GOMP_parallel(void (*function)(void*), void* data, unsigned threads, unsigned flags);
void GOMP_barrier();
}

namespace motet::engine {
namespace {

// A kernel of two parts that meet, or do not.
class Meeting final : public ops::Kernel {
 public:
  explicit Meeting(bool barrier) : barrier_(barrier) {}
  void run(const ops::KernelArgs&, device::Team& team) const override {
    device::TeamScope scope(team);
    bool barrier = barrier_;
    GOMP_parallel(
        [](void* data) {
          if (*static_cast<bool*>(data)) GOMP_barrier();
        },
        &barrier, 2, 0);
  }
  std::string implementation() const override { return "test"; }

 private:
  const bool barrier_;
};

TEST(Probe, FindsTheStepsWhosePartsMeet) {
  CompiledProgram program;
  for (bool barrier : {false, true, false}) {
    Step step;
    step.kernel = std::make_unique<Meeting>(barrier);
    step.key = "value " + std::to_string(program.body.size());
    program.body.push_back(std::move(step));
    program.infos.emplace_back();
  }
  EXPECT_EQ(find_barriers(program, 2), std::set<std::string>({"value 1"}));
}

}  // namespace
}  // namespace motet::engine
