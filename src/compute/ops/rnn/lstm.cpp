#include <cstring>

#include "compute/ops/rnn/recurrent.h"
#include "compute/ops/rnn/rnn.h"
#include "compute/ops/support/dispatch.h"

namespace motet::ops {
namespace {

template <class T>
struct Lstm {
  Recurrent r;
  Turned<T> w, recur;
  RecurrentScratch<T> s;
  bool initial_c = false, peepholes = false, input_forget = false;

  // Sum of both bias vectors of direction d.
  const T* bias(const KernelArgs& args, int64_t d, T* to) const {
    if (!r.biased) return nullptr;
    const T* both = input_data<T>(args, 3) + d * 2 * r.row();
    for (int64_t i = 0; i < r.row(); ++i) to[i] = both[i] + both[r.row() + i];
    return to;
  }

  // One sequence, one step: gate inputs x (order i, o, f, c) and the states' product go to new h and c.
  void cell(const KernelArgs& args, int64_t d, const T* x, T* gate, T* h, T* c) const {
    const int64_t n = r.hidden;
    const Activation* f = r.activations.data() + d * 3;
    for (int64_t i = 0; i < 4 * n; ++i) gate[i] += x[i];
    T *in = gate, *out = gate + n, *forget = gate + 2 * n, *fresh = gate + 3 * n;
    const T* peep = peepholes ? input_data<T>(args, 7) + d * 3 * n : nullptr;
    if (peep != nullptr) {
      for (int64_t i = 0; i < n; ++i) in[i] += peep[i] * c[i];
      for (int64_t i = 0; i < n; ++i) forget[i] += peep[2 * n + i] * c[i];
    }
    clip_row(r, in, n);
    clip_row(r, forget, 2 * n);
    activate(f[0], in, n);
    activate(f[0], forget, n);
    activate(f[1], fresh, n);
    if (input_forget) {
      for (int64_t i = 0; i < n; ++i) forget[i] = 1 - in[i];
    }
    for (int64_t i = 0; i < n; ++i) c[i] = forget[i] * c[i] + in[i] * fresh[i];
    if (peep != nullptr) {
      for (int64_t i = 0; i < n; ++i) out[i] += peep[n + i] * c[i];
    }
    clip_row(r, out, n);
    activate(f[0], out, n);
    std::copy_n(c, n, h);
    activate(f[2], h, n);
    for (int64_t i = 0; i < n; ++i) h[i] *= out[i];
  }

  void operator()(const KernelArgs& args, device::Team& team) const {
    T* base = reinterpret_cast<T*>(args.scratch);
    T *gate_inputs = base + s.gate_inputs, *products = base + s.products, *h = base + s.h, *c = base + s.c;
    const T* w_all = w.ready(args, team);
    const T* r_all = recur.ready(args, team);
    const int64_t row = r.row();
    auto begin = [&](int64_t d) {
      multiply<T>(r.time * r.batch, row, r.input, input_data<T>(args, 0), r.input, w_all + d * row * r.input, row,
                  gate_inputs, row, bias(args, d, base + s.bias), false, team);
      load_state(r, args, 5, r.initial_h, d, h, team);
      load_state(r, args, 6, initial_c, d, c, team);
    };
    auto step = [&](int64_t d, const std::vector<int64_t>& times) {
      multiply<T>(r.batch, row, r.hidden, h, r.hidden, r_all + d * row * r.hidden, row, products, row,
                  static_cast<const T*>(nullptr), false, team);
      team.for_range(
          r.batch, std::max<int64_t>(1, kGrain / 8 / std::max<int64_t>(1, row)), [&](int64_t first, int64_t last) {
            for (int64_t b = first; b < last; ++b) {
              const int64_t t = times[static_cast<size_t>(b)];
              if (t < 0) continue;
              cell(args, d, gate_inputs + r.x_row(t, b) * row, products + b * row, h + b * r.hidden, c + b * r.hidden);
              store_step(r, args, t, d, b, h + b * r.hidden);
            }
          });
    };
    auto end = [&](int64_t d) {
      store_state(r, args, 1, d, h, team);
      store_state(r, args, 2, d, c, team);
    };
    run_recurrent<T>(r, args, team, begin, step, end);
  }
};

}  // namespace

Result<KernelPtr> plan_lstm(const NodeRequest& request) {
  MOTET_ASSIGN(Recurrent r, recurrent_of(request, 4, {"Sigmoid", "Tanh", "Tanh"}));
  if (has_input(request, 7) && (request.inputs[7].dtype != request.inputs[0].dtype ||
                                request.inputs[7].shape != Shape{r.directions, 3 * r.hidden})) {
    return unsupported("P is " + describe(request.inputs[7]));
  }
  const double flops =
      2.0 * static_cast<double>(r.directions * r.time * r.batch) * static_cast<double>(r.row() * (r.input + r.hidden));
  KernelPtr kernel;
  for_float_type(request.inputs[0].dtype, [&]<class T>(T) {
    size_t scratch = 0;
    Lstm<T> lstm{.r = r};
    lstm.w = Turned<T>::make(request, 1, scratch);
    lstm.recur = Turned<T>::make(request, 2, scratch);
    lstm.s = RecurrentScratch<T>::make(r, scratch);
    lstm.initial_c = has_input(request, 6);
    lstm.peepholes = has_input(request, 7);
    lstm.input_forget = request.node.int_or("input_forget", 0) != 0;
    KernelTraits traits{.implementation = "own",
                        .scratch_bytes = static_cast<size_t>(lstm.s.end) * sizeof(T),
                        .packed_bytes = lstm.w.packed_bytes() + lstm.recur.packed_bytes(),
                        .flops = flops};
    kernel = make_kernel(std::move(lstm), traits);
  });
  return kernel;
}

}  // namespace motet::ops
