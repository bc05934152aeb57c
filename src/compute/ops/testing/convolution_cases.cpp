// Conv and ConvTranspose: strides, dilations, groups, uneven padding up to the window less one, one to three extents.
#include "compute/ops/testing/cases.h"

namespace motet::ops::testing {
namespace {

using graph::PostOp;

struct Geometry {
  Shape in, kernel, strides, dilations, pads;
  int64_t batch, in_each, out_each, group;
};

Attributes attributes_of(const ConvParameters& p) {
  return {{"strides", p.strides}, {"dilations", p.dilations}, {"pads", p.pads}, {"group", p.group}};
}

// A convolution with or without bias.
void add(Cases& cases, const Geometry& g, bool biased) {
  Shape x_shape{g.batch, g.in_each * g.group}, w_shape{g.out_each * g.group, g.in_each};
  x_shape.insert(x_shape.end(), g.in.begin(), g.in.end());
  w_shape.insert(w_shape.end(), g.kernel.begin(), g.kernel.end());
  const Array x = cases.array(x_shape), w = cases.array(w_shape), bias = cases.array({w_shape[0]});
  const ConvParameters p{g.strides, g.dilations, g.pads, g.group};
  const Array sizes = sizes_of(bias);
  Case c{.op = "Conv",
         .attributes = attributes_of(p),
         .inputs = {f32_tensor(x), f32_tensor(w)},
         .constant = {false, true, true},
         .expected = conv(x, w, biased ? &bias : nullptr, p),
         .roundings = static_cast<double>(elements(w_shape) / w_shape[0]) + 2,
         .magnitude = conv(sizes_of(x), sizes_of(w), biased ? &sizes : nullptr, p)};
  if (biased) c.inputs.push_back(f32_tensor(bias));
  cases.add(std::move(c));
}

void add_random(Cases& cases) {
  for (int round = 0; round < 18; ++round) {
    Geometry g;
    g.group = round % 6 == 5 ? 24 : round % 6 == 4 ? 3 : 1;
    g.batch = cases.extent(1, 2);
    g.in_each = g.group == 24 ? 1 : cases.extent(1, 20);
    g.out_each = g.group == 24 ? 1 : cases.extent(1, 20);
    for (int d = 0; d < 2; ++d) {
      const int64_t k = round % 3 == 0 ? 1 : cases.extent(1, 5), dilation = cases.extent(1, 2);
      const int64_t reach = (k - 1) * dilation + 1;
      g.kernel.push_back(k);
      g.dilations.push_back(dilation);
      g.strides.push_back(cases.extent(1, 3));
      g.in.push_back(reach + cases.extent(0, 7));
      g.pads.insert(g.pads.begin() + d, cases.extent(0, k - 1));
      g.pads.push_back(cases.extent(0, k - 1));
    }
    add(cases, g, round % 2 == 0);
  }
}

void add_chosen(Cases& cases) {
  const Geometry list[] = {
      {{17, 13}, {3, 3}, {2, 2}, {1, 1}, {1, 1, 1, 1}, 2, 3, 24, 1},  // a first layer
      {{9, 9}, {1, 1}, {1, 1}, {1, 1}, {0, 0, 0, 0}, 1, 24, 32, 1},
      {{8, 8}, {1, 1}, {2, 2}, {1, 1}, {0, 0, 0, 0}, 1, 32, 16, 1},
      {{11, 7}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 1, 1, 1, 32},  // depthwise
      {{11, 7}, {5, 5}, {2, 2}, {1, 1}, {2, 2, 2, 2}, 1, 1, 1, 10},
      {{11, 7}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 1, 1, 2, 16},   // two outputs a channel
      {{9, 40}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 2, 1, 1, 48},   // rows of several tiles
      {{12, 33}, {3, 3}, {2, 2}, {1, 1}, {0, 0, 1, 1}, 1, 1, 1, 40},  // padding at one end, a block that is not full
      {{7, 7}, {5, 5}, {1, 1}, {1, 1}, {2, 2, 2, 2}, 3, 1, 1, 72},
      {{15, 28}, {5, 5}, {2, 2}, {1, 1}, {2, 1, 2, 2}, 1, 1, 1, 24},
      {{5, 19}, {7, 7}, {1, 1}, {1, 1}, {3, 6, 6, 3}, 2, 1, 1, 32},
      {{16, 18}, {7, 7}, {2, 2}, {1, 1}, {3, 3, 3, 3}, 1, 1, 1, 17},
      {{7, 7}, {7, 7}, {1, 1}, {1, 1}, {0, 0, 0, 0}, 1, 1, 1, 16},  // one pixel out
      {{14, 14}, {3, 3}, {1, 1}, {3, 3}, {3, 3, 3, 3}, 1, 16, 16, 1},
      {{6, 6}, {3, 3}, {1, 1}, {1, 1}, {2, 2, 2, 2}, 1, 16, 16, 1},  // padding of the window less one
      {{4, 5}, {3, 2}, {1, 1}, {1, 1}, {2, 0, 0, 1}, 1, 5, 7, 1},
      {{1, 1}, {1, 1}, {1, 1}, {1, 1}, {0, 0, 0, 0}, 3, 70, 33, 1},   // one pixel
      {{3, 3}, {3, 3}, {1, 1}, {1, 1}, {0, 0, 0, 0}, 2, 150, 18, 1},  // a long sum, one pixel out
      {{40, 1}, {5, 1}, {1, 1}, {1, 1}, {2, 0, 1, 0}, 2, 16, 32, 1},  // one column
      {{1, 21}, {1, 3}, {1, 2}, {1, 1}, {0, 1, 0, 1}, 1, 16, 8, 1},
      {{11}, {3}, {2}, {1}, {1, 1}, 2, 3, 5, 1},
      {{20}, {3}, {1}, {2}, {2, 0}, 1, 16, 16, 4},
      {{4, 5, 6}, {2, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1, 0, 1, 1}, 1, 2, 3, 1}};
  for (const Geometry& g : list) add(cases, g, true);
}

void add_post_ops(Cases& cases) {
  const Array x = cases.array({1, 24, 6, 6}), w = cases.array({40, 24, 3, 3}), bias = cases.array({40});
  const Array other = cases.array({1, 40, 6, 6});
  const ConvParameters p{{1, 1}, {1, 1}, {1, 1, 1, 1}, 1};
  const Array plain = conv(x, w, &bias, p), sizes = sizes_of(bias);
  auto relu = [](double v) { return std::max(v, 0.0); };
  const PostOp add{.kind = PostOp::Kind::kAdd, .input = 3}, rectify{.kind = PostOp::Kind::kRelu};
  const PostOp clip{.kind = PostOp::Kind::kClip, .alpha = -0.5F, .beta = 1.5F};
  const PostOp hard{.kind = PostOp::Kind::kHardSigmoid, .alpha = 0.2F, .beta = 0.5F};
  const PostOp swish{.kind = PostOp::Kind::kSwish}, tanh{.kind = PostOp::Kind::kTanh};
  auto clipped = [](double v) { return std::min(1.5, std::max(v, -0.5)); };
  const std::pair<std::vector<PostOp>, Array> list[] = {
      {{add, rectify}, map(broadcast(plain, other, plus), relu)},
      {{rectify, add}, broadcast(map(plain, relu), other, plus)},
      {{add, clip}, map(broadcast(plain, other, plus), clipped)},
      {{clip}, map(plain, clipped)},
      {{hard}, map(plain, [](double v) { return std::min(1.0, std::max(0.0, 0.2f * v + 0.5)); })},
      {{swish}, map(plain, [](double v) { return v / (1 + std::exp(-v)); })},
      {{tanh}, map(plain, [](double v) { return std::tanh(v); })}};
  for (const auto& [ops, y] : list) {
    Case c{.op = "Conv",
           .attributes = attributes_of(p),
           .inputs = {f32_tensor(x), f32_tensor(w), f32_tensor(bias)},
           .constant = {false, true, true},
           .post_ops = ops,
           .expected = y,
           .roundings = 220,
           .magnitude = conv(sizes_of(x), sizes_of(w), &sizes, p)};
    for (const PostOp& op : ops)
      if (op.kind == PostOp::Kind::kAdd) c.inputs.push_back(f32_tensor(other));
    cases.add(std::move(c));
  }
}

void add_depthwise_post_ops(Cases& cases) {
  const Array x = cases.array({2, 40, 9, 17}), w = cases.array({40, 1, 3, 3}), bias = cases.array({40}, -3, 3);
  const ConvParameters p{{1, 1}, {1, 1}, {1, 1, 1, 1}, 40};
  const Array plain = conv(x, w, &bias, p), sizes = sizes_of(bias);
  const std::pair<PostOp, double (*)(double)> list[] = {
      {{.kind = PostOp::Kind::kRelu}, [](double v) { return std::max(v, 0.0); }},
      {{.kind = PostOp::Kind::kClip, .alpha = -0.5F, .beta = 1.5F},
       [](double v) { return std::min(1.5, std::max(v, -0.5)); }},
      {{.kind = PostOp::Kind::kClip, .alpha = 0.5F, .beta = 1.5F},  // padding would not stay zero
       [](double v) { return std::min(1.5, std::max(v, 0.5)); }},
      {{.kind = PostOp::Kind::kHardSwish}, [](double v) { return v * std::min(1.0, std::max(0.0, v / 6 + 0.5)); }},
      {{.kind = PostOp::Kind::kSwish}, [](double v) { return v / (1 + std::exp(-v)); }}};
  for (const auto& [op, f] : list) {
    cases.add({.op = "Conv",
               .attributes = attributes_of(p),
               .inputs = {f32_tensor(x), f32_tensor(w), f32_tensor(bias)},
               .constant = {false, true, true},
               .post_ops = {op},
               .expected = map(plain, f),
               .roundings = 16,
               .magnitude = conv(sizes_of(x), sizes_of(w), &sizes, p)});
  }
}

// By Winograd's method, which rounds points and sums of them: once more than the plain way in bf16, and in f32 with
// factors that make it a few times as much.
void add_winograd(Cases& cases, DType type) {
  auto narrow = [&](const Array& a) {
    return map(a, [&](double v) {
      const auto single = static_cast<float>(v);
      return double{type == DType::kBF16 ? bf16_to_float(float_to_bf16(single)) : single};
    });
  };
  auto one = [&](const Shape& in, int64_t out, const Shape& pads, const std::vector<PostOp>& post_ops) {
    const ConvParameters p{{1, 1}, {1, 1}, pads, 1};
    const Array x = narrow(cases.array(in)), w = narrow(cases.array({out, in[1], 3, 3})), bias = cases.array({out});
    const Array plain = conv(x, w, &bias, p), sizes = sizes_of(bias);
    Case c{.op = "Conv",
           .attributes = attributes_of(p),
           .inputs = {tensor_of(type, x), f32_tensor(w), f32_tensor(bias)},
           .constant = {false, true, true},
           .expected = plain,
           .dtype = type,
           .roundings = type == DType::kBF16 ? 0x1p16 : 32,
           .magnitude = conv(sizes_of(x), sizes_of(w), &sizes, p),
           .winograd = true};
    c.post_ops = post_ops;
    for (PostOp& op : c.post_ops) {
      if (op.kind == PostOp::Kind::kAdd) {
        const Array other = narrow(cases.array(plain.shape));
        op.input = 3;
        c.inputs.push_back(tensor_of(type, other));
        c.expected = broadcast(c.expected, other, plus);
      } else if (op.kind == PostOp::Kind::kRelu) {
        c.expected = map(c.expected, [](double v) { return std::max(v, 0.0); });
      } else {
        c.expected = map(c.expected, [](double v) { return v / (1 + std::exp(-v)); });
      }
    }
    cases.add(std::move(c));
  };
  const PostOp addition{.kind = PostOp::Kind::kAdd}, relu{.kind = PostOp::Kind::kRelu};
  // Few patches and many, whose extents fill none or all of them; channels that fill no panel.
  one({2, 16, 7, 10}, 48, {1, 1, 1, 1}, {});
  one({1, 48, 9, 5}, 32, {1, 1, 1, 1}, {addition, relu});
  one({3, 32, 13, 14}, 16, {2, 0, 1, 1}, {});
  one({2, 16, 11, 10}, 32, {1, 1, 1, 1}, {addition});
  one({1, 16, 17, 14}, 48, {0, 1, 2, 0}, {relu});
  if (type != DType::kF32) return;
  one({2, 16, 10, 11}, 48, {1, 1, 1, 1}, {{.kind = PostOp::Kind::kSwish}});
  one({1, 368, 3, 5}, 368, {1, 1, 1, 1}, {relu});  // more channels than patches of 4x4 are made for
}

void add_transposed(Cases& cases) {
  auto one = [&](Shape in, Shape kernel, Shape strides, Shape dilations, Shape pads, int64_t group) {
    Shape x_shape{2, 4 * group}, w_shape{4 * group, 3};
    x_shape.insert(x_shape.end(), in.begin(), in.end());
    w_shape.insert(w_shape.end(), kernel.begin(), kernel.end());
    const Array x = cases.array(x_shape), w = cases.array(w_shape), bias = cases.array({3 * group});
    const ConvParameters p{strides, dilations, pads, group};
    const Array sizes = sizes_of(bias);
    cases.add({.op = "ConvTranspose",
               .attributes = attributes_of(p),
               .inputs = {f32_tensor(x), f32_tensor(w), f32_tensor(bias)},
               .constant = {false, true, true},
               .expected = conv_transpose(x, w, &bias, p),
               .roundings = static_cast<double>(4 * elements(kernel)) + 2,
               .magnitude = conv_transpose(sizes_of(x), sizes_of(w), &sizes, p)});
  };
  for (int64_t group : {1, 2}) {
    for (int64_t stride : {1, 2, 3}) one({5, 4}, {3, 3}, {stride, stride}, {1, 1}, {1, 1, 1, 1}, group);
  }
  one({5, 4}, {2, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}, 1);
  one({5, 4}, {3, 2}, {1, 2}, {2, 1}, {2, 0, 1, 1}, 1);
  one({1, 1}, {4, 4}, {1, 1}, {1, 1}, {0, 0, 0, 0}, 1);
  one({7}, {3}, {2}, {1}, {1, 0}, 1);
}

}  // namespace

void add_convolution_cases(Cases& cases) {
  add_random(cases);
  add_chosen(cases);
  add_post_ops(cases);
  add_depthwise_post_ops(cases);
  for (DType type : {DType::kF32, DType::kBF16}) add_winograd(cases, type);
  add_transposed(cases);
}

}  // namespace motet::ops::testing
