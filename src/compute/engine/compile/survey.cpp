#include "compute/engine/compile/survey.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <span>

#include "base/clock.h"
#include "compute/engine/arena_cache.h"
#include "compute/engine/made_up.h"
#include "compute/engine/runner.h"

namespace motet::engine {
namespace {

constexpr int kMostRounds = 6;

std::vector<std::byte*> addresses(const std::vector<Tensor>& tensors) {
  std::vector<std::byte*> list;
  for (const Tensor& tensor : tensors) list.push_back(tensor.view().data);
  return list;
}

// One operand's memory, with padding.
struct Memory {
  std::byte* data;
  size_t bytes;
  std::vector<std::byte> saved;

  void save() { saved.assign(data, data + bytes); }
  void restore() const { std::memcpy(data, saved.data(), bytes); }
};

// A step that has been run whole, with its operands, for running it again on the same data.
class Trial {
 public:
  Trial(const CompiledProgram& program, const Step& step, std::byte* arena, std::vector<TensorView> inputs,
        std::vector<TensorView> outputs)
      : step_(step), inputs_(std::move(inputs)), outputs_(std::move(outputs)) {
    if (step.scratch != kNoBuffer) scratch_ = arena + program.buffers[static_cast<size_t>(step.scratch)].offset;
    auto note = [&](const std::vector<StepOperand>& operands, const std::vector<TensorView>& views,
                    std::vector<Memory>& list) {
      for (size_t i = 0; i < operands.size(); ++i) {
        if (operands[i].buffer == kNoBuffer) continue;
        const Buffer& buffer = program.buffers[static_cast<size_t>(operands[i].buffer)];
        if (buffer.kind != Buffer::Kind::kConstant) list.push_back({views[i].data, buffer.bytes, {}});
      }
    };
    note(step.inputs, inputs_, before_);
    note(step.outputs, outputs_, after_);
    for (Memory& memory : before_) memory.save();
  }

  void run(device::Team& team) {
    std::atomic<const char*> fault{nullptr};
    step_.kernel->run({.inputs = inputs_, .outputs = outputs_, .scratch = scratch_, .fault = &fault}, team);
  }

  // True if unit by unit gives the bits of a run whole.
  bool bears_slicing(const device::UnitTable& units) {
    device::SliceTeam team(device::Team::serial(), step_.parts);
    if (in_place()) run(team);
    std::vector<std::vector<std::byte>> whole;
    for (Memory& memory : after_) whole.emplace_back(memory.data, memory.data + memory.bytes);
    for (Memory& memory : after_) std::memset(memory.data, 0x5A, memory.bytes);
    for (const Memory& memory : before_) memory.restore();
    for (int unit = 0; unit < units.total; ++unit) {
      team.select(units, unit, unit + 1);
      run(team);
    }
    for (size_t i = 0; i < after_.size(); ++i)
      if (std::memcmp(after_[i].data, whole[i].data(), whole[i].size()) != 0) return false;
    return true;
  }

 private:
  // True if the first run has overwritten what it read: its results are then not those of what is saved.
  bool in_place() const {
    return std::any_of(before_.begin(), before_.end(), [&](const Memory& in) {
      return std::any_of(after_.begin(), after_.end(), [&](const Memory& out) { return in.data == out.data; });
    });
  }

