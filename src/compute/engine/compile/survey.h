// The survey of a program: every step is run on made-up data, alone on the calling thread, and its units, their times
// and its barriers are noted. From it come the steps' predictions and the slices of those that are longer than the
// quantum. Private to compute/engine. One thread at a time per program, before the program is shared.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/units.h"
#include "compute/device/slice_team.h"
#include "compute/engine/compiled.h"

namespace motet::engine {

struct Survey;

struct StepSurvey {
  device::UnitTable units;    // none for a branch
  std::vector<Nanos> times;   // per unit, typical of the rounds
  Nanos outside;              // what every slice spends again
  Nanos whole;                // of the step planned in no more parts than cores; 0 if that was not looked at
  Nanos total;                // of the step, typical of the rounds; a branch: its longer side
  Nanos wide;                 // the same on all cores of the program, by its units' times
  bool barrier = false;       // its parts met at one: units and times say nothing
  bool sliceable = true;      // false: a run unit by unit gave other results than a run whole
  std::vector<Survey> sides;  // of a branch
};

struct Survey {
  std::vector<StepSurvey> steps;  // per step of the program's body
  Nanos total;                    // sum of the steps'
  Nanos wide;                     // of the steps' own
};

// Of the times of several rounds the middle one, of an even number the shorter of the two. Not the shortest: the first
// round finds in the caches what was just drawn or touched, and no run does so again. REQUIRES: at least one.
Nanos typical(std::vector<Nanos> rounds);

// Rounds until `budget` is used, at least `least_rounds` and at most six. Inputs are drawn from a fixed stream (f32 in
// [-1, 1)), zero for other types; a step that faults on them is surveyed all the same. Steps longer than the program's
// quantum are put to the proof that they bear slicing. With `only`, other steps than those of these keys are not run:
// their results are zeros and their surveys empty. `cores` are those that the program is made for. Nothing if there is
// no memory.
std::optional<Survey> survey(const CompiledProgram& program, int cores, Nanos budget,
                             const std::set<std::string>* only = nullptr, int least_rounds = 1);

// Cuts every step into slices of at most the program's quantum by the survey's times, and writes predictions, slices
// and loss into the program's infos.
void cut_steps(CompiledProgram& program, const Survey& survey);

}  // namespace motet::engine
