#include "compute/engine/lanes.h"

#include <algorithm>
#include <map>
#include <numeric>

namespace motet::engine {
namespace {

// Longest stretch of steps that is looked at as one stage.
constexpr size_t kMostSteps = 64;

// The chains of a stretch of steps, joined as steps come in that touch more than one.
class Chains {
 public:
  explicit Chains(std::span<const Footprint> steps) : steps_(steps) {}

  void add(size_t step) {
    const Footprint& print = steps_[step];
    const size_t added = parent_.size();
    parent_.push_back(added);
    for (int buffer : print.reads)
      if (auto writer = writer_.find(buffer); writer != writer_.end()) join(added, writer->second);
    for (int buffer : print.writes) {
      if (auto writer = writer_.find(buffer); writer != writer_.end()) join(added, writer->second);
      for (size_t reader : readers_[buffer]) join(added, reader);
      writer_[buffer] = added;
    }
    for (int buffer : print.reads) readers_[buffer].push_back(added);
  }

  std::vector<std::vector<size_t>> chains() {
    std::map<size_t, std::vector<size_t>> by_root;
    for (size_t i = 0; i < parent_.size(); ++i) by_root[root(i)].push_back(i);
    std::vector<std::vector<size_t>> list;
    for (auto& [top, members] : by_root) list.push_back(std::move(members));
    std::sort(list.begin(), list.end());
    return list;
  }

 private:
  size_t root(size_t i) {
    while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
    return i;
  }
  void join(size_t a, size_t b) { parent_[root(a)] = root(b); }

  std::span<const Footprint> steps_;
  std::vector<size_t> parent_;
  std::map<int, size_t> writer_;                // the last, per buffer
  std::map<int, std::vector<size_t>> readers_;  // per buffer
};

// What running the chains at once saves over one after another, on as many cores as there are chains.
Nanos saved(const std::vector<std::vector<size_t>>& chains, std::span<const Footprint> steps, size_t first) {
  Nanos sum, longest;
  for (const auto& chain : chains) {
    Nanos time;
    for (size_t i : chain) time += steps[first + i].estimate;
    sum += time;
    longest = std::max(longest, time);
  }
  return sum - longest;
}

}  // namespace

std::vector<Stage> single_lane(size_t steps) {
  if (steps == 0) return {};
  Lane lane(steps);
  std::iota(lane.begin(), lane.end(), 0);
  return {{{std::move(lane)}}};
}

std::vector<Stage> find_lanes(std::span<const Footprint> steps) {
  std::vector<Stage> stages;
  auto straight = [&](size_t step) {
    if (stages.empty() || stages.back().lanes.size() != 1) stages.push_back({{Lane()}});
    stages.back().lanes.front().push_back(static_cast<int>(step));
  };
  for (size_t first = 0; first < steps.size();) {
    Chains chains(steps);
    Nanos best;
    size_t best_length = 0;
    std::vector<std::vector<size_t>> best_chains;
    for (size_t last = first; last < steps.size() && last - first < kMostSteps && !steps[last].alone; ++last) {
      chains.add(last);
      auto list = chains.chains();
      if (last > first && list.size() == 1 && best_length > 0) break;  // they have met
      Nanos saves = saved(list, steps, first);
      if (saves <= best) continue;
      best = saves;
      best_length = last - first + 1;
      best_chains = std::move(list);
    }
    // What comes before the fork is not part of it: begin where the first two chains do.
    if (best_length == 0) {
      straight(first++);
      continue;
    }
    Stage stage;
    for (const auto& chain : best_chains) {
      Lane lane;
      for (size_t i : chain) lane.push_back(static_cast<int>(first + i));
      stage.lanes.push_back(std::move(lane));
    }
    stages.push_back(std::move(stage));
    first += best_length;
  }
  return stages;
}

}  // namespace motet::engine
