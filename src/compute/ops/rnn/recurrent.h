// What the three recurrent ops share: extents, operands, packed weights, and the walk over directions and time.
#pragma once

#include <algorithm>
#include <vector>

#include "compute/ops/matmul/product.h"
#include "compute/ops/rnn/activation.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"
#include "compute/ops/support/strided.h"

namespace motet::ops {

// Inputs by position: X, W, R, B, sequence_lens, initial_h, then initial_c and P of LSTM.
struct Recurrent {
  int64_t gates = 1;
  int64_t time = 0, batch = 0, input = 0, hidden = 0, directions = 1;
  bool batch_first = false;    // layout 1
  bool reverse_first = false;  // the first direction runs backwards
  bool biased = false, lengths = false, initial_h = false;
  float clip = 0;                       // 0: none
  std::vector<Activation> activations;  // of each direction in turn

  // Elements of one row of gate inputs.
  int64_t row() const { return gates * hidden; }
  // Row of X, and of gate inputs, for (t, b).
  int64_t x_row(int64_t t, int64_t b) const { return batch_first ? b * time + t : t * batch + b; }
  // First element of Y for (t, direction, b), and of a state for (direction, b).
  int64_t y_at(int64_t t, int64_t d, int64_t b) const {
    return (batch_first ? (b * time + t) * directions + d : (t * directions + d) * batch + b) * hidden;
  }
  int64_t state_at(int64_t d, int64_t b) const { return (batch_first ? b * directions + d : d * batch + b) * hidden; }
  bool backwards(int64_t d) const { return d == 1 || reverse_first; }
};

// Checks the node against the op's own shapes. `biases` is how many hidden-sized vectors B has per direction.
Result<Recurrent> recurrent_of(const NodeRequest& request, int64_t gates,
                               const std::vector<std::string_view>& activations);

// Weights [directions, rows, columns] turned to [directions, columns, rows]: once when constant, else into scratch at
// each run.
template <class T>
struct Turned {
  size_t input = 0;
  int64_t directions = 0, rows = 0, columns = 0;
  Tensor packed;  // empty data if not constant
  bool constant = false;
  size_t scratch_at = 0;

  static Turned make(const NodeRequest& request, size_t input, size_t& scratch) {
    const Shape& shape = request.inputs[input].shape;
    Turned t{.input = input, .directions = shape[0], .rows = shape[1], .columns = shape[2]};
    if (const Tensor* value = constant_input(request, input); value != nullptr) {
      t.constant = true;
      t.packed = Tensor::zeros(DTypeOf<T>::value, {shape[0], shape[2], shape[1]});
      t.turn(value->view().data, t.packed.view().data, device::Team::serial());
    } else {
      t.scratch_at = scratch;
      scratch += (request.inputs[input].bytes() + 63) / 64 * 64;
    }
    return t;
  }
  void turn(const std::byte* from, std::byte* to, device::Team& team) const {
    StridedCopy({directions, columns, rows}, {rows * columns, 1, columns}, {rows * columns, rows, 1}, sizeof(T))
        .run(from, to, team);
  }
  const T* ready(const KernelArgs& args, device::Team& team) const {
    if (constant) return reinterpret_cast<const T*>(packed.view().data);
    turn(args.inputs[input].data, args.scratch + scratch_at, team);
    return reinterpret_cast<const T*>(args.scratch + scratch_at);
  }
  size_t packed_bytes() const { return constant ? packed.view().bytes() : 0; }
};

// Scratch of one run, cut into arrays.
template <class T>
struct RecurrentScratch {
  int64_t gate_inputs = 0;         // [time * batch, row]: X W^T + biases
  int64_t products = 0;            // [batch, row]: H R^T
  int64_t h = 0, c = 0, work = 0;  // [batch, hidden]
  int64_t bias = 0;                // [row]
  int64_t end = 0;                 // in elements, from the start of the scratch

