// ForeignStep: a whole model, for one set of input shapes, run by an executor that is not ours. To the engine it is a
// program of one step, which nothing interrupts: its length is in the program's predictions, and admission counts with
// it. The port is all that compute/engine knows of such executors; apps/ installs them before the first model is
// loaded, and Model::load (program.h) asks them for what the native engine cannot run.
//
// Steps, models and executors may be used from any thread; a ForeignRun by one at a time, but for cancel().
#pragma once

#include <filesystem>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/tensor/tensor.h"
#include "base/units.h"
#include "compute/device/team.h"
#include "compute/engine/program.h"

namespace motet::engine {

// One run of a ForeignStep. Destroying one that has not ended cancels it and waits.
class ForeignRun {
 public:
  virtual ~ForeignRun() = default;
  // Goes on for `patience` or longer: an executor that runs on the calling thread returns at its end only. Whether the
  // run has ended; an Error (a fault of the data, a crash, kCancelled) is an end too. REQUIRES: it has not ended.
  virtual Result<bool> poll(Nanos patience) = 0;
  // Any thread: the run ends as soon as the executor can.
  virtual void cancel() = 0;
  // Output `port`, where its extents were not known before the run. REQUIRES: the run has ended well; once a port.
  virtual Tensor take_output(size_t port) = 0;
};

class ForeignStep {
 public:
  virtual ~ForeignStep() = default;
  virtual const std::vector<Port>& inputs() const = 0;
  virtual const std::vector<Port>& outputs() const = 0;  // an extent that depends on data is -1
  // Memory that it holds for its life: weights as packed, activations, in all processes.
  virtual Bytes bytes() const = 0;
  // What a run takes beside that while another is under way: a copy of its own.
  virtual Bytes run_bytes() const = 0;
  // How long a run takes on `width` cores; 0 until measured. REQUIRES: width >= 1.
  virtual Nanos predicted(int width) const = 0;
  // Prepares a run on the team's cores. Views, team and step outlive the run. Data is null in `inputs` that the
  // executor does not read and in `outputs` whose extents are not known.
  virtual Result<std::unique_ptr<ForeignRun>> start(std::span<const TensorView> inputs,
                                                    std::span<const TensorView> outputs, device::Team& team) const = 0;
};

struct ForeignOptions {
  int max_width = 1;
  Precision precision = Precision::kExact;
  bool calibrate = true;  // run it to measure its time and memory
};

// A model as the executor has read it.
class ForeignModel {
 public:
  virtual ~ForeignModel() = default;
  virtual const std::vector<Port>& inputs() const = 0;  // as declared, -1 for open extents
  virtual const std::vector<Port>& outputs() const = 0;
  virtual bool batchable() const = 0;
  virtual Bytes bytes() const = 0;  // weights, as read
  // One shape per input, all extents known.
  virtual Result<std::shared_ptr<const ForeignStep>> compile(const std::vector<Shape>& shapes,
                                                             const ForeignOptions& options) = 0;
};

// What the native reader has read of the file: names and order of the model's tensors, and its ops, bodies included.
struct KnownModel {
  std::vector<Port> inputs, outputs;
  std::set<std::string> ops;
};

class ForeignExecutor {
 public:
  virtual ~ForeignExecutor() = default;
  virtual std::string_view name() const = 0;  // "openvino", as configs and flags say it
  // Opens the executor's library, the first time; an Error says where it was looked for. Cheap afterwards.
  virtual Status open() = 0;
  virtual std::string version() const = 0;  // REQUIRES: open() has succeeded
  // Whether files of this name are of a format that it reads.
  virtual bool reads(const std::filesystem::path& path) const = 0;
  // `known` may be null. REQUIRES: open() has succeeded.
  virtual Result<std::shared_ptr<ForeignModel>> load(const std::filesystem::path& path, const KnownModel* known) = 0;
};

// The installed executors, in order of preference; one takes the place of another of its name. Any thread.
void install_foreign(std::shared_ptr<ForeignExecutor> executor);
std::vector<std::shared_ptr<ForeignExecutor>> foreign_executors();
// For tests: forgets those installed.
void uninstall_foreign();

}  // namespace motet::engine
