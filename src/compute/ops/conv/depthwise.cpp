#include <algorithm>
#include <array>
#include <cstring>

#include "compute/graph/file_map.h"
#include "compute/ops/conv/conv.h"
#include "compute/ops/onednn/weight_cache.h"
#include "compute/ops/support/request.h"
#include "compute/ops/support/window.h"
#include "compute/ops/vector/loops.h"

namespace motet::ops {
namespace {

constexpr int64_t kMostLanes = 16;
constexpr int64_t kWorkOfPart = int64_t{1} << 17;  // multiplications; less does not pay for a second core

struct Problem {
  Layout layout = Layout::kNhwc;
  int64_t batch = 0, channels = 0;
  int64_t block = 0;  // channels side by side: all in nhwc
  WindowAxis rows, columns;
  bool biased = false;
  vec::Unary activation = vec::Unary::kCopy;
  float alpha = 0, beta = 0;

  int64_t lanes() const { return vec::loops().lanes; }
  int64_t taps() const { return rows.kernel * rows.kernel; }
  // Channels that lie in memory.
  int64_t padded() const { return (channels + block - 1) / block * block; }
  int64_t groups() const { return (padded() + lanes() - 1) / lanes(); }
  // The last group of nhwc may overlap the one before it.
  int64_t first_channel(int64_t group) const { return std::min(group * lanes(), padded() - lanes()); }
  // Of a group's first channel in a picture whose planes have so many pixels.
  int64_t offset(int64_t group, int64_t pixels) const {
    const int64_t channel = first_channel(group);
    return channel / block * pixels * block + channel % block;
  }
};

Status read_activation(const NodeRequest& request, Problem& p) {
  using Kind = graph::PostOp::Kind;
  const auto& ops = request.node.post_ops;
  if (ops.empty()) return {};
  if (ops.size() > 1) return unsupported("more than one post-op");
  p.alpha = ops[0].alpha;
  p.beta = ops[0].beta;
  switch (ops[0].kind) {
    case Kind::kRelu: p.activation = vec::Unary::kRelu; return {};
    case Kind::kHardSwish: p.activation = vec::Unary::kHardSwish; return {};
    case Kind::kSwish: p.activation = vec::Unary::kSwish; return {};
    case Kind::kClip:
      if (p.alpha > 0 || p.beta < 0) return unsupported("a clip that moves the zeros of padding");
      p.activation = vec::Unary::kClip;
      return {};
    default: return unsupported("an activation other than Relu, Clip, HardSwish and Swish");
  }
}

Result<Problem> read_problem(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, 3));
  for (size_t i = 0; i < request.inputs.size(); ++i)
    if (has_input(request, i)) MOTET_RETURN_IF_ERROR(expect_type(request, i, {DType::kF32}));
  const Shape &in = request.inputs[0].shape, &weights = request.inputs[1].shape, &out = request.outputs[0].shape;
  if (in.size() != 4 || elements(in) == 0 || elements(out) == 0) return unsupported("not a picture");
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, DType::kF32, out));
  const int64_t channels = in[1];
  if (request.node.int_or("group", 1) != channels || weights.size() != 4 || weights[0] != channels || weights[1] != 1 ||
      out.size() != 4 || out[0] != in[0] || out[1] != channels)
    return unsupported("not one filter a channel");
  if (constant_input(request, 1) == nullptr) return unsupported("weights that are not constant");
  Problem p{.batch = in[0], .channels = channels, .biased = has_input(request, 2)};
  if (p.biased && request.inputs[2].shape != Shape{channels}) return unsupported("a bias of another extent");
  MOTET_ASSIGN(Window window, window_of(request, {weights[2], weights[3]}));
  p.rows = window.axes[1];
  p.columns = window.axes[2];
  const WindowAxis &r = p.rows, &c = p.columns;
  const bool square = r.kernel == c.kernel && r.stride == c.stride && r.dilation == 1 && c.dilation == 1;
  if (!square || (r.kernel != 3 && r.kernel != 5 && r.kernel != 7) || r.stride > 2)
    return unsupported("a window other than 3x3, 5x5 or 7x7 of stride 1 or 2");
  for (const WindowAxis& axis : {r, c}) {
    const int64_t lacking = axis.origin(axis.out - 1) + axis.kernel - axis.in;
    if (axis.pad_begin >= axis.kernel || lacking >= axis.kernel) return unsupported("padding as large as the window");
  }
  MOTET_RETURN_IF_ERROR(read_activation(request, p));
  p.layout = request.preferred != Layout::kRowMajor ? request.preferred : request.inputs[0].layout;
  p.block = p.layout == Layout::kNChw16c ? 16 : p.layout == Layout::kNChw8c ? 8 : channels;
  if (p.layout == Layout::kRowMajor) return unsupported("channels that do not lie side by side");
  if (p.block < p.lanes() || (p.layout != Layout::kNhwc && p.block % p.lanes() != 0))
    return unsupported("fewer channels side by side than a register holds");
  return p;
}

