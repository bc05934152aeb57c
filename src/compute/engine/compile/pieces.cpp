#include "compute/engine/compile/pieces.h"

namespace motet::engine {
namespace {

class Pieces final : public ops::Kernel {
 public:
  // `batched` says which inputs have the batch; all outputs do.
  Pieces(ops::KernelPtr kernel, int pieces, std::vector<bool> batched)
      : kernel_(std::move(kernel)), pieces_(pieces), batched_(std::move(batched)) {}

  // Every piece's kernel announces its stages, so a slice runs what is its own of each.
  void run(const ops::KernelArgs& args, device::Team& team) const override {
    std::vector<TensorView> inputs(args.inputs.begin(), args.inputs.end());
    std::vector<TensorView> outputs(args.outputs.begin(), args.outputs.end());
    auto take = [&](TensorView& view) { view.shape[0] /= pieces_; };
    for (size_t i = 0; i < inputs.size(); ++i)
      if (batched_[i]) take(inputs[i]);
    for (TensorView& view : outputs) take(view);
    ops::KernelArgs piece = args;
    piece.inputs = inputs;
    piece.outputs = outputs;
    for (int p = 0; p < pieces_; ++p) {
      kernel_->run(piece, team);
      for (size_t i = 0; i < inputs.size(); ++i)
        if (batched_[i]) inputs[i].data += bytes(inputs[i], kernel_->input_layout(i));
      for (size_t o = 0; o < outputs.size(); ++o) outputs[o].data += bytes(outputs[o], kernel_->output_layout(o));
    }
  }

  Status finish() const override { return kernel_->finish(); }
  bool reads(size_t input) const override { return kernel_->reads(input); }
  std::string implementation() const override {
    return kernel_->implementation() + " in " + std::to_string(pieces_) + " pieces";
  }
  ops::Layout input_layout(size_t input) const override { return kernel_->input_layout(input); }
  ops::Layout output_layout(size_t output) const override { return kernel_->output_layout(output); }
  size_t scratch_bytes() const override { return kernel_->scratch_bytes(); }
  int output_in_place_of(size_t output) const override { return kernel_->output_in_place_of(output); }
  bool must_be_in_place() const override { return kernel_->must_be_in_place(); }
  size_t packed_bytes() const override { return kernel_->packed_bytes(); }
  bool meets_barriers() const override { return kernel_->meets_barriers(); }
  double flops() const override { return kernel_->flops() * pieces_; }

 private:
  static size_t bytes(const TensorView& view, ops::Layout layout) {
    return ops::TensorSpec{view.dtype, view.shape, layout}.bytes();
  }

  const ops::KernelPtr kernel_;
  const int pieces_;
  const std::vector<bool> batched_;
};

// Input 0, and the residual of a fused addition.
std::vector<bool> batched_inputs(const ops::NodeRequest& request) {
  std::vector<bool> batched(request.inputs.size());
  batched[0] = true;
  for (const graph::PostOp& op : request.node.post_ops)
    if (op.kind == graph::PostOp::Kind::kAdd) batched[static_cast<size_t>(op.input)] = true;
  return batched;
}

}  // namespace

bool can_piece(const ops::NodeRequest& request, int pieces) {
  if (request.node.op != "Conv" || !request.node.domain.empty() || pieces < 2) return false;
  std::vector<bool> batched = batched_inputs(request);
  for (size_t i = 0; i < batched.size(); ++i)
    if (batched[i] && (request.inputs[i].shape.size() != 4 || request.inputs[i].shape[0] % pieces != 0)) return false;
  return true;
}

Result<ops::Planned> plan_pieces(const ops::NodeRequest& request, int pieces) {
  std::vector<bool> batched = batched_inputs(request);
  std::vector<ops::TensorSpec> inputs(request.inputs.begin(), request.inputs.end());
  std::vector<ops::TensorSpec> outputs(request.outputs.begin(), request.outputs.end());
  for (size_t i = 0; i < inputs.size(); ++i)
    if (batched[i]) inputs[i].shape[0] /= pieces;
  for (ops::TensorSpec& output : outputs) output.shape[0] /= pieces;
  ops::NodeRequest piece = request;
  piece.inputs = inputs;
  piece.outputs = outputs;
  MOTET_ASSIGN(ops::Planned planned, ops::plan_kernel(piece));
  planned.kernel = std::make_unique<Pieces>(std::move(planned.kernel), pieces, std::move(batched));
  return planned;
}

}  // namespace motet::engine
