#include "compute/ops/attention/fused.h"

#include <algorithm>
#include <array>

#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"
#include "compute/ops/vector/loops.h"
#include "compute/ops/vector/tile.h"

namespace motet::ops {
namespace {

// The longest vector register, in elements: rows of scores are filled up to it.
constexpr int64_t kLanes = 16;
// A mask that leaves a key out is at most the first, and of the keys that a row looks at one is above the second: what
// lies between is more than any score, and the weight of a key that is left out is zero.
constexpr float kLeftOut = -1e30f, kLookedAt = -1e20f;

int64_t filled(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

struct Strides {
  int64_t offset = 0, batch = 0, head = 0, row = 0, column = 0;
  int64_t at(int64_t b, int64_t h) const { return offset + b * batch + h * head; }
};

struct Attention {
  int64_t batch = 0, heads = 0, rows = 0, keys = 0, depth = 0, width = 0;
  Strides q, k, v, mask, out;
  bool masked = false, zero_masked = false;
  float scale = 1;
  int parts = 1;

  // Rows are taken in equal blocks; a unit is one block of one head.
  int64_t blocks() const { return (rows + vec::kAttentionRows - 1) / vec::kAttentionRows; }
  int64_t block_rows() const { return (rows + blocks() - 1) / blocks(); }
  int64_t units() const { return batch * heads * blocks(); }
  // Packing the keys and values costs a pass over them: not for a few queries.
  bool packs() const { return block_rows() > 2; }
  int64_t score_row() const { return filled(keys, kLanes); }
  int64_t key_elements() const { return packs() ? depth * score_row() : 0; }
  int64_t value_elements() const { return packs() ? filled(keys * width, kLanes) : 0; }
  // Scratch of one part, in elements: keys, values, scores.
  int64_t part_elements() const { return key_elements() + value_elements() + block_rows() * score_row(); }

  // How many keys, from the first, some of these rows of a mask look at: all where that is not certain.
  int64_t reach(const float* mask_rows, int64_t count) const {
    if (mask_rows == nullptr || mask.column == 0) return keys;
    int64_t most = 1;
    for (int64_t r = 0; r < (mask.row == 0 ? 1 : count); ++r) {
      const float* m = mask_rows + r * mask.row;
      int64_t last = keys;
      while (last > most && m[last - 1] <= kLeftOut) --last;
      if (std::none_of(m, m + last, [](float x) { return x > kLookedAt; })) return keys;
      most = last;
    }
    return most;
  }

  void run_units(const KernelArgs& args, float* scratch, int64_t begin, int64_t end) const;
  void operator()(const KernelArgs& args, device::Team& team) const {
    const int64_t count = units();
    auto part = [&](int i, int n) {
      run_units(args, reinterpret_cast<float*>(args.scratch) + i * part_elements(), count * i / n, count * (i + 1) / n);
    };
    team.run(static_cast<int>(std::min<int64_t>({count, parts, team.width()})), part);
  }
};

void Attention::run_units(const KernelArgs& args, float* scratch, int64_t begin, int64_t end) const {
  const vec::Loops& loops = vec::loops();
  const float *q_data = input_data<float>(args, 0), *k_data = input_data<float>(args, 1);
  const float *v_data = input_data<float>(args, 2), *mask_data = masked ? input_data<float>(args, 3) : nullptr;
  vec::AttentionBlock t{.keys = keys, .depth = depth, .width = width, .q_row = q.row, .k_row = k.row};
  t.k_column = k.column;
  t.v_row = v.row;
  if (packs()) {
    t.key_room = scratch;
    t.value_room = scratch + key_elements();
  }
  t.mask_row = mask.row;
  t.mask_column = mask.column;
  t.scale = scale;
  t.zero_masked = zero_masked;
  t.scores = scratch + key_elements() + value_elements();
  t.score_row = score_row();
  t.out_row = out.row;
  int64_t packed_head = -1;
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t head = unit / blocks(), b = head / heads, h = head % heads;
    const int64_t first = unit % blocks() * block_rows();
    t.rows = std::min(block_rows(), rows - first);
    if (t.rows <= 0) continue;
    t.packed = packed_head == head;
    packed_head = head;
    t.k = k_data + k.at(b, h);
    t.q = q_data + q.at(b, h) + first * q.row;
    t.v = v_data + v.at(b, h);
    t.mask = masked ? mask_data + mask.at(b, h) + first * mask.row : nullptr;
    for (int64_t r = 0; r < t.rows; r += vec::kAttentionGroup)
      t.reach[r / vec::kAttentionGroup] =
          reach(masked ? t.mask + r * mask.row : nullptr, std::min(vec::kAttentionGroup, t.rows - r));
    t.out = output_data<float>(args, 0) + out.at(b, h) + first * out.row;
    loops.attend(t);
  }
}

// The same with Q, K, V and the result in bf16: products of pairs of bf16 summed in f32, the softmax in f32, and its
// weights rounded to bf16 before they are divided by their sum.
struct NarrowAttention {
  Attention a;
  vec::TileProduct product = nullptr;

