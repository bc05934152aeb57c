#include "brain/sched/parts.h"

#include <algorithm>
#include <limits>

#include "base/check.h"

namespace motet::brain {
namespace {

constexpr LatencyBounds kImpossible{kNever, kNever};
// Sizes without a 1 need a table of what they sum to; beyond this many rows they are taken as not summing.
constexpr int kTableRows = 1 << 14;

LatencyBounds plus(LatencyBounds a, LatencyBounds b) { return {a.p50 + b.p50, a.p99 + b.p99}; }

const Program* exactly(std::span<const Program> programs, int rows) {
  auto at = std::lower_bound(programs.begin(), programs.end(), rows,
                             [](const Program& p, int n) { return p.features.batch < n; });
  return at != programs.end() && at->features.batch == rows ? &*at : nullptr;
}

// The smallest program of `rows` or more.
const Program* covering(std::span<const Program> programs, int rows) {
  auto at = std::lower_bound(programs.begin(), programs.end(), rows,
                             [](const Program& p, int n) { return p.features.batch < n; });
  return at == programs.end() ? nullptr : &*at;
}

// sums[n]: the sizes can sum to n. Empty when they can sum to anything, having a 1.
std::vector<bool> reachable(std::span<const Program> programs, int rows) {
  std::vector<bool> sums;
  if (programs.front().features.batch == 1) return sums;
  sums.assign(static_cast<size_t>(std::min(rows, kTableRows)) + 1, false);
  sums[0] = true;
  for (size_t n = 1; n < sums.size(); ++n)
    for (const Program& p : programs)
      if (p.features.batch <= static_cast<int>(n) && sums[n - static_cast<size_t>(p.features.batch)]) sums[n] = true;
  return sums;
}

// Calls use(program) for the largest sizes that sum to rows, in descending order; false if they cannot.
template <class F>
bool largest_sum(std::span<const Program> programs, int rows, F&& use) {
  std::vector<bool> sums = reachable(programs, rows);
  auto can = [&](int n) {
    return sums.empty() || (static_cast<size_t>(n) < sums.size() && sums[static_cast<size_t>(n)]);
  };
  if (!can(rows)) return false;
  for (size_t i = programs.size(); i-- > 0;) {
    int batch = programs[i].features.batch;
    while (batch <= rows && can(rows - batch)) {
      if (!use(programs[i])) return true;
      rows -= batch;
    }
  }
  return true;
}

struct Cut {
  bool possible = false;
  int exact_parts = 0;           // taken from the exact sum; what remains is padded
  const Program* pad = nullptr;  // nullptr: nothing remains
  LatencyBounds time = kImpossible;
};

// Where to cut the exact sum and cover the rest by one padded program; without padding, after its end.
Cut best_cut(std::span<const Program> programs, int rows, int width, bool allow_padding) {
  Cut best;
  LatencyBounds so_far{};
  int taken = 0, left = rows;
  auto consider_padding = [&] {
    const Program* pad = allow_padding && left > 0 ? covering(programs, left) : nullptr;
    if (pad == nullptr) return;
    LatencyBounds time = plus(so_far, pad->latency.at(width));
    if (!best.possible || time.p50 < best.time.p50) best = {true, taken, pad, time};
  };
  consider_padding();
  bool exact = largest_sum(programs, rows, [&](const Program& p) {
    so_far = plus(so_far, p.latency.at(width));
    ++taken;
    left -= p.features.batch;
    consider_padding();
    return true;
  });
  if (exact && (!best.possible || so_far.p50 <= best.time.p50)) best = {true, taken, nullptr, so_far};
  if (best.possible || !allow_padding) return best;
  // More rows than the largest program and no exact sum: whole ones of it, and the rest padded.
  const Program& largest = programs.back();
  int whole = rows / largest.features.batch, rest = rows % largest.features.batch;
  for (int i = 0; i < whole; ++i) so_far = plus(so_far, largest.latency.at(width));
  const Program* pad = rest > 0 ? covering(programs, rest) : nullptr;
  if (pad != nullptr) so_far = plus(so_far, pad->latency.at(width));
  return {true, whole, pad, so_far};
}

}  // namespace

PartsPlan plan_parts(std::span<const Program> programs, int rows, int width, bool batched, bool allow_padding) {
  MOTET_CHECK(rows >= 1 && width >= 1, "a batch has rows and cores");
  PartsPlan plan{{}, kImpossible, Bytes(0)};
  if (programs.empty()) return plan;
  auto add = [&](const Program& p, int part_rows) {
    plan.parts.push_back({p.features.batch, part_rows});
    plan.arena = std::max(plan.arena, p.features.arena);
  };
  if (!batched) {
    add(programs.front(), rows);
    plan.time = programs.front().latency.at(width);
    return plan;
  }
  if (const Program* exact = exactly(programs, rows)) {
    add(*exact, rows);
    plan.time = exact->latency.at(width);
    return plan;
  }
  Cut cut = best_cut(programs, rows, width, allow_padding);
  if (!cut.possible) return plan;
  plan.time = cut.time;
  int left = rows, taken = 0;
  bool exact = largest_sum(programs, rows, [&](const Program& p) {
    if (taken == cut.exact_parts) return false;
    add(p, p.features.batch);
    left -= p.features.batch;
    return ++taken < cut.exact_parts;
  });
  for (; !exact && taken < cut.exact_parts; ++taken) {
    add(programs.back(), programs.back().features.batch);
    left -= programs.back().features.batch;
  }
  if (cut.pad != nullptr) add(*cut.pad, left);
  return plan;
}

LatencyBounds parts_time(std::span<const Program> programs, int rows, int width, bool batched, bool allow_padding) {
  MOTET_CHECK(rows >= 1 && width >= 1, "a batch has rows and cores");
  if (programs.empty()) return kImpossible;
  if (!batched) return programs.front().latency.at(width);
  if (const Program* exact = exactly(programs, rows)) return exact->latency.at(width);
  return best_cut(programs, rows, width, allow_padding).time;
}

const Program& program_of(std::span<const Program> programs, const StartPart& part) {
  const Program* program = exactly(programs, part.batch);
  MOTET_CHECK(program != nullptr, "a part runs a compiled size");
  return *program;
}

std::string sizes_text(std::span<const Program> programs) {
  std::string text;
  for (const Program& p : programs) text += (text.empty() ? "" : ", ") + std::to_string(p.features.batch);
  return text;
}

}  // namespace motet::brain
