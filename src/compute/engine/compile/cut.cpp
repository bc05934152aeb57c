#include "compute/engine/compile/cut.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "compute/engine/compile/survey.h"
#include "compute/engine/compile/tuning.h"

namespace motet::engine {
namespace {

using graph::Graph;

// Time for one survey. Short programs get several rounds in it.
constexpr Nanos kMeasureBudget = Nanos::from_millis(150);

Nanos budget_of(Care care) { return care == Care::kQuick ? Nanos(0) : kMeasureBudget; }

Nanos longest_unit(const StepSurvey& step) {
  return step.times.empty() ? step.total : *std::max_element(step.times.begin(), step.times.end());
}

// The parts that a second lowering should plan steps with: one where parts meet at a barrier; more where a unit is
// longer than the quantum.
std::map<std::string, int> corrected_parts(const CompiledProgram& program, const Survey& survey, bool timed) {
  constexpr int kMostParts = 1024;
  std::map<std::string, int> parts;
  for (size_t i = 0; i < program.body.size(); ++i) {
    const Step& step = program.body[i];
    const StepSurvey& surveyed = survey.steps[i];
    for (size_t side = 0; side < surveyed.sides.size(); ++side)
      if (!surveyed.sides[side].steps.empty())
        parts.merge(corrected_parts(*step.branch->taken[side], surveyed.sides[side], timed));
    if (step.branch) continue;
    if (surveyed.barrier && step.parts > 1) parts[step.key] = 1;
    if (!timed || surveyed.barrier || step.kernel->meets_barriers() || !surveyed.sliceable ||
        surveyed.units.total < step.parts)
      continue;
    const Nanos longest = longest_unit(surveyed);
    if (longest <= program.quantum) continue;
    int times_more = static_cast<int>(longest.value * 2 / std::max<int64_t>(1, program.quantum.value)) + 1;
    if (step.parts * times_more <= kMostParts) parts[step.key] = step.parts * times_more;
  }
  return parts;
}

// Lowered, with its kernels' code generated and weights packed by as many threads as the program is wide.
Result<std::shared_ptr<CompiledProgram>> lower_finished(const std::shared_ptr<const Graph>& graph,
                                                        const LoweringOptions& lowering) {
  MOTET_ASSIGN(auto program, lower(graph, lowering));
  MOTET_RETURN_IF_ERROR(finish(*program, lowering.max_width));
  return program;
}

// The program cut as it was in an earlier process; nothing if that is not known well enough.
Result<std::optional<Cut>> lower_as_before(const std::shared_ptr<const Graph>& graph, LoweringOptions lowering,
                                           Care care, const Memo& memo) {
  auto text = memo.cache.tuned(memo.key(lowering));
  auto tuning = text ? tuning_of(*text) : std::nullopt;
  if (!tuning || tuning->care < care) return std::optional<Cut>();
  lowering.parts = tuning->parts;
  Cut cut;
  MOTET_ASSIGN(cut.program, lower_finished(graph, lowering));
  if (steps_text(*cut.program) != tuning->steps) return std::optional<Cut>();
  cut_steps(*cut.program, tuning->survey);
  cut.total = tuning->survey.wide;
  cut.care = tuning->care;
  return std::optional<Cut>(std::move(cut));
}

// Parts cost something where a kernel blocks its work for them, or has scratch for each. Steps that take clearly longer
// in their parts than whole, or have many more than the quantum asks for, are tried with fewer; each keeps what was
// shortest, of equals the fewest. Changes `parts` and `surveyed`, which stay those of one program; true if they did
// change.
class Tightening {
 public:
  Tightening(std::shared_ptr<const Graph> graph, LoweringOptions lowering)
      : graph_(std::move(graph)), lowering_(std::move(lowering)) {}

