// Each family against a plain computation, in every layout it may be asked for.
#include "compute/ops/onednn/onednn.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"
#include "compute/device/team.h"
#include "compute/ops/onednn/weight_cache.h"

namespace motet::ops::onednn {
namespace {

using graph::Node;
using graph::PostOp;

Tensor drawn(Shape shape, std::string_view stream) {
  Tensor tensor = Tensor::zeros(DType::kF32, std::move(shape));
  Random random(7, stream);
  for (float& x : tensor.view().as<float>()) x = static_cast<float>(random.uniform() * 2 - 1);
  return tensor;
}

// Index of element (n, c, h, w) in memory of that layout.
size_t place(const Shape& s, Layout layout, int64_t n, int64_t c, int64_t h, int64_t w) {
  auto blocked = [&](int64_t block) {
    int64_t blocks = (s[1] + block - 1) / block;
    return static_cast<size_t>((((n * blocks + c / block) * s[2] + h) * s[3] + w) * block + c % block);
  };
  switch (layout) {
    case Layout::kRowMajor: return static_cast<size_t>(((n * s[1] + c) * s[2] + h) * s[3] + w);
    case Layout::kNhwc: return static_cast<size_t>(((n * s[2] + h) * s[3] + w) * s[1] + c);
    case Layout::kNChw8c: return blocked(8);
    case Layout::kNChw16c: return blocked(16);
  }
  return 0;
}

size_t elements_in(const Shape& shape, Layout layout) {
  return TensorSpec{DType::kF32, shape, layout}.bytes() / sizeof(float);
}

std::vector<float> to_layout(const Tensor& tensor, Layout layout) {
  const Shape& s = tensor.shape();
  auto plain = tensor.view().as<float>();
  if (s.size() != 4) return {plain.begin(), plain.end()};
  std::vector<float> out(elements_in(s, layout), 0.0F);
  size_t i = 0;
  for (int64_t n = 0; n < s[0]; ++n)
    for (int64_t c = 0; c < s[1]; ++c)
      for (int64_t h = 0; h < s[2]; ++h)
        for (int64_t w = 0; w < s[3]; ++w) out[place(s, layout, n, c, h, w)] = plain[i++];
  return out;
}

std::vector<float> from_layout(const std::vector<float>& data, const Shape& s, Layout layout) {
  if (s.size() != 4) return data;
  std::vector<float> out;
  for (int64_t n = 0; n < s[0]; ++n)
    for (int64_t c = 0; c < s[1]; ++c)
      for (int64_t h = 0; h < s[2]; ++h)
        for (int64_t w = 0; w < s[3]; ++w) out.push_back(data[place(s, layout, n, c, h, w)]);
  return out;
}

using Plan = Result<KernelPtr> (*)(const NodeRequest&);

// One node with its inputs; `constant[i]` says which are known when planning.
struct Case {
  Node node;
  std::vector<Tensor> inputs;
  std::vector<bool> constant;
  Shape output;
  Layout preferred = Layout::kRowMajor;
  Layout given = Layout::kRowMajor;  // layout of the 4-D inputs that are not constant
  int width = 2;

  Result<KernelPtr> plan(Plan function, WeightCache* cache = nullptr) const {
    std::vector<TensorSpec> specs;
    std::vector<const Tensor*> constants;
    auto present = std::make_unique<bool[]>(inputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) {
      bool blocked = !constant[i] && inputs[i].shape().size() == 4 && inputs[i].shape() != Shape{};
      specs.push_back({inputs[i].dtype(), inputs[i].shape(), blocked ? given : Layout::kRowMajor});
      constants.push_back(constant[i] ? &inputs[i] : nullptr);
      present[i] = true;
    }
    TensorSpec out{DType::kF32, output};
    return function({.node = node,
                     .inputs = specs,
                     .present = {present.get(), inputs.size()},
                     .constants = constants,
                     .outputs = {&out, 1},
                     .preferred = preferred,
                     .max_width = width,
                     .weights = cache});
  }

