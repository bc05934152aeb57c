#include "compute/graph/infer.h"

#include <gtest/gtest.h>

#include "compute/graph/test_model.h"

namespace motet::graph {
namespace {

using namespace test;

std::string text(const Graph& g, ValueId id) {
  const Value& v = g.value(id);
  std::string out = v.dtype ? std::string(dtype_kserve_name(*v.dtype)) : "?";
  if (!v.shape) return out + " ?";
  out += " [";
  for (size_t i = 0; i < v.shape->size(); ++i) {
    const Dim& d = (*v.shape)[i];
    out += (i > 0 ? "," : "") + (d.known() ? std::to_string(d.extent) : d.symbol.empty() ? "?" : d.symbol);
  }
  return out + "]";
}

// What inference says of output "y" of one node on the given inputs; its message if it refuses.
struct Case {
  std::vector<std::string> inputs, constants;
  int64_t opset = 13;
  std::map<std::string, int64_t> symbols = {};
};
std::string infer(const std::string& node_bytes, const Case& c) {
  GraphParts parts{{node_bytes}, c.constants, c.inputs, {field(1, "y")}};
  auto m = read(model(graph(parts), c.opset));
  if (!m.ok()) return m.error().message;
  PassContext context;
  context.symbols = c.symbols;
  Status s = infer_shapes(*m->graph, context);
  return s.ok() ? text(*m->graph, m->graph->outputs[0]) : s.error().message;
}

std::string ints(const std::string& name, const std::vector<int64_t>& values) {
  return tensor(name, {static_cast<int64_t>(values.size())}, values);
}
std::vector<int64_t> list(std::initializer_list<int64_t> values) { return values; }
const std::string kPicture = info("x", 1, {"N", "3", "224", "224"});

TEST(InferShapes, Windows) {
  std::string w = tensor("w", {8, 3, 3, 3}, std::vector<float>(216));
  EXPECT_EQ(infer(node("Conv", {"x", "w"}, {"y"}), {{kPicture}, {w}}), "FP32 [N,8,222,222]");
  EXPECT_EQ(infer(node("Conv", {"x", "w"}, {"y"},
                       {attribute("strides", list({2, 2})), attribute("pads", list({1, 1, 1, 1}))}),
                  {{kPicture}, {w}}),
            "FP32 [N,8,112,112]");
  EXPECT_EQ(infer(node("Conv", {"x", "w"}, {"y"},
                       {attribute("strides", list({2, 2})), attribute_text("auto_pad", "SAME_UPPER")}),
                  {{kPicture}, {w}}),
            "FP32 [N,8,112,112]");
  EXPECT_EQ(infer(node("Conv", {"x", "w"}, {"y"}, {attribute("dilations", list({2, 2}))}), {{kPicture}, {w}}),
            "FP32 [N,8,220,220]");
  EXPECT_NE(infer(node("Conv", {"x", "w"}, {"y"}), {{info("x", 1, {"1", "4", "9", "9"})}, {w}}).find("has 4 channels"),
            std::string::npos);
  EXPECT_NE(
      infer(node("Conv", {"x", "w"}, {"y"}), {{info("x", 1, {"1", "3", "2", "9"})}, {w}}).find("does not fit extent 2"),
      std::string::npos);
  EXPECT_NE(infer(node("Conv", {"x", "w"}, {"y"}, {attribute("strides", list({0, 1}))}), {{kPicture}, {w}})
                .find("strides holds 0"),
            std::string::npos);
  EXPECT_NE(infer(node("Conv", {"x", "w"}, {"y"}, {attribute("pads", list({1}))}), {{kPicture}, {w}})
                .find("pads has 1 entries"),
            std::string::npos);
  auto pool = [](std::vector<std::string> more) {
    more.push_back(attribute("kernel_shape", list({3, 3})));
    return node("MaxPool", {"x"}, {"y"}, more);
  };
  EXPECT_EQ(infer(pool({attribute("strides", list({2, 2}))}), {{kPicture}, {}}), "FP32 [N,3,111,111]");
  EXPECT_EQ(infer(pool({attribute("strides", list({2, 2})), attribute("ceil_mode", int64_t{1})}), {{kPicture}, {}}),
            "FP32 [N,3,112,112]");
  EXPECT_EQ(infer(node("GlobalAveragePool", {"x"}, {"y"}), {{kPicture}, {}}), "FP32 [N,3,1,1]");
  std::string t = tensor("w", {3, 4, 2, 2}, std::vector<float>(48));
  EXPECT_EQ(infer(node("ConvTranspose", {"x", "w"}, {"y"}, {attribute("strides", list({2, 2}))}), {{kPicture}, {t}}),
            "FP32 [N,4,448,448]");
}

TEST(InferShapes, Products) {
  auto two = [](const std::string& op, std::vector<std::string> a, std::vector<std::string> b) {
    return infer(node(op, {"a", "b"}, {"y"}), {{info("a", 1, a), info("b", 1, b)}, {}});
  };
  EXPECT_EQ(two("MatMul", {"N", "4", "5"}, {"5", "6"}), "FP32 [N,4,6]");
  EXPECT_EQ(two("MatMul", {"5"}, {"7", "5", "6"}), "FP32 [7,6]");
  EXPECT_EQ(two("MatMul", {"2", "1", "4", "5"}, {"3", "5", "6"}), "FP32 [2,3,4,6]");
  EXPECT_EQ(two("MatMul", {"5"}, {"5"}), "FP32 []");
  EXPECT_NE(two("MatMul", {"4", "5"}, {"6", "7"}).find("inner extents 5 and 6"), std::string::npos);
  EXPECT_EQ(infer(node("Gemm", {"a", "b"}, {"y"}, {attribute("transB", int64_t{1})}),
                  {{info("a", 1, {"N", "5"}), info("b", 1, {"7", "5"})}, {}}),
            "FP32 [N,7]");
  EXPECT_EQ(infer(node("Einsum", {"a", "b"}, {"y"}, {attribute_text("equation", "bij, bjk -> bik")}),
                  {{info("a", 1, {"N", "2", "3"}), info("b", 1, {"N", "3", "4"})}, {}}),
            "FP32 [N,2,4]");
  EXPECT_EQ(infer(node("Einsum", {"a", "b"}, {"y"}, {attribute_text("equation", "...ij,...jk")}),
                  {{info("a", 1, {"7", "2", "3"}), info("b", 1, {"3", "4"})}, {}}),
            "FP32 [7,2,4]");
}

TEST(InferShapes, BroadcastAndTypes) {
  auto two = [](const std::string& op, std::vector<std::string> a, std::vector<std::string> b) {
    return infer(node(op, {"a", "b"}, {"y"}), {{info("a", 1, a), info("b", 1, b)}, {}});
  };
  EXPECT_EQ(two("Add", {"N", "1", "3"}, {"4", "1"}), "FP32 [N,4,3]");
  EXPECT_EQ(two("Add", {"N"}, {"M"}), "FP32 [?]");
  EXPECT_EQ(two("Add", {"N"}, {"5"}), "FP32 [5]");
  EXPECT_EQ(two("Add", {"N"}, {"1"}), "FP32 [N]");
  EXPECT_EQ(two("Less", {"N"}, {"N"}), "BOOL [N]");
  EXPECT_NE(two("Mul", {"3"}, {"4"}).find("extents 3 and 4"), std::string::npos);
  EXPECT_EQ(infer(node("Cast", {"x"}, {"y"}, {attribute("to", int64_t{7})}), {{kPicture}, {}}), "INT64 [N,3,224,224]");
  EXPECT_NE(infer(node("Cast", {"x"}, {"y"}, {attribute("to", int64_t{99})}), {{kPicture}, {}}).find("'to' is 99"),
            std::string::npos);
}

TEST(InferShapes, Rearrangement) {
  Case c{{kPicture}, {}};
  auto reshape = [&](const std::vector<int64_t>& to) {
    return infer(node("Reshape", {"x", "s"}, {"y"}), {{kPicture}, {ints("s", to)}});
  };
  EXPECT_EQ(reshape({0, -1}), "FP32 [N,150528]");
  EXPECT_EQ(reshape({-1, 150528}), "FP32 [N,150528]");
  EXPECT_NE(reshape({-1, -1}).find("two extents of -1"), std::string::npos);
  EXPECT_NE(reshape({-2}).find("-2"), std::string::npos);
  EXPECT_NE(
      infer(node("Reshape", {"x", "s"}, {"y"}), {{info("x", 1, {"2", "3"})}, {ints("s", {5})}}).find("6 elements"),
      std::string::npos);
  EXPECT_EQ(infer(node("Transpose", {"x"}, {"y"}, {attribute("perm", list({0, 2, 3, 1}))}), c), "FP32 [N,224,224,3]");
  EXPECT_NE(infer(node("Transpose", {"x"}, {"y"}, {attribute("perm", list({0, 0, 3, 1}))}), c).find("given twice"),
            std::string::npos);
  EXPECT_EQ(infer(node("Flatten", {"x"}, {"y"}), c), "FP32 [N,150528]");
  EXPECT_EQ(infer(node("Squeeze", {"x", "a"}, {"y"}), {{info("x", 1, {"N", "1", "4"})}, {ints("a", {1})}}),
            "FP32 [N,4]");
  EXPECT_EQ(infer(node("Unsqueeze", {"x"}, {"y"}, {attribute("axes", list({0, -1}))}), {{info("x", 1, {"4"})}, {}, 11}),
            "FP32 [1,4,1]");
  EXPECT_NE(infer(node("Squeeze", {"x", "a"}, {"y"}), {{info("x", 1, {"N", "2"})}, {ints("a", {1})}}).find("must be 1"),
            std::string::npos);
  EXPECT_EQ(infer(node("Concat", {"x", "x"}, {"y"}, {attribute("axis", int64_t{1})}), c), "FP32 [N,6,224,224]");
  EXPECT_EQ(infer(node("Split", {"x"}, {"", "y"}, {attribute("axis", int64_t{2})}), c), "FP32 [N,3,112,224]");
  EXPECT_EQ(infer(node("Expand", {"x", "s"}, {"y"}), {{info("x", 1, {"N", "1"})}, {ints("s", {5, 1, 3})}}),
            "FP32 [5,N,3]");
  EXPECT_EQ(infer(node("Tile", {"x", "s"}, {"y"}), {{info("x", 1, {"N", "2"})}, {ints("s", {1, 3})}}), "FP32 [N,6]");
  EXPECT_EQ(infer(node("Range", {"a", "b", "d"}, {"y"}),
                  {{}, {tensor("a", {}, list({1})), tensor("b", {}, list({10})), tensor("d", {}, list({4}))}}),
            "INT64 [3]");
}

TEST(InferShapes, Picking) {
  auto slice = [](const std::vector<int64_t>& s, const std::vector<int64_t>& e, const std::vector<int64_t>& a,
                  const std::vector<int64_t>& step) {
    return infer(node("Slice", {"x", "s", "e", "a", "t"}, {"y"}),
                 {{kPicture}, {ints("s", s), ints("e", e), ints("a", a), ints("t", step)}});
  };
  EXPECT_EQ(slice({10}, {20}, {2}, {1}), "FP32 [N,3,10,224]");
  EXPECT_EQ(slice({-1}, {INT64_MIN}, {3}, {-1}), "FP32 [N,3,224,224]");
  EXPECT_EQ(slice({-1}, {INT64_MIN}, {3}, {-100}), "FP32 [N,3,224,3]");
  EXPECT_EQ(slice({0}, {INT64_MAX}, {0}, {1}), "FP32 [N,3,224,224]");
  EXPECT_EQ(slice({500}, {600}, {2}, {1}), "FP32 [N,3,0,224]");
  EXPECT_NE(slice({0}, {1}, {2}, {0}).find("a step is 0"), std::string::npos);
  EXPECT_NE(slice({0}, {1}, {9}, {1}).find("axis 9 is outside"), std::string::npos);
  EXPECT_EQ(infer(node("Gather", {"x", "i"}, {"y"}, {attribute("axis", int64_t{1})}),
                  {{kPicture, info("i", 7, {"2", "5"})}, {}}),
            "FP32 [N,2,5,224,224]");
  EXPECT_EQ(infer(node("Pad", {"x", "p"}, {"y"}), {{kPicture}, {ints("p", {0, 0, 1, 2, 0, 0, 1, 2})}}),
            "FP32 [N,3,226,228]");
  EXPECT_NE(infer(node("Pad", {"x", "p"}, {"y"}), {{kPicture}, {ints("p", {1})}}).find("1 pads"), std::string::npos);
  EXPECT_EQ(infer(node("TopK", {"x", "k"}, {"y", "i"}), {{kPicture}, {ints("k", {5})}}), "FP32 [N,3,224,5]");
  EXPECT_EQ(infer(node("NonZero", {"x"}, {"y"}), {{kPicture}, {}}), "INT64 [4,?]");
  EXPECT_EQ(
      infer(node("ReduceMean", {"x"}, {"y"}, {attribute("axes", list({2, 3})), attribute("keepdims", int64_t{0})}),
            {{kPicture}, {}}),
      "FP32 [N,3]");
  EXPECT_EQ(infer(node("ArgMax", {"x"}, {"y"}, {attribute("axis", int64_t{-1})}), {{kPicture}, {}}),
            "INT64 [N,3,224,1]");
  EXPECT_EQ(
      infer(node("Resize", {"x", "", "s"}, {"y"}), {{kPicture}, {tensor("s", {4}, std::vector<float>{1, 1, 2, 0.5F})}}),
      "FP32 [N,3,448,112]");
  EXPECT_EQ(infer(node("LSTM", {"x", "w", "r"}, {"", "y"}, {attribute("hidden_size", int64_t{2})}),
                  {{info("x", 1, {"T", "N", "5"})},
                   {tensor("w", {1, 8, 5}, std::vector<float>(40)), tensor("r", {1, 8, 2}, std::vector<float>(16))}}),
            "FP32 [1,N,2]");
}

// Shape, Gather, Unsqueeze, Concat, Reshape: as exporters write x.view(x.size(0), -1).
GraphParts view_parts() {
  return {
      {node("Shape", {"x"}, {"s"}), node("Gather", {"s", "zero"}, {"n"}), node("Unsqueeze", {"n", "axis"}, {"n1"}),
       node("Concat", {"n1", "rest"}, {"to"}, {attribute("axis", int64_t{0})}), node("Reshape", {"x", "to"}, {"y"})},
      {tensor("zero", {}, list({0})), ints("axis", {0}), ints("rest", {-1})},
      {info("x", 1, {"N", "3", "4"})},
      {info("y", 1, {"any", "other"})}};
}

TEST(InferShapes, FollowsSymbolsThroughShapeArithmetic) {
  auto m = read(model(graph(view_parts())));
  ASSERT_TRUE(m.ok()) << m.error().message;
  Graph symbolic = *m->graph;
  ASSERT_TRUE(infer_shapes(symbolic, {}).ok());
  EXPECT_EQ(text(symbolic, symbolic.outputs[0]), "FP32 [N,12]");
  Graph bound = *m->graph;
  ASSERT_TRUE(infer_shapes(bound, {.symbols = {{"N", 8}}}).ok());
  EXPECT_EQ(text(bound, bound.outputs[0]), "FP32 [8,12]");
  EXPECT_TRUE(bound.value(bound.find("to")).constant.has_value());
  Graph concrete = *m->graph;
  (*concrete.value(concrete.inputs[0]).shape)[0] = dim_of(5);
  ASSERT_TRUE(infer_shapes(concrete, {}).ok());
  EXPECT_EQ(text(concrete, concrete.outputs[0]), "FP32 [5,12]");
  EXPECT_FALSE(infer_shapes(*m->graph, {.symbols = {{"N", -1}}}).ok());
}

std::string choice(const std::string& then_body, const std::string& else_body) {
  return node("If", {"c"}, {"y"},
              {attribute_graph("then_branch", then_body), attribute_graph("else_branch", else_body)});
}

TEST(InferShapes, BranchesAreJoined) {
  std::string relu = graph({{node("Relu", {"x"}, {"r"})}, {}, {}, {field(1, "r")}});
  std::string flat = graph({{node("Flatten", {"x"}, {"r"})}, {}, {}, {field(1, "r")}});
  std::string wide =
      graph({{node("Concat", {"x", "x"}, {"r"}, {attribute("axis", int64_t{1})})}, {}, {}, {field(1, "r")}});
  Case c{{info("c", 9, {}), info("x", 1, {"N", "3", "4"})}, {}};
  EXPECT_EQ(infer(choice(relu, relu), c), "FP32 [N,3,4]");
  EXPECT_EQ(infer(choice(relu, wide), c), "FP32 [N,?,4]");
  EXPECT_EQ(infer(choice(relu, flat), c), "FP32 ?");
  std::string two = graph({{node("Relu", {"x"}, {"r"})}, {}, {}, {field(1, "r"), field(1, "r")}});
  EXPECT_NE(infer(choice(relu, two), c).find("a branch has 2"), std::string::npos);
}

TEST(InferShapes, AnImpossibleBranchFaultsInsteadOfRefusingTheModel) {
  std::string good = graph({{node("Relu", {"x"}, {"r"})}, {}, {}, {field(1, "r")}});
  std::string bad = graph({{node("MatMul", {"x", "x"}, {"r"})}, {}, {}, {field(1, "r")}});
  GraphParts parts{{choice(good, bad)}, {}, {info("c", 9, {"1"}), info("x", 1, {"2", "3"})}, {field(1, "y")}};
  auto m = read(model(graph(parts)));
  ASSERT_TRUE(m.ok()) << m.error().message;
  ASSERT_TRUE(infer_shapes(*m->graph, {}).ok());
  EXPECT_EQ(text(*m->graph, m->graph->outputs[0]), "FP32 [2,3]");
  ASSERT_TRUE(m->graph->verify().ok()) << m->graph->verify().error().message;
  auto body = m->graph->nodes[0].graph_or_null("else_branch");
  EXPECT_NE(body->name.find("inner extents 3 and 2"), std::string::npos) << body->name;
  EXPECT_EQ(body->nodes.front().op, "Not");
  // Both impossible: the model is refused.
  parts.nodes = {choice(bad, bad)};
  auto none = read(model(graph(parts)));
  EXPECT_FALSE(infer_shapes(*none->graph, {}).ok());
}

TEST(InferShapes, LoopsOpenWhatChanges) {
  std::string body = graph({{node("Concat", {"v", "v"}, {"v2"}, {attribute("axis", int64_t{0})}),
                             node("Identity", {"go"}, {"go2"}), node("ReduceSum", {"w"}, {"w2"})},
                            {},
                            {info("i", 7, {}), info("go", 9, {}), field(1, "v"), field(1, "w")},
                            {field(1, "go2"), field(1, "v2"), field(1, "w"), field(1, "w2")}});
  GraphParts parts{{node("Loop", {"m", "", "x", "z"}, {"y", "z2", "sums"}, {attribute_graph("body", body)})},
                   {tensor("m", {}, list({7}))},
                   {info("x", 1, {"2", "3"}), info("z", 1, {"5"})},
                   {field(1, "y"), field(1, "z2"), field(1, "sums")}};
  auto m = read(model(graph(parts)));
  ASSERT_TRUE(m.ok()) << m.error().message;
  Status s = infer_shapes(*m->graph, {});
  ASSERT_TRUE(s.ok()) << s.error().message;
  EXPECT_EQ(text(*m->graph, m->graph->outputs[0]), "FP32 [?,3]");
  EXPECT_EQ(text(*m->graph, m->graph->outputs[1]), "FP32 [5]");
  EXPECT_EQ(text(*m->graph, m->graph->outputs[2]), "FP32 [?,1]");
}

TEST(InferShapes, LoopsInLoopsEnd) {
  // Each loop infers its body more than once, so that the number of nodes looked at would multiply.
  std::string body =
      graph({{node("Identity", {"go"}, {"go2"}), node("Concat", {"v", "v"}, {"v2"}, {attribute("axis", int64_t{0})})},
             {},
             {info("i", 7, {}), info("go", 9, {}), field(1, "v")},
             {field(1, "go2"), field(1, "v2")}});
  for (int i = 0; i < 28; ++i) {
    body = graph(
        {{node("Loop", {"", "go", "v"}, {"v2"}, {attribute_graph("body", body)}), node("Identity", {"go"}, {"go2"})},
         {},
         {info("i", 7, {}), info("go", 9, {}), field(1, "v")},
         {field(1, "go2"), field(1, "v2")}});
  }
  GraphParts parts{{node("Loop", {"", "go", "x"}, {"y"}, {attribute_graph("body", body)})},
                   {},
                   {info("go", 9, {}), info("x", 1, {"2"})},
                   {field(1, "y")}};
  auto m = read(model(graph(parts)));
  ASSERT_TRUE(m.ok()) << m.error().message;
  Status s = infer_shapes(*m->graph, {});
  EXPECT_TRUE(s.ok() || s.error().message.find("steps to infer") != std::string::npos);
}

}  // namespace
}  // namespace motet::graph
