#include "body/serve/domain.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "body/serve/facts.h"
#include "wire/api/classify.h"

namespace motet::serve {
namespace {

// Above the worker with which the loop shares its core: a decision must not wait for a step to end.
constexpr int kNiceness = -10;

// Pins the calling thread to `cpu` and raises it, as far as the machine allows.
void settle_on(int cpu) {
  pthread_setname_np(pthread_self(), "motet-loop");
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(cpu), &set);
  pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
  setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kNiceness);
}

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};

// Whether an instance as a whole may be in another state for it: a shape's programs come and go without that.
bool changes_status(const brain::Event& event) {
  if (const auto* loaded = std::get_if<brain::Loaded>(&event)) return loaded->bucket == 0;
  if (const auto* failed = std::get_if<brain::Failed>(&event)) return failed->bucket == 0 && !failed->execution;
  return std::holds_alternative<brain::ConfigChanged>(event) || std::holds_alternative<brain::Unloaded>(event);
}
bool changes_status(const brain::Action& action) {
  if (const auto* load = std::get_if<brain::Load>(&action)) return load->bucket == 0;
  if (const auto* unload = std::get_if<brain::Unload>(&action)) return unload->bucket == 0;
  return false;
}

FailureReason reason_of(const Error& error) {
  if (error.code == Code::kCancelled) return FailureReason::kCancelled;
  if (error.code == Code::kInternal) return FailureReason::kBackend;
  return FailureReason::kOther;
}

}  // namespace

Result<std::unique_ptr<Domain>> Domain::start(const DomainOptions& options, device::Pool& pool, const Clock& clock,
                                              observe::Registry& registry, StatusListener listener) {
  MOTET_ASSIGN(auto loop, brain::Loop::create(options.loop));
  std::unique_ptr<Recorder> recorder;
  if (!options.record_file.empty()) {
    MOTET_ASSIGN(recorder, Recorder::open(options.record_file, options.loop));
  }
  return std::unique_ptr<Domain>(
      new Domain(options, std::move(loop), std::move(recorder), pool, clock, registry, std::move(listener)));
}

Domain::Domain(const DomainOptions& options, std::unique_ptr<brain::Loop> loop, std::unique_ptr<Recorder> recorder,
               device::Pool& pool, const Clock& clock, observe::Registry& registry, StatusListener listener)
    : options_(options),
      pool_(pool),
      clock_(clock),
      listener_(std::move(listener)),
      loop_(std::move(loop)),
      recorder_(std::move(recorder)),
      loop_step_seconds_(registry.histogram("motet_decision_seconds", "Time of one decision of the serving loop", {},
                                            observe::latency_bounds_s())),
      charged_bytes_(registry.gauge("motet_charged_bytes", "Memory charged to the domain's budget", {})),
      program_loads_(registry.counter("motet_program_loads_total",
                                      "Shapes of models whose programs were asked for by the serving loop", {})),
      program_drops_(
          registry.counter("motet_program_drops_total", "Shapes of models whose programs gave way to others", {})),
      runner_(pool, clock,
              registry.histogram("motet_step_seconds", "Time of one uninterrupted step on the cores", {},
                                 observe::latency_bounds_s()),
              [this](brain::Event event) { post(std::move(event)); }),
      loader_(pool.size(), options.precision, options.loading, registry,
              [this](brain::Event event, InstancePtr instance, uint64_t releases) {
                mailbox_.put({std::move(event), nullptr, std::move(instance), releases});
              }),
      planning_("motet-plan") {
  for (const brain::PlannerEntry& entry : brain::planners()) {
    if (entry.name == options.loop.planner) planner_ = entry.make();
  }
  thread_ = std::thread([this] { run(); });
}

Domain::~Domain() {
  stopping_ = true;
  post(brain::Tick{});
  thread_.join();
  // Executions still on the cores end at their next step; only then may the pool and the models go.
  std::erase_if(batches_, [](const auto& entry) { return entry.second.ended; });
  for (const auto& [id, batch] : batches_) runner_.kill(id);
  std::vector<Message> messages;
  while (!batches_.empty()) {
    mailbox_.take(messages, kNever);
    for (const Message& message : messages) {
      if (const auto* finished = std::get_if<brain::Finished>(&message.event)) batches_.erase(finished->execution);
      if (const auto* failed = std::get_if<brain::Failed>(&message.event)) batches_.erase(failed->execution);
      if (const auto* progress = std::get_if<brain::Progress>(&message.event)) runner_.paused(progress->execution);
    }
  }
  for (auto& [id, open] : open_) open.query->done(unavailable("the server is shutting down"));
}

