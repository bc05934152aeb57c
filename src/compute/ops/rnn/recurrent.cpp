#include "compute/ops/rnn/recurrent.h"

namespace motet::ops {
namespace {

Status expect(const NodeRequest& request, size_t i, DType dtype, const Shape& shape) {
  if (!has_input(request, i)) return {};
  if (request.inputs[i].dtype == dtype && request.inputs[i].shape == shape) return {};
  return unsupported("input " + std::to_string(i) + " is " + describe(request.inputs[i]) + ", not " +
                     describe({dtype, shape}));
}

}  // namespace

Result<Recurrent> recurrent_of(const NodeRequest& request, int64_t gates,
                               const std::vector<std::string_view>& activations) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 3, 8));
  MOTET_RETURN_IF_ERROR(expect_type(request, 0, {DType::kF32, DType::kF64}));
  const TensorSpec &x = request.inputs[0], &w = request.inputs[1], &recur = request.inputs[2];
  if (x.shape.size() != 3 || w.shape.size() != 3 || recur.shape.size() != 3) {
    return unsupported("X " + describe(x) + ", W " + describe(w) + ", R " + describe(recur) +
                       "; three extents each are possible");
  }
  Recurrent r;
  r.gates = gates;
  r.batch_first = request.node.int_or("layout", 0) != 0;
  r.time = x.shape[r.batch_first ? 1 : 0];
  r.batch = x.shape[r.batch_first ? 0 : 1];
  r.input = x.shape[2];
  r.hidden = recur.shape[2];
  const std::string direction = request.node.string_or("direction", "forward");
  if (direction != "forward" && direction != "reverse" && direction != "bidirectional")
    return unsupported("direction '" + direction + "'");
  r.directions = direction == "bidirectional" ? 2 : 1;
  r.reverse_first = direction == "reverse";
  r.clip = request.node.float_or("clip", 0);
  if (request.node.int_or("hidden_size", r.hidden) != r.hidden) {
    return unsupported("hidden_size " + std::to_string(request.node.int_or("hidden_size", 0)) + " where R is " +
                       describe(recur));
  }
  const DType t = x.dtype;
  MOTET_RETURN_IF_ERROR(expect(request, 1, t, {r.directions, r.row(), r.input}));
  MOTET_RETURN_IF_ERROR(expect(request, 2, t, {r.directions, r.row(), r.hidden}));
  MOTET_RETURN_IF_ERROR(expect(request, 3, t, {r.directions, 2 * r.row()}));
  MOTET_RETURN_IF_ERROR(expect(request, 4, DType::kI32, {r.batch}));
  const Shape state = r.batch_first ? Shape{r.batch, r.directions, r.hidden} : Shape{r.directions, r.batch, r.hidden};
  MOTET_RETURN_IF_ERROR(expect(request, 5, t, state));
  MOTET_RETURN_IF_ERROR(expect(request, 6, t, state));
  r.biased = has_input(request, 3);
  r.lengths = has_input(request, 4);
  r.initial_h = has_input(request, 5);
  const Shape all =
      r.batch_first ? Shape{r.batch, r.time, r.directions, r.hidden} : Shape{r.time, r.directions, r.batch, r.hidden};
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, t, all));
  MOTET_RETURN_IF_ERROR(expect_output(request, 1, t, state));
  MOTET_RETURN_IF_ERROR(expect_output(request, 2, t, state));
  MOTET_ASSIGN(r.activations, activations_of(request.node, activations, static_cast<size_t>(r.directions)));
  return r;
}

}  // namespace motet::ops
