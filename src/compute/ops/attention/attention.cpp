// softmax(scale Q K' + bias) V, row by row; onnx/onnx docs/Operators.md, "Attention".
#include "compute/ops/attention/attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "compute/ops/support/dispatch.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"
#include "compute/ops/support/strided.h"

namespace motet::ops {
namespace {

enum Input : size_t { kQuery, kKey, kValue, kMask, kPastKey, kPastValue, kValid };

struct Geometry {
  int64_t batch = 0, heads = 0, kv_heads = 0;
  int64_t queries = 0, past = 0, fresh = 0;  // rows of Q, of the cache and of K
  int64_t key_size = 0, value_size = 0;      // per head
  bool flat = false;                         // [batch, rows, heads * size] instead of [batch, heads, rows, size]

  int64_t keys() const { return past + fresh; }
  // First element of a row of a [batch, count heads, rows, size] operand.
  int64_t at(int64_t b, int64_t h, int64_t row, int64_t count, int64_t rows, int64_t size) const {
    return flat ? ((b * rows + row) * count + h) * size : ((b * count + h) * rows + row) * size;
  }
};

struct Options {
  double scale = 1, softcap = 0;
  bool causal = false;
  bool masked = false, bool_mask = false, valid = false;
  int64_t left = -1, right = -1;  // sliding window; -1: open
  int64_t qk_mode = 0;
  Shape mask_strides;  // of [batch, head, query, key], 0 where it repeats
  int64_t mask_keys = 0;
};

Result<Geometry> geometry_of(const NodeRequest& request) {
  const Shape& q = request.inputs[kQuery].shape;
  const Shape& k = request.inputs[kKey].shape;
  const Shape& v = request.inputs[kValue].shape;
  Geometry g;
  g.flat = q.size() == 3;
  auto refuse = [&] {
    return unsupported("of " + describe(request.inputs[kQuery]) + ", " + describe(request.inputs[kKey]) + ", " +
                       describe(request.inputs[kValue]));
  };
  if (q.size() < 3 || q.size() > 4 || k.size() != q.size() || v.size() != q.size() || q[0] != k[0] || q[0] != v[0])
    return refuse();
  g.batch = q[0];
  g.heads = g.flat ? request.node.int_or("q_num_heads", 0) : q[1];
  g.kv_heads = g.flat ? request.node.int_or("kv_num_heads", 0) : k[1];
  if (g.heads < 1 || g.kv_heads < 1 || g.heads % g.kv_heads != 0) return refuse();
  const size_t rows = g.flat ? 1 : 2;
  g.queries = q[rows];
  g.fresh = k[rows];
  const int64_t divide = g.flat ? g.kv_heads : 1;
  g.key_size = k.back() / divide;
  g.value_size = v.back() / divide;
  const int64_t query_size = q.back() / (g.flat ? g.heads : 1);
  const bool whole = k.back() % divide == 0 && v.back() % divide == 0 && q.back() % (g.flat ? g.heads : 1) == 0;
  if (!whole || query_size != g.key_size || v[rows] != g.fresh || (!g.flat && v[1] != g.kv_heads)) return refuse();
  if (has_input(request, kPastKey) != has_input(request, kPastValue))
    return unsupported("past_key without past_value, or the other way round");
  if (has_input(request, kPastKey)) {
    const Shape& past = request.inputs[kPastKey].shape;
    if (past.size() != 4) return unsupported("past_key is " + describe(request.inputs[kPastKey]));
    g.past = past[2];
    for (size_t i : {size_t{kPastKey}, size_t{kPastValue}}) {
      const Shape wanted = {g.batch, g.kv_heads, g.past, i == kPastKey ? g.key_size : g.value_size};
      if (request.inputs[i].dtype != request.inputs[i - 3].dtype || request.inputs[i].shape != wanted)
        return unsupported("past_key or past_value is " + describe(request.inputs[i]) + ", not " +
                           describe({request.inputs[i - 3].dtype, wanted}));
    }
  }
  return g;
}

Status read_mask(const NodeRequest& request, const Geometry& g, Options& o) {
  if (!has_input(request, kMask)) return {};
  const TensorSpec& mask = request.inputs[kMask];
  o.masked = true;
  o.bool_mask = mask.dtype == DType::kBool;
  if (!o.bool_mask && mask.dtype != request.inputs[kQuery].dtype) return unsupported("attn_mask is " + describe(mask));
  if (mask.shape.empty() || mask.shape.size() > 4) return unsupported("attn_mask is " + describe(mask));
  Shape shape = mask.shape;
  shape.insert(shape.begin(), 4 - shape.size(), 1);
  const Shape wanted = {g.batch, g.heads, g.queries, g.keys()};
  Shape strides = strides_of(shape);
  for (size_t d = 0; d < 4; ++d) {
    // A mask may leave out the last keys: those are masked.
    const bool fits = shape[d] == wanted[d] || shape[d] == 1 || (d == 3 && shape[d] < wanted[d]);
    if (!fits)
      return unsupported("attn_mask is " + describe(mask) + ", which does not broadcast to " + shape_to_string(wanted));
    if (shape[d] == 1) strides[d] = 0;
  }
  const bool repeated = shape[3] == 1 && mask.shape.back() == 1 && wanted[3] > 1;
  o.mask_keys = repeated ? wanted[3] : shape[3];
  o.mask_strides = strides;
  return {};
}

Result<Options> options_of(const NodeRequest& request, const Geometry& g) {
  Options o;
  o.scale = request.node.find("scale") != nullptr
                ? static_cast<double>(request.node.float_or("scale", 1))
                : 1 / std::sqrt(static_cast<double>(std::max<int64_t>(g.key_size, 1)));
  o.softcap = static_cast<double>(request.node.float_or("softcap", 0));
  o.causal = request.node.int_or("is_causal", 0) != 0;
  o.left = request.node.int_or("left_window_size", -1);
  o.right = request.node.int_or("right_window_size", -1);
  o.qk_mode = request.node.int_or("qk_matmul_output_mode", 0);
  if (o.qk_mode < 0 || o.qk_mode > 3) return unsupported("qk_matmul_output_mode " + std::to_string(o.qk_mode));
  if (has_input(request, kValid)) {
    MOTET_RETURN_IF_ERROR(expect_type(request, kValid, {DType::kI64}));
    if (request.inputs[kValid].shape != Shape{g.batch})
      return unsupported("nonpad_kv_seqlen is " + describe(request.inputs[kValid]));
    if (g.past > 0) return unsupported("nonpad_kv_seqlen together with past_key");
    o.valid = true;
  }
  MOTET_RETURN_IF_ERROR(read_mask(request, g, o));
  return o;
}

// Whether query i, counted from the start of the cache, may look at key j.
bool allowed(const Options& o, int64_t position, int64_t key) {
  if (o.causal && key > position) return false;
  if (o.left >= 0 && position - key > o.left) return false;
  return o.right < 0 || key - position <= o.right;
}

template <class T>
struct Run {
  const Geometry& g;
  const Options& o;
  const KernelArgs& args;