void Domain::want(const InstancePtr& instance) {
  brain::ModelSettings settings;  // of the rest the model itself must be read; the loader tells
  settings.name = instance->name;
  settings.version = instance->version;
  settings.on_demand = options_.loading.on_demand;
  mailbox_.put({brain::ConfigChanged{instance->id, true, settings, instance->expected_bytes}, nullptr, instance});
}

void Domain::unwant(const InstancePtr& instance) {
  instance->wanted = false;
  post(brain::ConfigChanged{.instance = instance->id, .wanted = false});
}

QueryId Domain::submit(std::unique_ptr<Query> query) {
  query->id = QueryId(last_query_.fetch_add(1) + 1);
  QueryId id = query->id;
  brain::Arrived arrived{id,           query->instance->id, query->route.bucket, query->rows,
                         query->bytes, query->arrived_at,   query->deadline,     query->priority,
                         query->tenant};
  mailbox_.put({arrived, std::move(query), nullptr});
  return id;
}

void Domain::cancel(QueryId query) { post(brain::Cancelled{query}); }

void Domain::run() {
  settle_on(pool_.cpu_of(0));
  std::vector<Message> messages;
  while (!stopping_) {
    mailbox_.take(messages, wakes_.empty() ? kNever : *wakes_.begin());
    for (Message& message : messages) handle(std::move(message));
    Nanos now = clock_.now();
    if (!wakes_.empty() && *wakes_.begin() <= now) {
      wakes_.erase(wakes_.begin(), wakes_.upper_bound(now));
      step(brain::Tick{});
    }
  }
}

bool Domain::out_of_date(const Message& message) const {
  InstanceId of;
  if (const auto* loaded = std::get_if<brain::Loaded>(&message.event)) of = loaded->instance;
  if (const auto* failed = std::get_if<brain::Failed>(&message.event)) of = failed->instance;
  auto found = instances_.find(of);
  return found != instances_.end() && told_too_late(*found->second, message.event, message.releases);
}

void Domain::handle(Message message) {
  if (out_of_date(message)) return;
  if (message.instance) {
    if (!message.instance->wanted) {  // unwanted while it was being read: the loader's settings come too late
      if (!instances_.contains(message.instance->id)) return;
      message.event = brain::ConfigChanged{.instance = message.instance->id, .wanted = false};
    }
    instances_[message.instance->id] = message.instance;
  }
  if (message.query) {
    Query& query = *message.query;
    if (Status known = query.instance->add_bucket(query.route, query.shapes); !known.ok()) {
      query.done(known.error());
      return;
    }
    query.instance->counters->add_pending(1);
    open_[query.id] = Open{std::move(message.query)};
  }
  if (const auto* progress = std::get_if<brain::Progress>(&message.event); progress != nullptr && progress->paused) {
    runner_.paused(progress->execution);
  }
  if (const auto* finished = std::get_if<brain::Finished>(&message.event)) {
    if (auto found = batches_.find(finished->execution); found != batches_.end()) {
      Batch& batch = found->second;
      batch.infer = finished->busy;
      batch.instance->counters->execution(batch.rows, batch.padded, batch.input, batch.infer,
                                          batch.infer * batch.cores);
    }
  }
  step(message.event);
}

