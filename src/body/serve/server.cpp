#include "body/serve/server.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "base/log.h"
#include "body/serve/facts.h"
#include "wire/api/authoriser.h"
#include "wire/api/validate.h"
#include "wire/proto/model_config.pb.h"

namespace motet::serve {
namespace {

constexpr const char* kExtensions[] = {"classification",     "model_repository", "model_configuration",
                                       "binary_tensor_data", "parameters",       "schedule_policy",
                                       "statistics"};

// A query's handle for its caller: remembers which it is, so that it can be cancelled.
class OpenCall final : public api::Call {
 public:
  OpenCall(Domain& domain, QueryId query) : domain_(domain), query_(query) {}
  void cancel() override { domain_.cancel(query_); }

 private:
  Domain& domain_;  // the front ends close before the server does
  const QueryId query_;
};

std::string in_quotes(std::string_view name) { return "'" + std::string(name) + "'"; }

Error unknown_model(std::string_view model, std::string_view version) {
  std::string what = "Request for unknown model: " + in_quotes(model);
  if (!version.empty()) what += " version " + std::string(version);
  return not_found(what + " is not found");
}

}  // namespace

Result<std::unique_ptr<Server>> Server::start(const ServerOptions& options, observe::Registry& registry) {
  MOTET_ASSIGN(repo::Repository repository, repo::Repository::open(options.repositories));
  MOTET_ASSIGN(std::unique_ptr<device::Pool> pool, device::Pool::create(options.pool));
  std::unique_ptr<Server> server(new Server(options, registry, std::move(repository), std::move(pool)));
  DomainOptions domain = options.domain;
  domain.loop.cores = server->pool_->cores();
  MOTET_ASSIGN(server->domain_, Domain::start(domain, *server->pool_, server->clock_, registry,
                                              [raw = server.get()](const auto& status) { raw->on_status(status); }));
  std::vector<std::string> names = options.load_models;
  if (!options.explicit_control || std::find(names.begin(), names.end(), "*") != names.end()) {
    MOTET_ASSIGN(repo::Listing listing, server->repository_.list());
    names.clear();
    for (const repo::ModelDirectory& model : listing.models) names.push_back(model.name);
    for (const repo::RefusedModel& model : listing.refused) server->start_failures_[model.name] = model.error;
  }
  server->starting_ = static_cast<int>(names.size());
  for (const std::string& name : names) {
    server->control_.post([raw = server.get(), name] {
      raw->load_now(name, "", [raw, name](const Status& status) {
        std::unique_lock lock(raw->mutex_);
        if (!status.ok()) raw->start_failures_[name] = status.error();
        --raw->starting_;
        raw->started_.notify_all();
      });
    });
  }
  return server;
}

Server::Server(const ServerOptions& options, observe::Registry& registry, repo::Repository repository,
               std::unique_ptr<device::Pool> pool)
    : options_(options),
      registry_(registry),
      repository_(std::move(repository)),
      authoriser_(api::allow_all()),
      pool_(std::move(pool)),
      control_("motet-control") {}

Server::~Server() { shutting_down_ = true; }

std::map<std::string, Error> Server::wait_for_start() {
  std::unique_lock lock(mutex_);
  started_.wait(lock, [&] { return starting_ == 0; });
  return start_failures_;
}

bool Server::drain(Nanos patience) {
  shutting_down_ = true;
  std::vector<InstancePtr> all;
  {
    std::unique_lock lock(mutex_);
    for (auto& [name, model] : models_) {
      for (auto& [number, version] : model.versions) {
        if (version.serving) all.push_back(version.serving);
        if (version.incoming) all.push_back(version.incoming);
      }
    }
  }
  for (const InstancePtr& instance : all) domain_->unwant(instance);
  std::unique_lock lock(mutex_);
  return started_.wait_for(lock, std::chrono::nanoseconds(patience.value), [&] { return owners_.empty(); });
}

void Server::refresh_gauges() {
  for (int core = 0; core < pool_->size(); ++core) {
    registry_
        .gauge("motet_core_busy_seconds", "CPU time that a core's worker has used; a foreign child's is not in it",
               {{"core", std::to_string(core)}})
        .set(static_cast<double>(pool_->busy_ns(core)) * 1e-9);
  }
}

// ---- loading
// ----------------------------------------------------------------------------------------------------------

InstancePtr Server::make_instance(const repo::ModelSource& source, const repo::VersionSource& version) {
  auto instance = std::make_shared<Instance>();
  instance->id = InstanceId(last_instance_.fetch_add(1) + 1);
  instance->name = source.directory.name;
  instance->version = version.version;
  instance->source = source;
  instance->model_file = version.file;
  std::error_code error;
  auto bytes = std::filesystem::file_size(version.file, error);
  instance->expected_bytes = Bytes(error ? 0 : static_cast<int64_t>(bytes));
  return instance;
}

void Server::note_failure(const std::string& name, const Error& error) {
  std::unique_lock lock(mutex_);
  models_[name].failure = error.message;
}

void Server::load_now(const std::string& name, const std::string& config, api::StatusDone done) {
  auto refuse = [&](const Error& error) {
    Error whole{error.code == Code::kNotFound ? Code::kInvalidArgument : error.code,
                "failed to load " + in_quotes(name) + ": " + error.message};
    log_warning(whole.message);
    done(whole);
  };
  if (shutting_down_) return refuse(unavailable("the server is shutting down"));
  auto directory = repository_.find(name);
  if (!directory.ok()) return refuse(directory.error());
  auto source = repo::read_model(*directory, config);
  if (!source.ok()) {
    note_failure(name, source.error());
    return refuse(source.error());
  }
  for (const std::string& hint : source->hints) log_info("model " + in_quotes(name) + ": " + hint);
  std::vector<InstancePtr> incoming;
  std::vector<InstancePtr> superseded;
  {
    std::unique_lock lock(mutex_);
    Model& model = models_[name];
    model.wanted = true;
    model.failure.clear();
    Wait wait{{}, {}, std::move(done)};
    for (const repo::VersionSource& from : source->versions) {
      Version& version = model.versions[from.version];
      if (version.incoming) superseded.push_back(version.incoming);
      version.incoming = make_instance(*source, from);
      version.state = version.serving ? "READY" : "LOADING";
      version.reason.clear();
      owners_[version.incoming->id] = {name, from.version};
      wait.pending.insert(version.incoming->id);
      incoming.push_back(version.incoming);
    }
    for (auto& [number, version] : model.versions) {  // versions that the policy no longer wants
      bool kept = std::any_of(source->versions.begin(), source->versions.end(),
                              [&, n = number](const auto& v) { return v.version == n; });
      if (kept || !version.serving) continue;
      version.state = "UNLOADING";
      superseded.push_back(version.serving);
    }
    waits_.push_back(std::move(wait));
  }
  for (const InstancePtr& instance : superseded) domain_->unwant(instance);
  for (const InstancePtr& instance : incoming) domain_->want(instance);
}

void Server::unload_now(const std::string& name, api::StatusDone done) {
  std::vector<InstancePtr> leaving;
  {
    std::unique_lock lock(mutex_);
    auto found = models_.find(name);
    if (found == models_.end()) {
      lock.unlock();
      if (!repository_.find(name).ok())
        return done(not_found("failed to unload " + in_quotes(name) + ": no model of that name in the repository"));
      return done({});
    }
    found->second.wanted = false;
    Wait wait{{}, {}, std::move(done)};
    for (auto& [number, version] : found->second.versions) {
      if (version.serving || version.incoming) version.state = "UNLOADING";
      for (const InstancePtr& instance : {version.serving, version.incoming}) {
        if (!instance) continue;
        wait.pending.insert(instance->id);
        leaving.push_back(instance);
      }
    }
    if (leaving.empty()) {
      done = std::move(wait.done);
      lock.unlock();
      return done({});
    }
    waits_.push_back(std::move(wait));
  }
  for (const InstancePtr& instance : leaving) domain_->unwant(instance);
}

void Server::load(std::string_view model, std::string_view config, const api::Principal& principal,
                  api::StatusDone done) {
  if (Status allowed = authoriser_->authorise(principal, api::Verb::kLoad, model); !allowed.ok()) return done(allowed);
  if (!options_.explicit_control) {
    return done(invalid_argument(
        "load of " + in_quotes(model) +
        " refused: models are loaded and unloaded on request only with --model-control-mode=explicit"));
  }
  control_.post([this, model = std::string(model), config = std::string(config), done = std::move(done)] {
    load_now(model, config, done);
  });
}

void Server::unload(std::string_view model, bool /*unload_dependents: there are no ensembles*/,
                    const api::Principal& principal, api::StatusDone done) {
  if (Status allowed = authoriser_->authorise(principal, api::Verb::kUnload, model); !allowed.ok())
    return done(allowed);
  if (!options_.explicit_control) {
    return done(invalid_argument(
        "unload of " + in_quotes(model) +
        " refused: models are loaded and unloaded on request only with --model-control-mode=explicit"));
  }
  control_.post([this, model = std::string(model), done = std::move(done)] { unload_now(model, done); });
}

// ---- what became of it
// ------------------------------------------------------------------------------------------------

void Server::apply(const brain::InstanceStatus& status, std::vector<InstancePtr>& superseded,
                   std::map<InstanceId, Status>& ended) {
  auto owner = owners_.find(status.instance);
  if (owner == owners_.end()) return;
  Version& version = models_[owner->second.first].versions[owner->second.second];
  bool incoming = version.incoming && version.incoming->id == status.instance;
  bool serving = version.serving && version.serving->id == status.instance;
  switch (status.state) {
    case brain::Lifecycle::kLoading:
    case brain::Lifecycle::kWarmingUp:
    case brain::Lifecycle::kDraining: return;
    case brain::Lifecycle::kReady:
      if (!incoming) return;
      if (version.serving) superseded.push_back(version.serving);
      version.serving = std::move(version.incoming);
      version.incoming = nullptr;
      version.state = "READY";
      version.reason.clear();
      ended[status.instance] = {};
      return;
    case brain::Lifecycle::kFailed:
      if (incoming) superseded.push_back(std::exchange(version.incoming, nullptr));
      if (serving) superseded.push_back(std::exchange(version.serving, nullptr));
      if (!version.serving) version.state = "UNAVAILABLE";
      version.reason = status.reason.message;
      ended[status.instance] = status.reason;
      if (!incoming && !serving) owners_.erase(owner);
      return;
    case brain::Lifecycle::kUnloaded:
      if (incoming) version.incoming = nullptr;
      if (serving) version.serving = nullptr;
      if (incoming || serving) {
        version.state = "UNAVAILABLE";
        version.reason = "unloaded";
      }
      ended[status.instance] = {};
      owners_.erase(owner);
      return;
  }
}

std::vector<std::function<void()>> Server::settle_waits(const std::map<InstanceId, Status>& ended) {
  std::vector<std::function<void()>> calls;
  for (auto wait = waits_.begin(); wait != waits_.end();) {
    for (const auto& [instance, outcome] : ended) {
      if (wait->pending.erase(instance) > 0 && !outcome.ok()) wait->outcome = outcome;
    }
    if (!wait->pending.empty()) {
      ++wait;
      continue;
    }
    calls.emplace_back([done = std::move(wait->done), outcome = wait->outcome] { done(outcome); });
    wait = waits_.erase(wait);
  }
  return calls;
}

void Server::on_status(const std::vector<brain::InstanceStatus>& status) {
  std::vector<InstancePtr> superseded;
  std::vector<std::function<void()>> calls;
  {
    std::unique_lock lock(mutex_);
    std::map<InstanceId, Status> ended;
    for (const brain::InstanceStatus& one : status) apply(one, superseded, ended);
    calls = settle_waits(ended);
    started_.notify_all();
  }
  for (const InstancePtr& instance : superseded) domain_->unwant(instance);
  for (const auto& call : calls) call();
}

// ---- asking
// -----------------------------------------------------------------------------------------------------------

Result<InstancePtr> Server::find_serving(std::string_view name, std::string_view version) const {
  if (shutting_down_) return unavailable("the server is shutting down");
  std::shared_lock lock(mutex_);
  auto found = models_.find(name);
  if (found == models_.end()) return unknown_model(name, version);
  const auto& versions = found->second.versions;
  for (auto at = versions.rbegin(); at != versions.rend(); ++at) {
    if (!version.empty() && std::to_string(at->first) != version) continue;
    if (at->second.serving && at->second.state != "UNLOADING") return at->second.serving;
    if (!version.empty()) break;
  }
  if (!version.empty() && !std::any_of(versions.begin(), versions.end(),
                                       [&](const auto& v) { return std::to_string(v.first) == version; })) {
    return unknown_model(name, version);
  }
  std::string why;
  for (const auto& [number, one] : versions)
    why += "; version " + std::to_string(number) + " is " + one.state +
           (one.reason.empty() ? "" : " (" + one.reason + ")");
  return unavailable("Request for unknown model: " + in_quotes(name) + " has no available versions" + why);
}

bool Server::ready() const {
  if (shutting_down_) return false;
  std::shared_lock lock(mutex_);
  if (starting_ > 0) return false;
  for (const auto& [name, model] : models_) {
    if (!model.wanted) continue;
    for (const auto& [number, version] : model.versions)
      if (!version.serving && version.state != "UNAVAILABLE") return false;
  }
  return true;
}

Result<bool> Server::model_ready(std::string_view model, std::string_view version) const {
  return find_serving(model, version).ok();
}

api::ServerMetadata Server::server_metadata() const {
  return {"motet", MOTET_VERSION, {std::begin(kExtensions), std::end(kExtensions)}};
}

Result<api::ModelMetadata> Server::model_metadata(std::string_view model, std::string_view version) const {
  MOTET_ASSIGN(InstancePtr instance, find_serving(model, version));
  api::ModelMetadata metadata = instance->metadata;
  metadata.parameters = model_facts(*instance);
  std::shared_lock lock(mutex_);
  metadata.versions.clear();
  for (const auto& [number, one] : models_.find(model)->second.versions)
    if (one.serving) metadata.versions.push_back(std::to_string(number));
  return metadata;
}

Result<std::shared_ptr<const inference::ModelConfig>> Server::model_config(std::string_view model,
                                                                           std::string_view version) const {
  MOTET_ASSIGN(InstancePtr instance, find_serving(model, version));
  return instance->config;
}

Result<std::vector<api::ModelStatistics>> Server::statistics(std::string_view model, std::string_view version) const {
  std::vector<api::ModelStatistics> all;
  if (!model.empty()) {
    auto instance = find_serving(model, version);
    if (!instance.ok()) return invalid_argument("requested model " + in_quotes(model) + " is not available");
  }
  std::shared_lock lock(mutex_);
  for (const auto& [name, one] : models_) {
    if (!model.empty() && name != model) continue;
    for (const auto& [number, v] : one.versions)
      if (v.serving && (version.empty() || std::to_string(number) == version))
        all.push_back(v.serving->counters->statistics());
  }
  return all;
}

Result<std::vector<api::IndexEntry>> Server::index(bool ready_only) const {
  MOTET_ASSIGN(repo::Listing listing, repository_.list());
  std::vector<api::IndexEntry> entries;
  std::shared_lock lock(mutex_);
  std::set<std::string> names;
  for (const repo::ModelDirectory& directory : listing.models) names.insert(directory.name);
  for (const auto& [name, model] : models_)
    if (!model.versions.empty()) names.insert(name);
  for (const std::string& name : names) {
    auto model = models_.find(name);
    if (model == models_.end() || model->second.versions.empty()) {
      std::string failure = model == models_.end() ? "" : model->second.failure;
      if (!ready_only) entries.push_back({name, "", failure.empty() ? "" : "UNAVAILABLE", failure});
      continue;
    }
    for (const auto& [number, version] : model->second.versions) {
      if (!ready_only || version.state == "READY")
        entries.push_back({name, std::to_string(number), version.state, version.reason});
    }
  }
  for (const repo::RefusedModel& refused : listing.refused)
    if (!ready_only) entries.push_back({refused.name, "", "UNAVAILABLE", refused.error.message});
  return entries;
}

std::shared_ptr<api::Call> Server::infer(api::InferRequest request, api::InferDone done) {
  auto refuse = [&](const Error& error) -> std::shared_ptr<api::Call> {
    done(error);
    return nullptr;
  };
  if (Status allowed = authoriser_->authorise(request.principal, api::Verb::kInfer, request.model); !allowed.ok())
    return refuse(allowed.error());
  auto found = find_serving(request.model, request.version);
  if (!found.ok()) return refuse(found.error());
  InstancePtr instance = std::move(found).value();
  auto rows = api::validate(request, *instance->config);
  if (!rows.ok()) return refuse(rows.error());

  auto query = std::make_unique<Query>();
  query->instance = instance;
  query->rows = static_cast<int>(*rows);
  auto inputs = std::make_shared<std::vector<NamedTensor>>(request.inputs.size());
  query->shapes.resize(inputs->size());
  for (size_t i = 0; i < inputs->size(); ++i) {
    size_t place = instance->input_order[i];
    const Shape& whole = request.inputs[i].tensor.shape();
    query->shapes[place] = Shape(whole.begin() + (instance->batched ? 1 : 0), whole.end());
    query->bytes += Bytes(static_cast<int64_t>(request.inputs[i].tensor.view().bytes()));
    (*inputs)[place] = std::move(request.inputs[i]);
  }
  query->inputs = std::move(inputs);
  query->route = instance->route(query->shapes);
  query->outputs = std::move(request.outputs);
  query->request_id = std::move(request.id);
  query->arrived_at = request.arrived_at;
  Nanos timeout = repo::effective_timeout(instance->serving, request.timeout_us);
  query->deadline = std::min(request.deadline, request.arrived_at + timeout);
  query->priority = static_cast<int>(request.priority);
  query->done = std::move(done);
  return std::make_shared<OpenCall>(*domain_, domain_->submit(std::move(query)));
}

}  // namespace motet::serve