  std::vector<float> run(const Kernel& kernel) const {
    std::vector<std::vector<float>> memory;
    std::vector<TensorView> in;
    for (size_t i = 0; i < inputs.size(); ++i) {
      memory.push_back(to_layout(inputs[i], kernel.input_layout(i)));
      in.push_back({DType::kF32, inputs[i].shape(), reinterpret_cast<std::byte*>(memory.back().data())});
    }
    Layout layout = output.size() == 4 ? kernel.output_layout(0) : Layout::kRowMajor;
    std::vector<float> result(output.size() == 4 ? elements_in(output, layout) : static_cast<size_t>(elements(output)),
                              NAN);
    if (kernel.must_be_in_place()) result = memory[static_cast<size_t>(kernel.output_in_place_of(0))];
    TensorView out{DType::kF32, output, reinterpret_cast<std::byte*>(result.data())};
    Tensor scratch = Tensor::zeros(DType::kU8, {static_cast<int64_t>(kernel.scratch_bytes())});
    kernel.run({.inputs = in, .outputs = {&out, 1}, .scratch = scratch.view().data}, device::Team::serial());
    expect_zero_padding(result, layout);
    return from_layout(result, output, layout);
  }

  void expect_zero_padding(const std::vector<float>& data, Layout layout) const {
    int64_t block = layout == Layout::kNChw16c ? 16 : layout == Layout::kNChw8c ? 8 : 1;
    if (output.size() != 4 || output[1] % block == 0) return;
    int64_t blocks = output[1] / block;
    for (int64_t n = 0; n < output[0]; ++n)
      for (int64_t pixel = 0; pixel < output[2] * output[3]; ++pixel)
        for (int64_t c = output[1] % block; c < block; ++c) {
          auto at = static_cast<size_t>((((n * (blocks + 1) + blocks) * output[2] * output[3]) + pixel) * block + c);
          ASSERT_EQ(data[at], 0.0F) << "padding of " << shape_to_string(output);
        }
  }
};

void expect_near(const std::vector<float>& got, const std::vector<double>& want, const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  double largest = 1e-6;
  for (double w : want) largest = std::max(largest, std::abs(w));
  for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 2e-5 * largest) << what << " at " << i;
}

struct Conv {
  int64_t n, c, h, w, m, kh, kw, groups;
  int64_t stride = 1, dilation = 1, top = 0, left = 0, bottom = 0, right = 0;
};

// Convolution with bias as ONNX defines it.
std::vector<double> plain_conv(const Conv& p, const Tensor& x, const Tensor& k, const Tensor& b, const Shape& out) {
  auto in = x.view().as<float>();
  auto weights = k.view().as<float>();
  auto bias = b.view().as<float>();
  int64_t per_group = p.c / p.groups;
  std::vector<double> y;
  for (int64_t n = 0; n < p.n; ++n)
    for (int64_t m = 0; m < p.m; ++m)
      for (int64_t oh = 0; oh < out[2]; ++oh)
        for (int64_t ow = 0; ow < out[3]; ++ow) {
          double sum = bias[static_cast<size_t>(m)];
          for (int64_t c = 0; c < per_group; ++c)
            for (int64_t i = 0; i < p.kh; ++i)
              for (int64_t j = 0; j < p.kw; ++j) {
                int64_t ih = oh * p.stride - p.top + i * p.dilation;
                int64_t iw = ow * p.stride - p.left + j * p.dilation;
                if (ih < 0 || iw < 0 || ih >= p.h || iw >= p.w) continue;
                int64_t channel = m / (p.m / p.groups) * per_group + c;
                sum += static_cast<double>(in[static_cast<size_t>(((n * p.c + channel) * p.h + ih) * p.w + iw)]) *
                       weights[static_cast<size_t>(((m * per_group + c) * p.kh + i) * p.kw + j)];
              }
          y.push_back(sum);
        }
  return y;
}

Case conv_case(const Conv& p) {
  Case c;
  c.node.op = "Conv";
  c.node.opset = 13;
  c.node.attributes["group"] = p.groups;
  c.node.attributes["strides"] = std::vector<int64_t>{p.stride, p.stride};
  c.node.attributes["dilations"] = std::vector<int64_t>{p.dilation, p.dilation};
  c.node.attributes["pads"] = std::vector<int64_t>{p.top, p.left, p.bottom, p.right};
  c.inputs = {drawn({p.n, p.c, p.h, p.w}, "x"), drawn({p.m, p.c / p.groups, p.kh, p.kw}, "w"), drawn({p.m}, "b")};
  c.constant = {false, true, true};
  int64_t oh = (p.h + p.top + p.bottom - (p.kh - 1) * p.dilation - 1) / p.stride + 1;
  int64_t ow = (p.w + p.left + p.right - (p.kw - 1) * p.dilation - 1) / p.stride + 1;
  c.output = {p.n, p.m, oh, ow};
  return c;
}

const Layout kLayouts[] = {Layout::kRowMajor, Layout::kNhwc, Layout::kNChw8c, Layout::kNChw16c};

TEST(OneDnn, ConvolutionMatchesPlainInEveryLayout) {
  const Conv problems[] = {
      {.n = 2, .c = 16, .h = 40, .w = 1, .m = 32, .kh = 5, .kw = 1, .groups = 1, .stride = 1, .top = 2, .bottom = 1},
      {.n = 1, .c = 16, .h = 1, .w = 21, .m = 8, .kh = 1, .kw = 3, .groups = 1, .stride = 2, .left = 1, .right = 1},
      {.n = 2,
       .c = 3,
       .h = 17,
       .w = 13,
       .m = 24,
       .kh = 3,
       .kw = 3,
       .groups = 1,
       .stride = 2,
       .top = 1,
       .left = 1,
       .bottom = 1,
       .right = 1},
      {.n = 1, .c = 24, .h = 9, .w = 9, .m = 32, .kh = 1, .kw = 1, .groups = 1},
      {.n = 1, .c = 32, .h = 8, .w = 8, .m = 16, .kh = 1, .kw = 1, .groups = 1, .stride = 2},
      {.n = 1,
       .c = 32,
       .h = 11,
       .w = 7,
       .m = 32,
       .kh = 3,
       .kw = 3,
       .groups = 32,
       .top = 1,
       .left = 1,
       .bottom = 1,
       .right = 1},
      {.n = 1,
       .c = 10,
       .h = 11,
       .w = 7,
       .m = 10,
       .kh = 5,
       .kw = 5,
       .groups = 10,
       .stride = 2,
       .top = 2,
       .left = 2,
       .bottom = 2,
       .right = 2},
      {.n = 2,
       .c = 12,
       .h = 8,
       .w = 8,
       .m = 18,
       .kh = 3,
       .kw = 3,
       .groups = 3,
       .top = 0,
       .left = 1,
       .bottom = 2,
       .right = 1},
      {.n = 1,
       .c = 16,
       .h = 14,
       .w = 14,
       .m = 16,
       .kh = 3,
       .kw = 3,
       .groups = 1,
       .dilation = 3,
       .top = 3,
       .left = 3,
       .bottom = 3,
       .right = 3},
  };
  for (const Conv& p : problems) {
    Case c = conv_case(p);
    auto want = plain_conv(p, c.inputs[0], c.inputs[1], c.inputs[2], c.output);
    for (Layout layout : kLayouts) {
      c.preferred = layout;
      auto kernel = c.plan(plan_convolution);
      ASSERT_TRUE(kernel.ok()) << kernel.error().message;
      expect_near(c.run(**kernel), want, (*kernel)->implementation() + " of " + shape_to_string(c.output));
      EXPECT_GT((*kernel)->flops(), 0);
    }
  }
}

TEST(OneDnn, ConvolutionAppliesItsPostOpsInOrder) {
  Conv p{.n = 1,
         .c = 24,
         .h = 9,
         .w = 9,
         .m = 24,
         .kh = 3,
         .kw = 3,
         .groups = 1,
         .top = 1,
         .left = 1,
         .bottom = 1,
         .right = 1};
  Case c = conv_case(p);
  auto plain = plain_conv(p, c.inputs[0], c.inputs[1], c.inputs[2], c.output);
  c.inputs.push_back(drawn(c.output, "residual"));
  c.constant.push_back(false);
  auto residual = c.inputs[3].view().as<float>();
  PostOp add{.kind = PostOp::Kind::kAdd, .input = 3};
  PostOp relu{.kind = PostOp::Kind::kRelu};
  PostOp clip{.kind = PostOp::Kind::kClip, .alpha = -0.5F, .beta = 1.5F};
  PostOp hard{.kind = PostOp::Kind::kHardSigmoid, .alpha = 0.2F, .beta = 0.5F};
  auto value = [&](const std::vector<PostOp>& ops, size_t i) {
    double y = plain[i];
    for (const PostOp& op : ops) {
      if (op.kind == PostOp::Kind::kAdd) y += residual[i];
      if (op.kind == PostOp::Kind::kRelu) y = std::max(y, 0.0);
      if (op.kind == PostOp::Kind::kClip) y = std::clamp(y, -0.5, 1.5);
      if (op.kind == PostOp::Kind::kHardSigmoid) y = std::clamp(0.2F * y + 0.5F, 0.0, 1.0);
    }
    return y;
  };
  for (const auto& ops : std::vector<std::vector<PostOp>>{{add, relu}, {clip}, {relu, add}, {hard}, {add, clip}}) {
    c.node.post_ops = ops;
    std::vector<double> want;
    for (size_t i = 0; i < plain.size(); ++i) want.push_back(value(ops, i));
    for (Layout layout : kLayouts) {
      c.preferred = layout;
      auto kernel = c.plan(plan_convolution);
      ASSERT_TRUE(kernel.ok()) << kernel.error().message;
      expect_near(c.run(**kernel), want,
                  (*kernel)->implementation() + " with " + std::to_string(ops.size()) + " post-ops");
    }
  }
}

TEST(OneDnn, ConvolutionOverOneDimension) {
  Case c;
  c.node.op = "Conv";
  c.node.attributes["pads"] = std::vector<int64_t>{1, 1};
  c.node.attributes["strides"] = std::vector<int64_t>{2};
  c.inputs = {drawn({2, 5, 20}, "x"), drawn({7, 5, 3}, "w"), drawn({7}, "b")};
  c.constant = {false, true, true};
  c.output = {2, 7, 10};
  auto kernel = c.plan(plan_convolution);
  ASSERT_TRUE(kernel.ok()) << kernel.error().message;
  auto x = c.inputs[0].view().as<float>();
  auto w = c.inputs[1].view().as<float>();
  std::vector<double> want;
  for (int64_t n = 0; n < 2; ++n)
    for (int64_t m = 0; m < 7; ++m)
      for (int64_t o = 0; o < 10; ++o) {
        double sum = c.inputs[2].view().as<float>()[static_cast<size_t>(m)];
        for (int64_t i = 0; i < 5; ++i)
          for (int64_t k = 0; k < 3; ++k) {
            int64_t at = o * 2 - 1 + k;
            if (at >= 0 && at < 20)
              sum += static_cast<double>(x[static_cast<size_t>((n * 5 + i) * 20 + at)]) *
                     w[static_cast<size_t>((m * 5 + i) * 3 + k)];
          }
        want.push_back(sum);
      }
  expect_near(c.run(**kernel), want, "1-D convolution");
}

TEST(OneDnn, TransposedConvolutionScattersItsInput) {
  Case c;
  c.node.op = "ConvTranspose";
  c.node.attributes["strides"] = std::vector<int64_t>{2, 2};
  c.node.attributes["pads"] = std::vector<int64_t>{1, 0, 0, 1};
  c.node.attributes["output_padding"] = std::vector<int64_t>{1, 0};
  c.inputs = {drawn({1, 6, 5, 4}, "x"), drawn({6, 4, 3, 3}, "w"), drawn({4}, "b")};
  c.constant = {false, true, true};
  c.output = {1, 4, 11, 8};
  for (Layout layout : kLayouts) {
    c.preferred = layout;
    auto kernel = c.plan(plan_deconvolution);
    ASSERT_TRUE(kernel.ok()) << kernel.error().message;
    std::vector<double> want;
    for (int64_t i = 0; i < elements(c.output); ++i)
      want.push_back(c.inputs[2].view().as<float>()[static_cast<size_t>(i / 88)]);
    auto x = c.inputs[0].view().as<float>();
    auto w = c.inputs[1].view().as<float>();
    for (int64_t ch = 0; ch < 6; ++ch)
      for (int64_t ih = 0; ih < 5; ++ih)
        for (int64_t iw = 0; iw < 4; ++iw)
          for (int64_t m = 0; m < 4; ++m)
            for (int64_t i = 0; i < 3; ++i)
              for (int64_t j = 0; j < 3; ++j) {
                int64_t oh = ih * 2 - 1 + i;
                int64_t ow = iw * 2 + j;
                if (oh < 0 || oh >= 11 || ow >= 8) continue;
                want[static_cast<size_t>((m * 11 + oh) * 8 + ow)] +=
                    static_cast<double>(x[static_cast<size_t>((ch * 5 + ih) * 4 + iw)]) *
                    w[static_cast<size_t>(((ch * 4 + m) * 3 + i) * 3 + j)];
              }
    expect_near(c.run(**kernel), want, (*kernel)->implementation());
  }
}

std::vector<double> plain_matmul(std::span<const float> a, std::span<const float> b, int64_t m, int64_t k, int64_t n) {
  std::vector<double> y(static_cast<size_t>(m * n), 0.0);
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j)
      for (int64_t l = 0; l < k; ++l)
        y[static_cast<size_t>(i * n + j)] +=
            static_cast<double>(a[static_cast<size_t>(i * k + l)]) * b[static_cast<size_t>(l * n + j)];
  return y;
}