void Domain::step(const brain::Event& event) {
  Nanos now = clock_.now();
  std::span<const brain::Action> actions = loop_->step(event, now);
  if (recorder_) recorder_->record(now, event, actions);
  loop_step_seconds_.observe((clock_.now() - now).seconds());
  bool lifecycle = changes_status(event);
  for (const brain::Action& action : actions) {
    lifecycle = lifecycle || changes_status(action);
    carry_out(action);
  }
  settle(event);
  if (const auto* loaded = std::get_if<brain::Loaded>(&event); loaded != nullptr && loaded->bucket != 0) {
    const brain::Action refusal = brain::Unload{loaded->instance, loaded->bucket};
    if (std::find(actions.begin(), actions.end(), refusal) == actions.end()) retire_replaced(*loaded);
  }
  charged_bytes_.set(static_cast<double>(loop_->charged().value));
  if (!lifecycle) return;
  std::vector<brain::InstanceStatus> status = loop_->status();
  for (const brain::InstanceStatus& one : status)
    if (one.state == brain::Lifecycle::kUnloaded) instances_.erase(one.instance);
  listener_(status);
}

void Domain::settle(const brain::Event& event) {
  ExecutionId ended;
  if (const auto* finished = std::get_if<brain::Finished>(&event)) ended = finished->execution;
  if (const auto* failed = std::get_if<brain::Failed>(&event)) ended = failed->execution;
  auto found = batches_.find(ended);
  if (!ended || found == batches_.end() || found->second.ended) return;
  found->second.ended = true;
  release_if_done(ended);
}

void Domain::release_if_done(ExecutionId execution) {
  auto found = batches_.find(execution);
  if (found == batches_.end() || !found->second.ended || found->second.unanswered > 0) return;
  batches_.erase(found);
  runner_.forget(execution);
}

void Domain::retire_replaced(const brain::Loaded& loaded) {
  auto found = instances_.find(loaded.instance);
  if (found == instances_.end()) return;
  const Instance& instance = *found->second;
  if (instance.bucket_precision(loaded.bucket) != instance.precision->current()) return;
  for (brain::BucketId bucket : instance.replaced_by(loaded.bucket)) post(brain::Retired{loaded.instance, bucket});
}

Domain::Open Domain::take(QueryId query) {
  auto found = open_.find(query);
  MOTET_CHECK(found != open_.end(), "an answer is of an open query");
  Open open = std::move(found->second);
  open_.erase(found);
  if (auto batch = batches_.find(open.execution); batch != batches_.end()) --batch->second.unanswered;
  return open;
}

InstancePtr Domain::instance(InstanceId id) const {
  auto found = instances_.find(id);
  MOTET_CHECK(found != instances_.end(), "the loop names instances that it was told of");
  return found->second;
}

void Domain::carry_out(const brain::Action& action) {
  std::visit(Overloaded{
                 [&](const brain::Start& a) { start_execution(a); },
                 [&](const brain::Yield& a) { runner_.yield(a.execution); },
                 [&](const brain::Resume& a) { runner_.resume(a.execution, a.cores); },
                 [&](const brain::Resize& a) { runner_.resize(a.execution, a.cores); },
                 [&](const brain::Kill& a) { runner_.kill(a.execution); },
                 [&](const brain::Reply& a) { reply(a); },
                 [&](const brain::Shed& a) { refuse(a.query, a.error, FailureReason::kRejected); },
                 [&](const brain::Load& a) {
                   if (a.bucket != 0) program_loads_.add();
                   a.bucket == 0 ? loader_.load(instance(a.instance)) : loader_.compile(instance(a.instance), a.bucket);
                 },
                 [&](const brain::Unload& a) {
                   if (a.bucket != 0) program_drops_.add();
                   a.bucket == 0 ? loader_.unload(instance(a.instance)) : loader_.drop(instance(a.instance), a.bucket);
                 },
                 [&](const brain::Plan&) {
                   planning_.post([this, input = loop_->plan_input()] { post(planner_->plan(input)); });
                 },
                 [&](const brain::WakeAt& a) { wakes_.insert(a.at); },
             },
             action);
}

