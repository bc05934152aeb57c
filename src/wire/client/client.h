// A KServe v2 client over HTTP and gRPC: for `motet infer`, `motet bench` and the demo. It speaks to any KServe v2 server.
// Connections are kept and pooled; all functions may be called from any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/tensor/named.h"
#include "base/units.h"

namespace inference {
class ModelConfig;
}

namespace motet::client {

struct Request {
  std::string model;
  std::string version;                       // "" for the newest
  std::string id;
  std::vector<NamedTensor> inputs;
  std::vector<std::string> outputs;          // empty: all
  int64_t timeout_us = 0;                    // request parameter `timeout`; 0: none
  uint64_t priority = 0;
  Nanos transport_timeout = Nanos::from_seconds(60);
};

struct Response {
  std::string model;
  std::string version;
  std::vector<NamedTensor> outputs;
  std::string precision;       // what Motet says it was computed in; "" if it says nothing
  double precision_error = 0;  // measured, of that precision
};

struct TensorMetadata {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
};
struct ModelMetadata {
  std::string name;
  std::vector<std::string> versions;
  std::vector<TensorMetadata> inputs;
  std::vector<TensorMetadata> outputs;
};

using Done = std::function<void(Result<Response>)>;

class Client {
 public:
  // "http://host:port" and "host:port" speak HTTP, "grpc://host:port" gRPC. An Error names what is wrong with the URL. Does not connect yet.
  static Result<std::unique_ptr<Client>> create(std::string_view url);
  virtual ~Client() = default;  // waits for the calls under way

  virtual std::string_view protocol() const = 0;  // "http" or "grpc"
  virtual Status server_ready() = 0;
  virtual Result<ModelMetadata> model_metadata(std::string_view model) = 0;
  virtual Result<std::shared_ptr<const inference::ModelConfig>> model_config(std::string_view model) = 0;
  virtual Result<Response> infer(const Request& request) = 0;
  // Sends without waiting, for open-loop load; `done` comes from a thread of the client. An HTTP error status arrives as the Error it stands for.
  virtual void infer_async(const Request& request, Done done) = 0;
};

}  // namespace motet::client
