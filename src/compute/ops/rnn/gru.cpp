// GRU and RNN.
#include <cstring>

#include "compute/ops/rnn/recurrent.h"
#include "compute/ops/rnn/rnn.h"
#include "compute/ops/support/dispatch.h"

namespace motet::ops {
namespace {

template <class T>
struct Gru {
  Recurrent r;
  Turned<T> w, recur;
  RecurrentScratch<T> s;
  bool linear_before_reset = false;

  // Biases that join the inputs' product: all but the state's own for the candidate, which the reset gate scales.
  const T* bias(const KernelArgs& args, int64_t d, T* to) const {
    if (!r.biased) return nullptr;
    const T* both = input_data<T>(args, 3) + d * 2 * r.row();
    const int64_t joined = linear_before_reset ? 2 * r.hidden : r.row();
    for (int64_t i = 0; i < r.row(); ++i) to[i] = both[i] + (i < joined ? both[r.row() + i] : T(0));
    return to;
  }

  // z and r of every sequence that is not over, from gate inputs (order z, r, h) and products; r H goes to `work`.
  void gates(int64_t d, const std::vector<int64_t>& times, const T* gate_inputs, T* products, const T* h, T* work,
             int64_t begin, int64_t end) const {
    const int64_t n = r.hidden;
    for (int64_t b = begin; b < end; ++b) {
      const int64_t t = times[static_cast<size_t>(b)];
      if (t < 0) continue;
      T* gate = products + b * r.row();
      const T* x = gate_inputs + r.x_row(t, b) * r.row();
      for (int64_t i = 0; i < 2 * n; ++i) gate[i] += x[i];
      clip_row(r, gate, 2 * n);
      activate(r.activations[static_cast<size_t>(d * 2)], gate, 2 * n);
      for (int64_t i = 0; i < n; ++i) work[b * n + i] = gate[n + i] * h[b * n + i];
    }
  }

  // The candidate's inputs are in gate[2n .. 3n) but for x; h becomes the new state.
  void cell(const KernelArgs& args, int64_t d, const T* x, T* gate, T* h) const {
    const int64_t n = r.hidden;
    T* fresh = gate + 2 * n;
    if (linear_before_reset) {
      const T* own = r.biased ? input_data<T>(args, 3) + (d * 2 + 1) * r.row() + 2 * n : nullptr;
      for (int64_t i = 0; i < n; ++i) fresh[i] = gate[n + i] * (fresh[i] + (own != nullptr ? own[i] : T(0)));
    }
    for (int64_t i = 0; i < n; ++i) fresh[i] += x[2 * n + i];
    clip_row(r, fresh, n);
    activate(r.activations[static_cast<size_t>(d * 2 + 1)], fresh, n);
    for (int64_t i = 0; i < n; ++i) h[i] = (1 - gate[i]) * fresh[i] + gate[i] * h[i];
  }

  void operator()(const KernelArgs& args, device::Team& team) const {
    T* base = reinterpret_cast<T*>(args.scratch);
    T *gate_inputs = base + s.gate_inputs, *products = base + s.products, *h = base + s.h, *work = base + s.work;
    const T* w_all = w.ready(args, team);
    const T* r_all = recur.ready(args, team);
    const int64_t row = r.row(), n = r.hidden;
    const T* none = nullptr;
    const int64_t grain = std::max<int64_t>(1, kGrain / 8 / std::max<int64_t>(1, row));
    auto begin = [&](int64_t d) {
      multiply<T>(r.time * r.batch, row, r.input, input_data<T>(args, 0), r.input, w_all + d * row * r.input, row,
                  gate_inputs, row, bias(args, d, base + s.bias), false, team);
      load_state(r, args, 5, r.initial_h, d, h, team);
    };
    auto step = [&](int64_t d, const std::vector<int64_t>& times) {
      const T* r_d = r_all + d * row * n;
      multiply<T>(r.batch, linear_before_reset ? row : 2 * n, n, h, n, r_d, row, products, row, none, false, team);
      team.for_range(r.batch, grain, [&](int64_t first, int64_t last) {
        gates(d, times, gate_inputs, products, h, work, first, last);
      });
      if (!linear_before_reset)
        multiply<T>(r.batch, n, n, work, n, r_d + 2 * n, row, products + 2 * n, row, none, false, team);
      team.for_range(r.batch, grain, [&](int64_t first, int64_t last) {
        for (int64_t b = first; b < last; ++b) {
          const int64_t t = times[static_cast<size_t>(b)];
          if (t < 0) continue;
          cell(args, d, gate_inputs + r.x_row(t, b) * row, products + b * row, h + b * n);
          store_step(r, args, t, d, b, h + b * n);
        }
      });
    };
    auto end = [&](int64_t d) { store_state(r, args, 1, d, h, team); };
    run_recurrent<T>(r, args, team, begin, step, end);
  }
};

template <class T>
struct Rnn {
  Recurrent r;
  Turned<T> w, recur;
  RecurrentScratch<T> s;

