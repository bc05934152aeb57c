// For the tests of this folder: an Api without a server behind it. Model "echo" answers its inputs as outputs, each
// named after it; "held" is answered by cancel() only; "refuse" fails with `refusal`. What was asked is kept.
#pragma once

#include <condition_variable>
#include <mutex>

#include "wire/api/api.h"
#include "wire/proto/model_config.pb.h"

namespace motet::grpc {

class FakeApi final : public api::Api {
 public:
  Error refusal = internal_error("refused");

  bool live() const override { return true; }
  bool ready() const override { return is_ready; }
  Result<bool> model_ready(std::string_view model, std::string_view) const override {
    if (model != "echo") return not_found("no model '" + std::string(model) + "'");
    return true;
  }
  api::ServerMetadata server_metadata() const override { return {"fake", "0.1", {"classification", "statistics"}}; }
  Result<api::ModelMetadata> model_metadata(std::string_view model, std::string_view version) const override {
    MOTET_ASSIGN(bool known, model_ready(model, version));
    (void)known;
    return api::ModelMetadata{"echo",
                              {"1", "2"},
                              "onnxruntime_onnx",
                              {{"x", DType::kF32, {-1, 4}}},
                              {{"y", DType::kString, {-1}}},
                              {{"executor", std::string("native")}, {"precision_error", 0.25}}};
  }
  Result<std::shared_ptr<const inference::ModelConfig>> model_config(std::string_view model,
                                                                     std::string_view version) const override {
    MOTET_ASSIGN(bool known, model_ready(model, version));
    (void)known;
    auto config = std::make_shared<inference::ModelConfig>();
    config->set_name("echo");
    config->set_max_batch_size(8);
    return std::shared_ptr<const inference::ModelConfig>(std::move(config));
  }
  Result<std::vector<api::ModelStatistics>> statistics(std::string_view, std::string_view) const override {
    api::ModelStatistics s;
    s.name = "echo";
    s.version = "1";
    s.inference_count = 6;
    s.success = {3, 4000};
    s.batches = {{2, {3, 1}, {3, 2}, {3, 3}}};
    return std::vector<api::ModelStatistics>{s};
  }
  Result<std::vector<api::IndexEntry>> index(bool ready_only) const override {
    std::vector<api::IndexEntry> all{{"echo", "1", "READY", ""}};
    if (!ready_only) all.push_back({"other", "", "UNAVAILABLE", "why"});
    return all;
  }
  void load(std::string_view model, std::string_view config, const api::Principal&, api::StatusDone done) override {
    loaded = std::string(model) + "/" + std::string(config);
    if (model == "echo") return done(Status());
    done(not_found("no model '" + std::string(model) + "'"));
  }
  void unload(std::string_view model, bool dependents, const api::Principal&, api::StatusDone done) override {
    unloaded = std::string(model) + (dependents ? "+" : "");
    done(Status());
  }
  std::shared_ptr<api::Call> infer(api::InferRequest request, api::InferDone done) override {
    const std::string model = request.model;
    api::InferResponse response{
        model, "1", request.id, request.inputs, {{"from", std::string("fake")}, {"rows", int64_t{1}}}};
    {
      std::lock_guard lock(mutex_);
      last_ = std::move(request);
    }
    if (model == "refuse") {
      done(refusal);
    } else if (model == "held") {
      auto call = std::make_shared<Held>(*this, std::move(done));
      std::lock_guard lock(mutex_);
      ++held_;
      changed_.notify_all();
      return call;
    } else {
      done(std::move(response));
    }
    return nullptr;
  }

  api::InferRequest last() const {
    std::lock_guard lock(mutex_);
    return last_;
  }
  // Until that many calls of "held" have come, or have been cancelled.
  void wait_held(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return held_ >= count; });
  }
  void wait_cancelled(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return cancelled_ >= count; });
  }

  bool is_ready = true;
  std::string loaded, unloaded;

 private:
  class Held final : public api::Call {
   public:
    Held(FakeApi& api, api::InferDone done) : api_(api), done_(std::move(done)) {}
    void cancel() override {
      api::InferDone done;
      {
        std::lock_guard lock(api_.mutex_);
        std::swap(done, done_);
        if (!done) return;
        ++api_.cancelled_;
        api_.changed_.notify_all();
      }
      done(Error{Code::kCancelled, "the client went away"});
    }

   private:
    FakeApi& api_;
    api::InferDone done_;
  };

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  api::InferRequest last_;  // these guarded by mutex_
  int held_ = 0;
  int cancelled_ = 0;
};

}  // namespace motet::grpc
