// An api::Api for the tests of this room: the five small models of tests/conformance/wire/repo, computed by hand, and
// hooks to hold answers back. Answers at once, on the calling thread, unless held. Any thread.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "wire/api/api.h"

namespace motet::http {

class FakeApi final : public api::Api {
 public:
  FakeApi();
  ~FakeApi() override;

  // From now on infer() keeps its answers until release() or the call's cancel().
  void hold();
  void release();
  // Waits until `count` queries are held (or were cancelled, respectively).
  void wait_held(size_t count);
  void wait_cancelled(size_t count);
  // The request of the newest infer(), for the test to look at.
  api::InferRequest last_request();

  bool live() const override { return true; }
  bool ready() const override { return true; }
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
  struct Model;
  struct Held;
  Result<const Model*> find(std::string_view model, std::string_view version) const;
  Result<api::InferResponse> compute(const api::InferRequest& request) const;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::unique_ptr<Model>, std::less<>> models_;
  bool holding_ = false;
  std::vector<std::shared_ptr<Held>> held_;
  size_t cancelled_ = 0;
  api::InferRequest last_;
};

}  // namespace motet::http
