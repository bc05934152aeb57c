// Kernels with bf16 operands against the same node in f32 on the same rounded inputs: the difference is what rounding
// the result, and in products the weights, explains.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>

#include "base/random.h"
#include "compute/device/slice_team.h"
#include "compute/ops/onednn/onednn.h"
#include "compute/ops/registry.h"
#include "compute/ops/testing/harness.h"
#include "compute/ops/vector/winograd.h"

namespace motet::ops {
namespace {

constexpr double kUnit = 1.0 / 256;  // half the distance of neighbouring bf16 numbers, relative

Tensor drawn(Shape shape, uint64_t seed) {
  Tensor tensor = Tensor::zeros(DType::kF32, std::move(shape));
  Random random(seed, "bf16 test");
  for (float& x : tensor.view().as<float>())
    x = bf16_to_float(float_to_bf16(static_cast<float>(random.uniform() * 2 - 1)));
  return tensor;
}

// Memory of a tensor in any form.
struct Held {
  TensorSpec spec;
  Tensor bytes;
  std::byte* data() const { return bytes.view().data; }
  TensorView view() const { return {spec.dtype, spec.shape, data()}; }
};

Held hold(const TensorSpec& spec) { return {spec, Tensor::zeros(DType::kU8, {static_cast<int64_t>(spec.bytes())})}; }

Held converted(const Held& from, TensorSpec to) {
  if (from.spec == to) return from;
  auto kernel = plan_reorder(from.spec, to, 1);
  EXPECT_TRUE(kernel.ok()) << kernel.error().message;
  Held result = hold(to);
  Tensor scratch = Tensor::zeros(DType::kU8, {static_cast<int64_t>((*kernel)->scratch_bytes())});
  TensorView in = from.view(), out = result.view();
  (*kernel)->run({.inputs = {&in, 1}, .outputs = {&out, 1}, .scratch = scratch.view().data}, device::Team::serial());
  return result;
}

struct Example {
  graph::Node node;
  std::vector<Tensor> inputs;
  std::vector<bool> constant;
  Shape result;
  bool winograd = false;
};

graph::Node node_of(std::string op, size_t inputs,
                    std::map<std::string, graph::Attribute, std::less<>> attributes = {}) {
  graph::Node node;
  node.op = std::move(op);
  node.opset = 20;
  node.attributes = std::move(attributes);
  for (size_t i = 0; i < inputs; ++i) node.inputs.push_back(static_cast<graph::ValueId>(i));
  node.outputs = {100};
  return node;
}

// The result as f32, computed with non-constant operands and the result of type `dtype`; nothing if all refuse.
std::optional<std::vector<float>> run(const Example& example, DType dtype, Layout layout, device::Team& team) {
  const bool lowered = dtype == DType::kBF16;
  size_t count = example.inputs.size();
  std::vector<TensorSpec> inputs;
  std::vector<const Tensor*> constants(count, nullptr);
  auto present = std::make_unique<bool[]>(count);
  for (size_t i = 0; i < count; ++i) {
    present[i] = true;
    inputs.push_back({DType::kF32, example.inputs[i].shape()});
    if (example.constant[i])
      constants[i] = &example.inputs[i];
    else
      inputs[i].dtype = dtype;
    if (!example.constant[i] && inputs[i].shape.size() == 4) inputs[i].layout = layout;
  }
  std::vector<TensorSpec> outputs = {{dtype, example.result}};
  auto planned = plan_kernel({.node = example.node,
                              .inputs = inputs,
                              .present = {present.get(), count},
                              .constants = constants,
                              .outputs = outputs,
                              .preferred = layout,
                              .max_width = team.width(),
                              .winograd = example.winograd && lowered,
                              .lowered = lowered});
  if (!planned.ok()) return std::nullopt;
  const Kernel& kernel = *planned->kernel;
  if (example.winograd && lowered && (layout == Layout::kNhwc || layout == Layout::kNChw16c))
    EXPECT_EQ(kernel.implementation(), "own winograd 2x2 bf16");
  std::vector<Held> held;
  std::vector<TensorView> views;
  for (size_t i = 0; i < count; ++i) {
    Held plain{{DType::kF32, example.inputs[i].shape()}, example.inputs[i]};
    TensorSpec wanted = inputs[i];
    wanted.layout = kernel.input_layout(i);
    held.push_back(converted(plain, wanted));
    views.push_back(held.back().view());
  }
  TensorSpec out = outputs[0];
  out.layout = kernel.output_layout(0);
  Held result = hold(out);
  if (kernel.must_be_in_place()) {
    auto from = static_cast<size_t>(kernel.output_in_place_of(0));
    std::copy_n(views[from].data, out.bytes(), result.data());
    views[from].data = result.data();
  }
  Tensor scratch = Tensor::zeros(DType::kU8, {static_cast<int64_t>(kernel.scratch_bytes() + 64)});
  TensorView view = result.view();
  kernel.run({.inputs = views, .outputs = {&view, 1}, .scratch = scratch.view().data}, team);
  Held plain = converted(result, {DType::kF32, example.result});
  const auto* values = reinterpret_cast<const float*>(plain.data());
  return std::vector<float>(values, values + elements(example.result));
}

void expect_close(const Example& example, double tolerance, bool required = true) {
  for (Layout layout : {Layout::kRowMajor, Layout::kNhwc, Layout::kNChw16c, Layout::kNChw8c}) {
    auto want = run(example, DType::kF32, layout, device::Team::serial());
    auto got = run(example, DType::kBF16, layout, device::Team::serial());
    ASSERT_TRUE(want) << example.node.op;
    if (!got) {
      EXPECT_FALSE(required) << example.node.op << " has no kernel for bf16";
      continue;
    }
    double scale = 1e-3;
    for (float v : *want) scale = std::max(scale, static_cast<double>(std::abs(v)));
    for (size_t i = 0; i < want->size(); ++i)
      ASSERT_NEAR((*got)[i], (*want)[i], tolerance * scale) << example.node.op << ", element " << i;
    device::SliceTeam wide(device::Team::serial(), 3);
    EXPECT_EQ(*run(example, DType::kBF16, layout, wide), *got) << example.node.op << " differs at width 3";
  }
}

TEST(Bf16, ConversionsRoundToNearestEven) {
  std::vector<float> values = {0.0F, -0.0F, 1.0F, 1.00390625F, 1.01171875F, -3.14159F, 1e-40F, 3.4e38F, INFINITY, NAN};
  for (int i = 0; i < 2000; ++i) values.push_back(static_cast<float>(i) * 0.37F - 300);
  Tensor plain = Tensor::of<float>({static_cast<int64_t>(values.size())}, values);
  Held narrow = converted({{DType::kF32, plain.shape()}, plain}, {DType::kBF16, plain.shape()});
  const auto* bits = reinterpret_cast<const uint16_t*>(narrow.data());
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::isnan(values[i]))
      EXPECT_TRUE(std::isnan(bf16_to_float(bits[i])));
    else
      EXPECT_EQ(bits[i], float_to_bf16(values[i])) << values[i];
  }
}

