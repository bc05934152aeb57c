// Server: implements api::Api over a model repository, a worker pool and one domain. It keeps the catalog: which models
// and versions there are, which instance serves each, and what came of every load. All functions may be called from any
// thread.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <shared_mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/observe/metrics.h"
#include "body/serve/background.h"
#include "body/serve/domain.h"
#include "wire/api/api.h"
#include "wire/api/authoriser.h"
#include "wire/repo/repository.h"

namespace motet::serve {

struct ServerOptions {
  std::vector<std::string> repositories;
  bool explicit_control = false;         // else every model is loaded at start and load/unload are refused
  std::vector<std::string> load_models;  // with explicit control: at start; "*" for all
  DomainOptions domain;                  // loop.cores is set from the pool
  device::PoolOptions pool;
};

class Server final : public api::Api {
 public:
  // Opens the repositories and begins to load; does not wait for models. `registry` outlives the server.
  static Result<std::unique_ptr<Server>> start(const ServerOptions& options, observe::Registry& registry);
  ~Server() override;

  // Returns when every load begun at start has ended. The Errors of those that failed, by model.
  std::map<std::string, Error> wait_for_start();
  // Refuses new queries, finishes those open, unloads. False if `patience` ran out first.
  bool drain(Nanos patience);

  const device::Pool& pool() const { return *pool_; }
  // Sets the gauges that are read rather than counted (busy cores); call before an export.
  void refresh_gauges();

  bool live() const override { return true; }
  bool ready() const override;
  Result<bool> model_ready(std::string_view model, std::string_view version) const override;
  api::ServerMetadata server_metadata() const override;
  Result<api::ModelMetadata> model_metadata(std::string_view model, std::string_view version) const override;
  Result<std::shared_ptr<const inference::ModelConfig>> model_config(std::string_view model,
                                                                     std::string_view version) const override;
  Result<std::vector<api::ModelStatistics>> statistics(std::string_view model, std::string_view version) const override;
  Result<std::vector<api::IndexEntry>> index(bool ready_only) const override;
  void load(std::string_view model, std::string_view config, const api::Principal& principal,
            api::StatusDone done) override;
  void unload(std::string_view model, bool unload_dependents, const api::Principal& principal,
              api::StatusDone done) override;
  std::shared_ptr<api::Call> infer(api::InferRequest request, api::InferDone done) override;

 private:
  // One version of one model.
  struct Version {
    InstancePtr serving;   // ready, takes queries
    InstancePtr incoming;  // loading; replaces `serving` when ready
    std::string state;     // READY, LOADING, UNLOADING, UNAVAILABLE
    std::string reason;
  };
  struct Model {
    std::map<int64_t, Version> versions;
    bool wanted = false;
    std::string failure;  // of the last load, when it did not come as far as a version
  };
  // A load or unload somebody waits for.
  struct Wait {
    std::set<InstanceId> pending;
    Status outcome;
    api::StatusDone done;
  };

  Server(const ServerOptions& options, observe::Registry& registry, repo::Repository repository,
         std::unique_ptr<device::Pool> pool);
  void load_now(const std::string& model, const std::string& config, api::StatusDone done);  // control thread
  void unload_now(const std::string& model, api::StatusDone done);                           // control thread
  void note_failure(const std::string& model, const Error& error);
  InstancePtr make_instance(const repo::ModelSource& source, const repo::VersionSource& version);
  void on_status(const std::vector<brain::InstanceStatus>& status);  // loop's thread
  // Notes what became of one instance; adds it to `ended` if its load or unload is over, and whom it replaces to
  // `superseded`.
  void apply(const brain::InstanceStatus& status, std::vector<InstancePtr>& superseded,
             std::map<InstanceId, Status>& ended);
  std::vector<std::function<void()>> settle_waits(const std::map<InstanceId, Status>& ended);
  // The version that serves a query for `model` and `version`, or why none does.
  Result<InstancePtr> find_serving(std::string_view model, std::string_view version) const;

  // Constant after construction.
  const ServerOptions options_;
  observe::Registry& registry_;
  const repo::Repository repository_;
  const std::unique_ptr<const api::Authoriser> authoriser_;
  SteadyClock clock_;

  // Synchronise themselves.
  std::atomic<uint64_t> last_instance_{0};
  std::atomic<bool> shutting_down_{false};

  mutable std::shared_mutex mutex_;
  std::map<std::string, Model, std::less<>> models_;              // guarded by mutex_
  std::vector<Wait> waits_;                                       // guarded by mutex_
  std::map<InstanceId, std::pair<std::string, int64_t>> owners_;  // model and version; guarded by mutex_
  std::map<std::string, Error> start_failures_;                   // guarded by mutex_
  int starting_ = 0;                                              // guarded by mutex_
  std::condition_variable_any started_;

  std::unique_ptr<device::Pool> pool_;
  std::unique_ptr<Domain> domain_;
  Background control_;  // last: its jobs use all of the above
};

}  // namespace motet::serve