  const T* row(const T* fresh, const T* past, int64_t b, int64_t h, int64_t j, int64_t size) const {
    if (j < g.past) return past + ((b * g.kv_heads + h) * g.past + j) * size;
    return fresh + g.at(b, h, j - g.past, g.kv_heads, g.fresh, size);
  }

  // What is added to the score of (b, h, i, j).
  T bias(int64_t b, int64_t h, int64_t i, int64_t j, int64_t offset, int64_t valid) const {
    constexpr T kNever = -std::numeric_limits<T>::infinity();
    if (j >= valid || !allowed(o, i + offset, j)) return kNever;
    if (!o.masked) return 0;
    if (j >= o.mask_keys) return kNever;
    const int64_t at = b * o.mask_strides[0] + h * o.mask_strides[1] + i * o.mask_strides[2] + j * o.mask_strides[3];
    if (o.bool_mask) return input_data<bool>(args, kMask)[at] ? T(0) : kNever;
    return input_data<T>(args, kMask)[at];
  }

  void scores(const T* q, int64_t b, int64_t kv, T* out) const {
    const T* key = input_data<T>(args, kKey);
    const T* past = g.past > 0 ? input_data<T>(args, kPastKey) : nullptr;
    const T root = static_cast<T>(std::sqrt(o.scale));
    for (int64_t j = 0; j < g.keys(); ++j) {
      const T* k = row(key, past, b, kv, j, g.key_size);
      T sum = 0;
      for (int64_t d = 0; d < g.key_size; ++d) sum += (q[d] * root) * (k[d] * root);
      out[j] = sum;
    }
  }

