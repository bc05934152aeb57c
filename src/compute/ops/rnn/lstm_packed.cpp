// LSTM with constant weights and its standard activations. Weights are packed in panels of 32 cells with their four
// gates one after another, so that one stream of memory makes whole cells: a step over time is one region, whose parts
// are panels of both directions. With few sequences the speed is that of reading the recurrent weights once a step.
// With bf16 operands products are of bf16, summed in f32; gates and cells stay f32, and the output of a step is rounded
// for the next one's products.
#include <cstring>

#include "compute/graph/file_map.h"
#include "compute/ops/onednn/weight_cache.h"
#include "compute/ops/rnn/recurrent.h"
#include "compute/ops/rnn/rnn.h"
#include "compute/ops/support/widened.h"
#include "compute/ops/vector/tile.h"

namespace motet::ops {
namespace {

constexpr int64_t kCells = vec::kPanelColumns;  // of a panel
constexpr int64_t kColumns = 4 * kCells;
constexpr int64_t kRowBlock = 48;
constexpr int64_t kWorkPerPart = 1 << 17;
// Panels of bf16 that hold a panel of cells' columns, the last not full.
constexpr int64_t kNarrowPanels = (kColumns + vec::kPanel - 1) / vec::kPanel;

// [directions, 4 * hidden, depth] as [directions, panels, gate, depth, kCells]; cells beyond the last are zeros. The
// source may lie at any alignment.
void pack(const std::byte* from, const Recurrent& r, int64_t depth, int64_t panels, float* to) {
  std::fill_n(to, r.directions * panels * depth * kColumns, 0.0f);
  for (int64_t d = 0; d < r.directions; ++d) {
    for (int64_t gate = 0; gate < 4; ++gate) {
      for (int64_t j = 0; j < r.hidden; ++j, from += depth * static_cast<int64_t>(sizeof(float))) {
        float* column = to + ((d * panels + j / kCells) * 4 + gate) * depth * kCells + j % kCells;
        for (int64_t i = 0; i < depth; ++i)
          std::memcpy(column + i * kCells, from + i * static_cast<int64_t>(sizeof(float)), sizeof(float));
      }
    }
  }
}

// The same in bf16, a panel of cells as [kNarrowPanels, depth / 2, kPanel, 2]. REQUIRES: depth is even.
void pack_narrow(const std::byte* from, const Recurrent& r, int64_t depth, int64_t panels, uint16_t* to) {
  const int64_t each = kNarrowPanels * depth * vec::kPanel;
  std::fill_n(to, r.directions * panels * each, uint16_t{0});
  for (int64_t d = 0; d < r.directions; ++d) {
    for (int64_t gate = 0; gate < 4; ++gate) {
      for (int64_t j = 0; j < r.hidden; ++j, from += depth * static_cast<int64_t>(sizeof(float))) {
        const int64_t column = gate * kCells + j % kCells;
        uint16_t* at = to + (d * panels + j / kCells) * each + column / vec::kPanel * depth * vec::kPanel +
                       column % vec::kPanel * 2;
        for (int64_t i = 0; i < depth; ++i) {
          float value = 0;
          std::memcpy(&value, from + i * static_cast<int64_t>(sizeof(float)), sizeof(float));
          at[i / 2 * 2 * vec::kPanel + i % 2] = float_to_bf16(value);
        }
      }
    }
  }
}

WeightCache::Packed pack_narrow(const NodeRequest& request, size_t input, const Recurrent& r, int64_t depth,
                                int64_t panels) {
  const Tensor& constant = *constant_input(request, input);
  auto fill = [constant, r, depth, panels](std::byte* memory) {
    const Reading reading = constant.read();
    pack_narrow(reading.data, r, depth, panels, reinterpret_cast<uint16_t*>(memory));
    graph::FileMap::release({reading.data, constant.bytes()});
  };
  const size_t bytes = static_cast<size_t>(r.directions * panels * kNarrowPanels * depth * vec::kPanel) * 2;
  if (request.weights == nullptr) return std::make_shared<const PackedWeights>(bytes, std::move(fill));
  return request.weights->get_or_pack(constant, "panels of 32 cells, bf16", bytes, std::move(fill));
}

WeightCache::Packed pack(const NodeRequest& request, size_t input, const Recurrent& r, int64_t depth, int64_t panels) {
  const Tensor& constant = *constant_input(request, input);
  auto fill = [constant, r, depth, panels](std::byte* memory) {
    const Reading reading = constant.read();
    pack(reading.data, r, depth, panels, reinterpret_cast<float*>(memory));
    graph::FileMap::release({reading.data, constant.bytes()});
  };
  const size_t bytes = static_cast<size_t>(r.directions * panels * depth * kColumns) * sizeof(float);
  if (request.weights == nullptr) return std::make_shared<const PackedWeights>(bytes, std::move(fill));
  return request.weights->get_or_pack(constant, "panels of 32 cells", bytes, std::move(fill));
}

// The sum of both biases, as [directions, panels, 4, 1, kCells].
Tensor pack_bias(const Tensor& bias, const Recurrent& r, int64_t panels) {
  Tensor sum = Tensor::zeros(DType::kF32, {r.directions, 4 * r.hidden, 1});
  auto both = bias.view().as<float>();
  auto to = sum.view().as<float>();
  const auto rows = static_cast<size_t>(4 * r.hidden);
  for (size_t i = 0; i < to.size(); ++i)
    to[i] = both[i / rows * 2 * rows + i % rows] + both[(i / rows * 2 + 1) * rows + i % rows];
  Tensor packed = Tensor::zeros(DType::kF32, {r.directions, panels, 4, 1, kCells});
  pack(sum.view().data, r, 1, panels, packed.view().as<float>().data());
  return packed;
}

struct PackedLstm {
  Recurrent r;
  int64_t panels = 0;
  bool initial_c = false;
  vec::TileProduct narrow = nullptr;                         // of bf16, where the operands are
  DType types[3] = {DType::kF32, DType::kF32, DType::kF32};  // of the outputs
  WeightCache::Packed w, recur;
  Tensor bias;
  // Places in the scratch, in elements.
  int64_t gate_inputs = 0;  // [directions, time * batch, panels * kColumns]
  int64_t tiles = 0;        // [directions, panels, batch, kColumns]
  int64_t h = 0;            // [2, directions, batch, hidden]: before and after a step
  int64_t c = 0;            // [directions, batch, hidden]
  int64_t h_narrow = 0;     // as h, in bf16
  int64_t end = 0;

