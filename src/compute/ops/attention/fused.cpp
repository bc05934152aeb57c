#include "compute/ops/attention/fused.h"

#include <algorithm>
#include <array>

#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"
#include "compute/ops/vector/loops.h"

namespace motet::ops {
namespace {

// The longest vector register, in elements: columns of turned keys are filled up to it.
constexpr int64_t kLanes = 16;

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
  // Turning the keys costs a pass over them: not for a few queries.
  bool turns() const { return k.row != 1 && block_rows() > 2; }
  int64_t score_row() const { return turns() ? (keys + kLanes - 1) / kLanes * kLanes : keys; }
  int64_t turned_elements() const { return turns() ? depth * score_row() : 0; }
  // Scratch of one part, in elements: turned keys, then scores.
  int64_t part_elements() const {
    return turned_elements() + (block_rows() * score_row() + kLanes - 1) / kLanes * kLanes;
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
  float* turned = scratch;
  vec::AttentionBlock t{.keys = keys, .depth = depth, .width = width, .q_row = q.row, .k_row = k.row, .v_row = v.row};
  t.mask_row = mask.row;
  t.mask_column = mask.column;
  t.scale = scale;
  t.zero_masked = zero_masked;
  t.scores = scratch + turned_elements();
  t.score_row = score_row();
  t.out_row = out.row;
  int64_t turned_head = -1;
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t head = unit / blocks(), b = head / heads, h = head % heads;
    const int64_t first = unit % blocks() * block_rows();
    t.rows = std::min(block_rows(), rows - first);
    if (t.rows <= 0) continue;
    t.k = k_data + k.at(b, h);
    if (k.row == 1) {
      t.turned = t.k;
      t.turned_row = k.column;
    } else if (turns()) {
      if (turned_head != head) {
        std::fill_n(turned, turned_elements(), 0.0f);
        loops.turn(t.k, k.row, keys, depth, turned, score_row());
        turned_head = head;
      }
      t.turned = turned;
      t.turned_row = score_row();
    }
    t.q = q_data + q.at(b, h) + first * q.row;
    t.v = v_data + v.at(b, h);
    t.mask = masked ? mask_data + mask.at(b, h) + first * mask.row : nullptr;
    t.out = output_data<float>(args, 0) + out.at(b, h) + first * out.row;
    loops.attend(t);
  }
}

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

}  // namespace

Result<KernelPtr> plan_fused_attention(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 3, 4));
  Attention a;
  a.masked = has_input(request, 3);
  for (size_t i = 0; i < (a.masked ? 4U : 3U); ++i) MOTET_RETURN_IF_ERROR(expect_type(request, i, {DType::kF32}));
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, DType::kF32, request.node.ints_or("shape", {})));
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
  const size_t scratch = static_cast<size_t>(a.part_elements() * std::min<int64_t>(a.parts, a.units())) * sizeof(float);
  return make_kernel(a, {.implementation = "own attention",
                         .scratch_bytes = scratch,
                         .flops = products * static_cast<double>(a.depth + a.width)});
}

}  // namespace motet::ops
