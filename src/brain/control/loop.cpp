#include "brain/control/loop.h"

#include <algorithm>

#include "brain/control/admission.h"
#include "brain/control/answers.h"
#include "brain/control/domain.h"
#include "brain/control/executions.h"
#include "brain/control/lifecycle.h"
#include "brain/control/memory.h"
#include "brain/control/queues.h"

namespace motet::brain {
namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};

class DomainLoop final : public Loop {
 public:
  DomainLoop(const LoopOptions& options, std::unique_ptr<const Dispatcher> dispatcher) : d_(options) {
    d_.patience = dispatcher->promises().starvation_bound;
    d_.dispatcher = std::move(dispatcher);
  }

  std::span<const Action> step(const Event& event, Nanos now) override {
    d_.actions.clear();
    d_.now = std::max(d_.now, now);
    if (d_.armed <= d_.now) d_.armed = kNever;
    handle(event);
    shed_expired(d_);
    expire_executions(d_);
    expire_loads(d_);
    Nanos wake = dispatch();
    settle_lifecycle(d_);
    arm(wake);
    return d_.actions;
  }

  std::vector<InstanceStatus> status() const override {
    std::vector<InstanceStatus> all;
    all.reserve(d_.instances.size());
    for (const auto& [id, i] : d_.instances) all.push_back({id, i.state, i.reason, i.queued, i.running});
    return all;
  }

  Bytes charged() const override { return d_.budget.charged(); }

  PlanInput plan_input() const override {
    PlanInput input{d_.plan_asked, d_.options.cores, {}};
    for (const auto& [id, i] : d_.instances) {
      if (!i.serves()) continue;
      PlanInput::Demand demand{id, i.settings, {}, i.arrivals_per_s};
      const Bucket* used = nullptr;
      for (const auto& [bucket_id, b] : i.buckets)
        if (b.phase == BucketPhase::kReady && (used == nullptr || b.last_used > used->last_used)) used = &b;
      if (used != nullptr)
        for (const Program& p : used->programs) demand.programs.push_back(p.features);
      input.demands.push_back(std::move(demand));
    }
    return input;
  }

 private:
  void handle(const Event& event) {
    std::visit(Overloaded{
                   [&](const Arrived& e) { on_arrived(d_, e); },
                   [&](const Cancelled& e) { on_cancelled(d_, e); },
                   [&](const Progress& e) { on_progress(d_, e); },
                   [&](const Finished& e) { on_finished(d_, e); },
                   [&](const Failed& e) {
                     if (e.execution) {
                       on_execution_failed(d_, e.execution, e.error);
                     } else {
                       on_load_failed(d_, e.instance, e.bucket, e.error);
                     }
                   },
                   [&](const Loaded& e) { on_loaded(d_, e); },
                   [&](const Unloaded& e) { on_unloaded(d_, e); },
                   [&](const PlanReady& e) { on_plan(d_, e); },
                   [](const Tick&) {},
                   [&](const ConfigChanged& e) { on_config(d_, e); },
                   [&](const Retired& e) { on_retired(d_, e); },
               },
               event);
  }

  void apply(const StartBatch& x) { start(d_, x); }
  void apply(const ShedQuery& x) {
    MOTET_CHECK(x.query->execution == nullptr && !x.query->decided, "only a waiting query is shed");
    if (x.reason == ShedReason::kOverBudget && make_room_to_answer(d_, *x.query)) return;
    shed(d_, const_cast<Query&>(*x.query), x.reason, x.error);  // the view was const; the query is the loop's own
  }
  void apply(const YieldExecution& x) { yield(d_, x.execution); }
  void apply(const ResumeExecution& x) { resume(d_, x.execution, x.cores); }
  void apply(const ResizeExecution& x) { resize(d_, x.execution, x.cores); }
  void apply(const KillExecution& x) { kill_for(d_, x.execution, x.error); }
  void apply(const Wait&) {}

  // Asks the policy until it waits; until when.
  Nanos dispatch() {
    make_room_to_run(d_);
    DispatchView view{d_.now, d_.free, d_.ready, d_.instances, d_.executions, d_.budget.left()};
    // Every decision starts or ends something, moves an execution once, or has programs give way that queries wait for:
    // more than these is a policy that goes in circles.
    size_t most = 3 * d_.queries.size() + 4 * d_.executions.size() + 16;
    for (size_t made = 0;; ++made) {
      MOTET_CHECK(made < most, "a policy comes to an end");
      if (made > 0) make_room_to_run(d_);
      view.memory_left = d_.budget.left();
      Decision decision = d_.dispatcher->next(view, d_.policy);
      if (const Wait* wait = std::get_if<Wait>(&decision)) return wait->until;
      std::visit([&](const auto& x) { apply(x); }, decision);
    }
  }

  // Asks to be woken for the next thing that time alone brings about.
  void arm(Nanos wake) {
    if (!d_.deadlines.empty()) wake = std::min(wake, std::get<0>(*d_.deadlines.begin()));
    if (!d_.bounds.empty()) wake = std::min(wake, d_.bounds.begin()->first);
    if (!d_.load_bounds.empty()) wake = std::min(wake, std::get<0>(*d_.load_bounds.begin()));
    wake = std::min(wake, d_.room_at);
    if (wake == kNever || wake >= d_.armed) return;
    d_.armed = std::max(wake, d_.now + Nanos(1));
    d_.actions.push_back(WakeAt{d_.armed});
  }

  Domain d_;
};

template <class Entry>
Result<const Entry*> by_name(std::span<const Entry> entries, const std::string& name, std::string_view what) {
  std::string known;
  for (const Entry& entry : entries) {
    if (entry.name == name) return &entry;
    known += (known.empty() ? "" : ", ") + std::string(entry.name);
  }
  return invalid_argument(std::string(what) + " '" + name + "' is not known; known are: " + known);
}

}  // namespace

Result<std::unique_ptr<Loop>> Loop::create(const LoopOptions& options) {
  MOTET_ASSIGN(const DispatcherEntry* dispatcher, by_name(dispatchers(), options.dispatcher, "dispatcher"));
  MOTET_RETURN_IF_ERROR(by_name(planners(), options.planner, "planner"));
  if (options.cores.empty()) return invalid_argument("a loop needs one core or more");
  if (options.memory_budget <= Bytes(0)) {
    return invalid_argument("memory_budget is " + std::to_string(options.memory_budget.value) +
                            "; 1 or more is accepted");
  }
  if (options.max_buckets < 1 || options.max_loads < 1 || options.lateness_factor < 1 ||
      options.lateness_slack < Nanos(0) || options.load_bound < Nanos(1)) {
    return invalid_argument(
        "max_buckets, max_loads, lateness_factor and load_bound must be 1 or more and lateness_slack 0 or more");
  }
  return std::unique_ptr<Loop>(std::make_unique<DomainLoop>(options, dispatcher->make()));
}

std::string_view lifecycle_name(Lifecycle state) {
  switch (state) {
    case Lifecycle::kLoading: return "loading";
    case Lifecycle::kWarmingUp: return "warming up";
    case Lifecycle::kReady: return "ready";
    case Lifecycle::kDraining: return "draining";
    case Lifecycle::kUnloaded: return "unloaded";
    case Lifecycle::kFailed: return "failed";
  }
  return "unknown";
}

}  // namespace motet::brain
