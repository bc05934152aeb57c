// Attention as exporters write it, and what is read through on the way; reshapes that move behind what is fused. That
// the fused node computes the same is shown on whole models (tests/zoo) and by the conformance suite of compute/ops.
#include <gtest/gtest.h>

#include <set>

#include "compute/graph/pass.h"
#include "compute/graph/passes.h"
#include "compute/graph/test_model.h"

namespace motet::graph {
namespace {

using namespace test;
using Floats = std::vector<float>;

constexpr int64_t kBatch = 2, kRows = 5, kHeads = 3, kDepth = 4, kAll = kHeads * kDepth;

class StillClock final : public Clock {
 public:
  Nanos now() const override { return Nanos(0); }
};

std::vector<std::string> texts(std::initializer_list<int64_t> extents) {
  std::vector<std::string> out;
  for (int64_t e : extents) out.push_back(std::to_string(e));
  return out;
}

// One product makes Q, K and V side by side; heads are split off and turned; the scores are scaled and masked.
GraphParts attention(bool guarded, bool second_reader) {
  GraphParts p;
  p.inputs = {info("packed", 1, texts({kBatch, kRows, 3 * kAll})), info("mask", 1, texts({kBatch, 1, kRows, kRows}))};
  p.outputs = {info("y", 1, {})};
  p.initializers = {tensor("shape", {4}, std::vector<int64_t>{kBatch, kRows, kHeads, kDepth}),
                    tensor("flat", {3}, std::vector<int64_t>{kBatch, kRows, kAll}), tensor("half", {}, Floats{0.5F}),
                    tensor("zero", {}, Floats{0}), tensor("sizes", {3}, std::vector<int64_t>{kAll, kAll, kAll})};
  auto add = [&](const std::string& n) { p.nodes.push_back(n); };
  add(node("Split", {"packed", "sizes"}, {"q0", "k0", "v0"}, {attribute("axis", int64_t{2})}));
  for (const std::string& each : {std::string("q"), std::string("k"), std::string("v")}) {
    const std::vector<int64_t> perm = each == "k" ? std::vector<int64_t>{0, 2, 3, 1} : std::vector<int64_t>{0, 2, 1, 3};
    add(node("Reshape", {each + "0", "shape"}, {each + "1"}));
    add(node("Transpose", {each + "1"}, {each + "2"}, {attribute("perm", perm)}));
  }
  add(node("Mul", {"q2", "half"}, {"q3"}));
  add(node("Mul", {"k2", "half"}, {"k3"}));
  add(node("MatMul", {"q3", "k3"}, {"scores"}));
  add(node("Add", {"scores", "mask"}, {"masked"}));
  add(node("Softmax", {"masked"}, {"weights"}, {attribute("axis", int64_t{-1})}));
  if (guarded) {
    add(node("IsNaN", {"weights"}, {"wrong"}));
    add(node("Where", {"wrong", "zero", "weights"}, {"safe"}));
  }
  add(node("MatMul", {guarded ? "safe" : "weights", "v2"}, {"heads"}));
  add(node("Transpose", {"heads"}, {"turned"}, {attribute("perm", std::vector<int64_t>{0, 2, 1, 3})}));
  add(node("Reshape", {"turned", "flat"}, {"y"}));
  if (second_reader) {
    add(node("Neg", {"masked"}, {"seen"}));
    p.outputs.push_back(info("seen", 1, {}));
  }
  return p;
}

Graph optimised(const GraphParts& parts, const std::set<std::string>& disabled = {}) {
  auto m = read(model(graph(parts), 18));
  EXPECT_TRUE(m.ok()) << m.error().message;
  Graph g = *m->graph;
  const StillClock clock;
  auto reports = run_passes(g, {}, disabled, clock);
  EXPECT_TRUE(reports.ok()) << reports.error().message;
  EXPECT_TRUE(g.verify().ok());
  return g;
}

std::string ops(const Graph& g) {
  std::string out;
  for (const Node& n : g.nodes) out += (out.empty() ? "" : " ") + n.op + (n.post_ops.empty() ? "" : "+");
  return out;
}

TEST(FuseAttention, ReadsThroughSplitsTransposesAndScales) {
  for (bool guarded : {false, true}) {
    const Graph g = optimised(attention(guarded, false));
    ASSERT_EQ(ops(g), "Attention Reshape") << guarded;
    const Node& node = g.nodes[0];
    const std::vector<int64_t> none;
    const int64_t row = 3 * kAll, batch = kRows * row;
    EXPECT_EQ(node.ints_or("extents", none), (Shape{kBatch, kHeads, kRows, kRows, kDepth, kDepth}));
    EXPECT_EQ(node.ints_or("q", none), (Shape{0, batch, kDepth, row, 1}));
    EXPECT_EQ(node.ints_or("k", none), (Shape{kAll, batch, kDepth, row, 1}));
    EXPECT_EQ(node.ints_or("v", none), (Shape{2 * kAll, batch, kDepth, row, 1}));
    EXPECT_EQ(node.ints_or("mask", none), (Shape{0, kRows * kRows, 0, kRows, 1}));
    EXPECT_EQ(node.ints_or("out", none), (Shape{0, kRows * kAll, kDepth, kAll, 1}));
    EXPECT_EQ(node.ints_or("shape", none), (Shape{kBatch, kRows, kHeads, kDepth}));
    EXPECT_EQ(node.float_or("scale", 0), 0.25F);
    EXPECT_EQ(node.int_or("zero_masked", -1), guarded ? 1 : 0);
    EXPECT_EQ(g.value(node.inputs[0]).name, "packed");
    EXPECT_EQ(node.inputs[0], node.inputs[2]);
  }
}

TEST(FuseAttention, LeavesWhatSomeoneElseReads) {
  EXPECT_EQ(ops(optimised(attention(true, true))).find("Attention"), std::string::npos);
  EXPECT_EQ(ops(optimised(attention(true, false), {"fuse-attention"})).find("Attention"), std::string::npos);
}

TEST(SinkReshapes, ActivationAndResidualReachTheProduct) {
  GraphParts p;
  p.inputs = {info("x", 1, texts({2, 3, 4})), info("r", 1, texts({2, 3, 5}))};
  p.outputs = {info("y", 1, {}), info("z", 1, {})};
  p.initializers = {tensor("rows", {2}, std::vector<int64_t>{6, 4}), tensor("back", {3}, std::vector<int64_t>{2, 3, 5}),
                    tensor("w", {4, 5}, Floats(20, 0.5F)), tensor("b", {5}, Floats(5, 1.0F))};
  auto add = [&](const std::string& n) { p.nodes.push_back(n); };
  add(node("Reshape", {"x", "rows"}, {"flat"}));
  add(node("Gemm", {"flat", "w", "b"}, {"g"}));
  add(node("Reshape", {"g", "back"}, {"shaped"}));
  add(node("Add", {"shaped", "r"}, {"y"}));
  add(node("Gemm", {"flat", "w"}, {"h"}));
  add(node("Reshape", {"h", "back"}, {"formed"}));
  add(node("Relu", {"formed"}, {"z"}));
  const Graph g = optimised(p);
  EXPECT_EQ(ops(g), "Reshape Reshape Gemm+ Reshape Gemm+ Reshape");
  for (ValueId id : g.outputs) EXPECT_EQ(*g.value(id).static_shape(), (Shape{2, 3, 5}));
}

}  // namespace
}  // namespace motet::graph
