// DynamicRun: one walk through a DynamicProgram: a stack of frames, one per body that is being run. Private to
// compute/engine. One thread at a time.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "compute/engine/dynamic/dynamic.h"
#include "compute/engine/dynamic/growth.h"

namespace motet::engine {

class DynamicRun final : public Run {
 public:
  // `program` and the memory at `inputs` outlive the run. `outputs` are null where extents are not known.
  DynamicRun(const DynamicProgram& program, std::vector<std::byte*> inputs, std::vector<std::byte*> outputs);

  bool done() const override { return frames_.empty(); }
  Status step(device::Team& team, const device::Stop& stop) override;
  int64_t steps_done() const override { return done_; }
  Tensor take_output(size_t port) override { return std::move(results_[port]); }

 private:
  // A Loop or Scan under way. Carried values live in the frame's inputs during a turn.
  struct Turns {
    int64_t turn = 0;
    int64_t most = 0;      // turns at most
    bool bounded = false;  // by a trip count, not by kMostTurns alone
    bool go = true;        // Loop's condition
    std::vector<Tensor> carried;
    std::vector<std::vector<Tensor>> scanned;  // per scanned output: what each turn gave
    std::vector<Tensor> sources;               // Scan's scanned inputs
    std::vector<size_t> source_axes;
  };
  struct Frame {
    const DynamicBody* body = nullptr;
    std::vector<std::optional<Tensor>> values;
    size_t next = 0;
    int64_t ends_at = 0;  // steps_done() when this frame has ended
    std::unique_ptr<Turns> turns;
  };

  Frame& top() { return frames_.back(); }
  // The error with the node's name; an unnamed one goes by its first output's.
  static Error fault(const graph::Graph& graph, const graph::Node& node, const Error& error);

  void push(const DynamicBody& body, int64_t ends_at);
  const Tensor* value(const Frame& frame, graph::ValueId id) const;
  // An Error names an input that nothing has made.
  Result<std::vector<NodeInput>> inputs_of(const Frame& frame, const graph::Node& node) const;
  void give(Frame& frame, const graph::Node& node, size_t output, Tensor tensor);
  void forget_dead(Frame& frame, size_t step);

  Status run_step(device::Team& team);
  Status run_kernel(const graph::Node& node, NodePlans& plans, device::Team& team);
  Status run_alias(const graph::Node& node, NodePlans& plans);
  Status run_from_data(const graph::Node& node);
  Status enter_if(const graph::Node& node);
  Status enter_loop(const graph::Node& node);
  Status enter_scan(const graph::Node& node);

  // Binds the inputs of the next turn.
  Status begin_turn();
  // What a body gives when its last node has run; true if it starts over for another turn.
  Result<bool> finish_frame();
  Result<bool> finish_turn(std::vector<Tensor> results);
  Status finish_loop(Turns& turns);
  // The results of a body for the node that ran it.
  Status conclude(std::vector<Tensor> results);
  Status deliver(std::vector<Tensor> results);
  // Joins what the turns gave along a new axis; `reversed` puts the last turn first.
  Result<Tensor> stack(const std::vector<Tensor>& slices, size_t axis, bool reversed, const graph::Value& element);
  Result<Tensor> slice(const Tensor& source, size_t axis, int64_t at);

  const DynamicProgram& program_;
  const std::vector<std::byte*> outputs_;
  Growth growth_;
  std::vector<Frame> frames_;  // the last is running
  std::vector<Tensor> results_;
  int64_t done_ = 0;
};

}  // namespace motet::engine
