// A model compiled by OpenVINO for one set of shapes: one copy in this process for runs on one core, more if several
// run at once, and one in each child that has run it. Private to compute/foreign. Any thread.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "compute/engine/foreign_step.h"
#include "compute/foreign/child.h"
#include "compute/foreign/network.h"

namespace motet::foreign {

// A model as read, shared by its steps.
struct OpenedModel {
  OpenedModel(std::unique_ptr<Network> read, ChildOptions options)
      : network(std::move(read)), children(std::move(options)) {}
  std::mutex mutex;
  const std::unique_ptr<Network> network;  // guarded by mutex
  Children children;                       // synchronises itself
  std::atomic<int64_t> last_program{0};
};

// Which of the model's ports, in our order, is each of the network's.
struct PortMap {
  std::vector<engine::Port> inputs, outputs;  // ours
  std::vector<size_t> input_of;               // per input of the network
};

class OpenVinoStep final : public engine::ForeignStep {
 public:
  // Compiles in this process, and with a width above 1 and calibration in a child too.
  static Result<std::shared_ptr<const engine::ForeignStep>> compile(std::shared_ptr<OpenedModel> model,
                                                                    const PortMap& ports,
                                                                    const std::vector<Shape>& shapes,
                                                                    const engine::ForeignOptions& options);

  const std::vector<engine::Port>& inputs() const override { return inputs_; }
  const std::vector<engine::Port>& outputs() const override { return outputs_; }
  Bytes bytes() const override { return bytes_; }
  Bytes run_bytes() const override { return run_bytes_; }
  Nanos predicted(int width) const override;
  Result<std::unique_ptr<engine::ForeignRun>> start(std::span<const TensorView> inputs,
                                                    std::span<const TensorView> outputs,
                                                    device::Team& team) const override;

  // For its runs.
  Result<std::unique_ptr<Compiled>> take_copy() const;
  void give_copy(std::unique_ptr<Compiled> copy) const;
  // A child has crashed: the next run that wants one starts one, whatever it costs.
  void start_soon() const;
  OpenedModel& model() const { return *model_; }
  Compile question(bool calibrate) const { return {program_, shapes_, precision_, calibrate}; }

 private:
  OpenVinoStep() = default;
  Status measure(const engine::ForeignOptions& options);
  // Whether a run on `width` cores, for which there is no child, should start one. Until as much time has been lost
  // without one as a start takes, such runs do with one core (the ski-rental rule: twice the least cost at the most).
  bool worth_a_start(int width) const;

  // Constant after compile().
  std::shared_ptr<OpenedModel> model_;
  std::vector<engine::Port> inputs_, outputs_;  // in our order
  std::vector<size_t> input_of_;
  std::vector<Shape> shapes_;  // in the network's order
  engine::Precision precision_ = engine::Precision::kExact;
  int64_t program_ = 0;
  int max_width_ = 1;
  Bytes bytes_, run_bytes_;
  Nanos on_one_, on_all_;
  Nanos start_cost_;  // of a child, with the model read and compiled; 0 until measured

  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Compiled>> idle_;  // guarded by mutex_
  mutable Nanos lost_;                                   // since the last start; guarded by mutex_
};

}  // namespace motet::foreign
