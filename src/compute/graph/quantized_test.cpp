// The passes on quantised models: what becomes an op on numbers, what stays or goes back to fp32, and why.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/clock.h"
#include "compute/graph/pass.h"
#include "compute/graph/test_model.h"

namespace motet::graph {
namespace {

using namespace test;

std::string bytes(std::string_view name, int64_t type, const std::vector<int64_t>& dims,
                  const std::vector<uint8_t>& v) {
  return tensor_head(name, type, dims) + field(9, raw(v));
}
constexpr int64_t kU8 = 2, kI8 = 3, kI32 = 6;

// Scale and zero point of an activation, as "NAME_s" and "NAME_z".
void add_scale(GraphParts& parts, const std::string& name, float scale, uint8_t zero, int64_t type = kU8) {
  parts.initializers.push_back(tensor(name + "_s", {}, std::vector<float>{scale}));
  parts.initializers.push_back(bytes(name + "_z", type, {}, {zero}));
}
std::string dq(const std::string& from, const std::string& to, const std::string& scale,
               std::vector<std::string> attributes = {}) {
  return node("DequantizeLinear", {from, scale + "_s", scale + "_z"}, {to}, std::move(attributes));
}
std::string q(const std::string& from, const std::string& to, const std::string& scale) {
  return node("QuantizeLinear", {from, scale + "_s", scale + "_z"}, {to});
}

// x -> Q -> DQ -> Conv(4 channels, 1x1) -> Relu -> Q -> DQ, with a second use of the numbers in an addition.
GraphParts convolution(std::vector<uint8_t> weights, int64_t type, uint8_t zero) {
  GraphParts parts;
  add_scale(parts, "x", 0.1F, 3);
  add_scale(parts, "w", 0.02F, zero, type);
  add_scale(parts, "y", 0.2F, 0);
  add_scale(parts, "sum", 0.3F, 5);
  parts.initializers.push_back(bytes("w", type, {4, 4, 1, 1}, weights));
  std::vector<int32_t> bias = {1, -2, 3, 4};
  parts.initializers.push_back(tensor_head("b", kI32, {4}) + field(9, raw(bias)));
  parts.initializers.push_back(tensor("b_s", {}, std::vector<float>{0.1F * 0.02F}));
  parts.nodes = {q("in", "xq", "x"),
                 dq("xq", "x", "x"),
                 dq("w", "wr", "w", {attribute("axis", int64_t{0})}),
                 node("DequantizeLinear", {"b", "b_s"}, {"br"}),
                 node("Conv", {"x", "wr", "br"}, {"c"}),
                 node("Relu", {"c"}, {"r"}),
                 q("r", "rq", "y"),
                 dq("rq", "y", "y"),
                 node("Add", {"y", "x"}, {"a"}),
                 q("a", "aq", "sum"),
                 dq("aq", "out", "sum")};
  parts.inputs = {info("in", 1, {"1", "4", "5", "5"})};
  parts.outputs = {info("out", 1, {"1", "4", "5", "5"})};
  return parts;
}

std::vector<std::string> ops_after(const std::string& bytes, bool int8, std::vector<Node>* nodes = nullptr) {
  auto model = read(bytes);
  EXPECT_TRUE(model.ok()) << model.error().message;
  Graph graph = *model->graph;
  SteadyClock clock;
  auto reports = run_passes(graph, {.int8 = int8}, {}, clock);
  EXPECT_TRUE(reports.ok()) << reports.error().message;
  EXPECT_TRUE(graph.verify().ok());
  std::vector<std::string> ops;
  for (const Node& each : graph.nodes) ops.push_back(each.op);
  if (nodes != nullptr) *nodes = graph.nodes;
  return ops;
}

int count(const std::vector<std::string>& ops, std::string_view op) {
  return static_cast<int>(std::count(ops.begin(), ops.end(), op));
}

TEST(Quantized, ConvolutionActivationAndResidualBecomeOneOp) {
  std::vector<Node> nodes;
  auto ops = ops_after(model(test::graph(convolution(std::vector<uint8_t>(16, 7), kI8, 0))), true, &nodes);
  EXPECT_EQ(ops, (std::vector<std::string>{"QuantizeLinear", "QLinearConv", "QLinearAdd", "DequantizeLinear"}));
  // The activation before the addition keeps the convolution by itself.
  EXPECT_EQ(nodes[1].post_ops.size(), 1U);
  EXPECT_EQ(nodes[1].inputs.size(), 9U);
}

TEST(Quantized, AdditionBecomesAResidual) {
  GraphParts parts = convolution(std::vector<uint8_t>(16, 7), kI8, 0);
  parts.nodes.erase(parts.nodes.begin() + 5);  // no activation in between
  parts.nodes[5] = q("c", "rq", "y");
  std::vector<Node> nodes;
  auto ops = ops_after(model(test::graph(parts)), true, &nodes);
  EXPECT_EQ(ops, (std::vector<std::string>{"QuantizeLinear", "QLinearConv", "DequantizeLinear"}));
  ASSERT_EQ(nodes[1].post_ops.size(), 1U);
  EXPECT_EQ(nodes[1].post_ops[0].kind, PostOp::Kind::kAdd);
  EXPECT_EQ(nodes[1].post_ops[0].input, 9);
  EXPECT_EQ(nodes[1].inputs[9], nodes[0].outputs[0]);
}

TEST(Quantized, UnsignedWeightsAboutTheMiddleFit) {
  auto ops = ops_after(model(test::graph(convolution(std::vector<uint8_t>(16, 255), kU8, 128))), true);
  EXPECT_EQ(count(ops, "QLinearConv"), 1);
}

TEST(Quantized, WeightsThatDoNotFitStayReal) {
  auto ops = ops_after(model(test::graph(convolution(std::vector<uint8_t>(16, 255), kU8, 90))), true);
  EXPECT_EQ(count(ops, "QLinearConv"), 0);
  EXPECT_EQ(count(ops, "Conv"), 1);
}

TEST(Quantized, WithoutInstructionsNothingIsFused) {
  auto ops = ops_after(model(test::graph(convolution(std::vector<uint8_t>(16, 7), kI8, 0))), false);
  EXPECT_EQ(count(ops, "QLinearConv"), 0);
  EXPECT_EQ(count(ops, "Conv"), 1);
  EXPECT_EQ(count(ops, "QLinearAdd"), 0);
}

// A model that comes with QLinear ops.
std::string qlinear(uint8_t weight, uint8_t zero) {
  GraphParts parts;
  add_scale(parts, "x", 0.1F, 3);
  add_scale(parts, "w", 0.02F, zero);
  add_scale(parts, "y", 0.2F, 0);
  parts.initializers.push_back(bytes("w", kU8, {4, 4, 1, 1}, std::vector<uint8_t>(16, weight)));
  parts.nodes = {node("QLinearConv", {"in", "x_s", "x_z", "w", "w_s", "w_z", "y_s", "y_z"}, {"out"})};
  parts.inputs = {info("in", kU8, {"1", "4", "5", "5"})};
  parts.outputs = {info("out", kU8, {"1", "4", "5", "5"})};
  return model(test::graph(parts));
}

TEST(Quantized, QLinearConvIsKeptWhereItRuns) {
  EXPECT_EQ(ops_after(qlinear(255, 128), true), (std::vector<std::string>{"QLinearConv"}));
}

TEST(Quantized, QLinearConvIsExpandedWhereItDoesNot) {
  for (const auto& [bytes, int8] : {std::pair(qlinear(255, 128), false), std::pair(qlinear(255, 90), true)}) {
    auto ops = ops_after(bytes, int8);
    EXPECT_EQ(count(ops, "QLinearConv"), 0);
    EXPECT_EQ(count(ops, "Conv"), 1);
    EXPECT_EQ(count(ops, "QuantizeLinear"), 1);
  }
}

TEST(Quantized, MovesKeepTheNumbersInTheSameUnitsOnly) {
  for (bool same : {true, false}) {
    GraphParts parts;
    add_scale(parts, "x", 0.1F, 3);
    add_scale(parts, "y", same ? 0.1F : 0.2F, 3);
    parts.nodes = {dq("in", "x", "x"), node("Transpose", {"x"}, {"t"}, {attribute("perm", std::vector<int64_t>{1, 0})}),
                   q("t", "out", "y")};
    parts.inputs = {info("in", kU8, {"3", "4"})};
    parts.outputs = {info("out", kU8, {"4", "3"})};
    auto ops = ops_after(model(test::graph(parts)), true);
    EXPECT_EQ(ops.size(), same ? 1U : 3U);
  }
}

}  // namespace
}  // namespace motet::graph