  void plan_scratch() {
    auto take = [&](int64_t count) {
      const int64_t here = end;
      end += (count + 15) / 16 * 16;
      return here;
    };
    gate_inputs = take(r.directions * r.time * r.batch * panels * kColumns);
    tiles = take(r.directions * panels * r.batch * kColumns);
    h = take(2 * states());
    c = take(states());
    if (narrow != nullptr) h_narrow = take(states());
  }
  int64_t states() const { return r.directions * r.batch * r.hidden; }
  int64_t gate_row() const { return panels * kColumns; }
  static const float* data(const Tensor& t) { return reinterpret_cast<const float*>(t.view().data); }
  static const float* data(const WeightCache::Packed& p) { return reinterpret_cast<const float*>(p->data()); }

  // out[rows, kColumns] = a[rows, depth] times the columns of one panel of cells, plus bias, which may be null.
  void multiply_narrow(const uint16_t* a, int64_t rows, int64_t depth, const uint16_t* weights, const float* bias_row,
                       float* out, int64_t out_row) const;
  uint16_t* narrow_states(float* base, int64_t step, int64_t d) const {
    return reinterpret_cast<uint16_t*>(base + h_narrow) + step % 2 * states() + d * r.batch * r.hidden;
  }
  void multiply_inputs(const KernelArgs& args, float* base, device::Team& team) const;
  void run_panel(const KernelArgs& args, float* base, int64_t unit, int64_t step, const int64_t* lengths) const;
  // Stores numbers as output `o` from element `at` on, if it is there.
  void put(const KernelArgs& args, size_t o, const float* from, int64_t count, int64_t at) const {
    if (o >= args.outputs.size() || args.outputs[o].data == nullptr) return;
    if (types[o] == DType::kF32)
      std::copy_n(from, count, output_data<float>(args, o) + at);
    else
      vec::loops().narrow(from, output_data<uint16_t>(args, o) + at, count);
  }
  void load(const KernelArgs& args, float* base) const;
  void store(const KernelArgs& args, const float* base) const;
  void operator()(const KernelArgs& args, device::Team& team) const;
};

void PackedLstm::multiply_narrow(const uint16_t* a, int64_t rows, int64_t depth, const uint16_t* weights,
                                 const float* bias_row, float* out, int64_t out_row) const {
  for (int64_t panel = 0; panel < kNarrowPanels; ++panel) {
    const int64_t column = panel * vec::kPanel;
    vec::ProductTile t{.depth = depth, .a_row = depth, .out_row = out_row};
    t.panel = weights + panel * depth * vec::kPanel;
    t.columns = static_cast<int>(std::min(vec::kPanel, kColumns - column));
    t.bias = bias_row == nullptr ? nullptr : bias_row + column;
    for (int64_t row = 0; row < rows; row += vec::kPanelRows) {
      t.rows = std::min(vec::kPanelRows, rows - row);
      t.a = a + row * depth;
      t.out = out + row * out_row + column;
      narrow(t);
    }
  }
}

// X W^T and biases, for all times at once.
void PackedLstm::multiply_inputs(const KernelArgs& args, float* base, device::Team& team) const {
  const int64_t rows = r.time * r.batch, blocks = (rows + kRowBlock - 1) / kRowBlock;
  const int64_t work = std::max<int64_t>(1, std::min(rows, kRowBlock) * kColumns * r.input);
  team.for_range(r.directions * panels * blocks, (kWorkPerPart + work - 1) / work, [&](int64_t begin, int64_t last) {
    for (int64_t unit = begin; unit < last; ++unit) {
      const int64_t panel = unit / blocks, d = panel / panels, first = unit % blocks * kRowBlock;
      float* to = base + gate_inputs + (d * rows + first) * gate_row() + panel % panels * kColumns;
      const float* bias_row = r.biased ? data(bias) + panel * kColumns : nullptr;
      if (narrow != nullptr) {
        multiply_narrow(input_data<uint16_t>(args, 0) + first * r.input, std::min(kRowBlock, rows - first), r.input,
                        reinterpret_cast<const uint16_t*>(w->data()) + panel * kNarrowPanels * r.input * vec::kPanel,
                        bias_row, to, gate_row());
        continue;
      }
      vec::loops().multiply_panels(std::min(kRowBlock, rows - first), kColumns, r.input,
                                   input_data<float>(args, 0) + first * r.input, r.input,
                                   data(w) + panel * r.input * kColumns, to, gate_row(), bias_row, false);
    }
  });
}

// One panel of cells, one step: unit is direction * panels + panel.
void PackedLstm::run_panel(const KernelArgs& args, float* base, int64_t unit, int64_t step,
                           const int64_t* lengths) const {
  const vec::Loops& loops = vec::loops();
  const int64_t d = unit / panels, first = unit % panels * kCells, cells = std::min(kCells, r.hidden - first);
  const float* before = base + h + step % 2 * states() + d * r.batch * r.hidden;
  float* after = base + h + (step + 1) % 2 * states() + d * r.batch * r.hidden;
  float* cell = base + c + d * r.batch * r.hidden;
  float* tile = base + tiles + unit * r.batch * kColumns;
  auto time_of = [&](int64_t b) { return step >= lengths[b] ? -1 : r.backwards(d) ? lengths[b] - 1 - step : step; };
  for (int64_t b = 0; b < r.batch; ++b) {
    const int64_t t = std::max<int64_t>(0, time_of(b));
    std::copy_n(base + gate_inputs + (d * r.time * r.batch + r.x_row(t, b)) * gate_row() + unit % panels * kColumns,
                kColumns, tile + b * kColumns);
  }
  for (int64_t b = 0; narrow != nullptr && b < r.batch; b += vec::kPanelRows) {
    alignas(64) float products[vec::kPanelRows * kColumns];
    const int64_t rows = std::min(vec::kPanelRows, r.batch - b);
    multiply_narrow(narrow_states(base, step, d) + b * r.hidden, rows, r.hidden,
                    reinterpret_cast<const uint16_t*>(recur->data()) + unit * kNarrowPanels * r.hidden * vec::kPanel,
                    nullptr, products, kColumns);
    float* sums = tile + b * kColumns;
    loops.binary(vec::Binary::kAdd, sums, 1, products, 1, sums, rows * kColumns);
  }
  for (int64_t b = 0; narrow == nullptr && b < r.batch; b += kRowBlock)
    loops.multiply_panels(std::min(kRowBlock, r.batch - b), kColumns, r.hidden, before + b * r.hidden, r.hidden,
                          data(recur) + unit * r.hidden * kColumns, tile + b * kColumns, kColumns, nullptr, true);
  for (int64_t b = 0; b < r.batch; ++b) {
    const int64_t t = time_of(b), at = b * r.hidden + first;
    if (t < 0) {  // over: the state stays
      std::copy_n(before + at, cells, after + at);
      if (narrow != nullptr) loops.narrow(after + at, narrow_states(base, step + 1, d) + at, cells);
      continue;
    }
    float* gate = tile + b * kColumns;
    const float *in = gate, *out = gate + kCells, *forget = gate + 2 * kCells;
    float* fresh = gate + 3 * kCells;
    loops.unary(vec::Unary::kSigmoid, gate, gate, 3 * kCells, 0, 0);
    loops.unary(vec::Unary::kTanh, fresh, fresh, kCells, 0, 0);
    for (int64_t i = 0; i < cells; ++i) cell[at + i] = forget[i] * cell[at + i] + in[i] * fresh[i];
    loops.unary(vec::Unary::kTanh, cell + at, after + at, cells, 0, 0);
    for (int64_t i = 0; i < cells; ++i) after[at + i] *= out[i];
    if (narrow != nullptr) loops.narrow(after + at, narrow_states(base, step + 1, d) + at, cells);
    put(args, 0, after + at, cells, r.y_at(t, d, b) + first);
  }
}

void PackedLstm::load(const KernelArgs& args, float* base) const {
  for (int64_t d = 0; d < r.directions; ++d) {
    for (int64_t b = 0; b < r.batch; ++b) {
      const int64_t from = r.state_at(d, b), to = (d * r.batch + b) * r.hidden;
      auto one = [&](bool present, size_t input, float* state) {
        present ? std::copy_n(input_data<float>(args, input) + from, r.hidden, state)
                : std::fill_n(state, r.hidden, 0.0f);
      };
      one(r.initial_h, 5, base + h + to);
      if (narrow != nullptr) vec::loops().narrow(base + h + to, narrow_states(base, 0, d) + b * r.hidden, r.hidden);
      one(initial_c, 6, base + c + to);
    }
  }
}

void PackedLstm::store(const KernelArgs& args, const float* base) const {
  for (size_t o = 1; o < args.outputs.size() && o < 3; ++o) {
    const float* states_now = o == 1 ? base + h + r.time % 2 * states() : base + c;
    for (int64_t d = 0; d < r.directions; ++d) {
      for (int64_t b = 0; b < r.batch; ++b)
        put(args, o, states_now + (d * r.batch + b) * r.hidden, r.hidden, r.state_at(d, b));
    }
  }
}

void PackedLstm::operator()(const KernelArgs& args, device::Team& team) const {
  float* base = reinterpret_cast<float*>(args.scratch);
  std::vector<int64_t> lengths;
  for (int64_t b = 0; b < r.batch; ++b) lengths.push_back(length_of(r, args, b));
  multiply_inputs(args, base, team);
  auto begin = [&](int, int) {
    load(args, base);
    // Steps past a sequence's end are zeros.
    if (r.lengths && !args.outputs.empty() && args.outputs[0].data != nullptr)
      std::memset(args.outputs[0].data, 0, static_cast<size_t>(r.time * states()) * dtype_bytes(types[0]));
  };
  team.run(1, begin);
  const int64_t work = std::max<int64_t>(1, r.batch * kColumns * r.hidden);
  for (int64_t step = 0; step < r.time; ++step) {
    team.for_range(r.directions * panels, (kWorkPerPart + work - 1) / work, [&](int64_t first, int64_t last) {
      for (int64_t unit = first; unit < last; ++unit) run_panel(args, base, unit, step, lengths.data());
    });
  }
  auto finish = [&](int, int) { store(args, base); };
  team.run(1, finish);
}

bool standard_activations(const Recurrent& r) {
  using Kind = Activation::Kind;
  for (size_t i = 0; i < r.activations.size(); ++i)
    if (r.activations[i].kind != (i % 3 == 0 ? Kind::kSigmoid : Kind::kTanh)) return false;
  return true;
}

// The node's extents, whether its operands are of f32 or bf16.
Result<Recurrent> recurrent_of_f32(const NodeRequest& request) {
  std::vector<TensorSpec> inputs(request.inputs.begin(), request.inputs.end());
  std::vector<TensorSpec> outputs(request.outputs.begin(), request.outputs.end());
  for (auto* specs : {&inputs, &outputs})
    for (TensorSpec& spec : *specs)
      if (spec.dtype == DType::kBF16) spec.dtype = DType::kF32;
  NodeRequest wide = request;
  wide.inputs = inputs;
  wide.outputs = outputs;
  return recurrent_of(wide, 4, {"Sigmoid", "Tanh", "Tanh"});
}

Status choose_types(const NodeRequest& request, bool narrow, PackedLstm& lstm) {
  for (size_t o = 0; o < 3; ++o) {
    if (!has_output(request, o)) continue;
    lstm.types[o] = request.outputs[o].dtype;
    if (lstm.types[o] != DType::kF32 && !(narrow && lstm.types[o] == DType::kBF16))
      return unsupported("a result of " + describe(request.outputs[o]));
  }
  for (size_t i = 1; i < request.inputs.size(); ++i)
    if (i != 4 && has_input(request, i) && request.inputs[i].dtype != DType::kF32)
      return unsupported("weights or states of " + describe(request.inputs[i]));
  if (!narrow) return {};
  lstm.narrow = vec::bf16_tile_product();
  if (lstm.narrow == nullptr) return unsupported("a CPU without AVX512_BF16");
  if (lstm.r.input % 2 != 0 || lstm.r.hidden % 2 != 0) return unsupported("an odd number of bf16 in a row");
  return {};
}

class PackedLstmKernel final : public Kernel {
 public:
  explicit PackedLstmKernel(PackedLstm lstm) : lstm_(std::move(lstm)) {}

