// Kernels on quantised numbers against the same op in f32 between dequantisation and quantisation: at most one step
// apart, and only where a sum lies between two numbers.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/random.h"
#include "compute/device/slice_team.h"
#include "compute/ops/onednn/onednn.h"
#include "compute/ops/registry.h"

namespace motet::ops {
namespace {

#define NEEDS_INT8() \
  if (!onednn::has_int8()) GTEST_SKIP() << "this CPU has " << onednn::isa_name() << ", no instructions for int8"

using Attributes = std::map<std::string, graph::Attribute, std::less<>>;

// A quantised operand: numbers, scales (one, or one per slice of `axis`) and a zero point.
struct Quantised {
  Tensor numbers;
  std::vector<float> scales;
  int zero = 0;
  size_t axis = 0;

  Tensor scale() const {
    return Tensor::of<float>(scales.size() == 1 ? Shape{} : Shape{static_cast<int64_t>(scales.size())}, scales);
  }
  Tensor zero_tensor() const {
    Tensor tensor = Tensor::zeros(numbers.dtype(), {});
    *tensor.view().data = static_cast<std::byte>(zero);
    return tensor;
  }
  int number(size_t i) const {
    auto byte = static_cast<uint8_t>(numbers.view().data[i]);
    return numbers.dtype() == DType::kU8 ? byte : static_cast<int8_t>(byte);
  }
  Tensor real() const {
    Tensor tensor = Tensor::zeros(DType::kF32, numbers.shape());
    size_t inner = 1;
    for (size_t d = axis + 1; d < numbers.shape().size(); ++d) inner *= static_cast<size_t>(numbers.shape()[d]);
    auto to = tensor.view().as<float>();
    for (size_t i = 0; i < to.size(); ++i)
      to[i] = static_cast<float>(number(i) - zero) * scales[i / inner % scales.size()];
    return tensor;
  }
};

Quantised drawn(DType dtype, Shape shape, float scale, int zero, uint64_t seed, size_t slices = 1) {
  Quantised q{Tensor::zeros(dtype, std::move(shape)), {}, zero, 0};
  Random random(seed, "int8 test");
  for (size_t i = 0; i < q.numbers.view().bytes(); ++i)
    q.numbers.view().data[i] = static_cast<std::byte>(random.below(256));
  for (size_t i = 0; i < slices; ++i) q.scales.push_back(scale * static_cast<float>(1 + i % 3));
  return q;
}

struct Node : graph::Node {
  Node(std::string name, std::string in, Attributes list = {}) {
    op = std::move(name);
    domain = std::move(in);
    opset = domain.empty() ? 13 : 1;
    attributes = std::move(list);
  }
};

// Runs the node on `tensors` (absent where a tensor has no data), all constant but those of `flowing`, in `layout`.
Tensor run(graph::Node node, const std::vector<Tensor>& tensors, const std::vector<size_t>& flowing, DType dtype,
           const Shape& shape, Layout layout, device::Team& team) {
  size_t count = tensors.size();
  std::vector<TensorSpec> specs(count);
  std::vector<const Tensor*> constants(count, nullptr);
  auto present = std::make_unique<bool[]>(count);
  for (size_t i = 0; i < count; ++i) {
    present[i] = tensors[i].view().data != nullptr;
    node.inputs.push_back(present[i] ? static_cast<graph::ValueId>(i) : graph::kNoValue);
    if (!present[i]) continue;
    specs[i] = {tensors[i].dtype(), tensors[i].shape()};
    if (std::find(flowing.begin(), flowing.end(), i) == flowing.end())
      constants[i] = &tensors[i];
    else if (specs[i].shape.size() == 4)
      specs[i].layout = layout;
  }
  node.outputs = {100};
  std::vector<TensorSpec> outputs = {{dtype, shape}};
  auto planned = plan_kernel({.node = node,
                              .inputs = specs,
                              .present = {present.get(), count},
                              .constants = constants,
                              .outputs = outputs,
                              .preferred = layout});
  EXPECT_TRUE(planned.ok()) << planned.error().message;
  if (!planned.ok()) return Tensor::zeros(dtype, shape);
  const Kernel& kernel = *planned->kernel;
  auto convert = [](const TensorSpec& from, const TensorSpec& to, std::byte* data) {
    Tensor result = Tensor::zeros(DType::kU8, {static_cast<int64_t>(to.bytes())});
    if (from.layout == to.layout) {
      std::copy_n(data, to.bytes(), result.view().data);
      return result;
    }
    auto reorder = plan_reorder(from, to, 1);
    EXPECT_TRUE(reorder.ok()) << reorder.error().message;
    Tensor scratch = Tensor::zeros(DType::kU8, {static_cast<int64_t>((*reorder)->scratch_bytes())});
    TensorView in{from.dtype, from.shape, data}, out{to.dtype, to.shape, result.view().data};
    (*reorder)->run({.inputs = {&in, 1}, .outputs = {&out, 1}, .scratch = scratch.view().data}, device::Team::serial());
    return result;
  };
  std::vector<Tensor> kept;
  std::vector<TensorView> views;
  for (size_t i = 0; i < count; ++i) {
    if (!present[i]) {
      views.emplace_back();
      continue;
    }
    TensorSpec plain{specs[i].dtype, specs[i].shape}, wanted = plain;
    wanted.layout = kernel.input_layout(i);
    kept.push_back(convert(plain, wanted, tensors[i].view().data));
    views.push_back({wanted.dtype, wanted.shape, kept.back().view().data});
  }
  TensorSpec made = outputs[0];
  made.layout = kernel.output_layout(0);
  Tensor result = Tensor::zeros(DType::kU8, {static_cast<int64_t>(made.bytes())});
  if (kernel.must_be_in_place()) {
    auto from = static_cast<size_t>(kernel.output_in_place_of(0));
    std::copy_n(views[from].data, made.bytes(), result.view().data);
    views[from].data = result.view().data;
  }
  Tensor scratch = Tensor::zeros(DType::kU8, {static_cast<int64_t>(kernel.scratch_bytes() + 64)});
  TensorView out{dtype, shape, result.view().data};
  kernel.run({.inputs = views, .outputs = {&out, 1}, .scratch = scratch.view().data}, team);
  Tensor plain = convert(made, outputs[0], result.view().data);
  return Tensor(TensorView{dtype, shape, plain.view().data}, plain.owner());
}

// The f32 op by its plain reference.
Tensor reference(graph::Node node, const std::vector<Tensor>& inputs) {
  std::vector<const Tensor*> pointers;
  for (size_t i = 0; i < inputs.size(); ++i) {
    node.inputs.push_back(static_cast<graph::ValueId>(i));
    pointers.push_back(&inputs[i]);
  }
  node.outputs = {100};
  auto result = evaluate(node, pointers);
  EXPECT_TRUE(result.ok()) << result.error().message;
  return result->front();
}

void expect_steps(const Tensor& got, const Tensor& real, float scale, int zero, const std::string& what) {
  ASSERT_EQ(got.shape(), real.shape()) << what;
  Quantised q{got, {scale}, zero, 0};
  auto want = real.view().as<float>();
  int64_t differ = 0;
  int low = got.dtype() == DType::kU8 ? 0 : -128;
  for (size_t i = 0; i < want.size(); ++i) {
    double number =
        std::clamp(std::nearbyint(static_cast<double>(want[i]) / scale) + zero, double(low), double(low + 255));
    ASSERT_LE(std::abs(q.number(i) - number), 1) << what << ", element " << i;
    differ += q.number(i) != number ? 1 : 0;
  }
  EXPECT_LE(differ, static_cast<int64_t>(want.size() / 50 + 2)) << what;
}

struct Form {
  int64_t in, out, kernel, stride, group;
  DType x, weights;
  int x_zero, w_zero, y_zero;
  bool residual, relu;
};

void check_convolution(const Form& f, Layout layout) {
  int64_t pad = f.kernel / 2, extent = (11 + 2 * pad - f.kernel) / f.stride + 1;
  Attributes attributes{{"group", f.group},
                        {"strides", std::vector<int64_t>{f.stride, f.stride}},
                        {"pads", std::vector<int64_t>{pad, pad, pad, pad}}};
  Shape shape{2, f.out, extent, extent};
  Quantised x = drawn(f.x, {2, f.in, 11, 11}, 0.02F, f.x_zero, 1);
  Quantised w =
      drawn(f.weights, {f.out, f.in / f.group, f.kernel, f.kernel}, 0.003F, f.w_zero, 2, static_cast<size_t>(f.out));
  DType type = DType::kU8;
  Quantised r = drawn(type, shape, 0.07F, 101, 3);
  std::vector<int32_t> bias;
  Tensor real_bias = Tensor::zeros(DType::kF32, {f.out});
  for (int64_t c = 0; c < f.out; ++c) {
    bias.push_back(static_cast<int32_t>(c * 997 % 4001 - 2000));
    real_bias.view().as<float>()[static_cast<size_t>(c)] =
        static_cast<float>(bias.back()) * x.scales[0] * w.scales[static_cast<size_t>(c)];
  }
  Tensor want = reference(Node("Conv", "", attributes), {x.real(), w.real(), real_bias});
  if (f.residual) want = reference(Node("Add", ""), {want, r.real()});
  if (f.relu) want = reference(Node("Relu", ""), {want});
  const float y_scale = 0.11F;
  Tensor scale = Tensor::of<float>({}, std::vector<float>{y_scale});
  Quantised y{Tensor::zeros(type, {}), {y_scale}, f.y_zero, 0};
  std::vector<Tensor> tensors = {x.numbers, x.scale(),       x.zero_tensor(),
                                 w.numbers, w.scale(),       w.zero_tensor(),
                                 scale,     y.zero_tensor(), Tensor::of<int32_t>({f.out}, bias)};
  Node node("QLinearConv", "", attributes);
  std::vector<size_t> flowing = {0};
  if (f.residual) {
    tensors.insert(tensors.end(), {r.numbers, r.scale(), r.zero_tensor()});
    node.post_ops.push_back({.kind = graph::PostOp::Kind::kAdd, .input = 9});
    flowing.push_back(9);
  }
  if (f.relu) node.post_ops.push_back({.kind = graph::PostOp::Kind::kRelu});
  std::string what = "QLinearConv of " + std::to_string(f.in) + " to " + std::to_string(f.out) + " channels, kernel " +
                     std::to_string(f.kernel) + ", group " + std::to_string(f.group);
  Tensor got = run(node, tensors, flowing, type, shape, layout, device::Team::serial());
  expect_steps(got, want, y_scale, f.y_zero, what);
  device::SliceTeam wide(device::Team::serial(), 3);
  Tensor again = run(node, tensors, flowing, type, shape, layout, wide);
  EXPECT_EQ(std::memcmp(got.view().data, again.view().data, got.view().bytes()), 0) << what << " differs at width 3";
}

TEST(Int8, Convolutions) {
  NEEDS_INT8();
  for (Layout layout : {Layout::kRowMajor, Layout::kNhwc})
    for (const Form& f : {
             Form{3, 16, 3, 2, 1, DType::kU8, DType::kI8, 114, 0, 0, false, true},
             Form{16, 32, 1, 1, 1, DType::kU8, DType::kI8, 7, 0, 128, true, false},
             Form{16, 32, 3, 1, 1, DType::kU8, DType::kI8, 0, 0, 3, true, true},
             Form{32, 32, 3, 1, 32, DType::kU8, DType::kI8, 130, 0, 120, false, false},
             Form{19, 7, 3, 1, 1, DType::kU8, DType::kI8, 12, 0, 5, false, false},
             Form{16, 16, 3, 1, 1, DType::kI8, DType::kI8, -5, 0, 9, false, true},
             Form{16, 24, 1, 1, 1, DType::kI8, DType::kU8, 0, 128, 77, false, false},
             Form{16, 16, 5, 2, 4, DType::kU8, DType::kI8, 33, 0, 0, false, false},
         })
      check_convolution(f, layout);
}

TEST(Int8, WeightsThatDoNotFitAreRefused) {
  NEEDS_INT8();
  Quantised x = drawn(DType::kU8, {1, 16, 4, 4}, 0.02F, 0, 1);
  Quantised w = drawn(DType::kU8, {16, 16, 1, 1}, 0.003F, 90, 2);
  graph::Node node = Node("QLinearConv", "");
  std::vector<Tensor> tensors = {x.numbers, x.scale(),       x.zero_tensor(), w.numbers,
                                 w.scale(), w.zero_tensor(), x.scale(),       x.zero_tensor()};
  std::vector<TensorSpec> specs;
  std::vector<const Tensor*> constants;
  bool present[8];
  for (size_t i = 0; i < 8; ++i) {
    node.inputs.push_back(static_cast<graph::ValueId>(i));
    specs.push_back({tensors[i].dtype(), tensors[i].shape()});
    constants.push_back(i == 0 ? nullptr : &tensors[i]);
    present[i] = true;
  }
  node.outputs = {100};
  std::vector<TensorSpec> outputs = {{DType::kU8, {1, 16, 4, 4}}};
  auto kernel = onednn::plan_quantized_convolution(
      {.node = node, .inputs = specs, .present = present, .constants = constants, .outputs = outputs});
  ASSERT_FALSE(kernel.ok());
  EXPECT_NE(kernel.error().message.find("do not fit i8"), std::string::npos);
}

TEST(Int8, Products) {
  NEEDS_INT8();
  for (int64_t m : {1, 9, 40}) {
    for (DType type : {DType::kU8, DType::kI8}) {
      int x_zero = type == DType::kU8 ? 121 : 3;
      Quantised x = drawn(type, {m, 52}, 0.01F, x_zero, 4);
      Quantised w = drawn(DType::kI8, {52, 21}, 0.004F, 0, 5, 21);
      w.axis = 1;
      Quantised y{Tensor::zeros(type, {}), {0.05F}, x_zero, 0};
      Tensor want = reference(Node("MatMul", ""), {x.real(), w.real()});
      Tensor got = run(
          Node("QLinearMatMul", ""),
          {x.numbers, x.scale(), x.zero_tensor(), w.numbers, w.scale(), w.zero_tensor(), y.scale(), y.zero_tensor()},
          {0}, type, {m, 21}, Layout::kRowMajor, device::Team::serial());
      expect_steps(got, want, 0.05F, x_zero, "QLinearMatMul");

      Quantised t = drawn(DType::kI8, {21, 52}, 0.004F, 0, 6, 21);
      std::vector<int32_t> bias;
      Tensor real_bias = Tensor::zeros(DType::kF32, {21});
      for (size_t c = 0; c < 21; ++c) {
        bias.push_back(static_cast<int32_t>(c) * 300 - 3000);
        real_bias.view().as<float>()[c] = static_cast<float>(bias.back()) * x.scales[0] * t.scales[c];
      }
      Attributes transposed{{"transB", int64_t{1}}};
      want = reference(Node("Gemm", "", transposed), {x.real(), t.real(), real_bias});
      std::vector<Tensor> tensors = {x.numbers,
                                     x.scale(),
                                     x.zero_tensor(),
                                     t.numbers,
                                     t.scale(),
                                     t.zero_tensor(),
                                     Tensor::of<int32_t>({21}, bias)};
      Tensor real = run(Node("QGemm", "com.microsoft", transposed), tensors, {0}, DType::kF32, {m, 21},
                        Layout::kRowMajor, device::Team::serial());
      for (size_t i = 0; i < real.view().as<float>().size(); ++i)
        ASSERT_NEAR(real.view().as<float>()[i], want.view().as<float>()[i], 1e-3);
      tensors.insert(tensors.end(), {y.scale(), y.zero_tensor()});
      got = run(Node("QGemm", "com.microsoft", transposed), tensors, {0}, type, {m, 21}, Layout::kRowMajor,
                device::Team::serial());
      expect_steps(got, want, 0.05F, x_zero, "QGemm");
    }
  }
}

TEST(Int8, Elementwise) {
  for (Layout layout : {Layout::kRowMajor, Layout::kNhwc}) {
    for (DType type : {DType::kU8, DType::kI8}) {
      Shape shape{2, 19, 9, 7};
      Quantised a = drawn(type, shape, 0.02F, 17, 7), b = drawn(type, shape, 0.03F, -3, 8);
      if (type == DType::kU8) b.zero = 200;
      Quantised y{Tensor::zeros(type, {}), {0.0617F}, 20, 0};
      for (const char* op : {"Add", "Mul"}) {
        Node node(std::string("QLinear") + op, "com.microsoft");
        node.post_ops.push_back({.kind = graph::PostOp::Kind::kRelu});
        Tensor want = reference(Node("Relu", ""), {reference(Node(op, ""), {a.real(), b.real()})});
        Tensor got = run(
            node,
            {a.numbers, a.scale(), a.zero_tensor(), b.numbers, b.scale(), b.zero_tensor(), y.scale(), y.zero_tensor()},
            {0, 3}, type, shape, layout, device::Team::serial());
        expect_steps(got, want, 0.0617F, 20, node.op);
      }
      Tensor want = reference(Node("GlobalAveragePool", ""), {a.real()});
      Tensor got = run(Node("QLinearGlobalAveragePool", "com.microsoft"),
                       {a.numbers, a.scale(), a.zero_tensor(), y.scale(), y.zero_tensor()}, {0}, type, {2, 19, 1, 1},
                       layout, device::Team::serial());
      expect_steps(got, want, 0.0617F, 20, "QLinearGlobalAveragePool");
      Tensor real = run(Node("DequantizeLinear", ""), {a.numbers, a.scale(), a.zero_tensor()}, {0}, DType::kF32, shape,
                        layout, device::Team::serial());
      EXPECT_EQ(std::memcmp(real.view().data, a.real().view().data, real.view().bytes()), 0);
      Tensor back = run(Node("QuantizeLinear", ""), {real, a.scale(), a.zero_tensor()}, {0}, type, shape, layout,
                        device::Team::serial());
      EXPECT_EQ(std::memcmp(back.view().data, a.numbers.view().data, back.view().bytes()), 0);
    }
  }
}

TEST(Int8, QuantisationKeepsItsBounds) {
  std::vector<float> values = {0.5F, 1.5F, 2.5F, -0.5F, 1e30F, -1e30F, INFINITY, -INFINITY, NAN};
  Tensor x = Tensor::of<float>({9}, values);
  Tensor scale = Tensor::of<float>({}, std::vector<float>{1.0F});
  Tensor zero = Tensor::zeros(DType::kU8, {});
  Tensor got = run(Node("QuantizeLinear", ""), {x, scale, zero}, {0}, DType::kU8, {9}, Layout::kRowMajor,
                   device::Team::serial());
  EXPECT_EQ(std::vector<uint8_t>(got.view().as<uint8_t>().begin(), got.view().as<uint8_t>().end()),
            (std::vector<uint8_t>{0, 2, 2, 0, 255, 0, 255, 0, 0}));
}

TEST(Int8, MaximaOfNumbers) {
  NEEDS_INT8();
  Quantised x = drawn(DType::kU8, {1, 32, 9, 9}, 1, 0, 9);
  Attributes window{{"kernel_shape", std::vector<int64_t>{3, 3}}, {"strides", std::vector<int64_t>{2, 2}}};
  Tensor want = reference(Node("MaxPool", "", window), {x.real()});
  for (Layout layout : {Layout::kRowMajor, Layout::kNhwc}) {
    Tensor got =
        run(Node("MaxPool", "", window), {x.numbers}, {0}, DType::kU8, {1, 32, 4, 4}, layout, device::Team::serial());
    expect_steps(got, want, 1, 0, "MaxPool");
  }
}

}  // namespace
}  // namespace motet::ops