TEST(OneDnn, GemmWithTransposesScalesAndBias) {
  Case c;
  c.node.op = "Gemm";
  c.node.attributes["transB"] = int64_t{1};
  c.node.attributes["alpha"] = 0.5F;
  c.node.attributes["beta"] = 2.0F;
  c.inputs = {drawn({3, 20}, "a"), drawn({33, 20}, "b"), drawn({33}, "c")};
  c.constant = {false, true, true};
  c.output = {3, 33};
  std::vector<float> b_transposed;
  for (size_t k = 0; k < 20; ++k)
    for (size_t n = 0; n < 33; ++n) b_transposed.push_back(c.inputs[1].view().as<float>()[n * 20 + k]);
  auto want = plain_matmul(c.inputs[0].view().as<float>(), b_transposed, 3, 20, 33);
  for (size_t i = 0; i < want.size(); ++i) want[i] = 0.5 * want[i] + 2.0 * c.inputs[2].view().as<float>()[i % 33];
  auto kernel = c.plan(plan_matmul);
  ASSERT_TRUE(kernel.ok()) << kernel.error().message;
  expect_near(c.run(**kernel), want, (*kernel)->implementation());
}

TEST(OneDnn, MatMulOfBatchesAndVectors) {
  auto check = [](Shape a, Shape b, Shape out, bool constant, int64_t batch, int64_t m, int64_t k, int64_t n) {
    Case c;
    c.node.op = "MatMul";
    c.inputs = {drawn(a, "a"), drawn(b, "b")};
    c.constant = {false, constant};
    c.output = out;
    auto kernel = c.plan(plan_matmul);
    ASSERT_TRUE(kernel.ok()) << kernel.error().message;
    std::vector<double> want;
    auto x = c.inputs[0].view().as<float>();
    auto y = c.inputs[1].view().as<float>();
    bool shared = static_cast<int64_t>(y.size()) == k * n;
    for (int64_t i = 0; i < batch; ++i) {
      auto part = plain_matmul(x.subspan(static_cast<size_t>(i * m * k)),
                               shared ? y : y.subspan(static_cast<size_t>(i * k * n)), m, k, n);
      want.insert(want.end(), part.begin(), part.end());
    }
    expect_near(c.run(**kernel), want, "MatMul " + shape_to_string(a) + " x " + shape_to_string(b));
  };
  check({2, 3, 5, 8}, {2, 3, 8, 6}, {2, 3, 5, 6}, false, 6, 5, 8, 6);
  check({2, 5, 8}, {8, 6}, {2, 5, 6}, true, 2, 5, 8, 6);
  check({2, 5, 8}, {8, 6}, {2, 5, 6}, false, 2, 5, 8, 6);
  check({8}, {8, 6}, {6}, true, 1, 1, 8, 6);
  check({5, 8}, {8}, {5}, false, 1, 5, 8, 1);
}

