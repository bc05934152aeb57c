// Attention, rotary embeddings and signal transforms: the larger ops of recent opsets.
#include "compute/graph/infer.h"

namespace motet::graph {
namespace {

std::optional<SymShape> copy_of(const SymShape* shape) {
  return shape == nullptr ? std::nullopt : std::optional(*shape);
}

// Q, K, V as [batch, heads, sequence, head size], or [batch, sequence, heads * head size] with the head counts as
// attributes.
Status attention(Inference& n) {
  const SymShape* q = n.shape(0);
  const SymShape* k = n.shape(1);
  const SymShape* v = n.shape(2);
  for (size_t i = 0; i < 3; ++i) MOTET_RETURN_IF_ERROR(n.check_rank(i, 3, 4));
  if (q == nullptr || k == nullptr || v == nullptr || q->size() != k->size() || k->size() != v->size()) {
    for (size_t o = 0; o < 4; ++o) n.set(o, n.dtype(0), std::nullopt);
    return {};
  }
  bool flat = q->size() == 3;
  int64_t q_heads = n.node().int_or("q_num_heads", 0), kv_heads = n.node().int_or("kv_num_heads", 0);
  if (flat && (q_heads < 1 || kv_heads < 1)) return n.error("inputs of rank 3 need q_num_heads and kv_num_heads");
  auto divide = [](const Dim& d, int64_t by) { return d.known() ? dim_of(d.extent / by) : unknown_dim(); };
  Dim heads = flat ? dim_of(q_heads) : (*q)[1];
  Dim kv = flat ? dim_of(kv_heads) : (*k)[1];
  Dim head_k = flat ? divide((*k)[2], kv_heads) : (*k)[3];
  Dim head_v = flat ? divide((*v)[2], kv_heads) : (*v)[3];
  Dim steps = (*q)[flat ? 1 : 2];
  Dim fresh = (*k)[flat ? 1 : 2];
  const SymShape* past = n.shape(4);
  Dim total = !n.has(4) ? fresh : past != nullptr && past->size() == 4 ? add((*past)[2], fresh) : unknown_dim();
  n.set(0, n.dtype(0),
        flat ? SymShape{(*q)[0], steps, multiply(heads, head_v)} : SymShape{(*q)[0], heads, steps, head_v});
  n.set(1, n.dtype(1), SymShape{(*q)[0], kv, total, head_k});
  n.set(2, n.dtype(2), SymShape{(*q)[0], kv, total, head_v});
  n.set(3, n.dtype(0), SymShape{(*q)[0], heads, steps, total});
  return {};
}

Status same_as_first(Inference& n) {
  n.set(0, n.dtype(0), copy_of(n.shape(0)));
  return {};
}

// DFT: the last dimension is 1 (real) or 2 (complex).
Status dft(Inference& n) {
  const SymShape* x = n.shape(0);
  if (x == nullptr || x->size() < 2) {
    n.set(0, n.dtype(0), std::nullopt);
    return {};
  }
  SymShape to = *x;
  bool one_sided = n.node().int_or("onesided", 0) != 0, inverse = n.node().int_or("inverse", 0) != 0;
  auto told =
      n.has(2) ? n.ints(2) : std::optional(std::vector<int64_t>{n.node().int_or("axis", n.node().opset < 20 ? 1 : -2)});
  to.back() = inverse && one_sided ? dim_of(1) : dim_of(2);
  if (!told || told->size() != 1) {
    for (size_t i = 0; i + 1 < to.size(); ++i) to[i] = unknown_dim();
    n.set(0, n.dtype(0), to);
    return {};
  }
  MOTET_ASSIGN(size_t axis, n.axis((*told)[0], x->size()));
  auto length = n.data(1);
  Dim extent = n.has(1) ? (length && length->size() == 1 ? (*length)[0].dim() : unknown_dim()) : (*x)[axis];
  if (one_sided && !inverse) extent = extent.known() ? dim_of(extent.extent / 2 + 1) : unknown_dim();
  if (one_sided && inverse && !n.has(1))
    extent = extent.known() && extent.extent > 0 ? dim_of(2 * (extent.extent - 1)) : unknown_dim();
  to[axis] = extent;
  n.set(0, n.dtype(0), to);
  return {};
}

// signal [batch, length, 1 or 2], step, window or frame length -> [batch, frames, bins, 2].
Status stft(Inference& n) {
  const SymShape* x = n.shape(0);
  SymShape to = unknown_shape(4);
  to[3] = dim_of(2);
  if (x != nullptr && x->size() >= 2) {
    to[0] = (*x)[0];
    auto step = n.ints(1), told = n.ints(3);
    Dim frame = told && told->size() == 1 ? Int{(*told)[0], ""}.dim() : unknown_dim();
    const SymShape* win = n.shape(2);
    if (!n.has(3) && win != nullptr && win->size() == 1) frame = (*win)[0];
    if (frame.known()) to[2] = dim_of(n.node().int_or("onesided", 1) != 0 ? frame.extent / 2 + 1 : frame.extent);
    bool known = frame.known() && (*x)[1].known() && step && step->size() == 1 && (*step)[0] > 0 &&
                 (*x)[1].extent >= frame.extent;
    if (known) to[1] = dim_of(((*x)[1].extent - frame.extent) / (*step)[0] + 1);
  }
  n.set(0, n.dtype(0), to);
  return {};
}

Status signal_window(Inference& n) {
  auto size = n.data(0);
  int64_t told = n.node().int_or("output_datatype", 1);
  n.set(0, told > 0 && told < 1000 ? dtype_from_onnx(static_cast<int>(told)) : std::nullopt,
        SymShape{size && size->size() == 1 ? (*size)[0].dim() : unknown_dim()});
  return {};
}

// [bins of the spectrum, bins of the mel scale].
Status mel_weight_matrix(Inference& n) {
  SymShape to = unknown_shape(2);
  auto bins = n.data(0), length = n.data(1);
  if (length && length->size() == 1 && (*length)[0].value && *(*length)[0].value >= 0)
    to[0] = dim_of(*(*length)[0].value / 2 + 1);
  if (bins && bins->size() == 1) to[1] = (*bins)[0].dim();
  int64_t told = n.node().int_or("output_datatype", 1);
  n.set(0, told > 0 && told < 1000 ? dtype_from_onnx(static_cast<int>(told)) : std::nullopt, to);
  return {};
}

constexpr RuleRow kRules[] = {
    {"Attention", attention},
    {"MelWeightMatrix", mel_weight_matrix},
    {"RotaryEmbedding", same_as_first},
    {"DFT", dft},
    {"STFT", stft},
    {"HannWindow", signal_window},
    {"HammingWindow", signal_window},
    {"BlackmanWindow", signal_window},
};

}  // namespace

std::span<const RuleRow> attention_rules() { return kRules; }

}  // namespace motet::graph