  const Step& step_;
  std::vector<TensorView> inputs_, outputs_;
  std::byte* scratch_ = nullptr;
  std::vector<Memory> before_, after_;
};

bool strings_among(const std::vector<TensorView>& views) {
  return std::any_of(views.begin(), views.end(), [](const TensorView& v) { return v.dtype == DType::kString; });
}

// Units of one region are alike, but for those that have nothing to do: one that took more than thrice the median was
// held up by something else on the machine, and is taken at that.
void level_times(std::span<Nanos> region) {
  constexpr Nanos kSomething(1000);
  std::vector<Nanos> busy;
  std::copy_if(region.begin(), region.end(), std::back_inserter(busy), [&](Nanos time) { return time > kSomething; });
  if (busy.size() < 4) return;
  auto middle = busy.begin() + static_cast<std::ptrdiff_t>(busy.size() / 2);
  std::nth_element(busy.begin(), middle, busy.end());
  for (Nanos& time : region) time = std::min(time, *middle * 3);
}

void level_times(StepSurvey& step, const std::vector<int>& regions) {
  for (size_t r = 0; r < regions.size(); ++r) {
    const auto first = static_cast<size_t>(regions[r]);
    const size_t last = r + 1 < regions.size() ? static_cast<size_t>(regions[r + 1]) : step.times.size();
    level_times(std::span(step.times).subspan(first, last - first));
  }
  Nanos sum = step.outside;
  for (Nanos time : step.times) sum += time;
  step.total = std::min(step.total, sum);
}

// How long a step takes on `cores` that share its regions' parts: each part is taken by the core that is free first.
Nanos time_on(int cores, const StepSurvey& step, const std::vector<int>& regions) {
  Nanos sum = step.outside;
  for (size_t r = 0; r < regions.size(); ++r) {
    const auto first = static_cast<size_t>(regions[r]);
    const size_t last = r + 1 < regions.size() ? static_cast<size_t>(regions[r + 1]) : step.times.size();
    std::vector<Nanos> busy(static_cast<size_t>(cores));
    for (size_t u = first; u < last; ++u) *std::min_element(busy.begin(), busy.end()) += step.times[u];
    sum += *std::max_element(busy.begin(), busy.end());
  }
  return std::min(sum, step.total);
}

// What the rounds found of one step.
struct Rounds {
  std::vector<std::vector<Nanos>> times;  // per unit
  std::vector<Nanos> outside, total;
  bool proven = false;  // put to the proof that it bears slicing
};

void note(StepSurvey& step, Rounds& rounds, const device::SurveyTeam& team, int cores, Nanos took) {
  if (rounds.total.empty() || !(team.table() == step.units)) {
    step.units = team.table();
    rounds.times.assign(team.times().size(), {});
    rounds.outside.clear();
    rounds.total.clear();
  }
  for (size_t u = 0; u < team.times().size(); ++u) rounds.times[u].push_back(team.times()[u]);
  rounds.outside.push_back(team.outside());
  rounds.total.push_back(took);
  step.barrier = step.barrier || team.met_barrier();
  step.times.clear();
  for (const auto& times : rounds.times) step.times.push_back(typical(times));
  step.outside = typical(rounds.outside);
  step.total = typical(rounds.total);
  level_times(step, team.regions());
  step.wide = time_on(cores, step, team.regions());
}

void survey_sides(const Branch& branch, int cores, Nanos budget, StepSurvey& step) {
  for (const auto& side : branch.taken) {
    auto found = survey(*side, cores, budget);
    step.sides.push_back(found ? std::move(*found) : Survey());
    step.total = std::max(step.total, step.sides.back().total);
    step.wide = std::max(step.wide, step.sides.back().wide);
  }
}

void survey_round(const CompiledProgram& program, std::byte* arena, Runner& runner, const Clock& clock, int cores,
                  Nanos budget, const std::set<std::string>* only, std::vector<Rounds>& rounds, Survey& result) {
  while (!runner.done()) {
    const size_t i = runner.next_index();
    const Step& step = program.body[i];
    StepSurvey& surveyed = result.steps[i];
    if (only != nullptr && !only->contains(step.key)) {
      runner.skip_step();
      continue;
    }
    if (step.branch) {
      if (surveyed.sides.empty()) survey_sides(*step.branch, cores, budget, surveyed);
      runner.skip_step();
      continue;
    }
    std::vector<TensorView> inputs = runner.next_inputs();
    std::vector<TensorView> outputs = runner.next_outputs();
    device::SurveyTeam team(step.parts, clock);
    Nanos began = clock.now();
    (void)runner.step_whole(team);  // a fault of made-up data says nothing
    team.finish();
    const Nanos took = clock.now() - began;
    note(surveyed, rounds[i], team, cores, took);
    if (step.kernel->meets_barriers()) surveyed.wide = surveyed.total / cores;  // one kernel for each width
    const bool long_one = took > program.quantum && surveyed.units.total > 1;
    if (long_one && !surveyed.barrier && !rounds[i].proven) {
      rounds[i].proven = true;
      surveyed.sliceable =
          !strings_among(inputs) && !strings_among(outputs) &&
          Trial(program, step, arena, std::move(inputs), std::move(outputs)).bears_slicing(surveyed.units);
    }
  }
}

void cut_step(Step& step, StepInfo& info, const StepSurvey& surveyed, Nanos quantum) {
  info.predicted = info.longest_slice = surveyed.total;
  info.barrier = surveyed.barrier || step.kernel->meets_barriers();
  step.slices = {};
  const device::UnitTable& units = surveyed.units;
  if (info.barrier || !surveyed.sliceable || units.total < 2 || surveyed.total <= quantum) return;
  Slices slices{.units = units, .before = {Nanos(0)}, .ends = {}};
  int begin = 0;
  for (int u = 0; u < units.total; ++u) {
    const Nanos time = surveyed.times[static_cast<size_t>(u)];
    slices.before.push_back(slices.before.back() + time);
    const Nanos with_it = slices.before.back() - slices.before[static_cast<size_t>(begin)] + surveyed.outside;
    if (u > begin && with_it > quantum) {
      slices.ends.push_back(u);
      begin = u;
    }
  }
  slices.ends.push_back(units.total);
  info.longest_slice = Nanos(0);
  for (size_t s = 0, from = 0; s < slices.ends.size(); ++s) {
    const auto to = static_cast<size_t>(slices.ends[s]);
    info.longest_slice = std::max(info.longest_slice, slices.before[to] - slices.before[from] + surveyed.outside);
    from = to;
  }
  info.slices = static_cast<int>(slices.ends.size());
  // Some kernels are faster in their parts than what runs the op whole.
  const Nanos whole = surveyed.whole > Nanos(0) ? std::min(surveyed.whole, surveyed.total) : surveyed.total;
  const Nanos sliced = surveyed.total + surveyed.outside * (info.slices - 1);
  info.loss = static_cast<double>((sliced - whole).value) / static_cast<double>(std::max<int64_t>(1, whole.value));
  if (slices.whole()) return;
  step.slices = std::move(slices);
}

}  // namespace

Nanos typical(std::vector<Nanos> rounds) {
  auto middle = rounds.begin() + static_cast<std::ptrdiff_t>((rounds.size() - 1) / 2);
  std::nth_element(rounds.begin(), middle, rounds.end());
  return *middle;
}

std::optional<Survey> survey(const CompiledProgram& program, int cores, Nanos budget, const std::set<std::string>* only,
                             int least_rounds) {
  auto arena = take_arena(program.arena);
  if (!arena.ok()) return std::nullopt;
  arena->populate();
  std::vector<Tensor> inputs = make_up(program.input_ports);
  std::vector<Tensor> outputs = make_up(program.output_ports);
  SteadyClock clock;
  Survey result;
  result.steps.resize(program.body.size());
  std::vector<Rounds> rounds(program.body.size());
  const Nanos began = clock.now();
  for (int round = 0; round < kMostRounds; ++round) {
    if (round >= least_rounds && clock.now() - began >= budget) break;
    Runner runner(program, arena->data(), addresses(inputs), addresses(outputs));
    survey_round(program, arena->data(), runner, clock, cores, budget, only, rounds, result);
  }
  give_arena(std::move(*arena));
  for (const StepSurvey& step : result.steps) {
    result.total += step.total;
    result.wide += step.wide;
  }
  return result;
}

void cut_steps(CompiledProgram& program, const Survey& survey) {
  for (size_t i = 0; i < program.body.size(); ++i) {
    Step& step = program.body[i];
    StepInfo& info = program.infos[i];
    const StepSurvey& surveyed = survey.steps[i];
    if (!step.branch) {
      cut_step(step, info, surveyed, program.quantum);
      continue;
    }
    info.predicted = surveyed.total;
    for (size_t side = 0; side < surveyed.sides.size(); ++side) {
      if (surveyed.sides[side].steps.empty()) continue;
      cut_steps(*step.branch->taken[side], surveyed.sides[side]);
      for (const StepInfo& inner : step.branch->taken[side]->infos)
        info.longest_slice = std::max(info.longest_slice, inner.longest_slice);
    }
  }
}

}  // namespace motet::engine
