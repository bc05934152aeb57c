#include "body/sim/trial.h"

#include <algorithm>
#include <deque>
#include <set>

#include "body/sim/workload.h"
#include "brain/control/codec.h"
#include "brain/control/describe.h"

namespace motet::sim {

using brain::describe;

namespace {

// Beyond these a trial is not coming to an end.
constexpr uint64_t kMostEvents = 2'000'000;
// At rest but for wake-ups: how long, in virtual time, the loop may take to settle what only time settles.
constexpr Nanos kPatience = Nanos::from_seconds(4 * 3600);
constexpr uint64_t kMostWakes = 20'000;
constexpr uint64_t kStrayExecution = uint64_t{1} << 40;

uint64_t fnv(uint64_t hash, std::string_view bytes) {
  for (char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return hash;
}

class Trial {
 public:
  Trial(uint64_t seed, const MakeLoop& make_loop, const TrailSink& trail)
      : scenario_(draw_scenario(seed)),
        faults_(scenario_.faults, Random(seed, "faults")),
        device_(scenario_, faults_, timeline_),
        checker_(scenario_, device_),
        workload_(scenario_, faults_),
        random_(seed, "trial"),
        trail_(trail) {
    auto loop = make_loop(scenario_.options);
    MOTET_CHECK(loop.ok(), "the loop refuses options that the scenario drew");
    loop_ = std::move(*loop);
    for (const brain::PlannerEntry& entry : brain::planners())
      if (entry.name == scenario_.options.planner) planner_ = entry.make();
    MOTET_CHECK(planner_ != nullptr, "the scenario names no known planner");
  }

  TrialReport run() {
    for (size_t i = 0; i < scenario_.models.size(); ++i) {
      timeline_.enter(scenario_.models[i].wanted_at, {Occurrence::Kind::kWanted, i, 0, 0, nullptr});
      timeline_.enter(scenario_.models[i].asks_from + workload_.gap(i), {Occurrence::Kind::kArrival, i, 0, 0, nullptr});
    }
    while (!over() && workload_.arrivals() < scenario_.arrivals) advance();
    faults_.heal();
    stopped_ = true;
    // The device heals some time after the last arrival; until then the loop lives with what is lost.
    Nanos heals_at = now_ + Nanos::from_millis(random_.between(0, 900'000));
    while (!over() && !timeline_.empty() && timeline_.next() <= heals_at) advance();
    now_ = std::max(now_, heals_at);
    if (!over()) device_.heal(now_);
    settle();
    probe();
    leave();
    return report();
  }

 private:
  bool over() const { return checker_.violation().has_value() || events_ > kMostEvents; }

  void advance() {
    Nanos at = timeline_.next();
    Occurrence occurrence = timeline_.pop();
    now_ = std::max(now_, at);
    happen(occurrence);
    if (!stopped_ && !over()) mischief();
  }

  void happen(Occurrence& occurrence) {
    using Kind = Occurrence::Kind;
    switch (occurrence.kind) {
      case Kind::kArrival:
        if (stopped_) return;
        arrive(occurrence.id);
        return timeline_.enter(now_ + workload_.gap(occurrence.id), std::move(occurrence));
      case Kind::kReport:
        if (device_.current(occurrence)) feed(*occurrence.event);
        return;
      case Kind::kWake: wakes_.erase(occurrence.token); return feed(brain::Tick{});
      case Kind::kWanted: return feed(workload_.wanted(occurrence.id));
      case Kind::kSegmentEnd:
      case Kind::kProgress:
      case Kind::kLoadEnd:
      case Kind::kUnloadEnd:
      case Kind::kFound: return device_.occur(occurrence, now_);
    }
  }

  void arrive(size_t model) {
    brain::Arrived arrived = workload_.arrival(model, now_);
    if (faults_.strikes(Fault::kClientCancels)) {
      Nanos after = scenario_.models[model].base_time * faults_.random().between(0, 20);
      deliver(brain::Cancelled{arrived.query}, after);
    }
    feed(arrived);
  }

  // The event reaches the loop `after` now, by way of the timeline.
  void deliver(brain::Event event, Nanos after) {
    timeline_.enter(now_ + after,
                    {Occurrence::Kind::kReport, 0, 0, 0, std::make_unique<brain::Event>(std::move(event))});
  }

  void feed(const brain::Event& event) {
    ++events_;
    if (trail_) trail_(describe(now_) + "  " + describe(event));
    checker_.hears(event, now_);
    std::span<const brain::Action> actions = loop_->step(event, now_);
    actions_ += actions.size();
    bytes_.clear();
    for (const brain::Action& action : actions) {
      ++kinds_[action.index()];
      brain::append_action(bytes_, action);
      if (trail_) trail_("                -> " + describe(action));
    }
    fingerprint_ = fnv(fingerprint_, bytes_);
    checker_.answers(actions, *loop_, now_);
    if (checker_.violation()) return;
    for (const brain::Action& action : actions) {
      if (const auto* wake = std::get_if<brain::WakeAt>(&action))
        set_alarm(wake->at);
      else if (const auto* plan = std::get_if<brain::Plan>(&action))
        make_plan(plan->epoch);
      else
        device_.carry_out(action, now_);
    }
  }

  void set_alarm(Nanos at) {
    if (at == kNever) return;
    at = std::max(at, now_);
    if (faults_.strikes(Fault::kLateTick)) at += Nanos::from_micros(faults_.random().between(1, 50'000));
    // One alarm an instant is enough.
    if (wakes_.insert(static_cast<uint64_t>(at.value)).second)
      timeline_.enter(at, {Occurrence::Kind::kWake, 0, 0, static_cast<uint64_t>(at.value), nullptr});
  }

  void make_plan(uint64_t epoch) {
    brain::PlanInput input = loop_->plan_input();
    brain::PlanReady plan = scenario_.drawn_plans ? drawn_plan(input) : planner_->plan(input);
    plan.epoch = epoch;
    if (faults_.strikes(Fault::kLostPlan)) return;
    Nanos after = scenario_.plan_time;
    if (faults_.strikes(Fault::kLatePlan)) after += Nanos::from_millis(faults_.random().between(1, 30'000));
    if (faults_.strikes(Fault::kDuplicatePlan))
      deliver(plan, after + Nanos::from_millis(faults_.random().between(0, 5'000)));
    deliver(std::move(plan), after);
  }

  // Any plan that a planner may make: each instance gets some of the cores, alone or with others.
  brain::PlanReady drawn_plan(const brain::PlanInput& input) {
    brain::PlanReady plan;
    for (const brain::PlanInput::Demand& demand : input.demands) {
      brain::PlanShare share;
      share.instance = demand.instance;
      for (int core = input.cores.next(0); core >= 0; core = input.cores.next(core + 1))
        if (random_.chance(0.5)) share.cores.add(core);
      if (share.cores.empty()) share.cores = CoreSet::single(input.cores.first());
      if (random_.chance(0.3) && demand.settings.max_batch > 1)
        share.max_batch = static_cast<int>(random_.between(1, demand.settings.max_batch));
      plan.shares.push_back(std::move(share));
    }
    return plan;
  }

  // After every event: what else goes wrong now.
  void mischief() {
    Random& random = faults_.random();
    size_t model = random.below(scenario_.models.size());
    if (faults_.strikes(Fault::kStrayCompletion)) {
      ExecutionId stray(kStrayExecution + random.below(5));
      if (random.chance(0.5))
        deliver(brain::Finished{stray, Nanos(1)}, Nanos(0));
      else
        deliver(brain::Failed{stray, {}, 0, internal_error("of nothing that runs")}, Nanos(0));
    }
    if (faults_.strikes(Fault::kStrayCancel)) deliver(brain::Cancelled{workload_.any_query()}, Nanos(0));
    if (faults_.strikes(Fault::kSpuriousTick)) deliver(brain::Tick{}, Nanos::from_micros(random.between(0, 100)));
    if (faults_.strikes(Fault::kReconfigure)) feed(workload_.reconfigured(model));
    if (over()) return;
    if (faults_.strikes(Fault::kUnload)) {
      feed(workload_.unwanted(model));
      if (random.chance(0.8))
        timeline_.enter(now_ + scenario_.models[model].mean_gap * random.between(0, 50),
                        {Occurrence::Kind::kWanted, model, 0, 0, nullptr});
    }
    if (over()) return;
    if (faults_.strikes(Fault::kReload)) {
      feed(workload_.unwanted(model));
      if (!over()) feed(workload_.wanted(model));
    }
    if (faults_.strikes(Fault::kClockJump)) now_ += Nanos::from_millis(random.between(1, 60'000));
    if (faults_.strikes(Fault::kSuspend)) {
      Nanos by = Nanos::from_millis(random.between(1, 600'000));
      timeline_.postpone(by, [](const Occurrence& o) { return o.of_device() || o.kind == Occurrence::Kind::kReport; });
      device_.stood_still(by);
      now_ += by;
    }
  }

  // Runs until nothing is left but wake-ups at rest, or patience ends; then everything must be at rest.
  void settle() {
    Nanos moved = now_;
    uint64_t wakes = 0;
    while (!over() && !timeline_.empty()) {
      bool only_time = waits_for_time_only();
      if (only_time && checker_.at_rest() && wakes > 3) break;
      if (only_time && (timeline_.next() > moved + kPatience || ++wakes > kMostWakes)) break;
      if (!only_time) {
        moved = std::max(now_, timeline_.next());
        wakes = 0;
      }
      advance();
    }
    if (!over()) checker_.rests(*loop_, now_);
  }

  // Whether all that is still to come are wake-ups, plans, and models that stopped asking.
  bool waits_for_time_only() {
    return timeline_.none([](const Occurrence& o) {
      if (o.kind == Occurrence::Kind::kWake || o.kind == Occurrence::Kind::kArrival) return false;
      return o.kind != Occurrence::Kind::kReport || !std::holds_alternative<brain::PlanReady>(*o.event);
    });
  }

  void probe() {
    std::vector<QueryId> probes;
    for (size_t i = 0; i < scenario_.models.size() && !over(); ++i) {
      const auto& instances = checker_.books().instances;
      auto it = instances.find(scenario_.models[i].instance);
      if (it == instances.end() || !it->second.wanted || it->second.presence != Presence::kLoaded) continue;
      feed(workload_.calmed(i));
      if (over()) return;
      brain::Arrived arrived = workload_.probe(i, now_);
      probes.push_back(arrived.query);
      feed(arrived);
    }
    if (!over()) settle();
    for (QueryId id : probes)
      if (!over()) checker_.served(id, now_);
  }

  void leave() {
    for (size_t i = 0; i < scenario_.models.size() && !over(); ++i) feed(workload_.unwanted(i));
    if (!over()) settle();
  }

  TrialReport report() {
    TrialReport out;
    out.seed = scenario_.seed;
    out.violation = checker_.violation();
    if (!out.violation && events_ > kMostEvents)
      out.violation =
          Violation{"rest", "the trial did not end within " + std::to_string(kMostEvents) + " events", now_};
    out.events = events_;
    out.actions = actions_;
    out.action_kinds = kinds_;
    out.virtual_time = now_;
    out.faults = faults_.counts();
    out.answers = checker_.counts();
    out.fingerprint = fingerprint_;
    return out;
  }

  const Scenario scenario_;
  Faults faults_;
  TrialTimeline timeline_;
  Device device_;
  Checker checker_;
  Workload workload_;
  Random random_;
  const TrailSink& trail_;
  std::unique_ptr<brain::Loop> loop_;
  std::unique_ptr<brain::Planner> planner_;

  Nanos now_;
  bool stopped_ = false;  // no arrivals and no mischief any more
  std::set<uint64_t> wakes_;
  std::string bytes_;
  uint64_t events_ = 0, actions_ = 0;
  ActionCounts kinds_{};
  uint64_t fingerprint_ = 0xCBF29CE484222325u;
};

}  // namespace

std::string_view action_name(size_t kind) {
  constexpr std::array<std::string_view, std::variant_size_v<brain::Action>> kNames = {
      "Start", "Yield", "Resume", "Resize", "Kill", "Reply", "Shed", "Load", "Unload", "Plan", "WakeAt"};
  return kNames[kind];
}

TrialReport run_trial(uint64_t seed, const MakeLoop& make_loop, const TrailSink& trail) {
  return Trial(seed, make_loop, trail).run();
}

TrialReport run_twice(uint64_t seed, const MakeLoop& make_loop) {
  TrialReport first = run_trial(seed, make_loop);
  if (first.violation) return first;
  TrialReport second = run_trial(seed, make_loop);
  if (second.fingerprint != first.fingerprint || second.actions != first.actions)
    first.violation =
        Violation{"determinism", "two runs of the same events gave different actions", first.virtual_time};
  return first;
}

std::string explain(const TrialReport& report, const MakeLoop& make_loop, size_t lines) {
  MOTET_CHECK(report.violation.has_value(), "there is nothing to explain");
  std::deque<std::string> last;
  run_trial(report.seed, make_loop, [&](const std::string& line) {
    last.push_back(line);
    if (last.size() > lines) last.pop_front();
  });
  std::string seed = std::to_string(report.seed);
  std::string out = "seed " + seed + " breaks the rule \"" + report.violation->rule + "\" at " +
                    describe(report.violation->at) + "\n  " + report.violation->words + "\n  " +
                    describe(draw_scenario(report.seed)) + "\nthe last events and actions:\n";
  for (const std::string& line : last) out += "  " + line + "\n";
  return out + "replay: build/motet-vopr --seed " + seed + " --verbose\n";
}

}  // namespace motet::sim