  void run(const KernelArgs& args, device::Team& team) const override { lstm_(args, team); }
  Status finish() const override {
    lstm_.w->prepare();
    lstm_.recur->prepare();
    return {};
  }
  bool reads(size_t input) const override { return input < 1 || input > 3; }
  std::string implementation() const override { return lstm_.narrow == nullptr ? "own packed" : "own packed bf16"; }
  size_t scratch_bytes() const override { return static_cast<size_t>(lstm_.end) * sizeof(float); }
  size_t packed_bytes() const override {
    return lstm_.w->bytes() + lstm_.recur->bytes() + (lstm_.r.biased ? lstm_.bias.view().bytes() : 0);
  }
  double flops() const override {
    const Recurrent& r = lstm_.r;
    return 2.0 * static_cast<double>(r.directions * r.time * r.batch) *
           static_cast<double>(r.row() * (r.input + r.hidden));
  }

 private:
  const PackedLstm lstm_;
};

}  // namespace

Result<KernelPtr> plan_packed_lstm(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_type(request, 0, {DType::kF32, DType::kBF16}));
  MOTET_ASSIGN(Recurrent r, recurrent_of_f32(request));
  const Tensor *w = constant_input(request, 1), *recur = constant_input(request, 2), *bias = constant_input(request, 3);
  if (w == nullptr || recur == nullptr || (r.biased && bias == nullptr))
    return unsupported("weights that are not constant");
  if (has_input(request, 7)) return unsupported("peepholes");
  if (r.clip > 0) return unsupported("clip " + std::to_string(r.clip));
  if (request.node.int_or("input_forget", 0) != 0) return unsupported("input_forget 1");
  if (!standard_activations(r)) return unsupported("activations other than Sigmoid, Tanh, Tanh");
  PackedLstm lstm{.r = r, .panels = (r.hidden + kCells - 1) / kCells, .initial_c = has_input(request, 6)};
  const bool narrow = request.inputs[0].dtype == DType::kBF16;
  MOTET_RETURN_IF_ERROR(choose_types(request, narrow, lstm));
  using Pack = WeightCache::Packed (*)(const NodeRequest&, size_t, const Recurrent&, int64_t, int64_t);
  const Pack packed = narrow ? static_cast<Pack>(pack_narrow) : static_cast<Pack>(pack);
  lstm.w = packed(request, 1, r, r.input, lstm.panels);
  lstm.recur = packed(request, 2, r, r.hidden, lstm.panels);
  if (r.biased) lstm.bias = pack_bias(*bias, r, lstm.panels);
  lstm.plan_scratch();
  return KernelPtr(std::make_unique<PackedLstmKernel>(std::move(lstm)));
}

}  // namespace motet::ops
