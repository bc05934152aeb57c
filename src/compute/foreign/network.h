// OpenVINO's models as values with owners: Library (the opened library), Network (a model as read), Compiled (one copy
// compiled for one set of shapes and a number of threads). Used in the server's process and in its child alike. Private
// to compute/foreign. Library: any thread. Network: one thread at a time. Compiled: one thread at a time, but for
// cancel().
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "compute/engine/foreign_step.h"
#include "compute/foreign/openvino_api.h"

namespace motet::foreign {

// Where OpenVINO's threads may come from. In the server's process it has none but its callers'.
enum class Threads : uint8_t { kCallersOnly, kItsOwn };

class Library {
 public:
  // Opens OpenVINO, once a process; `directory` as find_library() takes it.
  static Result<std::shared_ptr<Library>> open(const std::filesystem::path& directory, Threads threads);
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  const std::string& version() const { return version_; }  // "2026.4.1"
  const ov::Api& api() const { return api_; }
  ov::ov_core_t* core() const { return core_; }
  Threads threads() const { return threads_; }

 private:
  Library(const ov::Api& api, Threads threads) : api_(api), threads_(threads) {}
  const ov::Api api_;
  const Threads threads_;
  // Never freed: a library lives as long as the process, and at its exit the pools that this would stop may be gone.
  ov::ov_core_t* core_ = nullptr;
  std::string version_;
};

// One copy of a model, compiled.
class Compiled {
 public:
  Compiled(std::shared_ptr<const Library> library, ov::ov_compiled_model_t* model, ov::ov_infer_request_t* request,
           std::vector<engine::Port> inputs, std::vector<engine::Port> outputs)
      : library_(std::move(library)),
        model_(model),
        request_(request),
        inputs_(std::move(inputs)),
        outputs_(std::move(outputs)) {}
  ~Compiled();
  Compiled(const Compiled&) = delete;
  Compiled& operator=(const Compiled&) = delete;

  const std::vector<engine::Port>& inputs() const { return inputs_; }
  const std::vector<engine::Port>& outputs() const { return outputs_; }  // -1 where an extent depends on data
  // Runs on the calling thread, and on as many others as it was compiled for. An output without data keeps its result
  // for output(). kCancelled after cancel().
  Status infer(std::span<const TensorView> inputs, std::span<const TensorView> outputs);
  // Any thread, during infer(): it ends after the node that runs.
  Status infer_zeros();
  void cancel();
  // A copy. REQUIRES: infer() has ended well; the output had no data.
  Result<Tensor> output(size_t port) const;

 private:
  Status bind(size_t index, const TensorView& view, bool input);

  const std::shared_ptr<const Library> library_;
  ov::ov_compiled_model_t* const model_;
  ov::ov_infer_request_t* const request_;
  const std::vector<engine::Port> inputs_, outputs_;
};

class Network {
 public:
  // Reads a file of any format that OpenVINO knows by its name.
  static Result<std::unique_ptr<Network>> read(std::shared_ptr<const Library> library,
                                               const std::filesystem::path& path);
  ~Network();
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  const std::vector<engine::Port>& inputs() const { return inputs_; }  // as declared
  const std::vector<engine::Port>& outputs() const { return outputs_; }
  // Whether rows of all inputs become rows of all outputs: outputs' shapes for two and for three rows tell.
  bool batchable();
  // The index of the input that has this name among its names, or inputs().size().
  size_t find_input(const std::string& name) const;
  Result<std::unique_ptr<Compiled>> compile(const std::vector<Shape>& shapes, int threads, engine::Precision precision);

 private:
  Network(std::shared_ptr<const Library> library, ov::ov_model_t* model)
      : library_(std::move(library)), model_(model) {}
  Result<std::vector<engine::Port>> ports(bool inputs) const;
  // Gives inputs these shapes; -1 leaves an extent open.
  Status reshape(const std::vector<Shape>& shapes);

  const std::shared_ptr<const Library> library_;
  ov::ov_model_t* const model_;
  std::vector<engine::Port> inputs_, outputs_;
};

// With kCallersOnly, restricts the calling thread to one CPU for the guard's life. The threads that OpenVINO starts
// meanwhile inherit it, and TBB, which counts CPUs when it is first used, takes the process to have one and starts no
// workers of its own.
class OneCpu {
 public:
  explicit OneCpu(Threads threads);
  ~OneCpu();
  OneCpu(const OneCpu&) = delete;
  OneCpu& operator=(const OneCpu&) = delete;

 private:
  std::vector<unsigned char> before_;  // a cpu_set_t; empty if it could not be read
};

// Zeros for inputs, and room for those outputs whose extents are known.
class ZeroTensors {
 public:
  ZeroTensors(const std::vector<engine::Port>& inputs, const std::vector<engine::Port>& outputs);
  const std::vector<TensorView>& inputs() const { return inputs_; }
  const std::vector<TensorView>& outputs() const { return outputs_; }

 private:
  std::vector<Tensor> tensors_;
  std::vector<TensorView> inputs_, outputs_;
};

// The shortest time of several runs; 0 if one fails.
Nanos time_runs(const std::function<Status()>& run);

// Anonymous memory of this process, for measuring what a compiled model takes.
Bytes resident_bytes();

}  // namespace motet::foreign
