// The protocol-neutral request interface: what every front end calls and body/serve implements. One way in, one way out;
// nothing behind it knows the protocol. All functions may be called from any thread and none blocks on inference or loading;
// callbacks come from any thread, exactly once.
//
// authorise() of authoriser.h is called here, below all front ends, for every verb.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/tensor/named.h"
#include "base/units.h"

namespace inference {
class ModelConfig;
}

namespace motet::api {

// Who asks. The name of the authenticated principal; "anonymous" without authentication.
struct Principal {
  std::string name = "anonymous";
};

using Parameter = std::variant<bool, int64_t, double, std::string>;
using Parameters = std::map<std::string, Parameter, std::less<>>;

struct RequestedOutput {
  std::string name;
  int64_t classification = 0;  // k > 0: the k best as "value:index[:label]" instead of the tensor
};

struct InferRequest {
  std::string model;
  std::string version;  // "" for the newest that is served
  std::string id;
  std::vector<NamedTensor> inputs;             // views on the received buffer
  bool raw_body = false;                       // HTTP: Inference-Header-Content-Length 0: one nameless input holding raw bytes (kU8)
  std::vector<RequestedOutput> outputs;        // empty: all
  uint64_t priority = 0;                       // 0: the model's default
  int64_t timeout_us = 0;                      // 0: none
  Parameters parameters;                       // all others
  Nanos arrived_at;                            // SteadyClock, first readable byte or the call's headers
  Nanos deadline = kNever;                     // the transport's own (gRPC)
  Principal principal;
};

struct InferResponse {
  std::string model;
  std::string version;
  std::string id;
  std::vector<NamedTensor> outputs;  // classification results are kString
  Parameters parameters;
};

struct ServerMetadata {
  std::string name;
  std::string version;
  std::vector<std::string> extensions;
};

struct TensorMetadata {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;  // with the batch extent, -1 where variable
};
struct ModelMetadata {
  std::string name;
  std::vector<std::string> versions;
  std::string platform;
  std::vector<TensorMetadata> inputs;
  std::vector<TensorMetadata> outputs;
  Parameters parameters;  // what else there is to know of it: an extension
};

struct IndexEntry {
  std::string name;
  std::string version;  // "" for a model none of whose versions was ever tried
  std::string state;    // READY, LOADING, UNLOADING, UNAVAILABLE, or ""
  std::string reason;
};

struct StatLeaf {
  uint64_t count = 0;
  uint64_t ns = 0;
};
struct BatchStatistics {
  uint64_t batch_size = 0;
  StatLeaf compute_input, compute_infer, compute_output;
};
struct ModelStatistics {
  std::string name;
  std::string version;
  uint64_t last_inference_ms = 0;  // since the Unix epoch
  uint64_t inference_count = 0;    // rows
  uint64_t execution_count = 0;    // batches
  StatLeaf success, fail, queue, compute_input, compute_infer, compute_output;
  std::vector<BatchStatistics> batches;
};

// A query under way. cancel() asks for its end at the next step: the callback then gets kCancelled, unless it was faster.
class Call {
 public:
  virtual ~Call() = default;
  virtual void cancel() = 0;
};

using InferDone = std::function<void(Result<InferResponse>)>;
using StatusDone = std::function<void(Status)>;

class Api {
 public:
  virtual ~Api() = default;

  virtual bool live() const = 0;
  // Every wanted model is ready and the server is not shutting down.
  virtual bool ready() const = 0;
  // kNotFound, or whether it would take a query now.
  virtual Result<bool> model_ready(std::string_view model, std::string_view version) const = 0;
  virtual ServerMetadata server_metadata() const = 0;
  virtual Result<ModelMetadata> model_metadata(std::string_view model, std::string_view version) const = 0;
  // The completed config, kept alive by the pointer.
  virtual Result<std::shared_ptr<const inference::ModelConfig>> model_config(std::string_view model, std::string_view version) const = 0;
  // Of all versions served when `version` is "", of all models when `model` is "" too.
  virtual Result<std::vector<ModelStatistics>> statistics(std::string_view model, std::string_view version) const = 0;
  virtual Result<std::vector<IndexEntry>> index(bool ready_only) const = 0;

  // Answers when the model is ready (or why not). `config` is a JSON override of config.pbtxt, "" for none.
  virtual void load(std::string_view model, std::string_view config, const Principal& principal, StatusDone done) = 0;
  // Answers when it has drained and gone.
  virtual void unload(std::string_view model, bool unload_dependents, const Principal& principal, StatusDone done) = 0;
  // The answer, or the refusal, comes through `done`. Dropping the Call does not cancel.
  virtual std::shared_ptr<Call> infer(InferRequest request, InferDone done) = 0;
};

}  // namespace motet::api