  Result<bool> run(const CompiledProgram& program, std::map<std::string, int>& parts, Survey& surveyed) {
    for (size_t i = 0; i < program.body.size(); ++i)
      if (program.body[i].kernel && surveyed.steps[i].units.total > 1 && program.body[i].parts > lowering_.max_width)
        steps_[program.body[i].key] = {program.body[i].parts, &surveyed.steps[i], Nanos(0), false};
    if (steps_.empty()) return false;
    MOTET_RETURN_IF_ERROR(time_whole());
    MOTET_RETURN_IF_ERROR(time_again());
    MOTET_RETURN_IF_ERROR(try_just_enough());
    for (double share : {1.0, 2.5, 0.7, 1.5, 0.5}) MOTET_RETURN_IF_ERROR(try_fewer(share));
    bool changed = false;
    for (const auto& [key, step] : steps_) {
      step.best->whole = step.whole;
      if (!step.changed) continue;
      parts[key] = step.parts;
      changed = true;
    }
    surveyed.total = surveyed.wide = Nanos(0);
    for (const StepSurvey& step : surveyed.steps) {
      surveyed.total += step.total;
      surveyed.wide += step.wide;
    }
    return changed;
  }

 private:
  static constexpr int kRounds = 4;  // of each survey: what is compared differs by a few parts in a hundred

  struct Candidate {
    int parts = 1;
    StepSurvey* best = nullptr;
    Nanos whole;
    bool changed = false;

    // True if its parts cost more than they should.
    bool costly() const {
      constexpr double kClearly = 1.02;
      return static_cast<double>(best->total.value) >= kClearly * static_cast<double>(whole.value);
    }
  };

  // Parts, a multiple of the cores, of which each takes `share` of the quantum of a region that takes `time` in one.
  int parts_of(Nanos time, double share) const {
    double wanted = static_cast<double>(time.value) / (share * static_cast<double>(lowering_.quantum.value));
    int cores = lowering_.max_width;
    return std::max(1, (static_cast<int>(std::ceil(wanted)) + cores - 1) / cores) * cores;
  }

  // Calls f(candidate, its step, its survey) for the steps of these keys in a program lowered by `lowering`.
  template <class F>
  Status survey_with(const LoweringOptions& lowering, const std::set<std::string>& keys, F&& f) {
    if (keys.empty()) return {};
    MOTET_ASSIGN(auto program, lower_finished(graph_, lowering));
    auto surveyed = survey(*program, lowering.max_width, kMeasureBudget / 2, &keys, kRounds);
    if (!surveyed) return {};
    for (size_t i = 0; i < program->body.size(); ++i) {
      const Step& step = program->body[i];
      if (step.kernel && keys.contains(step.key)) f(steps_.at(step.key), step, surveyed->steps[i]);
    }
    return {};
  }

  Status time_whole() {
    LoweringOptions whole = lowering_;
    whole.quantum = kNever;
    std::erase_if(whole.parts, [](const auto& known) { return known.second > 1; });
    std::set<std::string> all;
    for (const auto& [key, step] : steps_) all.insert(key);
    return survey_with(whole, all, [](Candidate& c, const Step&, const StepSurvey& s) { c.whole = s.total; });
  }

  // What seems worth changing is timed as often as what it is to be compared with.
  Status time_again() {
    LoweringOptions same = lowering_;
    std::set<std::string> again;
    for (const auto& [key, step] : steps_) {
      same.parts[key] = step.parts;
      if (step.costly() || lavish(step)) again.insert(key);
    }
    return survey_with(same, again, [](Candidate& c, const Step&, const StepSurvey& s) {
      if (!(s.units == c.best->units)) return;
      const bool sliceable = c.best->sliceable && s.sliceable;
      *c.best = s;
      c.best->sliceable = sliceable;
    });
  }

  // True if it has many more parts than the quantum asks for.
  bool lavish(const Candidate& c) const {
    constexpr int kManyTimes = 2;
    return c.parts > kManyTimes * parts_of(c.whole, 1.0);
  }