void Domain::start_execution(const brain::Start& action) {
  Nanos began = clock_.now();
  Batch batch;
  batch.instance = instance(action.instance);
  batch.queries = action.queries;
  batch.unanswered = action.queries.size();
  batch.started_at = began;
  batch.cores = action.cores.size();
  std::vector<engine::QueryInputs> inputs;
  for (QueryId id : action.queries) {
    auto found = open_.find(id);
    MOTET_CHECK(found != open_.end(), "an execution is made of open queries");
    Open& open = found->second;
    if (open.started_at == kNever) open.query->instance->counters->add_pending(-1);
    open.started_at = began;
    open.execution = action.execution;
    batch.rows += open.query->rows;
    batch.inputs.push_back(open.query->inputs);
    engine::QueryInputs& one = inputs.emplace_back();
    for (const NamedTensor& input : *open.query->inputs) one.tensors.push_back(input.tensor.view());
  }
  std::vector<engine::Part> parts;
  for (const brain::StartPart& part : action.parts) {
    engine::ProgramPtr program = batch.instance->program(action.bucket, part.batch);
    MOTET_CHECK(program != nullptr, "an execution runs programs that were announced");
    batch.precision = program->precision();
    parts.push_back({std::move(program), part.rows});
    batch.padded += part.batch - part.rows;
  }
  auto execution = engine::Execution::create(std::move(parts), std::move(inputs), batch.instance->batched);
  batch.input = clock_.now() - began;
  batches_.emplace(action.execution, std::move(batch));
  if (!execution.ok()) {
    post(brain::Failed{.execution = action.execution, .error = execution.error()});
    return;
  }
  runner_.start(action.execution, std::move(execution).value(), action.cores);
}

api::InferResponse Domain::respond(const Query& query, const Batch& batch, size_t position,
                                   const engine::Execution& execution) const {
  const Instance& instance = *batch.instance;
  api::InferResponse response{instance.name, std::to_string(instance.version), query.request_id, {}, {}};
  note_precision(instance, batch.precision, response.parameters);
  const std::vector<api::TensorMetadata>& all = instance.metadata.outputs;
  auto add = [&](size_t index, int64_t best) {
    Tensor tensor = execution.output(position, instance.output_order[index]);
    if (best > 0) {
      auto labels = instance.labels.find(all[index].name);
      static const std::vector<std::string> kNone;
      tensor = api::classify(tensor.view(), best, instance.batched,
                             labels == instance.labels.end() ? kNone : labels->second);
    }
    response.outputs.push_back({all[index].name, std::move(tensor)});
  };
  if (query.outputs.empty()) {
    for (size_t i = 0; i < all.size(); ++i) add(i, 0);
  }
  for (const api::RequestedOutput& wanted : query.outputs) {
    auto at = std::find_if(all.begin(), all.end(), [&](const auto& output) { return output.name == wanted.name; });
    MOTET_CHECK(at != all.end(), "requested outputs were validated");
    add(static_cast<size_t>(at - all.begin()), wanted.classification);
  }
  return response;
}

void Domain::reply(const brain::Reply& action) {
  if (!action.ok) {
    refuse(action.query, action.error, reason_of(action.error));
    return;
  }
  auto at = batches_.find(action.execution);
  MOTET_CHECK(at != batches_.end(), "an answer is of a known execution");
  Batch& batch = at->second;
  auto position = std::find(batch.queries.begin(), batch.queries.end(), action.query);
  const engine::Execution* execution = runner_.find(action.execution);
  MOTET_CHECK(position != batch.queries.end() && execution != nullptr, "a query is answered from its own execution");
  Open open = take(action.query);
  Query& query = *open.query;
  Nanos began = clock_.now();
  api::InferResponse response =
      respond(query, batch, static_cast<size_t>(position - batch.queries.begin()), *execution);
  Nanos now = clock_.now();
  Nanos total = now - query.arrived_at;
  query.instance->counters->query_ok({total, open.started_at - query.arrived_at, batch.input, batch.infer, now - began},
                                     query.rows, batch.rows, total <= query.instance->serving.slo);
  query.done(std::move(response));
  PrecisionState& precision = *query.instance->precision;
  if (precision.sampling() && precision.offer(*query.inputs, query.instance->batched)) loader_.measure(query.instance);
  release_if_done(action.execution);
}

void Domain::refuse(QueryId id, const Error& error, FailureReason reason) {
  Open open = take(id);
  Query& query = *open.query;
  if (open.started_at == kNever) query.instance->counters->add_pending(-1);
  Nanos total = clock_.now() - query.arrived_at;
  query.instance->counters->query_failed({.total = total}, reason, reason != FailureReason::kCancelled);
  query.done(error);
  release_if_done(open.execution);
}

}  // namespace motet::serve
