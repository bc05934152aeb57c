// A team that runs a contiguous range of a kernel's units and skips the others: how a step of a long op is executed. A
// unit is one part of one parallel region, numbered in the order of the regions; a stage (Team::begin_stage) without
// any region is a unit by itself. For tests only; one thread at a time.
#pragma once

#include <cstdint>
#include <vector>

#include "compute/device/team.h"

namespace motet::ops::testing {

// Units of each stage; what comes before the first announced stage is one too.
using Stages = std::vector<int64_t>;

class SlicedTeam final : public device::Team {
 public:
  // Runs everything, in regions of at most `width` parts where the kernel goes by the width.
  explicit SlicedTeam(int width) : width_(width) {}
  // Runs units [begin, end) of a kernel that has these stages.
  SlicedTeam(int width, const Stages& stages, int64_t begin, int64_t end)
      : width_(width), known_(&stages), begin_(begin), end_(end) {}

  int width() const override { return width_; }
  bool begin_stage() override {
    if (known_ != nullptr) next_ = first_unit(stages_.size());
    stages_.push_back(0);
    if (known_ == nullptr || stages_.size() > known_->size()) return true;
    const int64_t units = (*known_)[stages_.size() - 1];
    return next_ < end_ && begin_ < next_ + (units == 0 ? 1 : units);
  }
  // The last part first: parts may not rely on an order.
  void run(int parts, device::PartFunction f) override {
    if (nested_) {  // belongs to the part around it
      for (int part = parts; part-- > 0;) f(part, parts);
      return;
    }
    if (stages_.empty()) stages_.push_back(0);
    const int64_t first = next_;
    next_ += parts;
    stages_.back() += parts;
    nested_ = true;
    for (int part = parts; part-- > 0;) {
      const int64_t unit = first + part;
      if (known_ == nullptr || (unit >= begin_ && unit < end_)) f(part, parts);
    }
    nested_ = false;
  }
  // The stages met; of a skipped one the units are not known.
  const Stages& stages() const { return stages_; }

  static int64_t units_of(const Stages& stages) {
    int64_t sum = 0;
    for (int64_t units : stages) sum += units == 0 ? 1 : units;
    return sum;
  }

 private:
  int64_t first_unit(size_t stage) const {
    int64_t sum = 0;
    for (size_t s = 0; s < stage && s < known_->size(); ++s) sum += (*known_)[s] == 0 ? 1 : (*known_)[s];
    return sum;
  }

  const int width_;
  const Stages* known_ = nullptr;
  const int64_t begin_ = 0, end_ = 0;
  Stages stages_;
  int64_t next_ = 0;
  bool nested_ = false;
};

}  // namespace motet::ops::testing