TEST(OneDnn, WeightsArePackedOnceForEveryBatch) {
  WeightCache cache;
  Conv p{.n = 1,
         .c = 32,
         .h = 8,
         .w = 8,
         .m = 32,
         .kh = 3,
         .kw = 3,
         .groups = 1,
         .top = 1,
         .left = 1,
         .bottom = 1,
         .right = 1};
  Case one = conv_case(p);
  one.preferred = blocked_layout();
  auto first = one.plan(plan_convolution, &cache);
  ASSERT_TRUE(first.ok());
  size_t bytes = cache.bytes();
  EXPECT_GT(bytes, 0U);
  Case eight = one;
  eight.inputs[0] = drawn({8, 32, 8, 8}, "x");
  eight.output[0] = 8;
  auto second = eight.plan(plan_convolution, &cache);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(cache.bytes(), bytes);
  first = unsupported("dropped");
  second = unsupported("dropped");
  cache.trim();
  EXPECT_EQ(cache.bytes(), 0U);
}

TEST(OneDnn, PoolingInEveryLayout) {
  for (bool max : {true, false}) {
    for (Layout layout : kLayouts) {
      Case c;
      c.node.op = max ? "MaxPool" : "AveragePool";
      c.node.attributes["kernel_shape"] = std::vector<int64_t>{3, 2};
      c.node.attributes["strides"] = std::vector<int64_t>{2, 2};
      c.node.attributes["pads"] = std::vector<int64_t>{1, 0, 1, 0};
      c.inputs = {drawn({2, 20, 9, 8}, "x")};
      c.constant = {false};
      c.output = {2, 20, 5, 4};
      c.given = c.preferred = layout;
      auto kernel = c.plan(plan_pooling);
      ASSERT_TRUE(kernel.ok()) << kernel.error().message;
      std::vector<double> want;
      auto x = c.inputs[0].view().as<float>();
      for (int64_t plane = 0; plane < 40; ++plane)
        for (int64_t oh = 0; oh < 5; ++oh)
          for (int64_t ow = 0; ow < 4; ++ow) {
            double best = -1e9;
            double sum = 0;
            int count = 0;
            for (int64_t i = 0; i < 3; ++i)
              for (int64_t j = 0; j < 2; ++j) {
                int64_t ih = oh * 2 - 1 + i;
                if (ih < 0 || ih >= 9) continue;
                double v = x[static_cast<size_t>((plane * 9 + ih) * 8 + ow * 2 + j)];
                best = std::max(best, v);
                sum += v;
                ++count;
              }
            want.push_back(max ? best : sum / count);
          }
      expect_near(c.run(**kernel), want, (*kernel)->implementation());
    }
  }
}