TEST(Bf16, ReordersBetweenLayoutsAndTypes) {
  Tensor plain = drawn({2, 19, 5, 3}, 1);
  for (Layout layout : {Layout::kRowMajor, Layout::kNhwc, Layout::kNChw8c, Layout::kNChw16c}) {
    Held there = converted({{DType::kF32, plain.shape()}, plain}, {DType::kBF16, plain.shape(), layout});
    Held between = converted(there, {DType::kBF16, plain.shape(), Layout::kRowMajor});
    Held back = converted(between, {DType::kF32, plain.shape()});
    EXPECT_EQ(std::memcmp(back.data(), plain.view().data, plain.view().bytes()), 0);
    Held at_once = converted(there, {DType::kF32, plain.shape()});
    EXPECT_EQ(std::memcmp(at_once.data(), plain.view().data, plain.view().bytes()), 0);
  }
}

TEST(Bf16, ElementwiseInEveryLayout) {
  for (Shape shape : {Shape{2, 19, 7, 5}, Shape{1, 32, 33, 17}}) {
    for (const char* op : {"Relu", "Sigmoid", "Tanh", "Gelu", "Exp", "Abs", "HardSwish", "Swish", "Erf"})
      expect_close({node_of(op, 1), {drawn(shape, 2)}, {false}, shape}, 2 * kUnit);
    for (const char* op : {"Add", "Sub", "Mul"}) {
      expect_close({node_of(op, 2), {drawn(shape, 3), drawn(shape, 4)}, {false, false}, shape}, 2 * kUnit);
      expect_close({node_of(op, 2), {drawn(shape, 3), drawn({shape[1], 1, 1}, 5)}, {false, true}, shape}, 2 * kUnit);
    }
  }
}

