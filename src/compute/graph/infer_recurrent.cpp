// LSTM, GRU and RNN.
#include "compute/graph/infer.h"

namespace motet::graph {
namespace {

// X [seq, batch, in] (layout 1: [batch, seq, in]), W [directions, gates * hidden, in], R [directions, gates * hidden,
// hidden].
Status recurrent(Inference& n) {
  MOTET_RETURN_IF_ERROR(n.check_rank(0, 3, 3));
  MOTET_RETURN_IF_ERROR(n.check_rank(1, 3, 3));
  MOTET_RETURN_IF_ERROR(n.check_rank(2, 3, 3));
  const SymShape* x = n.shape(0);
  const SymShape* w = n.shape(1);
  const SymShape* r = n.shape(2);
  std::string direction = n.node().string_or("direction", "forward");
  if (direction != "forward" && direction != "reverse" && direction != "bidirectional") {
    return n.error("direction is '" + direction + "'; accepted are forward, reverse and bidirectional");
  }
  Dim directions = dim_of(direction == "bidirectional" ? 2 : 1);
  Dim hidden = r == nullptr ? unknown_dim() : (*r)[2];
  int64_t told = n.node().int_or("hidden_size", -1);
  if (told > 0 && conflict(hidden, dim_of(told))) {
    return n.error("hidden_size is " + std::to_string(told) + " but its weights have shape " + shape_text(*r));
  }
  if (told > 0) hidden = dim_of(told);
  int64_t gates = n.node().op == "LSTM" ? 4 : n.node().op == "GRU" ? 3 : 1;
  for (const SymShape* weights : {w, r}) {
    if (weights == nullptr) continue;
    if (conflict((*weights)[0], directions) || conflict((*weights)[1], multiply(hidden, dim_of(gates)))) {
      return n.error("weights of shape " + shape_text(*weights) + " do not fit " + std::to_string(directions.extent) +
                     " directions of " + std::to_string(gates) + " gates of " + std::to_string(hidden.extent));
    }
  }
  if (x != nullptr && w != nullptr && conflict((*x)[2], (*w)[2])) {
    return n.error("its input has shape " + shape_text(*x) + ", but its weights take " +
                   std::to_string((*w)[2].extent) + " features");
  }
  bool batch_first = n.node().int_or("layout", 0) != 0;
  Dim steps = x == nullptr ? unknown_dim() : (*x)[batch_first ? 1 : 0];
  Dim batch = x == nullptr ? unknown_dim() : (*x)[batch_first ? 0 : 1];
  SymShape all = batch_first ? SymShape{batch, steps, directions, hidden} : SymShape{steps, directions, batch, hidden};
  SymShape last = batch_first ? SymShape{batch, directions, hidden} : SymShape{directions, batch, hidden};
  n.set(0, n.dtype(0), all);
  n.set(1, n.dtype(0), last);
  n.set(2, n.dtype(0), last);
  return {};
}

constexpr RuleRow kRules[] = {{"LSTM", recurrent}, {"GRU", recurrent}, {"RNN", recurrent}};

}  // namespace

std::span<const RuleRow> recurrent_rules() { return kRules; }

}  // namespace motet::graph
