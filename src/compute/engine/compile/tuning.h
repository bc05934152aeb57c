// Tuning: what was measured of one program and is worth keeping for the next process: how many parts its steps are
// planned in, and the survey by which they are cut. As text it goes into the model's cache (cache/model_cache.h).
// Private to compute/engine. Pure functions.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/tensor/shape.h"
#include "compute/engine/compile/cut.h"
#include "compute/engine/compile/survey.h"
#include "compute/engine/compiled.h"
#include "compute/engine/program.h"

namespace motet::engine {

struct Tuning {
  Care care = Care::kQuick;          // with which it was measured
  std::map<std::string, int> parts;  // LoweringOptions::parts
  Survey survey;
  std::string steps;  // of the program that was surveyed: steps_text()
};

std::string to_text(const Tuning& tuning);
// Nothing if it is not such a text.
std::optional<Tuning> tuning_of(std::string_view text);

// The steps of a program, with what runs each in how many parts: a survey holds for programs that have the same.
std::string steps_text(const CompiledProgram& program);

// Names a program among those of its model, whatever the calibration.
std::string program_key(const std::vector<Shape>& shapes, const CompileOptions& options, ops::Layout layout);

}  // namespace motet::engine
