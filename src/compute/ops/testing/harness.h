// Runs one node through every implementation that its op has, in every layout, at several widths, and holds the results
// against what was expected. For tests only.
#pragma once

#include <string>
#include <vector>

#include "compute/ops/kernel.h"
#include "compute/ops/testing/naive.h"

namespace motet::ops::testing {

// A team of given width that runs all parts on the calling thread.
class WideTeam : public device::Team {
 public:
  explicit WideTeam(int width) : width_(width) {}
  int width() const override { return width_; }
  void run(int parts, device::PartFunction f) override {
    for (int part = parts; part-- > 0;) f(part, parts);
  }

 private:
  int width_;
};

Tensor f32_tensor(const Array& array);

struct Case {
  std::string op;
  int opset = 17;
  std::map<std::string, graph::Attribute, std::less<>> attributes = {};
  std::vector<Tensor> inputs = {};
  std::vector<bool> constant = {};  // true: known when planned; missing entries are false
  std::vector<graph::PostOp> post_ops = {};
  Array expected = {};      // of output 0
  double tolerance = 2e-5;  // relative to the greatest expected magnitude
};

// Fails the running test with the implementation, layout and element that differ. Refusals are accepted from all but
// the last implementation. Returns how many runs were compared.
int check_case(const Case& c);

}  // namespace motet::ops::testing