  const T* bias(const KernelArgs& args, int64_t d, T* to) const {
    if (!r.biased) return nullptr;
    const T* both = input_data<T>(args, 3) + d * 2 * r.row();
    for (int64_t i = 0; i < r.row(); ++i) to[i] = both[i] + both[r.row() + i];
    return to;
  }

  void operator()(const KernelArgs& args, device::Team& team) const {
    T* base = reinterpret_cast<T*>(args.scratch);
    T *gate_inputs = base + s.gate_inputs, *products = base + s.products, *h = base + s.h;
    const T* w_all = w.ready(args, team);
    const T* r_all = recur.ready(args, team);
    const int64_t n = r.hidden;
    auto begin = [&](int64_t d) {
      multiply<T>(r.time * r.batch, n, r.input, input_data<T>(args, 0), r.input, w_all + d * n * r.input, n,
                  gate_inputs, n, bias(args, d, base + s.bias), false, team);
      load_state(r, args, 5, r.initial_h, d, h, team);
    };
    auto step = [&](int64_t d, const std::vector<int64_t>& times) {
      multiply<T>(r.batch, n, n, h, n, r_all + d * n * n, n, products, n, static_cast<const T*>(nullptr), false, team);
      team.for_range(r.batch, std::max<int64_t>(1, kGrain / 8 / std::max<int64_t>(1, n)),
                     [&](int64_t first, int64_t last) {
                       for (int64_t b = first; b < last; ++b) {
                         const int64_t t = times[static_cast<size_t>(b)];
                         if (t < 0) continue;
                         T* to = h + b * n;
                         const T* x = gate_inputs + r.x_row(t, b) * n;
                         for (int64_t i = 0; i < n; ++i) to[i] = products[b * n + i] + x[i];
                         clip_row(r, to, n);
                         activate(r.activations[static_cast<size_t>(d)], to, n);
                         store_step(r, args, t, d, b, to);
                       }
                     });
    };
    auto end = [&](int64_t d) { store_state(r, args, 1, d, h, team); };
    run_recurrent<T>(r, args, team, begin, step, end);
  }
};

template <template <class> class Op, class Configure>
Result<KernelPtr> plan(const NodeRequest& request, const Recurrent& r, Configure&& configure) {
  const double flops =
      2.0 * static_cast<double>(r.directions * r.time * r.batch) * static_cast<double>(r.row() * (r.input + r.hidden));
  KernelPtr kernel;
  for_float_type(request.inputs[0].dtype, [&]<class T>(T) {
    size_t scratch = 0;
    Op<T> op{.r = r};
    op.w = Turned<T>::make(request, 1, scratch);
    op.recur = Turned<T>::make(request, 2, scratch);
    op.s = RecurrentScratch<T>::make(r, scratch);
    configure(op);
    KernelTraits traits{.implementation = "own",
                        .scratch_bytes = static_cast<size_t>(op.s.end) * sizeof(T),
                        .packed_bytes = op.w.packed_bytes() + op.recur.packed_bytes(),
                        .flops = flops};
    kernel = make_kernel(std::move(op), traits);
  });
  return kernel;
}

}  // namespace

Result<KernelPtr> plan_gru(const NodeRequest& request) {
  MOTET_ASSIGN(Recurrent r, recurrent_of(request, 3, {"Sigmoid", "Tanh"}));
  const bool linear = request.node.int_or("linear_before_reset", 0) != 0;
  return plan<Gru>(request, r, [&](auto& op) { op.linear_before_reset = linear; });
}

Result<KernelPtr> plan_rnn(const NodeRequest& request) {
  MOTET_ASSIGN(Recurrent r, recurrent_of(request, 1, {"Tanh"}));
  return plan<Rnn>(request, r, [](auto&) {});
}

}  // namespace motet::ops