  int64_t pairs() const { return (a.keys + 1) / 2; }
  int64_t score_row() const { return filled(a.keys, vec::kPanel); }
  // Scratch of one part, in bytes: keys in panels, values in panels, scores, weights.
  int64_t key_bytes() const { return score_row() * a.depth * 2; }
  int64_t value_bytes() const { return filled(a.width, vec::kPanel) * pairs() * 4; }
  int64_t score_bytes() const { return a.block_rows() * score_row() * 4; }
  int64_t weight_bytes() const { return filled(a.block_rows() * pairs() * 4, 64); }
  int64_t part_bytes() const { return key_bytes() + value_bytes() + score_bytes() + weight_bytes(); }

  void operator()(const KernelArgs& args, device::Team& team) const {
    const int64_t count = a.units();
    auto part = [&](int i, int n) {
      run_units(args, args.scratch + i * part_bytes(), count * i / n, count * (i + 1) / n);
    };
    team.run(static_cast<int>(std::min<int64_t>({count, a.parts, team.width()})), part);
  }

  void run_units(const KernelArgs& args, std::byte* scratch, int64_t begin, int64_t end) const {
    auto* keys = reinterpret_cast<float*>(scratch);                     // a pair in each
    auto* values = reinterpret_cast<uint32_t*>(scratch + key_bytes());  // likewise
    int64_t packed = -1;
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t head = unit / a.blocks(), b = head / a.heads, h = head % a.heads;
      const int64_t first = unit % a.blocks() * a.block_rows();
      const int64_t rows = std::min(a.block_rows(), a.rows - first);
      if (rows <= 0) continue;
      if (packed != head) pack(args, b, h, keys, values);
      packed = head;
      run_block(args, b, h, first, rows, scratch);
    }
  }

  // K as [panel, depth / 2, kPanel, 2], V as [panel, keys / 2, kPanel, 2]; what fills up is zero.
  void pack(const KernelArgs& args, int64_t b, int64_t h, float* keys, uint32_t* values) const {
    const vec::Loops& loops = vec::loops();
    const uint16_t* k = input_data<uint16_t>(args, 1) + a.k.at(b, h);
    const uint16_t* v = input_data<uint16_t>(args, 2) + a.v.at(b, h);
    std::fill_n(keys, key_bytes() / 4, 0.0f);
    std::fill_n(values, value_bytes() / 4, 0U);
    for (int64_t j = 0; j < a.keys; j += vec::kPanel)
      loops.turn(reinterpret_cast<const float*>(k + j * a.k.row), a.k.row / 2, std::min(vec::kPanel, a.keys - j),
                 a.depth / 2, keys + j * (a.depth / 2), vec::kPanel);
    for (int64_t j = 0; j < a.width; j += vec::kPanel) {
      const int64_t width = std::min(vec::kPanel, a.width - j);
      for (int64_t l = 0; l < a.keys; l += 2) {
        const uint16_t *low = v + l * a.v.row + j, *high = l + 1 < a.keys ? low + a.v.row : nullptr;
        uint32_t* to = values + j * pairs() + l / 2 * vec::kPanel;
        if (high == nullptr) {
          for (int64_t c = 0; c < width; ++c) to[c] = low[c];
        } else {
          for (int64_t c = 0; c < width; ++c) to[c] = low[c] | static_cast<uint32_t>(high[c]) << 16;
        }
      }
    }
  }

