#include "compute/device/slice_team.h"

#include <algorithm>

#include "base/check.h"
#include "compute/device/region.h"

namespace motet::device {

bool operator==(const UnitTable& a, const UnitTable& b) {
  auto same = [](const UnitTable::Stage& x, const UnitTable::Stage& y) {
    return x.first == y.first && x.units == y.units && x.serial == y.serial;
  };
  return a.total == b.total && std::equal(a.stages.begin(), a.stages.end(), b.stages.begin(), b.stages.end(), same);
}

void SliceTeam::select(const UnitTable& table, int first, int last) {
  MOTET_CHECK(first >= 0 && first < last && last <= table.total, "a slice is a range of a kernel's units");
  table_ = first == 0 && last == table.total ? nullptr : &table;
  first_ = first;
  last_ = last;
  stop_ = nullptr;
  stage_ = -1;
  next_ = 0;
}

void SliceTeam::select(const UnitTable& table, int first, int least, const Stop& stop) {
  MOTET_CHECK(first >= 0 && first < least && least <= table.total, "a call reaches a unit after its first");
  table_ = &table;
  first_ = first;
  last_ = table.total;
  least_ = least;
  stop_ = &stop;
  stage_ = -1;
  next_ = 0;
}

bool SliceTeam::asked_to_end(int unit) const {
  return stop_ != nullptr && unit >= least_ && stop_->load(std::memory_order_relaxed) != 0;
}

bool SliceTeam::begin_stage() {
  if (table_ == nullptr) return true;
  ++stage_;
  MOTET_CHECK(static_cast<size_t>(stage_) < table_->stages.size(), "a kernel has the same stages in every run");
  const UnitTable::Stage& stage = table_->stages[static_cast<size_t>(stage_)];
  next_ = stage.first;
  if (stage.first < last_ && asked_to_end(stage.first)) last_ = stage.first;
  return stage.first < last_ && first_ < stage.first + stage.units;
}

void SliceTeam::run(int parts, PartFunction f) {
  if (table_ == nullptr || this_thread().in_region) {
    cores_.run(parts, f);
    return;
  }
  if (stage_ < 0) begin_stage();  // a kernel of one stage need not announce it
  const int base = next_;
  next_ += parts;
  const UnitTable::Stage& stage = table_->stages[static_cast<size_t>(stage_)];
  MOTET_CHECK(next_ <= stage.first + stage.units, "a kernel has the same regions in every run");
  const int first = std::clamp(first_ - base, 0, parts);
  const int last = std::clamp(last_ - base, 0, parts);
  if (first >= last) return;
  // Cores take parts in turn: none waits for another before the region's end, and what was taken is run.
  std::atomic<int> next{first};
  auto body = [&](int, int) {
    while (!asked_to_end(base + next.load(std::memory_order_relaxed))) {
      const int part = next.fetch_add(1, std::memory_order_relaxed);
      if (part >= last) return;
      PartScope scope(part, parts);
      f(part, parts);
    }
  };
  cores_.run(std::min(last - first, cores_.width()), PartFunction(body));
  if (const int taken = next.load(std::memory_order_relaxed); taken < last) last_ = base + taken;
}

SurveyTeam::SurveyTeam(int parts, const Clock& clock) : parts_(parts), clock_(clock), stage_began_(clock.now()) {}

void SurveyTeam::open_stage() {
  table_.stages.push_back({.first = table_.total, .units = 0, .serial = false});
  if (table_.stages.size() > 1) stage_began_ = clock_.now();
  in_regions_ = Nanos(0);
  open_ = true;
}

void SurveyTeam::close_stage() {
  if (!open_) return;
  open_ = false;
  UnitTable::Stage& stage = table_.stages.back();
  const Nanos outside = clock_.now() - stage_began_ - in_regions_;
  if (stage.units == 0) {
    stage.units = 1;
    stage.serial = true;
    regions_.push_back(table_.total);
    ++table_.total;
    times_.push_back(outside);
  } else {
    outside_ += outside;
  }
}

void SurveyTeam::finish() {
  if (table_.stages.empty()) open_stage();
  close_stage();
}

bool SurveyTeam::begin_stage() {
  close_stage();
  open_stage();
  return true;
}

void SurveyTeam::run(int parts, PartFunction f) {
  if (this_thread().in_region) {
    run_serially(parts, f);
    return;
  }
  if (!open_) open_stage();
  regions_.push_back(table_.total);
  BarrierCount count;
  const Nanos began = clock_.now();
  Nanos last = began;
  for (int part = 0; part < parts; ++part) {
    PartScope scope(part, parts);
    f(part, parts);
    const Nanos now = clock_.now();
    times_.push_back(now - last);
    last = now;
  }
  table_.stages.back().units += parts;
  table_.total += parts;
  in_regions_ += last - began;
  met_barrier_ = met_barrier_ || count.met();
}

}  // namespace motet::device