  static RecurrentScratch make(const Recurrent& r, size_t first_byte) {
    RecurrentScratch s;
    int64_t at = static_cast<int64_t>(first_byte / sizeof(T));
    auto take = [&](int64_t count) {
      const int64_t here = at;
      at += (count + 15) / 16 * 16;
      return here;
    };
    s.gate_inputs = take(r.time * r.batch * r.row());
    s.products = take(r.batch * r.row());
    s.h = take(r.batch * r.hidden);
    s.c = take(r.batch * r.hidden);
    s.work = take(r.batch * r.hidden);
    s.bias = take(r.row());
    s.end = at;
    return s;
  }
};

// The number of steps of sequence b; reports a fault if it is out of range.
inline int64_t length_of(const Recurrent& r, const KernelArgs& args, int64_t b) {
  if (!r.lengths) return r.time;
  const int64_t given = input_data<int32_t>(args, 4)[b];
  if (given < 0 || given > r.time) args.report_fault("a sequence length is out of range");
  return std::clamp<int64_t>(given, 0, r.time);
}

// Loads the initial state from input i, zeros if absent.
template <class T>
void load_state(const Recurrent& r, const KernelArgs& args, size_t i, bool present, int64_t d, T* state,
                device::Team& team) {
  auto load = [&](int, int) {
    for (int64_t b = 0; b < r.batch; ++b) {
      T* to = state + b * r.hidden;
      present ? std::copy_n(input_data<T>(args, i) + r.state_at(d, b), r.hidden, to) : std::fill_n(to, r.hidden, T(0));
    }
  };
  team.run(1, load);
}

template <class T>
void store_state(const Recurrent& r, const KernelArgs& args, size_t o, int64_t d, const T* state, device::Team& team) {
  if (o >= args.outputs.size() || args.outputs[o].data == nullptr) return;
  auto store = [&](int, int) {
    for (int64_t b = 0; b < r.batch; ++b)
      std::copy_n(state + b * r.hidden, r.hidden, output_data<T>(args, o) + r.state_at(d, b));
  };
  team.run(1, store);
}

// Clamps gate inputs to [-clip, clip] if the node has a clip.
template <class T>
void clip_row(const Recurrent& r, T* x, int64_t n) {
  if (r.clip <= 0) return;
  const T bound = r.clip;
  for (int64_t i = 0; i < n; ++i) x[i] = std::clamp(x[i], -bound, bound);
}

// Runs step(d, s, rows) for each direction and step: rows[b] is the row of gate inputs for sequence b at that step, or
// -1 when the sequence is over; `at(b)` gives its time. See lstm.cpp for the shape of a step. What changes the states
// is done in regions of `team`, so that it is done once however the run is cut.
template <class T, class Begin, class Step, class End>
void run_recurrent(const Recurrent& r, const KernelArgs& args, device::Team& team, Begin&& begin, Step&& step,
                   End&& end) {
  std::vector<int64_t> lengths(static_cast<size_t>(r.batch)), times(static_cast<size_t>(r.batch));
  for (int64_t b = 0; b < r.batch; ++b) lengths[static_cast<size_t>(b)] = length_of(r, args, b);
  const bool every = !args.outputs.empty() && args.outputs[0].data != nullptr;
  // Steps past a sequence's end are zeros.
  if (every && r.lengths) {
    auto clear = [&](int, int) {
      std::memset(args.outputs[0].data, 0, static_cast<size_t>(r.time * r.directions * r.batch * r.hidden) * sizeof(T));
    };
    team.run(1, clear);
  }
  for (int64_t d = 0; d < r.directions; ++d) {
    begin(d);
    // All steps, whatever the lengths: how many regions there are may not depend on data.
    for (int64_t s = 0; s < r.time; ++s) {
      for (size_t b = 0; b < times.size(); ++b) {
        times[b] = s >= lengths[b] ? -1 : r.backwards(d) ? lengths[b] - 1 - s : s;
      }
      step(d, times);
    }
    end(d);
  }
}

// Writes sequence b's new state to Y.
template <class T>
void store_step(const Recurrent& r, const KernelArgs& args, int64_t t, int64_t d, int64_t b, const T* h) {
  if (args.outputs.empty() || args.outputs[0].data == nullptr) return;
  std::copy_n(h, r.hidden, output_data<T>(args, 0) + r.y_at(t, d, b));
}

}  // namespace motet::ops