  void run_block(const KernelArgs& args, int64_t b, int64_t h, int64_t first, int64_t rows, std::byte* scratch) const {
    const vec::Loops& loops = vec::loops();
    const auto* keys = reinterpret_cast<const float*>(scratch);
    const auto* values = reinterpret_cast<const float*>(scratch + key_bytes());
    auto* scores = reinterpret_cast<float*>(scratch + key_bytes() + value_bytes());
    auto* weights = reinterpret_cast<uint16_t*>(scratch + key_bytes() + value_bytes() + score_bytes());
    const uint16_t* q = input_data<uint16_t>(args, 0) + a.q.at(b, h) + first * a.q.row;
    uint16_t* out = output_data<uint16_t>(args, 0) + a.out.at(b, h) + first * a.out.row;
    const float* mask = a.masked ? input_data<float>(args, 3) + a.mask.at(b, h) + first * a.mask.row : nullptr;
    std::array<float, vec::kAttentionRows> inverse;
    vec::ProductTile t{.depth = a.depth, .a_row = a.q.row, .out_row = score_row()};
    for_tiles(rows, a.keys, t, [&](int64_t row, int64_t column) {
      t.a = q + row * a.q.row;
      t.panel = keys + column * (a.depth / 2);
      t.out = scores + row * score_row() + column;
      product(t);
    });
    for (int64_t r = 0; r < rows; ++r) {
      float* s = scores + r * score_row();
      inverse[static_cast<size_t>(r)] = weigh(s, mask == nullptr ? nullptr : mask + r * a.mask.row);
      uint16_t* w = weights + r * 2 * pairs();
      loops.narrow(s, w, a.keys);
      if (a.keys % 2 != 0) w[a.keys] = 0;
    }
    alignas(64) float tile[vec::kPanelRows * vec::kPanel];
    t = {.depth = 2 * pairs(), .a_row = 2 * pairs(), .out = tile, .out_row = vec::kPanel};
    for_tiles(rows, a.width, t, [&](int64_t row, int64_t column) {
      t.a = weights + row * 2 * pairs();
      t.panel = values + column * pairs();
      product(t);
      const int64_t width = std::min(vec::kPanel, a.width - column);
      for (int64_t r = 0; r < t.rows; ++r) {
        float* from = tile + r * vec::kPanel;
        loops.unary(vec::Unary::kScaleShift, from, from, width, inverse[static_cast<size_t>(row + r)], 0);
        loops.narrow(from, out + (row + r) * a.out.row + column, width);
      }
    });
  }

  // f(row, column) over tiles whose extents are set in `t`.
  template <class F>
  static void for_tiles(int64_t rows, int64_t columns, vec::ProductTile& t, F&& f) {
    for (int64_t column = 0; column < columns; column += vec::kPanel) {
      t.columns = static_cast<int>(std::min(vec::kPanel, filled(columns - column, kLanes)));
      for (int64_t row = 0; row < rows; row += vec::kPanelRows) {
        t.rows = std::min(vec::kPanelRows, rows - row);
        f(row, column);
      }
    }
  }