// [group][kernel][kernel][lanes]
WeightCache::Packed pack(const NodeRequest& request, const Problem& p) {
  const Tensor& constant = *constant_input(request, 1);
  auto fill = [constant, p](std::byte* memory) {
    const Reading reading = constant.read();
    auto* to = reinterpret_cast<float*>(memory);
    for (int64_t group = 0; group < p.groups(); ++group) {
      for (int64_t tap = 0; tap < p.taps(); ++tap) {
        for (int64_t i = 0; i < p.lanes(); ++i, ++to) {
          const int64_t channel = p.first_channel(group) + i;
          *to = 0;
          if (channel >= p.channels) continue;  // the file may hold it at any alignment
          std::memcpy(to, reading.data + static_cast<size_t>(channel * p.taps() + tap) * sizeof(float), sizeof(float));
        }
      }
    }
    graph::FileMap::release({reading.data, constant.bytes()});
  };
  const size_t bytes = static_cast<size_t>(p.groups() * p.taps() * p.lanes()) * sizeof(float);
  if (request.weights == nullptr) return std::make_shared<const PackedWeights>(bytes, std::move(fill));
  std::string form = "depthwise in groups of " + std::to_string(p.lanes());
  if (p.layout == Layout::kNhwc && p.channels % p.lanes() != 0) form += ", the last overlapping";
  return request.weights->get_or_pack(constant, form, bytes, std::move(fill));
}

class Depthwise final : public Kernel {
 public:
  Depthwise(const NodeRequest& request, const Problem& problem) : p_(problem), weights_(pack(request, problem)) {}

  void run(const KernelArgs& args, device::Team& team) const override {
    const int64_t work = p_.padded() * p_.columns.out * p_.taps();
    team.for_range(p_.batch * p_.rows.out, (kWorkOfPart + work - 1) / work, [&](int64_t begin, int64_t end) {
      for (int64_t at = begin; at < end;) {
        const int64_t picture = at / p_.rows.out, first = at % p_.rows.out;
        const int64_t last = std::min(p_.rows.out, first + end - at);
        run_rows(args, picture, first, last);
        at += last - first;
      }
    });
  }
  Status finish() const override {
    weights_->prepare();
    return {};
  }
  bool reads(size_t input) const override { return input != 1; }
  std::string implementation() const override { return std::string("own depthwise:") + vec::loops().isa; }
  Layout input_layout(size_t input) const override { return input == 0 ? p_.layout : Layout::kRowMajor; }
  Layout output_layout(size_t) const override { return p_.layout; }
  size_t packed_bytes() const override { return weights_->bytes(); }
  double flops() const override {
    return 2.0 * static_cast<double>(p_.batch * p_.channels * p_.rows.out) *
           static_cast<double>(p_.columns.out * p_.taps());
  }

 private:
  void run_rows(const KernelArgs& args, int64_t picture, int64_t first, int64_t last) const {
    const bool by_row = p_.layout == Layout::kNhwc;  // where the groups of a pixel are neighbours
    for (int64_t row = first; row < last; row += by_row ? 1 : last - first)
      for (int64_t group = 0; group < p_.groups(); ++group)
        run_group(args, picture, group, row, by_row ? row + 1 : last);
  }

  void run_group(const KernelArgs& args, int64_t picture, int64_t group, int64_t begin, int64_t end) const {
    const int64_t in = p_.rows.in * p_.columns.in, out = p_.rows.out * p_.columns.out;
    const int64_t channel = p_.first_channel(group), biased = std::min(p_.lanes(), p_.channels - channel);
    std::array<float, kMostLanes> bias{};
    if (p_.biased) std::copy_n(reinterpret_cast<const float*>(args.inputs[2].data) + channel, biased, bias.data());
    vec::loops().depthwise(
        {.x = reinterpret_cast<const float*>(args.inputs[0].data) + picture * p_.padded() * in + p_.offset(group, in),
         .weights = reinterpret_cast<const float*>(weights_->data()) + group * p_.taps() * p_.lanes(),
         .bias = bias.data(),
         .y = reinterpret_cast<float*>(args.outputs[0].data) + picture * p_.padded() * out + p_.offset(group, out),
         .pixel = p_.block,
         .rows = p_.rows.in,
         .columns = p_.columns.in,
         .out_columns = p_.columns.out,
         .begin = begin,
         .end = end,
         .kernel = p_.rows.kernel,
         .stride = p_.rows.stride,
         .pad_top = p_.rows.pad_begin,
         .pad_left = p_.columns.pad_begin,
         .activation = p_.activation,
         .alpha = p_.alpha,
         .beta = p_.beta});
  }

  const Problem p_;
  const WeightCache::Packed weights_;
};

}  // namespace

Result<KernelPtr> plan_depthwise(const NodeRequest& request) {
  MOTET_ASSIGN(const Problem problem, read_problem(request));
  return KernelPtr(std::make_unique<Depthwise>(request, problem));
}

}  // namespace motet::ops