TEST(Bf16, Rows) {
  const bool required = onednn::has_bf16();  // elsewhere no program is bf16, and what has kernels is tested
  Shape shape{3, 17, 65};
  expect_close({node_of("Softmax", 1), {drawn(shape, 6)}, {false}, shape}, 2 * kUnit, required);
  expect_close(
      {node_of("LayerNormalization", 3), {drawn(shape, 7), drawn({65}, 8), drawn({65}, 9)}, {false, true, true}, shape},
      2 * kUnit, required);
  expect_close(
      {node_of("Transpose", 1, {{"perm", std::vector<int64_t>{2, 0, 1}}}), {drawn(shape, 10)}, {false}, {65, 3, 17}}, 0,
      required);
}

TEST(Bf16, GroupNormalization) {
  for (const Shape& shape : {Shape{2, 32, 13, 9}, Shape{1, 96, 31, 17}}) {
    const int64_t channels = shape[1];
    for (bool relu : {false, true}) {
      graph::Node node = node_of("GroupNormalization", 3, {{"num_groups", int64_t{8}}});
      node.opset = 21;
      if (relu) node.post_ops = {{.kind = graph::PostOp::Kind::kRelu}};
      // Row-major has no kernel for bf16.
      expect_close({node, {drawn(shape, 50), drawn({channels}, 51), drawn({channels}, 52)}, {false, true, true}, shape},
                   2 * kUnit, false);
    }
  }
}

TEST(Bf16, Products) {
  if (!onednn::has_bf16()) GTEST_SKIP() << "this CPU has " << onednn::isa_name();
  // Rounding of 64 to 128 products' weights adds up like their root.
  for (int64_t m : {1, 5, 64}) {
    expect_close({node_of("MatMul", 2), {drawn({m, 96}, 11), drawn({96, 33}, 12)}, {false, true}, {m, 33}}, 2 * kUnit);
    graph::Node fused = node_of("MatMul", 4);
    fused.post_ops = {{.kind = graph::PostOp::Kind::kAdd, .input = 3}, {.kind = graph::PostOp::Kind::kRelu}};
    expect_close({fused,
                  {drawn({m, 96}, 11), drawn({96, 32}, 12), drawn({32}, 13), drawn({m, 32}, 14)},
                  {false, true, true, false},
                  {m, 32}},
                 2 * kUnit);
  }
  expect_close(
      {node_of("MatMul", 2), {drawn({2, 3, 9, 16}, 15), drawn({2, 3, 16, 9}, 16)}, {false, false}, {2, 3, 9, 9}},
      2 * kUnit, false);
  expect_close({node_of("Gemm", 3, {{"transB", int64_t{1}}}),
                {drawn({4, 40}, 17), drawn({10, 40}, 18), drawn({10}, 19)},
                {false, true, true},
                {4, 10}},
               2 * kUnit);
}

TEST(Bf16, LongProducts) {
  if (!onednn::has_bf16()) GTEST_SKIP() << "this CPU has " << onednn::isa_name();
  // Rows, columns and depth that fill no tile or panel.
  for (auto [m, k, n] : {std::array<int64_t, 3>{71, 96, 100}, {128, 130, 48}, {301, 64, 250}}) {
    expect_close({node_of("MatMul", 2), {drawn({m, k}, 11), drawn({k, n}, 12)}, {false, true}, {m, n}}, 2 * kUnit);
    expect_close({node_of("Gemm", 3, {{"transB", int64_t{1}}}),
                  {drawn({m, k}, 17), drawn({n, k}, 18), drawn({n}, 19)},
                  {false, true, true},
                  {m, n}},
                 2 * kUnit);
    graph::Node fused = node_of("MatMul", 4);
    fused.post_ops = {{.kind = graph::PostOp::Kind::kGeluErf}, {.kind = graph::PostOp::Kind::kAdd, .input = 3}};
    expect_close({fused,
                  {drawn({m, k}, 11), drawn({k, n}, 12), drawn({n}, 13), drawn({m, n}, 14)},
                  {false, true, true, false},
                  {m, n}},
                 2 * kUnit);
  }
}

