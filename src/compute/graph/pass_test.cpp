#include "compute/graph/pass.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "base/random.h"
#include "compute/graph/passes.h"
#include "compute/graph/test_interpreter.h"
#include "compute/graph/test_model.h"

namespace motet::graph {
namespace {

using namespace test;

// Time that stands still.
class StillClock final : public Clock {
 public:
  Nanos now() const override { return Nanos(0); }
};

Floats random_floats(Random& random, size_t count) {
  Floats out(count);
  for (float& v : out) v = static_cast<float>(random.uniform() * 2 - 1);
  return out;
}

// Everything one test model needs: parts, and how many rewrites each pass should make.
struct Built {
  GraphParts parts;
  Random random{7, "pass_test"};

  std::string weights(const std::string& name, const std::vector<int64_t>& dims, float low = -1) {
    Floats values = random_floats(random, static_cast<size_t>(elements(dims)));
    if (low >= 0)
      for (float& v : values) v = low + std::abs(v);
    parts.initializers.push_back(tensor(name, dims, values));
    return name;
  }
  std::string number(const std::string& name, float value) {
    parts.initializers.push_back(tensor(name, {}, Floats{value}));
    return name;
  }
  void add(const std::string& n) { parts.nodes.push_back(n); }
  void norm(const std::string& from, const std::string& to, int64_t channels) {
    std::vector<std::string> inputs = {from};
    for (const char* p : {"scale", "shift", "mean"}) inputs.push_back(weights(to + p, {channels}));
    inputs.push_back(weights(to + "variance", {channels}, 0.5F));
    add(node("BatchNormalization", inputs, {to}));
  }
  Graph graph(int64_t version = 17) {
    auto m = read(model(test::graph(parts), version));
    EXPECT_TRUE(m.ok()) << m.error().message;
    Status s = m.ok() ? infer_shapes(*m->graph, {}) : Status(m.error());
    EXPECT_TRUE(s.ok()) << s.error().message;
    return m.ok() ? *m->graph : Graph();
  }
};

// Runs all passes, checks that every output stays within rounding and the graph sound after each, and returns the
// result.
Graph optimise(const Graph& before, const PassContext& context = {}) {
  Random random(11, "inputs");
  std::vector<Floats> inputs;
  for (ValueId id : before.inputs)
    inputs.push_back(random_floats(random, static_cast<size_t>(elements(before.value(id).static_shape().value()))));
  auto expected = interpret(before, inputs);
  Graph after = before;
  for (const Pass& pass : all_passes()) {
    auto rewrites = pass.run(after, context);
    EXPECT_TRUE(rewrites.ok()) << pass.name << rewrites.error().message;
    Status sound = after.verify();
    EXPECT_TRUE(sound.ok()) << pass.name << ": " << sound.error().message;
    Status inferred = infer_shapes(after, context);
    EXPECT_TRUE(inferred.ok()) << pass.name << ": " << inferred.error().message;
    auto actual = interpret(after, inputs);
    EXPECT_EQ(actual.size(), expected.size());
    for (size_t o = 0; o < actual.size(); ++o) {
      EXPECT_EQ(actual[o].size(), expected[o].size());
      for (size_t i = 0; i < actual[o].size(); ++i)
        EXPECT_NEAR(actual[o][i], expected[o][i], 2e-5F * (1 + std::abs(expected[o][i]))) << pass.name;
    }
  }
  for (size_t o = 0; o < before.outputs.size(); ++o)
    EXPECT_EQ(after.value(after.outputs[o]).name, before.value(before.outputs[o]).name);
  return after;
}

std::string ops(const Graph& g) {
  std::string out;
  for (const Node& n : g.nodes) {
    out += (out.empty() ? "" : " ") + n.op;
    for (const PostOp& p : n.post_ops) out += "+" + std::to_string(static_cast<int>(p.kind));
  }
  return out;
}
std::string kind(PostOp::Kind k) { return "+" + std::to_string(static_cast<int>(k)); }
using Kind = PostOp::Kind;

const std::vector<std::string> kPads = {attribute("pads", std::vector<int64_t>{1, 1, 1, 1})};

TEST(Passes, ConvolutionTakesNormResidualAndActivation) {
  Built b;
  b.parts.inputs = {info("x", 1, {"2", "4", "5", "5"})};
  b.parts.outputs = {info("y", 1, {})};
  b.weights("w1", {6, 4, 3, 3});
  b.weights("w2", {6, 6, 3, 3});
  b.weights("w3", {6, 4, 1, 1});
  b.add(node("Conv", {"x", "w1"}, {"c1"}, kPads));
  b.norm("c1", "n1", 6);
  b.add(node("Relu", {"n1"}, {"r1"}));
  b.add(node("Conv", {"r1", "w2", b.weights("bias", {6})}, {"c2"}, kPads));
  b.norm("c2", "n2", 6);
  b.add(node("Conv", {"x", "w3"}, {"c3"}));
  b.norm("c3", "n3", 6);
  b.add(node("Add", {"n2", "n3"}, {"s"}));
  b.add(node("Relu", {"s"}, {"y"}));
  Graph after = optimise(b.graph());
  EXPECT_EQ(ops(after), "Conv" + kind(Kind::kRelu) + " Conv Conv" + kind(Kind::kAdd) + kind(Kind::kRelu));
}

TEST(Passes, GroupedAndTransposedConvolutionsFoldNorms) {
  Built b;
  b.parts.inputs = {info("x", 1, {"1", "4", "4", "4"})};
  b.parts.outputs = {info("y", 1, {})};
  b.add(node("Conv", {"x", b.weights("w1", {8, 2, 3, 3})}, {"c1"}, {attribute("group", int64_t{2}), kPads[0]}));
  b.norm("c1", "n1", 8);
  b.add(node("ConvTranspose", {"n1", b.weights("w2", {8, 3, 2, 2}), b.weights("b2", {6})}, {"c2"},
             {attribute("group", int64_t{2}), attribute("strides", std::vector<int64_t>{2, 2})}));
  b.norm("c2", "y", 6);
  EXPECT_EQ(ops(optimise(b.graph())), "Conv ConvTranspose");
}

TEST(Passes, ProductsTakeNormScaleAndBias) {
  for (int64_t transposed : {0, 1}) {
    Built b;
    b.parts.inputs = {info("x", 1, {"3", "5"})};
    b.parts.outputs = {info("y", 1, {})};
    b.add(node("Gemm",
               {"x", b.weights("w", transposed != 0 ? std::vector<int64_t>{7, 5} : std::vector<int64_t>{5, 7}),
                b.weights("c", {1, 7})},
               {"g"}, {attribute("transB", transposed), attribute("alpha", 0.5F), attribute("beta", 2.0F)}));
    b.norm("g", "n", 7);
    b.add(node("MatMul", {"n", b.weights("w2", {7, 4})}, {"p"}));
    b.add(node("Div", {"p", b.weights("d", {4}, 0.5F)}, {"q"}));
    b.add(node("Sub", {"q", b.weights("e", {1, 4})}, {"s"}));
    b.add(node("Sigmoid", {"s"}, {"y"}));
    EXPECT_EQ(ops(optimise(b.graph())), "Gemm MatMul" + kind(Kind::kSigmoid));
  }
}

TEST(Passes, BiasOfBatchedProducts) {
  Built b;
  b.parts.inputs = {info("x", 1, {"2", "3", "4"}), info("z", 1, {"2", "3", "5"})};
  b.parts.outputs = {info("y", 1, {})};
  b.add(node("MatMul", {"x", b.weights("w", {4, 5})}, {"p"}));
  b.add(node("Add", {b.weights("b", {5}), "p"}, {"q"}));
  b.add(node("Add", {"q", "z"}, {"s"}));
  b.add(node("Tanh", {"s"}, {"y"}));
  Graph after = optimise(b.graph());
  EXPECT_EQ(ops(after), "MatMul" + kind(Kind::kAdd) + kind(Kind::kTanh));
  EXPECT_EQ(after.nodes[0].post_ops[0].input, 3);
}

TEST(Passes, WhatOthersSeeIsNotFused) {
  Built b;
  b.parts.inputs = {info("x", 1, {"1", "2", "3", "3"})};
  b.parts.outputs = {info("y", 1, {}), info("c", 1, {})};
  b.add(node("Conv", {"x", b.weights("w", {2, 2, 1, 1})}, {"c"}));
  b.add(node("Relu", {"c"}, {"y"}));
  EXPECT_EQ(ops(optimise(b.graph())), "Conv Relu");
  // A bias that does not run along the channels, and an addend that widens the result.
  Built d;
  d.parts.inputs = {info("x", 1, {"1", "2", "3", "3"})};
  d.parts.outputs = {info("y", 1, {})};
  d.add(node("Conv", {"x", d.weights("w", {2, 2, 1, 1})}, {"c"}));
  d.add(node("Add", {"c", d.weights("b", {1, 1, 3})}, {"e"}));
  d.add(node("Add", {"e", d.weights("z", {4, 2, 1, 1})}, {"y"}));
  EXPECT_EQ(ops(optimise(d.graph())), "Conv Add Add");
}

TEST(Passes, ALoneNormStaysAndRectifies) {
  Built b;
  b.parts.inputs = {info("x", 1, {"2", "3", "4"})};
  b.parts.outputs = {info("y", 1, {}), info("z", 1, {})};
  b.norm("x", "a", 3);
  b.add(node("Relu", {"a"}, {"y"}));
  b.norm("y", "b", 3);
  b.add(node("Tanh", {"b"}, {"z"}));
  EXPECT_EQ(ops(optimise(b.graph())), "BatchNormalization" + kind(Kind::kRelu) + " BatchNormalization Tanh");
}

TEST(Passes, RecognisesGlobalPooling) {
  Built b;
  b.parts.inputs = {info("x", 1, {"2", "3", "4", "5"})};
  b.parts.outputs = {info("y", 1, {}), info("z", 1, {}), info("w", 1, {})};
  b.parts.initializers.push_back(tensor("axes", {2}, std::vector<int64_t>{-1, 2}));
  b.add(node("ReduceMean", {"x", "axes"}, {"y"}));
  b.add(node("ReduceMax", {"x", "axes"}, {"m"}, {attribute("keepdims", int64_t{0})}));
  b.add(node("Tanh", {"m"}, {"z"}));
  b.add(node("GlobalAveragePool", {"x"}, {"w"}));
  EXPECT_EQ(ops(optimise(b.graph(18))), "GlobalAveragePool GlobalMaxPool Flatten Tanh GlobalAveragePool");
}

TEST(Passes, TransposedConvolutionsWithoutOverlapAreProducts) {
  Built b;
  b.parts.inputs = {info("x", 1, {"2", "3", "4", "5"})};
  b.parts.outputs = {info("y", 1, {}), info("z", 1, {})};
  const auto two = attribute("strides", std::vector<int64_t>{2, 2});
  b.add(node("ConvTranspose", {"x", b.weights("w", {3, 2, 2, 2}), b.weights("bias", {2})}, {"a"}, {two}));
  b.norm("a", "y", 2);
  b.add(node("ConvTranspose", {"x", b.weights("v", {3, 2, 3, 3})}, {"z"}, {two}));  // these overlap
  EXPECT_EQ(ops(optimise(b.graph())), "Conv DepthToSpace ConvTranspose");
}

TEST(Passes, RecognisesGroupNorms) {
  for (float bias : {0.0F, 0.5F}) {
    Built b;
    b.parts.inputs = {info("x", 1, {"2", "6", "4", "5"})};
    b.parts.outputs = {info("y", 1, {})};
    b.parts.initializers.push_back(tensor("groups", {3}, std::vector<int64_t>{2, 3, -1}));
    b.parts.initializers.push_back(tensor("whole", {4}, std::vector<int64_t>{2, 6, 4, 5}));
    b.parts.initializers.push_back(tensor("ones", {3}, Floats{1, 1, 1}));
    b.parts.initializers.push_back(tensor("offsets", {3}, Floats{0, bias, 0}));
    b.add(node("Reshape", {"x", "groups"}, {"a"}));
    b.add(node("InstanceNormalization", {"a", "ones", "offsets"}, {"b"}));
    b.add(node("Reshape", {"b", "whole"}, {"c"}));
    b.add(node("Mul", {"c", b.weights("scale", {6, 1, 1})}, {"d"}));
    b.add(node("Add", {b.weights("shift", {6, 1, 1}), "d"}, {"e"}));
    b.add(node("Relu", {"e"}, {"y"}));
    EXPECT_EQ(ops(optimise(b.graph())), bias == 0 ? "GroupNormalization" + kind(Kind::kRelu)
                                                  : "Reshape InstanceNormalization Reshape Mul Add Relu");
  }
}

TEST(Passes, JoinsTakeWhatWasJoinedBefore) {
  Built b;
  b.parts.inputs = {info("x", 1, {"1", "2", "3"}), info("y", 1, {"1", "1", "3"}), info("z", 1, {"1", "4", "3"})};
  b.parts.outputs = {info("a", 1, {}), info("b", 1, {}), info("c", 1, {})};
  const auto axis = attribute("axis", int64_t{1});
  b.add(node("Concat", {"x", "y"}, {"a"}, {axis}));
  b.add(node("Concat", {"x", "y", "z"}, {"b"}, {axis}));
  b.add(node("Concat", {"x", "y", "z", "x"}, {"c"}, {axis}));
  Graph after = optimise(b.graph());
  ASSERT_EQ(ops(after), "Concat Concat Concat");
  EXPECT_EQ(after.nodes[1].inputs, (std::vector<ValueId>{after.find("a"), after.find("z")}));
  EXPECT_EQ(after.nodes[2].inputs, (std::vector<ValueId>{after.find("b"), after.find("x")}));
}

TEST(Passes, RecognisesShuffledChannels) {
  Built b;
  b.parts.inputs = {info("x", 1, {"2", "6", "4", "5"})};
  b.parts.outputs = {info("y", 1, {}), info("z", 1, {})};
  b.parts.initializers.push_back(tensor("apart", {5}, std::vector<int64_t>{2, 2, 3, 4, 5}));
  b.parts.initializers.push_back(tensor("other", {5}, std::vector<int64_t>{2, 6, 2, 2, 5}));
  b.parts.initializers.push_back(tensor("together", {4}, std::vector<int64_t>{2, 6, 4, 5}));
  for (const auto& [shape, result] : {std::pair<const char*, const char*>{"apart", "y"}, {"other", "z"}}) {
    const std::string name = result;
    b.add(node("Reshape", {"x", shape}, {name + "1"}));
    b.add(node("Transpose", {name + "1"}, {name + "2"}, {attribute("perm", std::vector<int64_t>{0, 2, 1, 3, 4})}));
    b.add(node("Reshape", {name + "2", "together"}, {name}));
  }
  EXPECT_EQ(ops(optimise(b.graph())), "ChannelShuffle Reshape Transpose Reshape");
}

TEST(Passes, EveryActivationFuses) {
  struct Row {
    std::string bytes;
    Kind kind;
  };
  Built numbers;
  std::vector<Row> rows = {{node("Relu", {"c"}, {"y"}), Kind::kRelu},
                           {node("Sigmoid", {"c"}, {"y"}), Kind::kSigmoid},
                           {node("Tanh", {"c"}, {"y"}), Kind::kTanh},
                           {node("HardSwish", {"c"}, {"y"}), Kind::kHardSwish},
                           {node("HardSigmoid", {"c"}, {"y"}, {attribute("alpha", 0.3F)}), Kind::kHardSigmoid},
                           {node("LeakyRelu", {"c"}, {"y"}, {attribute("alpha", 0.3F)}), Kind::kLeakyRelu},
                           {node("Elu", {"c"}, {"y"}, {attribute("alpha", 0.3F)}), Kind::kElu},
                           {node("Gelu", {"c"}, {"y"}), Kind::kGeluErf},
                           {node("Gelu", {"c"}, {"y"}, {attribute_text("approximate", "tanh")}), Kind::kGeluTanh},
                           {node("Clip", {"c", "low", "high"}, {"y"}), Kind::kClip}};
  for (const Row& row : rows) {
    Built b;
    b.parts.inputs = {info("x", 1, {"1", "2", "3", "3"})};
    b.parts.outputs = {info("y", 1, {})};
    b.number("low", -0.25F);
    b.number("high", 0.5F);
    b.add(node("Conv", {"x", b.weights("w", {2, 2, 1, 1})}, {"c"}));
    b.add(row.bytes);
    EXPECT_EQ(ops(optimise(b.graph(20))), "Conv" + kind(row.kind));
  }
}

TEST(Passes, RecognisesSpelledOutActivations) {
  auto fused = [](const std::vector<std::string>& nodes) {
    Built b;
    b.parts.inputs = {info("x", 1, {"2", "9"})};
    b.parts.outputs = {info("y", 1, {})};
    for (auto [name, value] : std::initializer_list<std::pair<const char*, float>>{{"half", 0.5F},
                                                                                   {"one", 1},
                                                                                   {"root", 1.41421356F},
                                                                                   {"inverse", 0.70710678F},
                                                                                   {"k", 0.7978845608F},
                                                                                   {"c", 0.044715F},
                                                                                   {"three", 3},
                                                                                   {"zero", 0},
                                                                                   {"six", 6},
                                                                                   {"two", 2}})
      b.number(name, value);
    for (const auto& n : nodes) b.add(n);
    Graph after = optimise(b.graph());
    return after.nodes.empty() ? "" : ops(after) + " " + after.nodes.back().string_or("approximate", "");
  };
  EXPECT_EQ(fused({node("Div", {"x", "root"}, {"a"}), node("Erf", {"a"}, {"b"}), node("Add", {"b", "one"}, {"d"}),
                   node("Mul", {"x", "d"}, {"e"}), node("Mul", {"e", "half"}, {"y"})}),
            "Gelu none");
  EXPECT_EQ(fused({node("Mul", {"half", "x"}, {"h"}), node("Mul", {"x", "inverse"}, {"a"}), node("Erf", {"a"}, {"b"}),
                   node("Add", {"one", "b"}, {"d"}), node("Mul", {"h", "d"}, {"y"})}),
            "Gelu none");
  EXPECT_EQ(
      fused({node("Mul", {"c", "x"}, {"a"}), node("Mul", {"x", "a"}, {"b"}), node("Mul", {"x", "b"}, {"d"}),
             node("Add", {"x", "d"}, {"e"}), node("Mul", {"k", "e"}, {"f"}), node("Tanh", {"f"}, {"g"}),
             node("Add", {"one", "g"}, {"h"}), node("Mul", {"half", "h"}, {"i"}), node("Mul", {"x", "i"}, {"y"})}),
      "Gelu tanh");
  EXPECT_EQ(fused({node("Pow", {"x", "three"}, {"a"}), node("Mul", {"a", "c"}, {"d"}), node("Add", {"x", "d"}, {"e"}),
                   node("Mul", {"e", "k"}, {"f"}), node("Tanh", {"f"}, {"g"}), node("Add", {"g", "one"}, {"h"}),
                   node("Mul", {"x", "half"}, {"i"}), node("Mul", {"i", "h"}, {"y"})}),
            "Gelu tanh");
  EXPECT_EQ(fused({node("Sigmoid", {"x"}, {"s"}), node("Mul", {"x", "s"}, {"y"})}), "Swish ");
  EXPECT_EQ(
      fused({node("HardSigmoid", {"x"}, {"s"}, {attribute("alpha", 0.16666667F)}), node("Mul", {"s", "x"}, {"y"})}),
      "HardSwish ");
  EXPECT_EQ(fused({node("Add", {"x", "three"}, {"a"}), node("Clip", {"a", "zero", "six"}, {"b"}),
                   node("Mul", {"x", "b"}, {"d"}), node("Div", {"d", "six"}, {"y"})}),
            "HardSwish ");
  // Nearly, but not quite.
  EXPECT_EQ(fused({node("Div", {"x", "two"}, {"a"}), node("Erf", {"a"}, {"b"}), node("Add", {"b", "one"}, {"d"}),
                   node("Mul", {"x", "d"}, {"e"}), node("Mul", {"e", "half"}, {"y"})}),
            "Div Erf Add Mul Mul ");
  EXPECT_EQ(fused({node("HardSigmoid", {"x"}, {"s"}), node("Mul", {"s", "x"}, {"y"})}), "HardSigmoid Mul ");
}

TEST(Passes, RemovesWhatDoesNothing) {
  Built b;
  b.parts.inputs = {info("x", 1, {"2", "3", "4"})};
  b.parts.outputs = {info("y", 1, {}), info("z", 1, {})};
  b.parts.initializers.push_back(tensor("same", {3}, std::vector<int64_t>{2, 3, 4}));
  b.parts.initializers.push_back(tensor("flat", {1}, std::vector<int64_t>{-1}));
  b.number("one", 1);
  b.number("none", 0);
  b.add(node("Identity", {"x"}, {"a"}));
  b.add(node("Dropout", {"a"}, {"b"}));
  b.add(node("Reshape", {"b", "same"}, {"c"}));
  b.add(node("Mul", {"one", "c"}, {"d"}));
  b.add(node("Add", {"d", "none"}, {"e"}));
  b.add(node("Transpose", {"e"}, {"f"}, {attribute("perm", std::vector<int64_t>{1, 2, 0})}));
  b.add(node("Transpose", {"f"}, {"g"}, {attribute("perm", std::vector<int64_t>{2, 0, 1})}));
  b.add(node("Tanh", {"g"}, {"h"}));
  b.add(node("Identity", {"h"}, {"y"}));
  b.add(node("Flatten", {"h"}, {"i"}));
  b.add(node("Reshape", {"i", "flat"}, {"z"}));
  Graph after = optimise(b.graph());
  EXPECT_EQ(ops(after), "Tanh Reshape");
}

TEST(Passes, AnOutputThatIsAnInputKeepsItsName) {
  Built b;
  b.parts.inputs = {info("x", 1, {"2"})};
  b.parts.outputs = {info("y", 1, {}), info("z", 1, {})};
  b.add(node("Identity", {"x"}, {"y"}));
  b.add(node("Identity", {"x"}, {"z"}));
  EXPECT_EQ(ops(optimise(b.graph())), "Identity Identity");
}

TEST(Passes, EqualNodesAreComputedOnce) {
  Built b;
  b.parts.inputs = {info("x", 1, {"2", "3"})};
  b.parts.outputs = {info("y", 1, {})};
  b.number("p", 2);
  b.number("q", 2);
  b.add(node("Pow", {"x", "p"}, {"a"}));
  b.add(node("Pow", {"x", "q"}, {"c"}));
  b.add(node("Add", {"a", "c"}, {"d"}));
  b.add(node("Tanh", {"d"}, {"y"}));
  b.add(node("Tanh", {"x"}, {"unused"}));
  EXPECT_EQ(ops(optimise(b.graph())), "Pow Add Tanh");
}

// Adds f32 constants of one shape; stands for the reference kernels of ops/.
Result<std::vector<Tensor>> adding(const Node& node, std::span<const Tensor* const> inputs) {
  if (node.op != "Add") return unsupported(node.op);
  Tensor out = Tensor::zeros(DType::kF32, inputs[0]->shape());
  for (size_t i = 0; i < out.view().as<float>().size(); ++i)
    out.view().as<float>()[i] = inputs[0]->view().as<const float>()[i] + inputs[1]->view().as<const float>()[i];
  return std::vector<Tensor>{out};
}

TEST(Passes, ConstantsFoldAndFeedTheNextPass) {
  Built b;
  b.parts.inputs = {info("x", 1, {"1", "2", "2", "2"})};
  b.parts.outputs = {info("y", 1, {})};
  b.weights("w", {3, 2, 1, 1});
  b.add(node("Add", {"w", "w"}, {"w2"}));
  b.add(node("Conv", {"x", "w2"}, {"c"}));
  b.norm("c", "y", 3);
  Graph g = b.graph();
  EXPECT_EQ(ops(optimise(g, {.evaluate = adding})), "Conv");
  EXPECT_EQ(ops(optimise(g)), "Add Conv BatchNormalization");
}

TEST(Passes, FoldingHasABound) {
  GraphParts parts{{node("ConstantOfShape", {"s"}, {"big"}), node("ReduceSum", {"big"}, {"y"})},
                   {tensor("s", {1}, std::vector<int64_t>{int64_t{1} << 40})},
                   {},
                   {info("y", 1, {})}};
  auto m = read(model(graph(parts)));
  ASSERT_TRUE(m.ok()) << m.error().message;
  int asked = 0;
  PassContext context;
  context.evaluate = [&](const Node&, std::span<const Tensor* const>) -> Result<std::vector<Tensor>> {
    return ++asked, unsupported("too large");
  };
  ASSERT_TRUE(run_passes(*m->graph, context, {}, StillClock()).ok());
  EXPECT_EQ(asked, 0);
}

std::string branch(const std::string& op, const std::string& result) {
  return graph({{node(op, {"x"}, {"t"}), node("Add", {"t", "k"}, {result})},
                {tensor("k", {1}, Floats{op == "Tanh" ? 2.0F : 3.0F})},
                {},
                {field(1, result)}});
}

TEST(Passes, AKnownIfIsInlined) {
  for (bool condition : {true, false}) {
    Built b;
    b.parts.inputs = {info("x", 1, {"3"})};
    b.parts.outputs = {info("y", 1, {})};
    b.parts.initializers = {tensor_head("c", 9, {}) + field(9, std::string(1, condition ? '\1' : '\0')),
                            tensor("k", {1}, Floats{5})};
    b.add(node(
        "If", {"c"}, {"i"},
        {attribute_graph("then_branch", branch("Tanh", "t2")), attribute_graph("else_branch", branch("Relu", "e2"))}));
    b.add(node("Mul", {"i", "k"}, {"y"}));
    Graph g = b.graph();
    auto rewrites = inline_if(g, {});
    ASSERT_TRUE(rewrites.ok());
    EXPECT_EQ(*rewrites, 1);
    EXPECT_EQ(ops(g), condition ? "Tanh Add Mul" : "Relu Add Mul");
    ASSERT_TRUE(g.verify().ok()) << g.verify().error().message;
    ASSERT_TRUE(infer_shapes(g, {}).ok());
    float x = 0.5F, inside = condition ? std::tanh(x) + 2 : x + 3;
    EXPECT_FLOAT_EQ(interpret(g, {{x, x, x}})[0][0], inside * 5);
    optimise(g);
  }
}

TEST(Passes, BodiesAreRewrittenAndKeepTheirCaptures) {
  // The body reads "m" of the outer graph, which is a copy of "t" there; its own Identity goes too.
  std::string body = graph({{node("Identity", {"m"}, {"u"}), node("Relu", {"u"}, {"r"})}, {}, {}, {field(1, "r")}});
  GraphParts parts{
      {node("Tanh", {"x"}, {"t"}), node("Identity", {"t"}, {"m"}),
       node("If", {"c"}, {"y"}, {attribute_graph("then_branch", body), attribute_graph("else_branch", body)})},
      {},
      {info("x", 1, {"3"}), info("c", 9, {})},
      {info("y", 1, {})}};
  auto m = read(model(graph(parts)));
  ASSERT_TRUE(m.ok()) << m.error().message;
  auto reports = run_passes(*m->graph, {}, {}, StillClock());
  ASSERT_TRUE(reports.ok()) << reports.error().message;
  ASSERT_TRUE(m->graph->verify().ok()) << m->graph->verify().error().message;
  EXPECT_EQ(ops(*m->graph), "Tanh If");
  auto then_body = m->graph->nodes[1].graph_or_null("then_branch");
  EXPECT_EQ(ops(*then_body), "Relu");
  EXPECT_EQ(then_body->captures[0].first, "t");
}

TEST(Passes, CanBeDisabledByName) {
  Built b;
  b.parts.inputs = {info("x", 1, {"2", "3"})};
  b.parts.outputs = {info("y", 1, {})};
  b.add(node("Identity", {"x"}, {"a"}));
  b.add(node("Relu", {"a"}, {"y"}));
  Graph g = b.graph();
  auto reports = run_passes(g, {}, {"remove-no-ops"}, StillClock());
  ASSERT_TRUE(reports.ok());
  EXPECT_EQ(ops(g), "Identity Relu");
  int disabled = 0;
  for (const PassReport& r : *reports) disabled += r.disabled ? 1 : 0;
  EXPECT_EQ(disabled, 1);
  auto unknown = run_passes(g, {}, {"make-it-fast"}, StillClock());
  ASSERT_FALSE(unknown.ok());
  EXPECT_NE(unknown.error().message.find("fold-batch-norm"), std::string::npos);
}

// Chains of random ops on random shapes: whatever passes do to them, the numbers stay.
TEST(Passes, RandomGraphsKeepTheirResults) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    Random random(seed, "graph");
    Built b;
    b.random = Random(seed, "weights");
    b.parts.inputs = {info("v0", 1, {"2", "4", "3", "3"})};
    std::vector<std::string> live = {"v0"};
    b.number("c", 0.75F);
    size_t count = 4 + random.below(10);
    for (size_t i = 1; i <= count; ++i) {
      std::string to = "v" + std::to_string(i), from = live[random.below(live.size())],
                  other = live[random.below(live.size())];
      switch (random.below(9)) {
        case 0: b.add(node("Conv", {from, b.weights("w" + to, {4, 4, 3, 3})}, {to}, kPads)); break;
        case 1:
          b.add(node("Conv", {from, b.weights("w" + to, {4, 2, 1, 1})}, {to}, {attribute("group", int64_t{2})}));
          break;
        case 2: b.norm(from, to, 4); break;
        case 3: b.add(node("Relu", {from}, {to})); break;
        case 4: b.add(node("Add", {from, other}, {to})); break;
        case 5: b.add(node("Mul", {from, b.weights("k" + to, {4, 1, 1})}, {to})); break;
        case 6: b.add(node("MatMul", {from, b.weights("m" + to, {3, 3})}, {to})); break;
        case 7: b.add(node("Add", {b.weights("a" + to, {random.chance(0.5) ? 4 : 1, 1, 1}), from}, {to})); break;
        default: b.add(node("Sigmoid", {from}, {to})); break;
      }
      live.push_back(to);
    }
    b.parts.outputs = {info(live.back(), 1, {})};
    if (random.chance(0.4)) b.parts.outputs.push_back(info(live[live.size() / 2], 1, {}));
    optimise(b.graph());
  }
}

// What the passes leave of the models that the repository ships.
TEST(Passes, ShippedModels) {
  namespace fs = std::filesystem;
  if (!fs::exists("models")) GTEST_SKIP() << "no models folder";
  int seen = 0;
  for (const auto& entry : fs::recursive_directory_iterator("models")) {
    if (entry.path().extension() != ".onnx") continue;
    auto m = read_onnx(entry.path());
    ASSERT_TRUE(m.ok()) << m.error().message;
    size_t before = m->graph->nodes.size();
    auto reports = run_passes(*m->graph, {}, {}, StillClock());
    ASSERT_TRUE(reports.ok()) << entry.path() << reports.error().message;
    EXPECT_TRUE(m->graph->verify().ok()) << m->graph->verify().error().message;
    EXPECT_LT(m->graph->nodes.size(), before) << entry.path();
    for (const Node& n : m->graph->nodes) EXPECT_NE(n.op, "Identity") << entry.path();
    for (ValueId id : m->graph->outputs) EXPECT_TRUE(m->graph->value(id).dtype.has_value());
    ++seen;
  }
  EXPECT_GT(seen, 0);
}

}  // namespace
}  // namespace motet::graph
