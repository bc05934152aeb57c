// LSTM, GRU and RNN: both directions, uneven lengths, given states, peepholes, either layout.
#include "compute/ops/testing/cases.h"

namespace motet::ops::testing {
namespace {

struct Model {
  int64_t gates = 4, time = 5, batch = 2, input = 7, hidden = 9, directions = 1;
  bool reverse = false, states = false, lengths = false, peepholes = false, linear = false, batch_first = false;
};

struct Operands {
  Array x, w, r, b, lengths, h, c, p;
};

double sigmoid(double v) { return 1 / (1 + std::exp(-v)); }

// The three results, [time, directions, batch, hidden] and states [directions, batch, hidden].
struct Results {
  Array y, h, c;
};

// One step of one sequence: gate sums without the state's part, the state's part, then the new h and c.
void step(const Model& m, const Operands& o, int64_t d, const std::vector<double>& x, std::vector<double>& h,
          std::vector<double>& c) {
  const int64_t n = m.hidden;
  auto recurrent = [&](int64_t row, const std::vector<double>& of) {
    double sum = o.b.at({d, m.gates * n + row});
    for (int64_t i = 0; i < n; ++i) sum += o.r.at({d, row, i}) * of[static_cast<size_t>(i)];
    return sum;
  };
  std::vector<double> next = h, scaled = h;
  for (int64_t j = 0; m.gates == 3 && j < n; ++j)
    scaled[static_cast<size_t>(j)] *= sigmoid(x[static_cast<size_t>(n + j)] + recurrent(n + j, h));
  for (int64_t j = 0; j < n; ++j) {
    const auto at = static_cast<size_t>(j);
    auto in = [&](int64_t gate) { return x[static_cast<size_t>(gate * n + j)]; };
    auto peep = [&](int64_t gate) { return m.peepholes ? o.p.at({d, gate * n + j}) : 0.0; };
    if (m.gates == 1) next[at] = std::tanh(in(0) + recurrent(j, h));
    if (m.gates == 3) {
      const double z = sigmoid(in(0) + recurrent(j, h)), r = sigmoid(in(1) + recurrent(n + j, h));
      const double fresh = std::tanh(in(2) + (m.linear ? r * recurrent(2 * n + j, h) : recurrent(2 * n + j, scaled)));
      next[at] = (1 - z) * fresh + z * h[at];
    }
    if (m.gates == 4) {
      const double i = sigmoid(in(0) + recurrent(j, h) + peep(0) * c[at]);
      const double f = sigmoid(in(2) + recurrent(2 * n + j, h) + peep(2) * c[at]);
      c[at] = f * c[at] + i * std::tanh(in(3) + recurrent(3 * n + j, h));
      next[at] = sigmoid(in(1) + recurrent(n + j, h) + peep(1) * c[at]) * std::tanh(c[at]);
    }
  }
  h = next;
}

Results run(const Model& m, const Operands& o) {
  Results out{Array::filled({m.time, m.directions, m.batch, m.hidden}, 0),
              Array::filled({m.directions, m.batch, m.hidden}, 0), Array::filled({m.directions, m.batch, m.hidden}, 0)};
  for (int64_t d = 0; d < m.directions; ++d) {
    for (int64_t b = 0; b < m.batch; ++b) {
      std::vector<double> h(static_cast<size_t>(m.hidden)), c = h;
      for (int64_t j = 0; m.states && j < m.hidden; ++j) {
        h[static_cast<size_t>(j)] = o.h.at({d, b, j});
        c[static_cast<size_t>(j)] = o.c.at({d, b, j});
      }
      const int64_t length = m.lengths ? static_cast<int64_t>(o.lengths.at({b})) : m.time;
      for (int64_t s = 0; s < length; ++s) {
        const int64_t t = d == 1 || m.reverse ? length - 1 - s : s;
        std::vector<double> x;
        for (int64_t row = 0; row < m.gates * m.hidden; ++row) {
          x.push_back(o.b.at({d, row}));
          for (int64_t i = 0; i < m.input; ++i) x.back() += o.w.at({d, row, i}) * o.x.at({t, b, i});
        }
        step(m, o, d, x, h, c);
        for (int64_t j = 0; j < m.hidden; ++j) out.y.at({t, d, b, j}) = h[static_cast<size_t>(j)];
      }
      for (int64_t j = 0; j < m.hidden; ++j) {
        out.h.at({d, b, j}) = h[static_cast<size_t>(j)];
        out.c.at({d, b, j}) = c[static_cast<size_t>(j)];
      }
    }
  }
  return out;
}

void add(Cases& cases, const Model& m, bool constant) {
  const int64_t rows = m.gates * m.hidden;
  Operands o;
  o.x = cases.array({m.time, m.batch, m.input});
  o.w = cases.array({m.directions, rows, m.input}, -0.5, 0.5);
  o.r = cases.array({m.directions, rows, m.hidden}, -0.5, 0.5);
  o.b = cases.array({m.directions, 2 * rows}, -1, 1);
  o.lengths = cases.integers({m.batch}, 1, m.time);
  o.h = cases.array({m.directions, m.batch, m.hidden}, -1, 1);
  o.c = cases.array({m.directions, m.batch, m.hidden}, -1, 1);
  o.p = cases.array({m.directions, 3 * m.hidden}, -1, 1);
  Results want = run(m, o);
  auto turned = [&](const Array& a, const std::vector<size_t>& order) {
    return m.batch_first ? transpose(a, order) : a;
  };
  auto state = [&](const Array& a) { return turned(a, {1, 0, 2}); };
  Case c{.op = m.gates == 4   ? "LSTM"
               : m.gates == 3 ? "GRU"
                              : "RNN",
         .attributes = {{"hidden_size", m.hidden},
                        {"direction", std::string(m.directions == 2 ? "bidirectional"
                                                  : m.reverse       ? "reverse"
                                                                    : "forward")},
                        {"layout", int64_t{m.batch_first}}},
         .inputs = {f32_tensor(turned(o.x, {1, 0, 2})), f32_tensor(o.w), f32_tensor(o.r), f32_tensor(o.b),
                    m.lengths ? tensor_of(DType::kI32, o.lengths) : Tensor(),
                    m.states ? f32_tensor(state(o.h)) : Tensor()},
         .constant = {false, constant, constant, constant},
         .expected = turned(want.y, {2, 0, 1, 3}),
         .more = {{state(want.h)}},
         .roundings = 40.0 * static_cast<double>(m.time),
         .floor = 1};
  if (m.gates == 3) c.attributes.emplace("linear_before_reset", int64_t{m.linear});
  if (m.gates == 4) {
    c.inputs.push_back(m.states ? f32_tensor(state(o.c)) : Tensor());
    c.inputs.push_back(m.peepholes ? f32_tensor(o.p) : Tensor());
    c.more.push_back({state(want.c)});
  }
  cases.add(std::move(c));
}

}  // namespace

void add_recurrent_cases(Cases& cases) {
  for (int64_t gates : {1, 3, 4}) {
    for (bool constant : {false, true}) {
      add(cases, {.gates = gates}, constant);
      add(cases, {.gates = gates, .time = 3, .batch = 1, .input = 40, .hidden = 48, .reverse = true}, constant);
      add(cases, {.gates = gates, .batch = 3, .hidden = 32, .directions = 2, .states = true}, constant);
      add(cases, {.gates = gates, .batch = 4, .directions = 2, .states = true, .lengths = true}, constant);
      add(cases, {.gates = gates, .time = 1, .batch = 9, .hidden = 1, .linear = true}, constant);
    }
    add(cases, {.gates = gates, .directions = 2, .states = true, .batch_first = true}, true);
    add(cases, {.gates = gates, .time = 4, .batch = 2, .input = 24, .hidden = 130, .directions = 2}, true);
    add(cases, {.gates = gates, .states = true, .peepholes = true, .linear = true}, true);
  }
}

}  // namespace motet::ops::testing