TEST(Bf16, Lstm) {
  if (!onednn::has_bf16()) GTEST_SKIP() << "this CPU has " << onednn::isa_name();
  struct Extents {
    int64_t time, batch, input, hidden, directions;
  };
  // Cells that fill no panel, more sequences than a tile has rows, one, and an odd input, which is not taken.
  for (Extents e : {Extents{5, 3, 24, 40, 2}, {4, 19, 16, 32, 1}, {7, 1, 10, 64, 2}, {3, 2, 7, 16, 1}}) {
    graph::Node node = node_of("LSTM", 4, {{"hidden_size", e.hidden}});
    if (e.directions == 2) node.attributes["direction"] = std::string("bidirectional");
    auto scaled = [&](Shape shape, uint64_t seed) {
      Tensor tensor = drawn(std::move(shape), seed);
      for (float& x : tensor.view().as<float>()) x *= 0.25F;
      return tensor;
    };
    expect_close({node,
                  {drawn({e.time, e.batch, e.input}, 60), scaled({e.directions, 4 * e.hidden, e.input}, 61),
                   scaled({e.directions, 4 * e.hidden, e.hidden}, 62), drawn({e.directions, 8 * e.hidden}, 63)},
                  {false, true, true, true},
                  {e.time, e.directions, e.batch, e.hidden}},
                 4 * kUnit, e.input % 2 == 0);
  }
}

TEST(Bf16, Attention) {
  if (!onednn::has_bf16()) GTEST_SKIP() << "this CPU has " << onednn::isa_name();
  // [batch, rows, heads, columns], as a product leaves them; rows and keys that fill no tile.
  struct Extents {
    int64_t batch, heads, rows, keys, depth, width;
  };
  for (Extents e : {Extents{2, 3, 17, 17, 16, 16}, {1, 2, 50, 33, 64, 64}, {2, 1, 100, 130, 32, 50}}) {
    auto lies = [&](int64_t rows, int64_t columns) {
      return std::vector<int64_t>{0, rows * e.heads * columns, columns, e.heads * columns, 1};
    };
    const Shape result{e.batch, e.rows, e.heads, e.width};
    for (bool masked : {false, true}) {
      graph::Node node = node_of("Attention", masked ? 4 : 3,
                                 {{"extents", std::vector<int64_t>{e.batch, e.heads, e.rows, e.keys, e.depth, e.width}},
                                  {"q", lies(e.rows, e.depth)},
                                  {"k", lies(e.keys, e.depth)},
                                  {"v", lies(e.keys, e.width)},
                                  {"mask", std::vector<int64_t>{0, 0, 0, e.keys, 1}},
                                  {"out", lies(e.rows, e.width)},
                                  {"shape", std::vector<int64_t>(result)},
                                  {"scale", 0.25F}});
      node.domain = "motet";
      Example example{node,
                      {drawn({e.batch, e.rows, e.heads, e.depth}, 31), drawn({e.batch, e.keys, e.heads, e.depth}, 32),
                       drawn({e.batch, e.keys, e.heads, e.width}, 33)},
                      {false, false, false},
                      result};
      if (masked) {
        example.inputs.push_back(drawn({e.rows, e.keys}, 34));
        // The least number of f32, as exporters write it.
        for (int64_t i = 0; i < e.rows * e.keys; i += 3)
          example.inputs.back().view().as<float>()[static_cast<size_t>(i)] = std::numeric_limits<float>::lowest();
        example.constant.push_back(true);
      }
      // Weights are rounded once, results once more.
      expect_close(example, 3 * kUnit);
    }
  }
}

