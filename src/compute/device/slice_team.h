// Slices: how one kernel's work is cut, and the teams that find the cuts and run them.
//
// A kernel's work lies in its parallel regions, and the number of parts of every region is fixed when it is planned. A
// unit is one part of one region; units are numbered in the order of stages, regions and parts. A slice is a run of
// consecutive units: SliceTeam runs those and skips the others, so a kernel called once for every slice does exactly
// what one call does, with the same bits, on however many cores each call has. What a kernel computes outside its
// regions is repeated in every call and must bear it. One thread at a time.
#pragma once

#include <vector>

#include "base/clock.h"
#include "base/units.h"
#include "compute/device/team.h"

namespace motet::device {

// The units of one kernel, found by SurveyTeam.
struct UnitTable {
  struct Stage {
    int first = 0;
    int units = 0;
    bool serial = false;  // no parallel region: one unit, which the stage's own thread runs
  };
  std::vector<Stage> stages;
  int total = 0;
  friend bool operator==(const UnitTable& a, const UnitTable& b);
};

// Runs a kernel's regions on the cores of another team, always in `parts` parts, whatever its width.
class SliceTeam final : public Team {
 public:
  // REQUIRES: parts >= 1; `cores` outlives this.
  SliceTeam(Team& cores, int parts) : cores_(cores), parts_(parts) {}

  // The next call of the kernel runs all units.
  void select_all() { table_ = nullptr; }
  // The next call runs units [first, last). REQUIRES: 0 <= first < last <= table.total; `table` outlives the call.
  void select(const UnitTable& table, int first, int last);
  // The next call runs units from `first` on: to the last, or until `stop` asks, but unit `least` is reached. Its cores
  // take one unit after another, in order, so that those which were run are [first, reached()). REQUIRES: 0 <= first <
  // least <= table.total; `table` and `stop` outlive the call.
  void select(const UnitTable& table, int first, int least, const Stop& stop);
  // The unit after the last that the call ran.
  int reached() const { return last_; }

  int width() const override { return parts_; }
  bool begin_stage() override;
  void run(int parts, PartFunction f) override;
  bool concurrent(int parts) const override { return table_ == nullptr && cores_.concurrent(parts); }

 private:
  // True if the call should end before `unit`.
  bool asked_to_end(int unit) const;

  Team& cores_;
  const int parts_;
  const UnitTable* table_ = nullptr;  // null: all units
  int first_ = 0;
  int last_ = 0;
  int least_ = 0;
  const Stop* stop_ = nullptr;  // null: none asks
  int stage_ = -1;
  int next_ = 0;  // unit with which the next region begins
};

// Runs all parts on the calling thread, one after another, and notes the units, the time of each and whether any met a
// barrier. Parts that meet there do not wait: what the kernel leaves is then meaningless.
class SurveyTeam final : public Team {
 public:
  // REQUIRES: parts >= 1; `clock` outlives this.
  SurveyTeam(int parts, const Clock& clock);

  // Ends the survey of one call of a kernel.
  void finish();
  const UnitTable& table() const { return table_; }
  const std::vector<Nanos>& times() const { return times_; }  // per unit
  // Time outside regions: every slice spends it again. Not in times(), but for stages that are serial.
  Nanos outside() const { return outside_; }
  // The unit with which each parallel region, or serial stage, begins.
  const std::vector<int>& regions() const { return regions_; }
  bool met_barrier() const { return met_barrier_; }

  int width() const override { return parts_; }
  bool begin_stage() override;
  void run(int parts, PartFunction f) override;

 private:
  void open_stage();
  void close_stage();

  const int parts_;
  const Clock& clock_;
  UnitTable table_;
  std::vector<Nanos> times_;
  std::vector<int> regions_;
  bool open_ = false;
  bool met_barrier_ = false;
  Nanos outside_;
  Nanos stage_began_;
  Nanos in_regions_;  // of the stage that is open
};

}  // namespace motet::device