TEST(OneDnn, ElementwiseKeepsTheLayoutAndItsPadding) {
  for (Layout layout : kLayouts) {
    Case c;
    c.node.op = "Sigmoid";  // not zero at zero: the padding must stay zero all the same
    c.inputs = {drawn({1, 20, 3, 5}, "x")};
    c.constant = {false};
    c.output = {1, 20, 3, 5};
    c.given = layout;
    auto kernel = c.plan(plan_eltwise);
    ASSERT_TRUE(kernel.ok()) << kernel.error().message;
    std::vector<double> want;
    for (float v : c.inputs[0].view().as<float>()) want.push_back(1 / (1 + std::exp(-static_cast<double>(v))));
    expect_near(c.run(**kernel), want, (*kernel)->implementation());
  }
}

TEST(OneDnn, BinaryBroadcastsItsSecondInput) {
  auto check = [](const std::string& op, Shape a, Shape b, Shape out, Layout layout, bool expected) {
    Case c;
    c.node.op = op;
    c.inputs = {drawn(a, "a"), drawn(b, "b")};
    c.constant = {false, a != b};
    c.output = out;
    c.given = layout;
    auto kernel = c.plan(plan_binary);
    ASSERT_EQ(kernel.ok(), expected) << op << " " << shape_to_string(a) << " " << shape_to_string(b);
    if (!kernel.ok()) return;
    auto index = [&](const Shape& s, int64_t flat) {
      int64_t at = 0;
      int64_t stride = 1;
      for (size_t i = 0; i < out.size(); ++i) {
        size_t axis = out.size() - 1 - i;
        int64_t coordinate = flat % out[axis];
        flat /= out[axis];
        if (i >= s.size()) continue;
        int64_t extent = s[s.size() - 1 - i];
        if (extent != 1) at += coordinate * stride;
        stride *= extent;
      }
      return static_cast<size_t>(at);
    };
    std::vector<double> want;
    for (int64_t i = 0; i < elements(out); ++i) {
      double x = c.inputs[0].view().as<float>()[index(a, i)];
      double y = c.inputs[1].view().as<float>()[index(b, i)];
      want.push_back(op == "Add" ? x + y : op == "Sub" ? x - y : op == "Mul" ? x * y : std::max(x, y));
    }
    expect_near(c.run(**kernel), want, op + " " + shape_to_string(a) + " " + shape_to_string(b));
  };
  for (Layout layout : kLayouts) {
    check("Add", {1, 20, 3, 5}, {1, 20, 3, 5}, {1, 20, 3, 5}, layout, true);
    check("Mul", {2, 20, 3, 5}, {1, 20, 1, 1}, {2, 20, 3, 5}, layout, true);
    check("Sub", {2, 20, 3, 5}, {1}, {2, 20, 3, 5}, layout, true);
  }
  check("Add", {4, 7, 16}, {16}, {4, 7, 16}, Layout::kRowMajor, true);
  check("Max", {16}, {4, 7, 16}, {4, 7, 16}, Layout::kRowMajor, true);
  check("Sub", {16}, {4, 7, 16}, {4, 7, 16}, Layout::kRowMajor, false);
}