  // Query i of head h of batch b: `p` is room for one number a key, and what qk_matmul_output shows of them goes to
  // `seen`, if not null.
  void query(int64_t b, int64_t h, int64_t i, T* p, T* seen) const {
    const int64_t kv = h / (g.heads / g.kv_heads), keys = g.keys();
    const int64_t valid = o.valid ? input_data<int64_t>(args, kValid)[b] : keys;
    const int64_t offset = o.valid ? valid - g.queries : g.past;
    auto show = [&](int64_t mode) {
      if (seen != nullptr && o.qk_mode == mode) std::copy_n(p, keys, seen);
    };
    scores(input_data<T>(args, kQuery) + g.at(b, h, i, g.heads, g.queries, g.key_size), b, kv, p);
    show(0);
    if (o.softcap > 0) {
      const T cap = static_cast<T>(o.softcap);
      for (int64_t j = 0; j < keys; ++j) p[j] = std::tanh(p[j] / cap) * cap;
    }
    show(1);
    constexpr T kNever = -std::numeric_limits<T>::infinity();
    T largest = kNever;
    bool open = false;
    for (int64_t j = 0; j < keys; ++j) {
      const T add = bias(b, h, i, j, offset, valid);
      open = open || add != kNever;
      p[j] = add == kNever ? kNever : p[j] + add;
      largest = std::max(largest, p[j]);
    }
    show(2);
    // A query that may look at no key gives zeros.
    T sum = 0;
    for (int64_t j = 0; j < keys; ++j) sum += p[j] = open ? std::exp(p[j] - largest) : T(0);
    for (int64_t j = 0; open && j < keys; ++j) p[j] /= sum;
    show(3);
    T* y = output_data<T>(args, 0) + g.at(b, h, i, g.heads, g.queries, g.value_size);
    std::fill_n(y, g.value_size, T(0));
    const T* value = input_data<T>(args, kValue);
    const T* past = g.past > 0 ? input_data<T>(args, kPastValue) : nullptr;
    for (int64_t j = 0; j < keys; ++j) {
      if (p[j] == 0) continue;
      const T* v = row(value, past, b, kv, j, g.value_size);
      for (int64_t d = 0; d < g.value_size; ++d) y[d] += p[j] * v[d];
    }
  }
};

// present = past, then what is new, as [batch, heads, rows, size].
template <class T>
void write_present(const Geometry& g, const T* fresh, const T* past, int64_t size, T* present, device::Team& team) {
  team.for_range(g.batch * g.kv_heads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t bh = begin; bh < end; ++bh) {
      T* to = present + bh * g.keys() * size;
      if (g.past > 0) std::copy_n(past + bh * g.past * size, g.past * size, to);
      for (int64_t j = 0; j < g.fresh; ++j)
        std::copy_n(fresh + g.at(bh / g.kv_heads, bh % g.kv_heads, j, g.kv_heads, g.fresh, size), size,
                    to + (g.past + j) * size);
    }
  });
}

template <class T>
KernelPtr attention_kernel(const NodeRequest& request, const Geometry& g, const Options& o) {
  const bool keys_out = has_output(request, 1), values_out = has_output(request, 2), seen_out = has_output(request, 3);
  const int64_t rows = g.batch * g.heads * g.queries;
  const auto parts = static_cast<size_t>(std::max(1, request.max_width));
  const size_t row_bytes = (static_cast<size_t>(g.keys()) * sizeof(T) + 63) / 64 * 64;
  return make_kernel(
      [=](const KernelArgs& args, device::Team& team) {
        const Run<T> run{g, o, args};
        auto body = [&](int part, int all) {
          T* p = reinterpret_cast<T*>(args.scratch + static_cast<size_t>(part) * row_bytes);
          for (int64_t r = rows * part / all; r < rows * (part + 1) / all; ++r) {
            T* seen = seen_out ? output_data<T>(args, 3) + r * g.keys() : nullptr;
            run.query(r / (g.heads * g.queries), r / g.queries % g.heads, r % g.queries, p, seen);
          }
        };
        team.run(static_cast<int>(std::min<int64_t>(std::max<int64_t>(rows, 1), static_cast<int64_t>(parts))),
                 device::PartFunction(body));
        const T* past_key = g.past > 0 ? input_data<T>(args, kPastKey) : nullptr;
        const T* past_value = g.past > 0 ? input_data<T>(args, kPastValue) : nullptr;
        if (keys_out) write_present(g, input_data<T>(args, kKey), past_key, g.key_size, output_data<T>(args, 1), team);
        if (values_out)
          write_present(g, input_data<T>(args, kValue), past_value, g.value_size, output_data<T>(args, 2), team);
      },
      {.scratch_bytes = parts * row_bytes,
       .flops = 2.0 * static_cast<double>(rows * g.keys() * (g.key_size + g.value_size))});
}

}  // namespace

Result<KernelPtr> plan_attention(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 3, 7));
  const DType dtype = request.inputs[kQuery].dtype;
  if (request.inputs[kKey].dtype != dtype || request.inputs[kValue].dtype != dtype)
    return unsupported("Q, K and V are of different types");
  MOTET_ASSIGN(const Geometry g, geometry_of(request));
  MOTET_ASSIGN(const Options o, options_of(request, g));
  const Shape y =
      g.flat ? Shape{g.batch, g.queries, g.heads * g.value_size} : Shape{g.batch, g.heads, g.queries, g.value_size};
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, dtype, y));
  MOTET_RETURN_IF_ERROR(expect_output(request, 1, dtype, {g.batch, g.kv_heads, g.keys(), g.key_size}));
  MOTET_RETURN_IF_ERROR(expect_output(request, 2, dtype, {g.batch, g.kv_heads, g.keys(), g.value_size}));
  MOTET_RETURN_IF_ERROR(expect_output(request, 3, dtype, {g.batch, g.heads, g.queries, g.keys()}));
  if (dtype == DType::kF32) return attention_kernel<float>(request, g, o);
  if (dtype == DType::kF64) return attention_kernel<double>(request, g, o);
  return unsupported("of " + describe(request.inputs[kQuery]));
}

}  // namespace motet::ops
