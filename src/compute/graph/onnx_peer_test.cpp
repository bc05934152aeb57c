// Our reader against the ONNX project's own protobuf classes: models written by one and read by the other agree on
// every field.
#include <gtest/gtest.h>

#define ONNX_ML 1
#define ONNX_NAMESPACE onnx
#include <onnx/onnx_pb.h>

#include <filesystem>
#include <fstream>

#include "compute/graph/test_model.h"

namespace motet::graph {
namespace {

using namespace test;

void add_io(onnx::ValueInfoProto* v, const std::string& name, std::optional<int64_t> extent,
            const std::string& symbol) {
  v->set_name(name);
  auto* type = v->mutable_type()->mutable_tensor_type();
  type->set_elem_type(onnx::TensorProto::FLOAT);
  auto* shape = type->mutable_shape();
  shape->add_dim()->set_dim_param(symbol);
  if (extent) shape->add_dim()->set_dim_value(*extent);
  if (!extent) shape->add_dim();
}

onnx::ModelProto sample() {
  onnx::ModelProto m;
  m.set_ir_version(8);
  m.set_producer_name("peer");
  auto* import = m.add_opset_import();
  import->set_domain("");
  import->set_version(17);
  auto* meta = m.add_metadata_props();
  meta->set_key("author");
  meta->set_value("someone");
  auto* g = m.mutable_graph();
  g->set_name("g");
  add_io(g->add_input(), "x", 6, "batch");
  add_io(g->add_output(), "y", std::nullopt, "batch");
  auto* w = g->add_initializer();
  w->set_name("w");
  w->set_data_type(onnx::TensorProto::FLOAT);
  w->add_dims(6);
  w->add_dims(2);
  for (int i = 0; i < 12; ++i) w->add_float_data(static_cast<float>(i) / 3);
  auto* n = g->add_node();
  n->set_op_type("Gemm");
  n->set_name("product");
  n->add_input("x");
  n->add_input("w");
  n->add_output("p");
  auto* alpha = n->add_attribute();
  alpha->set_name("alpha");
  alpha->set_type(onnx::AttributeProto::FLOAT);
  alpha->set_f(0.5F);
  auto* n2 = g->add_node();
  n2->set_op_type("ReduceSum");
  n2->add_input("p");
  n2->add_output("y");
  auto* keep = n2->add_attribute();
  keep->set_name("keepdims");
  keep->set_type(onnx::AttributeProto::INT);
  keep->set_i(-7);
  return m;
}

TEST(OnnxPeer, WhatProtobufWritesWeRead) {
  onnx::ModelProto theirs = sample();
  auto ours = read(theirs.SerializeAsString());
  ASSERT_TRUE(ours.ok()) << ours.error().message;
  EXPECT_EQ(ours->producer, "peer");
  EXPECT_EQ(ours->metadata.at("author"), "someone");
  EXPECT_EQ(ours->opsets.at(""), 17);
  const Graph& g = *ours->graph;
  EXPECT_EQ(*g.value(g.inputs[0]).shape, (SymShape{Dim{-1, "batch"}, Dim{6, ""}}));
  EXPECT_EQ(*g.value(g.outputs[0]).shape, (SymShape{Dim{-1, "batch"}, Dim{}}));
  const Tensor& w = *g.value(g.find("w")).constant;
  ASSERT_EQ(w.shape(), (Shape{6, 2}));
  for (int i = 0; i < 12; ++i)
    EXPECT_EQ(w.view().as<const float>()[static_cast<size_t>(i)], theirs.graph().initializer(0).float_data(i));
  EXPECT_EQ(g.nodes[0].name, "product");
  EXPECT_EQ(g.nodes[0].float_or("alpha", 0), 0.5F);
  EXPECT_EQ(g.nodes[1].int_or("keepdims", 0), -7);
}

TEST(OnnxPeer, WhatWeWriteForTestsProtobufReads) {
  GraphParts parts{{node("Conv", {"x", "w"}, {"y"},
                         {attribute("strides", std::vector<int64_t>{2, 2}), attribute_text("auto_pad", "VALID")})},
                   {tensor("w", {1, 1, 2, 2}, std::vector<float>{1, 2, 3, 4})},
                   {info("x", 1, {"N", "1", "4", "?"})},
                   {info("y", 1, {})}};
  onnx::ModelProto m;
  ASSERT_TRUE(m.ParseFromString(model(graph(parts))));
  EXPECT_EQ(m.opset_import(0).version(), 13);
  EXPECT_EQ(m.graph().node(0).attribute(0).ints(1), 2);
  EXPECT_EQ(m.graph().node(0).attribute(1).s(), "VALID");
  EXPECT_EQ(m.graph().initializer(0).raw_data().size(), 16u);
  EXPECT_EQ(m.graph().input(0).type().tensor_type().shape().dim(0).dim_param(), "N");
  EXPECT_FALSE(m.graph().input(0).type().tensor_type().shape().dim(3).has_dim_value());
}

// The models that the repository ships: every initializer and node, field by field.
TEST(OnnxPeer, AgreeOnShippedModels) {
  namespace fs = std::filesystem;
  int seen = 0;
  if (!fs::exists("models")) GTEST_SKIP() << "no models folder";
  for (const auto& entry : fs::recursive_directory_iterator("models")) {
    if (entry.path().extension() != ".onnx") continue;
    onnx::ModelProto theirs;
    std::ifstream in(entry.path(), std::ios::binary);
    ASSERT_TRUE(theirs.ParseFromIstream(&in)) << entry.path();
    auto ours = read_onnx(entry.path());
    ASSERT_TRUE(ours.ok()) << ours.error().message;
    const Graph& g = *ours->graph;
    size_t nodes = 0;
    for (const auto& n : theirs.graph().node()) nodes += n.op_type() != "Constant" ? 1 : 0;
    EXPECT_EQ(g.nodes.size(), nodes) << entry.path();
    for (const auto& t : theirs.graph().initializer()) {
      const Value& v = g.value(g.find(t.name()));
      ASSERT_TRUE(v.constant.has_value()) << t.name();
      EXPECT_EQ(dtype_to_onnx(*v.dtype), t.data_type());
      EXPECT_EQ(v.constant->shape(), Shape(t.dims().begin(), t.dims().end()));
      if (!t.raw_data().empty())
        EXPECT_EQ(std::memcmp(v.constant->view().data, t.raw_data().data(), t.raw_data().size()), 0) << t.name();
      for (int i = 0; i < t.float_data_size(); ++i)
        ASSERT_EQ(v.constant->view().as<const float>()[static_cast<size_t>(i)], t.float_data(i));
    }
    size_t at = 0;
    for (const auto& n : theirs.graph().node()) {
      if (n.op_type() == "Constant") continue;
      const Node& mine = g.nodes[at++];
      EXPECT_EQ(mine.op, n.op_type());
      ASSERT_EQ(mine.inputs.size(), static_cast<size_t>(n.input_size()));
      for (int i = 0; i < n.input_size(); ++i) {
        ValueId id = mine.inputs[static_cast<size_t>(i)];
        EXPECT_EQ(id == kNoValue ? "" : g.value(id).name, n.input(i));
      }
      EXPECT_EQ(mine.attributes.size(), static_cast<size_t>(n.attribute_size()));
      for (const auto& a : n.attribute()) {
        if (a.type() == onnx::AttributeProto::INT) EXPECT_EQ(mine.int_or(a.name(), a.i() + 1), a.i());
        if (a.type() == onnx::AttributeProto::FLOAT) EXPECT_EQ(mine.float_or(a.name(), a.f() + 1), a.f());
        if (a.type() == onnx::AttributeProto::STRING) EXPECT_EQ(mine.string_or(a.name(), a.s() + "!"), a.s());
        if (a.type() == onnx::AttributeProto::INTS)
          EXPECT_EQ(mine.ints_or(a.name(), {-99}), std::vector<int64_t>(a.ints().begin(), a.ints().end()));
      }
    }
    ++seen;
  }
  EXPECT_GT(seen, 0);
}

}  // namespace
}  // namespace motet::graph