TEST(OneDnn, SoftmaxOverAxesOldAndNew) {
  Case c;
  c.node.op = "Softmax";
  c.node.opset = 13;
  c.node.attributes["axis"] = int64_t{1};
  c.inputs = {drawn({2, 5, 3}, "x")};
  c.constant = {false};
  c.output = {2, 5, 3};
  for (int opset : {13, 11}) {
    c.node.opset = opset;
    auto kernel = c.plan(plan_softmax);
    if (opset == 13) {  // the axis is not innermost: oneDNN has a kernel for some instruction sets only
      if (!kernel.ok()) {
        EXPECT_NE(kernel.error().message.find("ref"), std::string::npos) << kernel.error().message;
        continue;
      }
    }
    ASSERT_TRUE(kernel.ok()) << kernel.error().message;
    auto x = c.inputs[0].view().as<float>();
    std::vector<double> want(30);
    for (size_t n = 0; n < 2; ++n)
      for (size_t j = 0; j < 3; ++j) {
        for (size_t i = 0; i < 5; ++i) {
          double sum = 0;
          for (size_t k = 0; k < 15; ++k)
            if (opset == 11 || k % 3 == j) sum += std::exp(static_cast<double>(x[n * 15 + k]));
          want[n * 15 + i * 3 + j] = std::exp(static_cast<double>(x[n * 15 + i * 3 + j])) / sum;
        }
      }
    expect_near(c.run(**kernel), want, "Softmax opset " + std::to_string(opset));
  }
}

