// Domain: the serving loop bound to a thread, the real clock, the worker pool and the loader. It owns the brain's Loop
// and every query between its arrival and its answer. All public functions may be called from any thread;
// done-callbacks and the status listener are called from the loop's thread and must not block.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/observe/metrics.h"
#include "body/serve/background.h"
#include "body/serve/instance.h"
#include "body/serve/loader.h"
#include "body/serve/mailbox.h"
#include "body/serve/recorder.h"
#include "body/serve/runner.h"
#include "body/serve/statistics.h"
#include "brain/control/loop.h"
#include "compute/device/pool.h"
#include "wire/api/api.h"

namespace motet::serve {

// A query that has passed validation.
struct Query {
  QueryId id;  // given by Domain::submit
  InstancePtr instance;
  Route route;
  BucketShapes shapes;
  int rows = 1;
  Bytes bytes;
  Nanos arrived_at;
  Nanos deadline = kNever;
  int priority = 0;
  TenantId tenant;
  std::shared_ptr<const std::vector<NamedTensor>> inputs;  // one per model input, in the model's order
  std::vector<api::RequestedOutput> outputs;               // empty: all
  std::string request_id;
  api::InferDone done;
};

struct DomainOptions {
  brain::LoopOptions loop;
  std::string record_file;  // "" for none
  PrecisionDefaults precision;
  Loading loading;
};

class Domain {
 public:
  using StatusListener = std::function<void(const std::vector<brain::InstanceStatus>&)>;

  // `pool`, `clock` and `registry` outlive the domain.
  static Result<std::unique_ptr<Domain>> start(const DomainOptions& options, device::Pool& pool, const Clock& clock,
                                               observe::Registry& registry, StatusListener listener);
  // Stops the thread. Queries still open are answered kUnavailable.
  ~Domain();

  // Wanted: load it, or re-configure it; the listener tells what became of it.
  void want(const InstancePtr& instance);
  void unwant(const InstancePtr& instance);
  QueryId submit(std::unique_ptr<Query> query);
  void cancel(QueryId query);

 private:
  struct Message {
    brain::Event event;
    std::unique_ptr<Query> query;  // of Arrived
    InstancePtr instance;          // of ConfigChanged
    uint64_t releases = 0;         // of what the loader tells of a bucket
  };
  // What an execution was made of, until the device has reported it and all its queries are answered (with
  // preserve_ordering an answer waits for older ones).
  struct Batch {
    InstancePtr instance;
    std::vector<QueryId> queries;
    size_t unanswered = 0;
    bool ended = false;
    std::vector<std::shared_ptr<const std::vector<NamedTensor>>> inputs;
    int rows = 0;
    int padded = 0;
    int cores = 0;
    engine::Precision precision = engine::Precision::kExact;
    Nanos started_at, input, infer;
  };
  struct Open {
    std::unique_ptr<Query> query;
    Nanos started_at = kNever;
    ExecutionId execution;  // once started
  };

  Domain(const DomainOptions& options, std::unique_ptr<brain::Loop> loop, std::unique_ptr<Recorder> recorder,
         device::Pool& pool, const Clock& clock, observe::Registry& registry, StatusListener listener);
  void run();
  void handle(Message message);
  bool out_of_date(const Message& message) const;  // of a bucket that the loop has let go of since
  void step(const brain::Event& event);
  void settle(const brain::Event& event);  // after the actions: notes what the event ended
  Open take(QueryId query);                // out of the open ones, as answered
  void release_if_done(ExecutionId execution);
  // If the bucket is of the precision that its model runs at now: tells the loop that those of others are not used any
  // more.
  void retire_replaced(const brain::Loaded& loaded);
  void carry_out(const brain::Action& action);
  void start_execution(const brain::Start& action);
  void reply(const brain::Reply& action);
  void refuse(QueryId query, const Error& error, FailureReason reason);
  api::InferResponse respond(const Query& query, const Batch& batch, size_t position,
                             const engine::Execution& execution) const;
  InstancePtr instance(InstanceId id) const;
  void post(brain::Event event) { mailbox_.put({std::move(event), nullptr, nullptr}); }

  // Constant after construction.
  const DomainOptions options_;
  device::Pool& pool_;
  const Clock& clock_;
  const StatusListener listener_;
  std::unique_ptr<const brain::Planner> planner_;

  // Synchronise themselves.
  std::atomic<uint64_t> last_query_{0};
  std::atomic<bool> stopping_{false};
  Mailbox<Message> mailbox_;

  // Loop's thread only.
  std::unique_ptr<brain::Loop> loop_;
  std::unique_ptr<Recorder> recorder_;
  std::map<InstanceId, InstancePtr> instances_;
  std::map<QueryId, Open> open_;
  std::map<ExecutionId, Batch> batches_;
  std::set<Nanos> wakes_;
  observe::Histogram& loop_step_seconds_;
  observe::Gauge& charged_bytes_;
  observe::Counter& program_loads_;
  observe::Counter& program_drops_;
  Runner runner_;

  Loader loader_;
  Background planning_;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace motet::serve
