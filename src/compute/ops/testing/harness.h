// Runs one node through every implementation that its op has and holds the results against what was expected: in every
// layout, cut into one to seven parts, and in slices, which must give the bits of the run in one piece. For tests only.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/random.h"
#include "compute/ops/registry.h"
#include "compute/ops/testing/naive.h"

namespace motet::ops::testing {

// A team of given width that runs all parts on the calling thread, the last first: parts may not rely on an order.
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

// A tensor of that type with these values; each must be a value of the type.
Tensor tensor_of(DType dtype, const Array& array);
inline Tensor f32_tensor(const Array& array) { return tensor_of(DType::kF32, array); }

// What output `o` must be. The bound of element i is roundings * u * magnitude, where u is half a unit in the last
// place of 1 in the output's type (for f16 and bf16, results computed in f32 and rounded once: that once besides).
struct Expected {
  Array values;
  DType dtype = DType::kF32;
};

struct Case {
  std::string op;
  std::string domain = "";
  int opset = 17;
  std::map<std::string, graph::Attribute, std::less<>> attributes = {};
  std::vector<Tensor> inputs = {};  // an input without data is absent
  std::vector<bool> constant = {};  // true: known when planned; missing entries are false
  std::vector<graph::PostOp> post_ops = {};
  Array expected = {};              // of output 0
  DType dtype = DType::kF32;        // of output 0
  std::vector<Expected> more = {};  // further outputs
  double roundings = 0;             // of one element: about the length of its longest sum; 0 asks for the bits
  Array magnitude = {};             // of output 0, per element: the sum of its terms' sizes; else |expected|
  double floor = 0;                 // least magnitude, for functions that are approximated in absolute terms
  bool winograd = false;            // NodeRequest::winograd
  bool refused = false;             // every implementation must refuse, and say why
};

struct Outcome {
  std::vector<std::string> faults;  // implementation, layout, parts, and what is wrong
  int runs = 0;                     // plans that were run and compared
};
// Checks `c` against `list`; refusals are accepted from all but the last.
Outcome check(const Case& c, std::span<const Implementation> list);
// Which of `list` plan the node in at least one layout.
std::vector<bool> accepted(const Case& c, std::span<const Implementation> list);

}  // namespace motet::ops::testing