TEST(OneDnn, TransposeReadsBlockedInput) {
  for (Layout layout : kLayouts) {
    Case c;
    c.node.op = "Transpose";
    c.node.attributes["perm"] = std::vector<int64_t>{0, 2, 3, 1};
    c.inputs = {drawn({2, 20, 3, 5}, "x")};
    c.constant = {false};
    c.output = {2, 3, 5, 20};
    c.given = layout;
    auto kernel = c.plan(plan_transpose);
    ASSERT_TRUE(kernel.ok()) << kernel.error().message;
    auto x = to_layout(c.inputs[0], Layout::kNhwc);
    expect_near(c.run(**kernel), {x.begin(), x.end()}, (*kernel)->implementation());
  }
}

TEST(OneDnn, ConcatOfWholeBlocksStaysBlocked) {
  Case c;
  c.node.op = "Concat";
  c.node.attributes["axis"] = int64_t{1};
  c.inputs = {drawn({1, 32, 3, 5}, "a"), drawn({1, 16, 3, 5}, "b")};
  c.constant = {false, false};
  c.output = {1, 48, 3, 5};
  auto a = c.inputs[0].view().as<float>();
  auto b = c.inputs[1].view().as<float>();
  std::vector<double> want(a.begin(), a.end());
  want.insert(want.end(), b.begin(), b.end());
  for (Layout layout : kLayouts) {
    c.given = layout;
    auto kernel = c.plan(plan_concat);
    ASSERT_TRUE(kernel.ok()) << kernel.error().message;
    EXPECT_EQ((*kernel)->output_layout(0), layout);
    expect_near(c.run(**kernel), want, (*kernel)->implementation());
  }
  c.inputs[1] = drawn({1, 20, 3, 5}, "b");
  c.output = {1, 52, 3, 5};
  c.given = Layout::kNChw16c;
  auto kernel = c.plan(plan_concat);
  ASSERT_TRUE(kernel.ok());
  EXPECT_EQ((*kernel)->output_layout(0), Layout::kRowMajor);
}