  // Lowers with what `propose` says for each step (nothing: as it is), and keeps what is better.
  template <class F>
  Status attempt(F&& propose) {
    LoweringOptions other = lowering_;
    std::set<std::string> tried;
    for (const auto& [key, step] : steps_) {
      other.parts[key] = step.parts;
      std::optional<int> proposed = propose(step);
      if (!proposed || *proposed == step.parts) continue;
      other.parts[key] = *proposed;
      tried.insert(key);
    }
    return survey_with(other, tried, [&](Candidate& c, const Step& step, const StepSurvey& s) {
      if (s.barrier || !s.sliceable) return;
      const bool fits = longest_unit(s) <= std::max(lowering_.quantum, longest_unit(*c.best));
      constexpr double kBearable = 1.01;  // since fewer parts have less scratch
      if (!fits || static_cast<double>(s.total.value) >= kBearable * static_cast<double>(c.best->total.value)) return;
      c.parts = other.parts[step.key];
      *c.best = s;
      c.changed = true;
    });
  }

  // No more parts than the quantum asks for, with something to spare, where there are many more.
  Status try_just_enough() {
    constexpr double kShare = 0.85;
    return attempt([&](const Candidate& c) -> std::optional<int> {
      if (!lavish(c)) return std::nullopt;
      return parts_of(c.whole, kShare);
    });
  }

  // Fewer parts of the whole, each `share` of the quantum. More than one is within it where a kernel has several
  // regions.
  Status try_fewer(double share) {
    return attempt([&](const Candidate& c) -> std::optional<int> {
      int parts = parts_of(c.whole, share);
      if (!c.costly() || parts >= c.parts) return std::nullopt;
      return parts;
    });
  }

  const std::shared_ptr<const Graph> graph_;
  const LoweringOptions lowering_;
  std::map<std::string, Candidate> steps_;  // by key
};

}  // namespace

std::string Memo::key(const LoweringOptions& lowering) const {
  std::string text = program_key(shapes, options, lowering.preferred);
  if (lowering.all_winograd) text += " winograd";
  for (const std::string& step : lowering.winograd) text += '\n' + step;
  return text;
}

Result<Cut> lower_cut(const std::shared_ptr<const Graph>& graph, LoweringOptions lowering, Care care,
                      const Memo& memo) {
  MOTET_ASSIGN(auto before, lower_as_before(graph, lowering, care, memo));
  if (before) return *std::move(before);
  Cut cut;
  MOTET_ASSIGN(cut.program, lower_finished(graph, lowering));
  auto surveyed = survey(*cut.program, lowering.max_width, budget_of(care));
  if (!surveyed) return cut;
  auto corrected = corrected_parts(*cut.program, *surveyed, care != Care::kQuick);
  if (!corrected.empty()) {
    for (const auto& [key, parts] : corrected) lowering.parts[key] = parts;
    MOTET_ASSIGN(cut.program, lower_finished(graph, lowering));
    auto barriers = *std::move(surveyed);
    surveyed = survey(*cut.program, lowering.max_width, budget_of(care));
    if (!surveyed) return cut;
    for (size_t i = 0; i < surveyed->steps.size() && i < barriers.steps.size(); ++i)
      surveyed->steps[i].barrier = surveyed->steps[i].barrier || barriers.steps[i].barrier;
  }
  if (care == Care::kTightened) {
    MOTET_ASSIGN(bool changed, Tightening(graph, lowering).run(*cut.program, lowering.parts, *surveyed));
    if (changed) {
      MOTET_ASSIGN(cut.program, lower_finished(graph, lowering));
    }
  }
  cut_steps(*cut.program, *surveyed);
  cut.care = care;
  cut.total = surveyed->wide;
  auto meanwhile = memo.cache.tuned(memo.key(lowering));  // by one that measured it while we did not
  auto known = meanwhile ? tuning_of(*meanwhile) : std::nullopt;
  if (known && known->care > care) return cut;
  Tuning tuning{care, std::move(lowering.parts), *std::move(surveyed), steps_text(*cut.program)};
  memo.cache.tune(memo.key(lowering), to_text(tuning));
  return cut;
}

}  // namespace motet::engine
