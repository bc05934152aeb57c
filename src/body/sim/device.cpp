#include "body/sim/device.h"

#include <algorithm>
#include <string>

namespace motet::sim {
namespace {

constexpr int64_t kQuantumNs = 1'000'000;
constexpr int64_t kMaxSteps = 1'000;

Nanos scaled(Nanos t, double factor) { return Nanos(static_cast<int64_t>(static_cast<double>(t.value) * factor)); }

}  // namespace

Device::Device(const Scenario& scenario, Faults& faults, TrialTimeline& timeline)
    : scenario_(scenario), faults_(faults), timeline_(timeline), times_(scenario.seed, "device times") {}

void Device::carry_out(const brain::Action& action, Nanos now) {
  if (const auto* a = std::get_if<brain::Start>(&action))
    start(*a, now);
  else if (const auto* y = std::get_if<brain::Yield>(&action))
    ask(y->execution, Ask::kPause, {}, now);
  else if (const auto* r = std::get_if<brain::Resume>(&action))
    resume(*r, now);
  else if (const auto* z = std::get_if<brain::Resize>(&action))
    ask(z->execution, Ask::kResize, z->cores, now);
  else if (const auto* k = std::get_if<brain::Kill>(&action))
    ask(k->execution, Ask::kKill, {}, now);
  else if (const auto* l = std::get_if<brain::Load>(&action))
    load(*l, now);
  else if (const auto* u = std::get_if<brain::Unload>(&action))
    unload(*u, now);
}

void Device::occur(const Occurrence& occurrence, Nanos now) {
  using Kind = Occurrence::Kind;
  if (occurrence.kind == Kind::kLoadEnd) {
    auto it = loading_.find({InstanceId(occurrence.id), occurrence.bucket});
    if (it != loading_.end() && it->second.generation == occurrence.token)
      end_load(InstanceId(occurrence.id), occurrence.bucket, now);
    return;
  }
  if (occurrence.kind == Kind::kUnloadEnd) {
    if (generation(InstanceId(occurrence.id), 0) == occurrence.token) end_unload(InstanceId(occurrence.id), now);
    return;
  }
  if (occurrence.kind == Occurrence::Kind::kFound) return find(now, now);
  auto it = runs_.find(ExecutionId(occurrence.id));
  if (it == runs_.end()) return;
  Run& run = it->second;
  if (occurrence.kind == Kind::kSegmentEnd) {
    if (run.token == occurrence.token) end_segment(run, now);
  } else if (run.state == State::kRunning && !run.stuck) {
    int64_t more = run.step.value > 0 ? (now - run.segment_start).value / run.step.value : 0;
    int64_t done = run.steps_done + std::clamp<int64_t>(more, 0, run.segment_steps);
    send(brain::Progress{it->first, done, run.steps_total, false}, scenario_.report_delay, now);
  }
}

void Device::stood_still(Nanos by) {
  for (auto& [id, run] : runs_)
    if (run.state == State::kRunning) run.segment_start += by;
}

void Device::heal(Nanos now) { find(kNever, now); }

// When something that is lost now comes to light, if before heal().
Nanos Device::lose(Nanos now) {
  if (faults_.random().chance(0.1)) return kNever;
  Nanos at = now + Nanos::from_micros(int64_t{1'000} << faults_.random().between(0, 13));
  timeline_.enter(at, {Occurrence::Kind::kFound, 0, 0, 0, nullptr});
  return at;
}

// Sends and moves again whatever is to come to light by `until`.
void Device::find(Nanos until, Nanos now) {
  for (auto& [id, run] : runs_) {
    if (run.found_at > until) continue;
    if (run.lost_report) send(std::move(*std::exchange(run.lost_report, nullptr)), scenario_.report_delay, now);
    if (run.stuck) {
      run.stuck = false;
      run.segment_start = now;
      schedule(run, now);
    }
  }
  std::vector<LostLoad> lost = std::exchange(lost_, {});
  for (LostLoad& l : lost) {
    if (l.found_at > until)
      lost_.push_back(std::move(l));
    else
      send_load(std::move(l.report), l.instance, l.bucket, scenario_.report_delay, now);
  }
}

bool Device::finished_well(ExecutionId execution) const {
  auto it = runs_.find(execution);
  return it != runs_.end() && it->second.state == State::kEnded && it->second.well;
}

CoreSet Device::held(ExecutionId execution) const {
  auto it = runs_.find(execution);
  if (it == runs_.end() || it->second.state != State::kRunning) return {};
  return it->second.cores | it->second.asked_cores;
}

size_t Device::live() const {
  return static_cast<size_t>(
      std::count_if(runs_.begin(), runs_.end(), [](const auto& r) { return r.second.state != State::kEnded; }));
}

bool Device::current(const Occurrence& report) const {
  return report.id == 0 || report.token == generation(InstanceId(report.id), report.bucket);
}

// The lives of an instance and of one of its buckets so far, as one number.
uint64_t Device::generation(InstanceId instance, brain::BucketId bucket) const {
  auto lives = [&](brain::BucketId b) {
    auto it = generations_.find({instance, b});
    return it == generations_.end() ? uint64_t{0} : it->second;
  };
  return (lives(0) << 32) + (bucket == 0 ? 0 : lives(bucket));
}

// ---- executions
// -------------------------------------------------------------------------------------------------------

Nanos Device::whole_time(const Run& run, int width) const {
  const ModelTruth* model = scenario_.model(run.start.instance);
  const BucketTruth* bucket = model ? Scenario::bucket(*model, run.start.bucket) : nullptr;
  MOTET_CHECK(bucket != nullptr && width > 0, "an execution of something never loaded reached the device");
  Nanos sum;
  for (const brain::StartPart& part : run.start.parts) {
    for (size_t p = 0; p < bucket->programs.size(); ++p) {
      if (bucket->programs[p].batch != part.batch) continue;
      size_t w = std::min(static_cast<size_t>(width), bucket->programs[p].predicted.size()) - 1;
      sum += scaled(bucket->programs[p].predicted[w], bucket->bias[p][w] * run.slowness);
    }
  }
  return std::max(sum, Nanos(1));
}

void Device::start(const brain::Start& action, Nanos now) {
  Run run;
  run.start = action;
  run.cores = action.cores;
  run.slowness = 1.0 + scenario_.jitter * (2.0 * times_.uniform() - 1.0);
  run.steps_total = std::clamp<int64_t>(whole_time(run, 1).value / kQuantumNs, 1, kMaxSteps);
  bool tells = times_.chance(0.15);
  double tells_at = times_.uniform();
  if (faults_.strikes(Fault::kSlowExecution))
    run.slowness *= static_cast<double>(int64_t{2} << faults_.random().between(0, 7));
  if (faults_.strikes(Fault::kStuckExecution)) {
    run.stuck = true;
    run.found_at = lose(now);
  }
  if (faults_.strikes(Fault::kExecutionFails))
    run.steps_until_failure = faults_.random().between(0, run.steps_total - 1);
  run.segment_start = now;
  Run& placed = runs_[action.execution] = std::move(run);
  schedule(placed, now);
  if (tells) {
    Nanos at = now + scaled(placed.step, tells_at * static_cast<double>(placed.steps_total));
    timeline_.enter(at, {Occurrence::Kind::kProgress, action.execution.value, 0, 0, nullptr});
  }
}

// Enters the next occurrence of a running execution: its end, its failure, or the boundary at which something is asked.
void Device::schedule(Run& run, Nanos now) {
  ++run.token;
  if (run.state != State::kRunning || run.stuck) return;
  Nanos whole = whole_time(run, run.cores.size());
  run.step = std::max(Nanos(whole.value / run.steps_total), Nanos(1));
  int64_t left = run.steps_total - run.steps_done;
  if (run.steps_until_failure >= 0)
    left = std::min(left, std::max<int64_t>(run.steps_until_failure - run.steps_done, 0));
  run.segment_steps = left;
  if (run.ask != Ask::kNothing) {
    int64_t since = (now - run.segment_start).value;
    int64_t boundary = (since + run.step.value - 1) / run.step.value;
    run.segment_steps = std::min(left, std::max<int64_t>(boundary, 1));
  }
  Nanos at = std::max(run.segment_start + run.step * run.segment_steps, now);
  timeline_.enter(at, {Occurrence::Kind::kSegmentEnd, run.start.execution.value, 0, run.token, nullptr});
}

void Device::ask(ExecutionId execution, Ask what, const CoreSet& cores, Nanos now) {
  auto it = runs_.find(execution);
  if (it == runs_.end()) return;
  Run& run = it->second;
  if (run.state == State::kEnded) {
    // Too late: what it was is told again, if it was lost and the device now finds it.
    if (what == Ask::kKill && run.lost_report && times_.chance(0.5)) {
      send(std::move(*run.lost_report), scenario_.report_delay, now);
      run.lost_report.reset();
    }
    return;
  }
  if (run.state == State::kPaused) {
    run.lost_report.reset();
    if (what == Ask::kKill)
      end(run, brain::Failed{execution, {}, 0, {Code::kCancelled, "killed while paused"}}, false, now);
    return;
  }
  if (run.ask == Ask::kKill) return;
  run.ask = what;
  run.asked_cores = what == Ask::kResize ? cores : CoreSet();
  schedule(run, now);
}

void Device::resume(const brain::Resume& action, Nanos now) {
  auto it = runs_.find(action.execution);
  if (it == runs_.end() || it->second.state == State::kEnded) return;
  Run& run = it->second;
  run.lost_report.reset();
  if (run.state == State::kRunning) {
    // It has not paused yet: the wish to pause is withdrawn.
    if (run.ask == Ask::kPause) run.ask = Ask::kNothing;
    return schedule(run, now);
  }
  run.state = State::kRunning;
  run.cores = action.cores;
  run.segment_start = now;
  schedule(run, now);
}

void Device::end_segment(Run& run, Nanos now) {
  run.steps_done += run.segment_steps;
  run.busy += run.step * run.segment_steps;
  run.segment_start = now;
  ExecutionId id = run.start.execution;
  if (run.steps_done >= run.steps_total) {
    Nanos busy = run.busy;
    if (faults_.strikes(Fault::kWrongMeasure))
      busy = faults_.random().chance(0.5) ? Nanos(0) : Nanos::from_seconds(1'000'000);
    return end(run, brain::Finished{id, busy}, true, now);
  }
  if (run.steps_until_failure >= 0 && run.steps_done >= run.steps_until_failure) {
    Error error{Code::kInternal, "step " + std::to_string(run.steps_done) + " failed: index out of range"};
    return end(run, brain::Failed{id, {}, 0, std::move(error)}, false, now);
  }
  Ask asked = std::exchange(run.ask, Ask::kNothing);
  if (asked == Ask::kKill) return end(run, brain::Failed{id, {}, 0, {Code::kCancelled, "killed"}}, false, now);
  if (asked == Ask::kPause) {
    run.state = State::kPaused;
    ++run.token;
    return tell_pause(run, now);
  }
  if (asked == Ask::kResize) {
    run.cores = std::exchange(run.asked_cores, CoreSet());
    send(brain::Progress{id, run.steps_done, run.steps_total, false}, scenario_.report_delay, now);
  }
  schedule(run, now);
}

void Device::tell_pause(Run& run, Nanos now) {
  brain::Event event = brain::Progress{run.start.execution, run.steps_done, run.steps_total, true};
  if (faults_.strikes(Fault::kLostPause)) {
    run.lost_report = std::make_unique<brain::Event>(std::move(event));
    run.found_at = lose(now);
    return;
  }
  Nanos after = scenario_.report_delay;
  if (faults_.strikes(Fault::kLatePause)) after += Nanos::from_micros(faults_.random().between(1, 1'000'000));
  if (faults_.strikes(Fault::kDuplicatePause))
    send(event, after + Nanos::from_micros(faults_.random().between(0, 100'000)), now);
  send(std::move(event), after, now);
}

void Device::end(Run& run, brain::Event result, bool well, Nanos now) {
  run.state = State::kEnded;
  run.well = well;
  ++run.token;
  complete(run, std::move(result), now);
}

void Device::complete(Run& run, brain::Event event, Nanos now) {
  if (faults_.strikes(Fault::kLostCompletion)) {
    run.lost_report = std::make_unique<brain::Event>(std::move(event));
    run.found_at = lose(now);
    return;
  }
  Random& random = faults_.random();
  Nanos after = scenario_.report_delay;
  if (faults_.strikes(Fault::kReorderedCompletion)) after += Nanos::from_micros(random.between(1, 20'000));
  if (faults_.strikes(Fault::kLateCompletion)) after += Nanos::from_millis(random.between(10, 20'000));
  if (faults_.strikes(Fault::kDuplicateCompletion))
    send(event, after + Nanos::from_micros(random.between(0, 2'000'000)), now);
  send(std::move(event), after, now);
}

void Device::send(brain::Event event, Nanos after, Nanos now) {
  auto owned = std::make_unique<brain::Event>(std::move(event));
  timeline_.enter(now + after, {Occurrence::Kind::kReport, 0, 0, 0, std::move(owned)});
}

// ---- loads
// ------------------------------------------------------------------------------------------------------------

void Device::send_load(brain::Event event, InstanceId instance, brain::BucketId bucket, Nanos after, Nanos now) {
  auto owned = std::make_unique<brain::Event>(std::move(event));
  uint64_t token = generation(instance, bucket);
  timeline_.enter(now + after, {Occurrence::Kind::kReport, instance.value, bucket, token, std::move(owned)});
}

void Device::load(const brain::Load& action, Nanos now) {
  const ModelTruth* model = scenario_.model(action.instance);
  MOTET_CHECK(model != nullptr, "a load of something unknown reached the device");
  ++generations_[{action.instance, action.bucket}];
  const BucketTruth* bucket = Scenario::bucket(*model, action.bucket);
  Loading& loading = loading_[{action.instance, action.bucket}];
  loading.generation = generation(action.instance, action.bucket);
  loading.fails = faults_.strikes(action.bucket == 0 ? Fault::kLoadFails : Fault::kBucketLoadFails);
  Nanos time = action.bucket == 0 ? model->load_time : bucket ? bucket->load_time : Nanos::from_millis(1);
  if (faults_.strikes(Fault::kSlowLoad)) time = time * faults_.random().between(2, 200);
  timeline_.enter(now + time,
                  {Occurrence::Kind::kLoadEnd, action.instance.value, action.bucket, loading.generation, nullptr});
}

void Device::end_load(InstanceId instance, brain::BucketId bucket, Nanos now) {
  const ModelTruth& model = *scenario_.model(instance);
  const BucketTruth* truth = Scenario::bucket(model, bucket);
  auto it = loading_.find({instance, bucket});
  bool fails = it->second.fails || (bucket != 0 && truth == nullptr);
  loading_.erase(it);
  brain::Event event = brain::Loaded{instance, 0, model.weights, {}};
  if (fails) {
    std::string what = bucket == 0 ? model.settings.name + " cannot be read"
                                   : "bucket " + std::to_string(bucket) + " cannot be compiled";
    event = brain::Failed{{}, instance, bucket, {Code::kInternal, std::move(what)}};
  } else if (bucket != 0) {
    event = brain::Loaded{instance, bucket, truth->bytes, truth->programs};
  }
  if (bucket == 0 && !fails && model.warms_up) {
    const BucketTruth& first = model.buckets.front();
    send_load(brain::Loaded{instance, first.bucket, first.bytes, first.programs}, instance, first.bucket,
              scenario_.report_delay, now);
  }
  if (bucket != 0 && !fails && faults_.strikes(Fault::kRetired))
    send_load(brain::Retired{instance, bucket}, instance, bucket,
              Nanos::from_micros(faults_.random().between(0, 500'000)), now);
  if (faults_.strikes(Fault::kLostLoaded)) return lost_.push_back({instance, bucket, std::move(event), lose(now)});
  if (faults_.strikes(Fault::kDuplicateLoaded))
    send_load(event, instance, bucket, Nanos::from_micros(faults_.random().between(0, 100'000)), now);
  send_load(std::move(event), instance, bucket, scenario_.report_delay, now);
}

void Device::unload(const brain::Unload& action, Nanos now) {
  ++generations_[{action.instance, action.bucket}];  // reports of its loads are void from here on
  auto gone = [&](InstanceId instance, brain::BucketId bucket) {
    return instance == action.instance && (action.bucket == 0 || action.bucket == bucket);
  };
  std::erase_if(loading_, [&](const auto& l) { return gone(l.first.first, l.first.second); });
  std::erase_if(lost_, [&](const LostLoad& l) { return gone(l.instance, l.bucket); });
  if (action.bucket != 0) return;
  timeline_.enter(now + scenario_.model(action.instance)->unload_time,
                  {Occurrence::Kind::kUnloadEnd, action.instance.value, 0, generation(action.instance, 0), nullptr});
}

void Device::end_unload(InstanceId instance, Nanos now) {
  brain::Event event = brain::Unloaded{instance};
  if (faults_.strikes(Fault::kLostUnloaded)) return lost_.push_back({instance, 0, std::move(event), lose(now)});
  if (faults_.strikes(Fault::kDuplicateUnloaded))
    send_load(event, instance, 0, Nanos::from_micros(faults_.random().between(0, 100'000)), now);
  send_load(std::move(event), instance, 0, scenario_.report_delay, now);
}

}  // namespace motet::sim