TEST(OneDnn, ReductionAndNormalisation) {
  Case c;
  c.node.op = "ReduceMean";
  c.node.opset = 13;
  c.node.attributes["axes"] = std::vector<int64_t>{-1};
  c.inputs = {drawn({4, 6, 32}, "x")};
  c.constant = {false};
  c.output = {4, 6, 1};
  auto kernel = c.plan(plan_reduction);
  if (kernel.ok()) {
    auto x = c.inputs[0].view().as<float>();
    std::vector<double> want(24, 0.0);
    for (size_t i = 0; i < x.size(); ++i) want[i / 32] += static_cast<double>(x[i]) / 32;
    expect_near(c.run(**kernel), want, (*kernel)->implementation());
  } else {
    EXPECT_NE(kernel.error().message.find("ref"), std::string::npos) << kernel.error().message;
  }
  c.node.op = "LayerNormalization";
  c.inputs = {drawn({4, 6, 32}, "x"), drawn({32}, "scale"), drawn({32}, "shift")};
  c.constant = {false, true, true};
  c.output = {4, 6, 32};
  auto normal = c.plan(plan_layer_normalization);
  ASSERT_TRUE(normal.ok()) << normal.error().message;
  auto x = c.inputs[0].view().as<float>();
  std::vector<double> want;
  for (size_t row = 0; row < 24; ++row) {
    double mean = 0;
    double square = 0;
    for (size_t i = 0; i < 32; ++i) mean += static_cast<double>(x[row * 32 + i]) / 32;
    for (size_t i = 0; i < 32; ++i) square += std::pow(x[row * 32 + i] - mean, 2) / 32;
    for (size_t i = 0; i < 32; ++i)
      want.push_back((x[row * 32 + i] - mean) / std::sqrt(square + 1e-5) * c.inputs[1].view().as<float>()[i] +
                     c.inputs[2].view().as<float>()[i]);
  }
  expect_near(c.run(**normal), want, (*normal)->implementation());
}

TEST(OneDnn, BatchNormalizationRunsItsPartsOnOneThread) {
  for (Layout layout : kLayouts) {
    Case c;
    c.node.op = "BatchNormalization";
    c.node.opset = 15;
    Tensor variance = drawn({20}, "variance");
    for (float& v : variance.view().as<float>()) v = v * v + 0.5F;
    c.inputs = {drawn({2, 20, 6, 5}, "x"), drawn({20}, "scale"), drawn({20}, "shift"), drawn({20}, "mean"), variance};
    c.constant = {false, true, true, true, true};
    c.output = {2, 20, 6, 5};
    c.given = layout;
    c.width = 4;
    auto kernel = c.plan(plan_batch_normalization);
    ASSERT_TRUE(kernel.ok()) << kernel.error().message;
    auto value = [&](size_t input, size_t i) { return static_cast<double>(c.inputs[input].view().as<float>()[i]); };
    std::vector<double> want;
    for (size_t i = 0; i < 1200; ++i) {
      size_t channel = i / 30 % 20;
      want.push_back((value(0, i) - value(3, channel)) / std::sqrt(value(4, channel) + 1e-5) * value(1, channel) +
                     value(2, channel));
    }
    expect_near(c.run(**kernel), want, (*kernel)->implementation());
  }
}

TEST(OneDnn, RefusesWithTheReason) {
  Case c = conv_case({.n = 1, .c = 4, .h = 4, .w = 4, .m = 4, .kh = 1, .kw = 1, .groups = 1});
  c.inputs[0] = Tensor::zeros(DType::kF64, {1, 4, 4, 4});
  auto wide = c.plan(plan_convolution);
  ASSERT_FALSE(wide.ok());
  EXPECT_NE(wide.error().message.find("FP64"), std::string::npos);
  Case resize;
  resize.node.op = "Resize";
  resize.node.opset = 13;
  resize.node.attributes["mode"] = std::string("cubic");
  resize.inputs = {drawn({1, 1, 4, 4}, "x")};
  resize.constant = {false};
  resize.output = {1, 1, 8, 8};
  auto cubic = resize.plan(plan_resampling);
  ASSERT_FALSE(cubic.ok());
  EXPECT_NE(cubic.error().message.find("cubic"), std::string::npos);
}

}  // namespace
}  // namespace motet::ops::onednn