  // One row of scores to weights that are not yet divided by their sum; returns 1 / sum.
  float weigh(float* s, const float* mask) const {
    const vec::Loops& loops = vec::loops();
    loops.unary(vec::Unary::kScaleShift, s, s, a.keys, a.scale, 0);
    if (mask != nullptr) loops.binary(vec::Binary::kAdd, s, 1, mask, a.mask.column, s, a.keys);
    const float total = loops.exp_sum(s, s, a.keys, loops.max(s, a.keys));
    if (a.zero_masked && total != total) {
      std::fill_n(s, a.keys, 0.0f);
      return 0.0f;
    }
    return 1.0f / total;
  }
};

// The strides named `key`, of an operand with these rows and columns that must lie within `elements`.
Result<Strides> strides_of(const NodeRequest& request, const Attention& a, std::string_view key, int64_t rows,
                           int64_t columns, int64_t elements) {
  const std::vector<int64_t> given = request.node.ints_or(key, {});
  if (given.size() != 5)
    return unsupported(std::string(key) + " has " + std::to_string(given.size()) + " numbers, not 5");
  const Strides s{given[0], given[1], given[2], given[3], given[4]};
  int64_t last = s.offset;
  for (const auto& [extent, stride] :
       {std::pair{a.batch, s.batch}, {a.heads, s.head}, {rows, s.row}, {columns, s.column}}) {
    if (stride < 0 || stride > elements)
      return unsupported("a stride of " + std::to_string(stride) + " in " + std::string(key));
    if (extent > 1 && stride > 0) last += (extent - 1) * stride;
  }
  if (s.offset < 0 || last >= elements)
    return unsupported(std::string(key) + " reaches element " + std::to_string(last) + " of " +
                       std::to_string(elements));
  return s;
}

Status read_operands(const NodeRequest& request, Attention& a) {
  auto read = [&](Strides& to, std::string_view key, const TensorSpec& spec, int64_t rows, int64_t columns) -> Status {
    MOTET_ASSIGN(to, strides_of(request, a, key, rows, columns, elements(spec.shape)));
    return {};
  };
  MOTET_RETURN_IF_ERROR(read(a.q, "q", request.inputs[0], a.rows, a.depth));
  MOTET_RETURN_IF_ERROR(read(a.k, "k", request.inputs[1], a.keys, a.depth));
  MOTET_RETURN_IF_ERROR(read(a.v, "v", request.inputs[2], a.keys, a.width));
  MOTET_RETURN_IF_ERROR(read(a.out, "out", request.outputs[0], a.rows, a.width));
  if (a.masked) MOTET_RETURN_IF_ERROR(read(a.mask, "mask", request.inputs[3], a.rows, a.keys));
  const bool side_by_side = (a.q.column == 1 || a.depth == 1) && (a.v.column == 1 || a.width == 1) &&
                            (a.out.column == 1 || a.width == 1) && (a.k.column == 1 || a.k.row == 1 || a.depth == 1);
  if (!side_by_side || a.mask.column > 1) return unsupported("columns that do not lie side by side");
  return {};
}

Result<KernelPtr> plan_narrow(const Attention& a, double products) {
  const NarrowAttention narrow{a, vec::bf16_tile_product()};
  if (narrow.product == nullptr) return unsupported("bf16 on a CPU without AVX512_BF16");
  const bool pairs = (a.k.offset | a.k.batch | a.k.head | a.k.row | a.depth) % 2 == 0;
  if (a.k.column != 1 || !pairs || a.keys < 2) return unsupported("keys in bf16 whose pairs do not lie side by side");
  const int64_t parts = std::min<int64_t>(a.parts, a.units());
  return make_kernel(narrow, {.implementation = "own attention in bf16",
                              .scratch_bytes = static_cast<size_t>(narrow.part_bytes() * parts),
                              .flops = products * static_cast<double>(a.depth + a.width)});
}

}  // namespace

Result<KernelPtr> plan_fused_attention(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 3, 4));
  Attention a;
  a.masked = has_input(request, 3);
  const DType type = request.inputs[0].dtype;
  if (type != DType::kF32 && type != DType::kBF16) return unsupported("queries of " + describe(request.inputs[0]));
  for (size_t i = 0; i < 3; ++i) MOTET_RETURN_IF_ERROR(expect_type(request, i, {type}));
  if (a.masked) MOTET_RETURN_IF_ERROR(expect_type(request, 3, {DType::kF32}));
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, type, request.node.ints_or("shape", {})));
  const std::vector<int64_t> extents = request.node.ints_or("extents", {});
  if (extents.size() != 6 || std::any_of(extents.begin(), extents.end(), [](int64_t e) { return e < 1; }))
    return unsupported("extents " + shape_to_string(extents) + "; six of at least 1 are possible");
  a.batch = extents[0];
  a.heads = extents[1];
  a.rows = extents[2];
  a.keys = extents[3];
  a.depth = extents[4];
  a.width = extents[5];
  MOTET_RETURN_IF_ERROR(read_operands(request, a));
  if (a.batch * a.heads * a.rows * a.width != elements(request.outputs[0].shape))
    return unsupported("extents " + shape_to_string(extents) + " for a result of " + describe(request.outputs[0]));
  a.scale = request.node.float_or("scale", 1.0f);
  a.zero_masked = request.node.int_or("zero_masked", 0) != 0;
  a.parts = std::max(1, request.max_width);
  const double products = 2.0 * static_cast<double>(a.batch * a.heads * a.rows * a.keys);
  if (type == DType::kBF16) return plan_narrow(a, products);
  const size_t scratch = static_cast<size_t>(a.part_elements() * std::min<int64_t>(a.parts, a.units())) * sizeof(float);
  return make_kernel(a, {.implementation = "own attention",
                         .scratch_bytes = scratch,
                         .flops = products * static_cast<double>(a.depth + a.width)});
}

}  // namespace motet::ops