TEST(Bf16, Convolutions) {
  if (!onednn::has_bf16()) GTEST_SKIP() << "this CPU has " << onednn::isa_name();
  struct Form {
    int64_t in, out, kernel, stride, group;
  };
  for (Form f : {Form{3, 16, 3, 2, 1}, Form{16, 32, 1, 1, 1}, Form{32, 32, 3, 1, 32}, Form{19, 7, 3, 1, 1},
                 Form{16, 16, 5, 2, 4}}) {
    int64_t pad = f.kernel / 2, extent = (14 + 2 * pad - f.kernel) / f.stride + 1;
    auto attributes =
        std::map<std::string, graph::Attribute, std::less<>>{{"group", f.group},
                                                             {"strides", std::vector<int64_t>{f.stride, f.stride}},
                                                             {"pads", std::vector<int64_t>{pad, pad, pad, pad}}};
    Shape result{2, f.out, extent, extent};
    graph::Node node = node_of("Conv", 4, attributes);
    node.post_ops = {{.kind = graph::PostOp::Kind::kAdd, .input = 3}, {.kind = graph::PostOp::Kind::kRelu}};
    expect_close({node,
                  {drawn({2, f.in, 14, 14}, 20), drawn({f.out, f.in / f.group, f.kernel, f.kernel}, 21),
                   drawn({f.out}, 22), drawn(result, 23)},
                  {false, true, true, false},
                  result},
                 2 * kUnit);
  }
}

TEST(Bf16, ConvolutionsByWinograd) {
  if (!onednn::has_bf16() || vec::bf16_winograd_loops() == nullptr)
    GTEST_SKIP() << "this CPU has " << onednn::isa_name();
  struct Form {
    int64_t batch, in, out, height, width;
    std::vector<int64_t> pads;
    std::vector<graph::PostOp> post_ops;
  };
  using Kind = graph::PostOp::Kind;
  const graph::PostOp add{.kind = Kind::kAdd, .input = 3}, relu{.kind = Kind::kRelu};
  // Odd extents, uneven padding, channels that fill no panel, one patch and more than one block of them.
  for (const Form& f : {Form{2, 16, 48, 14, 14, {1, 1, 1, 1}, {relu}},
                        {1, 32, 32, 7, 7, {1, 1, 1, 1}, {add, relu}},
                        {3, 64, 16, 9, 20, {0, 2, 1, 0}, {{.kind = Kind::kClip, .alpha = -8, .beta = 20}}},
                        {1, 512, 64, 13, 5, {1, 1, 1, 1}, {add}},
                        {1, 16, 96, 3, 3, {0, 0, 0, 0}, {}},
                        {2, 96, 32, 31, 33, {2, 2, 2, 2}, {}}}) {
    const Shape result{f.batch, f.out, f.height + f.pads[0] + f.pads[2] - 2, f.width + f.pads[1] + f.pads[3] - 2};
    const bool addend = !f.post_ops.empty() && f.post_ops[0].kind == Kind::kAdd;
    graph::Node node = node_of("Conv", addend ? 4 : 3, {{"pads", f.pads}});
    node.post_ops = f.post_ops;
    Example example{node,
                    {drawn({f.batch, f.in, f.height, f.width}, 40), drawn({f.out, f.in, 3, 3}, 41), drawn({f.out}, 42)},
                    {false, true, true},
                    result,
                    true};
    if (addend) {
      example.inputs.push_back(drawn(result, 43));
      example.constant.push_back(false);
    }
    expect_close(example, 2 * kUnit);
  }
}

TEST(Bf16, Pooling) {
  if (!onednn::has_bf16()) GTEST_SKIP() << "this CPU has " << onednn::isa_name();
  auto window = std::map<std::string, graph::Attribute, std::less<>>{{"kernel_shape", std::vector<int64_t>{3, 3}},
                                                                     {"strides", std::vector<int64_t>{2, 2}},
                                                                     {"pads", std::vector<int64_t>{1, 1, 1, 1}}};
  expect_close({node_of("MaxPool", 1, window), {drawn({2, 32, 13, 13}, 24)}, {false}, {2, 32, 7, 7}}, 0);
  expect_close({node_of("AveragePool", 1, window), {drawn({2, 32, 13, 13}, 25)}, {false}, {2, 32, 7, 7}}, 2 * kUnit);
  expect_close({node_of("GlobalAveragePool", 1), {drawn({2, 32, 7, 7}, 26)}, {false}, {2, 32, 1, 1}}, 2 * kUnit);
}

}  // namespace
}  // namespace motet::ops
