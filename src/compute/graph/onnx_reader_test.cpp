#include "compute/graph/onnx_reader.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "compute/graph/file_map.h"
#include "compute/graph/test_model.h"

namespace motet::graph {
namespace {

using namespace test;
namespace fs = std::filesystem;

GraphParts relu() { return {{node("Relu", {"x"}, {"y"})}, {}, {info("x", 1, {"N", "4"})}, {info("y", 1, {"N", "4"})}}; }

// The refusal's message, or "ok".
std::string why(const std::string& bytes) {
  auto m = read(bytes);
  return m.ok() ? "ok" : m.error().message;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// A folder of its own for each test, removed at the end.
class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "motet_reader_XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~Folder() { fs::remove_all(path_); }
  fs::path write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path_ / name, std::ios::binary) << bytes;
    return path_ / name;
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

TEST(OnnxReader, ReadsASmallModel) {
  auto m = read(model(graph(relu())));
  ASSERT_TRUE(m.ok()) << m.error().message;
  const Graph& g = *m->graph;
  EXPECT_EQ(g.nodes.size(), 1u);
  EXPECT_EQ(g.nodes[0].op, "Relu");
  EXPECT_EQ(g.nodes[0].opset, 13);
  EXPECT_EQ(g.value(g.inputs[0]).name, "x");
  EXPECT_EQ(g.value(g.inputs[0]).dtype, DType::kF32);
  EXPECT_EQ(*g.value(g.inputs[0]).shape, (SymShape{Dim{-1, "N"}, Dim{4, ""}}));
  EXPECT_EQ(m->opsets.at(""), 13);
  EXPECT_EQ(m->ir_version, 8);
}

TEST(OnnxReader, ViewsAlignedWeightsAndCopiesOthers) {
  std::vector<float> values(8, 1.5F);
  for (size_t shift = 0; shift < 4; ++shift) {
    GraphParts parts{
        {node("Add", {"x", "w"}, {"y"})}, {tensor("w", {8}, values)}, {info("x", 1, {"8"})}, {info("y", 1, {"8"})}};
    std::string bytes = field(6, std::string(shift, 'd')) + model(graph(parts));
    Tensor held = Tensor::of<uint8_t>({static_cast<int64_t>(bytes.size())},
                                      std::span(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
    auto m = read_onnx_bytes({held.view().data, bytes.size()}, held.owner());
    ASSERT_TRUE(m.ok()) << m.error().message;
    const Tensor& w = *m->graph->value(m->graph->find("w")).constant;
    size_t offset = bytes.find(raw(values));
    bool inside = w.view().data >= held.view().data && w.view().data < held.view().data + bytes.size();
    EXPECT_EQ(inside, offset % 4 == 0) << "offset " << offset;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(w.view().data) % 4, 0u);
    EXPECT_EQ(w.view().as<const float>()[7], 1.5F);
  }
}

TEST(OnnxReader, DecodesEveryTypedField) {
  auto one = [](const std::string& tensor) {
    GraphParts parts = relu();
    parts.initializers.push_back(tensor);
    auto m = read(model(graph(parts)));
    EXPECT_TRUE(m.ok()) << m.error().message;
    return *m->graph->value(m->graph->find("t")).constant;
  };
  std::string packed;
  for (uint64_t v : {uint64_t{1}, static_cast<uint64_t>(int64_t{-2})}) put_varint(packed, v);
  EXPECT_EQ(one(tensor_head("t", 7, {2}) + field(7, packed)).view().as<const int64_t>()[1], -2);
  EXPECT_EQ(one(tensor_head("t", 7, {2}) + field(7, int64_t{1}) + field(7, int64_t{-2})).view().as<const int64_t>()[1],
            -2);
  EXPECT_EQ(one(tensor_head("t", 6, {2}) + field(5, packed)).view().as<const int32_t>()[1], -2);
  EXPECT_EQ(one(tensor_head("t", 3, {2}) + field(5, packed)).view().as<const int8_t>()[1], -2);
  EXPECT_EQ(one(tensor_head("t", 2, {1}) + field(5, int64_t{200})).view().as<const uint8_t>()[0], 200);
  EXPECT_EQ(one(tensor_head("t", 10, {1}) + field(5, int64_t{0x3C00})).view().as<const uint16_t>()[0], 0x3C00);
  EXPECT_EQ(one(tensor_head("t", 12, {1}) + field(11, int64_t{4000000000})).view().as<const uint32_t>()[0],
            4000000000U);
  EXPECT_EQ(one(tensor_head("t", 13, {1}) + field(11, int64_t{-1})).view().as<const uint64_t>()[0], ~uint64_t{0});
  EXPECT_EQ(one(tensor_head("t", 9, {1}) + field(5, int64_t{1})).view().as<const bool>()[0], true);
  EXPECT_EQ(one(tensor_head("t", 9, {2}) + field(9, std::string("\0\7", 2))).view().as<const bool>()[1], true);
  EXPECT_EQ(one(tensor_head("t", 1, {2}) + field(4, raw<float>({1, 2}))).view().as<const float>()[1], 2);
  EXPECT_EQ(one(tensor_head("t", 1, {2}) + field(4, 1.0F) + field(4, 2.0F)).view().as<const float>()[1], 2);
  EXPECT_EQ(one(tensor_head("t", 11, {1}) + field(10, raw<double>({2.5}))).view().as<const double>()[0], 2.5);
  EXPECT_EQ(one(tensor_head("t", 8, {2}) + field(6, "a") + field(6, "bc")).view().as<const std::string_view>()[1],
            "bc");
  EXPECT_EQ(one(tensor_head("t", 1, {0, 5})).view().elements(), 0);
}

TEST(OnnxReader, InitializersThatAreInputsAreConstants) {
  GraphParts parts{{node("Add", {"x", "w"}, {"y"})},
                   {tensor("w", {1}, std::vector<float>{2})},
                   {info("x", 1, {"1"}), info("w", 1, {"1"})},
                   {info("y", 1, {"1"})}};
  auto m = read(model(graph(parts), 9, 3));
  ASSERT_TRUE(m.ok()) << m.error().message;
  EXPECT_EQ(m->graph->inputs.size(), 1u);
  parts.inputs[1] = info("w", 7, {"1"});
  EXPECT_TRUE(has(why(model(graph(parts), 9, 3)), "its initializer is FP32"));
}

TEST(OnnxReader, SortsNodesAndRefusesCycles) {
  GraphParts parts{{node("Relu", {"b"}, {"y"}), node("Abs", {"a"}, {"b"}), node("Neg", {"x"}, {"a"})},
                   {},
                   {info("x", 1, {"1"})},
                   {info("y", 1, {"1"})}};
  auto m = read(model(graph(parts)));
  ASSERT_TRUE(m.ok()) << m.error().message;
  EXPECT_EQ(m->graph->nodes[0].op, "Neg");
  EXPECT_EQ(m->graph->nodes[2].op, "Relu");
  parts.nodes[2] = node("Neg", {"y"}, {"a"});
  EXPECT_TRUE(has(why(model(graph(parts))), "a cycle"));
}

TEST(OnnxReader, OptionalInputsAndConstants) {
  GraphParts parts{
      {node("Constant", {}, {"high"}, {attribute("value_float", 6.0F)}), node("Clip", {"x", "", "high"}, {"y"})},
      {},
      {info("x", 1, {"1"})},
      {info("y", 1, {"1"})}};
  auto m = read(model(graph(parts)));
  ASSERT_TRUE(m.ok()) << m.error().message;
  ASSERT_EQ(m->graph->nodes.size(), 1u);
  const Node& clip = m->graph->nodes[0];
  EXPECT_EQ(clip.inputs[1], kNoValue);
  EXPECT_EQ(m->graph->value(clip.inputs[2]).constant->view().as<const float>()[0], 6.0F);
}

TEST(OnnxReader, BodiesCaptureThroughEveryLevel) {
  std::string inner = graph({{node("Add", {"x", "w"}, {"r"})}, {}, {}, {info("r", 1, {"1"})}});
  auto choice = [&](const std::string& body, const std::string& out) {
    return node("If", {"c"}, {out}, {attribute_graph("then_branch", body), attribute_graph("else_branch", body)});
  };
  std::string middle = graph({{choice(inner, "q")}, {}, {}, {info("q", 1, {"1"})}});
  GraphParts parts{{choice(middle, "y")},
                   {tensor("w", {1}, std::vector<float>{2})},
                   {info("x", 1, {"1"}), info("c", 9, {})},
                   {info("y", 1, {"1"})}};
  auto m = read(model(graph(parts)));
  ASSERT_TRUE(m.ok()) << m.error().message;
  ASSERT_TRUE(m->graph->verify().ok());
  auto body = m->graph->nodes[0].graph_or_null("then_branch");
  ASSERT_TRUE(body);
  EXPECT_EQ(body->captures.size(), 3u);  // c, x and w, for itself and for the body inside
  EXPECT_EQ(body->nodes[0].graph_or_null("else_branch")->captures.size(), 2u);
}

std::string function(const std::string& name, const std::vector<std::string>& nodes) {
  std::string out = field(1, name) + field(4, "a") + field(5, "b") + field(10, "own");
  for (const auto& n : nodes) out += field(7, n);
  return field(25,
               out + field(9, field(1, "") + field(2, int64_t{13})) + field(9, field(1, "own") + field(2, int64_t{1})));
}

TEST(OnnxReader, InlinesFunctions) {
  GraphParts parts{{node("Twice", {"x"}, {"m"}, {}, "own"), node("Twice", {"m"}, {"y"}, {}, "own")},
                   {},
                   {info("x", 1, {"1"})},
                   {info("y", 1, {"1"})}};
  std::string body = function("Twice", {node("Add", {"a", "a"}, {"t"}), node("Relu", {"t"}, {"b"})});
  auto m = read(model(graph(parts)) + opset("own", 1) + body);
  ASSERT_TRUE(m.ok()) << m.error().message;
  EXPECT_EQ(m->graph->nodes.size(), 4u);
  EXPECT_EQ(m->graph->value(m->graph->outputs[0]).name, "y");
  EXPECT_TRUE(
      has(why(model(graph(parts)) + function("Twice", {node("Twice", {"a"}, {"b"}, {}, "own")})), "deeper than 32"));
  // Ten functions that each call the next ten times would be ten thousand million nodes.
  std::string bomb;
  for (int i = 0; i < 10; ++i) {
    std::vector<std::string> calls;
    for (int j = 0; j < 10; ++j) {
      std::string to = j == 9 ? "b" : "v" + std::to_string(j);
      calls.push_back(node(i == 9 ? "Relu" : "F" + std::to_string(i + 1), {j == 0 ? "a" : "v" + std::to_string(j - 1)},
                           {to}, {}, i == 9 ? "" : "own"));
    }
    bomb += function("F" + std::to_string(i), calls);
  }
  parts.nodes = {node("F0", {"x"}, {"y"}, {}, "own")};
  EXPECT_TRUE(has(why(model(graph(parts)) + bomb), "more than 100000 nodes"));
}

TEST(OnnxReader, RefusesWhatDoesNotFit) {
  auto with = [](auto change) {
    GraphParts parts = relu();
    change(parts);
    return why(model(graph(parts)));
  };
  EXPECT_TRUE(has(with([](GraphParts& p) { p.nodes = {node("Relu", {"nobody"}, {"y"})}; }), "reads 'nobody'"));
  EXPECT_TRUE(has(with([](GraphParts& p) { p.nodes.push_back(node("Abs", {"x"}, {"y"})); }), "another node makes"));
  EXPECT_TRUE(
      has(with([](GraphParts& p) { p.nodes.push_back(node("Abs", {"y"}, {"x"})); }), "an input or initializer"));
  EXPECT_TRUE(has(with([](GraphParts& p) { p.outputs.push_back(info("z", 1, {})); }), "'z' is made by no node"));
  EXPECT_TRUE(has(with([](GraphParts& p) { p.outputs.push_back(info("y", 1, {})); }), "second graph output"));
  EXPECT_TRUE(has(with([](GraphParts& p) { p.inputs.push_back(info("x", 1, {})); }), "second graph input"));
  EXPECT_TRUE(has(with([](GraphParts& p) { p.inputs[0] = info("x", 0, {}); }), "no element type"));
  EXPECT_TRUE(has(with([](GraphParts& p) { p.inputs[0] = info("x", 14, {}); }), "element type 14"));
  EXPECT_TRUE(has(with([](GraphParts& p) { p.nodes[0] = node("Conv", {"x"}, {"y"}); }), "1 inputs; it takes 2 to 3"));
  EXPECT_TRUE(has(with([](GraphParts& p) { p.nodes[0] = node("Conv", {"x", ""}, {"y"}); }), "input 1 is left out"));
  EXPECT_TRUE(has(with([](GraphParts& p) { p.nodes[0] = node("Softmax", {"x"}, {"y"}, {attribute("axis", 1.0F)}); }),
                  "'axis' is a float; it must be an int"));
  EXPECT_TRUE(
      has(with([](GraphParts& p) { p.nodes[0] = node("Any", {"x"}, {"y"}, {attribute("axis", 1.0F)}, "other"); }),
          "it must be an int"));
  EXPECT_TRUE(has(with([](GraphParts& p) {
                    p.nodes[0] =
                        node("QuantizeLinear", {"x", "x"}, {"y"}, {attribute("output_dtype", 1.0F)}, "com.microsoft");
                  }),
                  "'output_dtype' is a float; it must be an int"));
  EXPECT_TRUE(has(with([](GraphParts& p) {
                    p.nodes[0] = node("Relu", {"x"}, {"y"}, {attribute("a", int64_t{1}), attribute("a", int64_t{1})});
                  }),
                  "two attributes 'a'"));
  EXPECT_TRUE(has(with([](GraphParts& p) { p.initializers = {tensor("w", {3}, std::vector<float>{1, 2})}; }),
                  "8 bytes of raw_data; shape [3] of FP32 takes 12"));
  EXPECT_TRUE(has(with([](GraphParts& p) { p.initializers = {tensor_head("w", 1, {3}) + field(4, 1.0F)}; }),
                  "1 elements; shape [3] takes 3"));
  EXPECT_TRUE(
      has(with([](GraphParts& p) { p.initializers = {tensor_head("w", 1, {int64_t{1} << 40, int64_t{1} << 40})}; }),
          "too many elements"));
  EXPECT_TRUE(has(with([](GraphParts& p) { p.initializers = {tensor_head("w", 1, {-3})}; }), "negative extent"));
  EXPECT_TRUE(has(with([](GraphParts& p) { p.initializers = {tensor_head("w", 17, {1})}; }), "data_type 17"));
  EXPECT_TRUE(has(with([](GraphParts& p) { p.initializers = {tensor_head("w", 1, std::vector<int64_t>(40, 1))}; }),
                  "more than 32 dimensions"));
  EXPECT_TRUE(has(with([](GraphParts& p) { p.initializers = {tensor_head("w", 3, {1}) + field(5, int64_t{1000})}; }),
                  "out of its type's range"));
  EXPECT_TRUE(has(with([](GraphParts& p) { p.nodes[0] += field(15, "a") + std::string(1, '\x0b'); }), "wire type 3"));
  EXPECT_TRUE(has(why(model(graph(relu()) + field(15, ""))), "sparse_initializer"));
  EXPECT_TRUE(has(why(model(graph(relu()), 6)), "opset 6"));
  EXPECT_TRUE(has(why(model(graph(relu()), 29)), "opsets 7 to 28"));
  EXPECT_TRUE(has(why(model(graph(relu()), 13, 99)), "IR version 99"));
  EXPECT_TRUE(has(why(""), "empty"));
  EXPECT_TRUE(has(why("not a model, just some text"), "byte"));
  GraphParts bad = relu();
  bad.nodes[0] = node("Relu", {"x\xFF"}, {"y"});
  EXPECT_TRUE(has(why(model(graph(bad))), "model.graph.node[0], byte")) << why(model(graph(bad)));
}

TEST(OnnxReader, KeepsUnknownDomains) {
  GraphParts parts = relu();
  parts.nodes[0] = node("Mystery", {"x"}, {"y"}, {}, "com.example");
  auto m = read(model(graph(parts)));
  ASSERT_TRUE(m.ok()) << m.error().message;
  EXPECT_EQ(m->graph->nodes[0].domain, "com.example");
}

TEST(OnnxReader, RefusesDeepNesting) {
  std::string body = graph({{node("Relu", {"x"}, {"r"})}, {}, {}, {info("r", 1, {})}});
  for (int i = 0; i < 200; ++i) {
    body =
        graph({{node("If", {"c"}, {"r"}, {attribute_graph("then_branch", body), attribute_graph("else_branch", "")})},
               {},
               {},
               {info("r", 1, {})}});
  }
  EXPECT_TRUE(has(why(model(body)), "nested deeper than 32"));
}

TEST(OnnxReader, EveryTruncationIsAnError) {
  GraphParts parts = relu();
  parts.initializers.push_back(tensor("w", {4}, std::vector<float>{1, 2, 3, 4}));
  std::string whole = field(1, int64_t{8}) + opset("", 13) + field(7, graph(parts));
  for (size_t size = 0; size < whole.size(); ++size) EXPECT_FALSE(read(whole.substr(0, size)).ok()) << size;
  EXPECT_TRUE(read(whole).ok());
}

std::string external(const std::string& location, const std::string& offset, const std::string& length) {
  auto entry = [](const std::string& key, const std::string& value) {
    return field(13, field(1, key) + field(2, value));
  };
  std::string out = tensor_head("w", 1, {4}) + entry("location", location) + field(14, int64_t{1});
  if (!offset.empty()) out += entry("offset", offset);
  return length.empty() ? out : out + entry("length", length);
}

TEST(OnnxReader, ExternalData) {
  Folder folder;
  folder.write("weights.bin", std::string(64, '\0') + raw<float>({1, 2, 3, 4}));
  auto attempt = [&](const std::string& tensor) {
    GraphParts parts = relu();
    parts.initializers.push_back(tensor);
    return read_onnx(folder.write("m.onnx", model(graph(parts))));
  };
  auto m = attempt(external("weights.bin", "64", "16"));
  ASSERT_TRUE(m.ok()) << m.error().message;
  EXPECT_EQ(m->graph->value(m->graph->find("w")).constant->view().as<const float>()[3], 4);
  EXPECT_EQ(m->file_bytes, fs::file_size(folder.path() / "m.onnx") + 80);
  EXPECT_EQ(attempt(external("weights.bin", "65", "15")).error().code, Code::kInvalidArgument);
  EXPECT_TRUE(has(attempt(external("weights.bin", "65", "")).error().message, "which has 80"));
  EXPECT_TRUE(has(attempt(external("weights.bin", "18446744073709551615", "")).error().message, "which has 80"));
  EXPECT_TRUE(has(attempt(external("weights.bin", "-1", "")).error().message, "expected a number of bytes"));
  EXPECT_TRUE(has(attempt(external("weights.bin", "64", "12")).error().message, "length 12"));
  EXPECT_EQ(attempt(external("missing.bin", "", "")).error().code, Code::kNotFound);
  for (const char* escape : {"../weights.bin", "/etc/passwd", "a/../../x", ""}) {
    EXPECT_TRUE(has(attempt(external(escape, "", "")).error().message, "model's own directory")) << escape;
  }
  Folder other;
  other.write("secret.bin", std::string(16, 's'));
  fs::create_symlink(other.path() / "secret.bin", folder.path() / "link.bin");
  EXPECT_TRUE(has(attempt(external("link.bin", "", "")).error().message, "model's own directory"));
  fs::create_symlink(folder.path() / "weights.bin", folder.path() / "inside.bin");
  EXPECT_TRUE(attempt(external("inside.bin", "64", "")).ok());
  GraphParts parts = relu();
  parts.initializers.push_back(external("weights.bin", "64", "16"));
  EXPECT_TRUE(has(why(model(graph(parts))), "held in memory"));
}

TEST(OnnxReader, FilesThatAreNone) {
  EXPECT_EQ(read_onnx("/nonexistent/model.onnx").error().code, Code::kNotFound);
  EXPECT_TRUE(has(read_onnx("/").error().message, "not a regular file"));
  Folder folder;
  EXPECT_TRUE(has(read_onnx(folder.write("empty.onnx", "")).error().message, "empty"));
}

TEST(OnnxReader, AFileThatIsCutShortInUseIsNamed) {
  Folder folder;
  const std::string path = folder.write("cut.onnx", std::string(20000, 'x'));
  auto file = FileMap::open(path, true);
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_DEATH(
      {
        FileMap::explain_cut_files();
        fs::resize_file(path, 0);
        (void)*static_cast<const volatile std::byte*>((*file)->bytes().data() + 16384);
      },
      "cut\\.onnx was cut short while it was in use.*by rename");
}

TEST(OnnxReader, TensorProtoFiles) {
  Folder folder;
  auto t = read_tensor_proto(folder.write("t.pb", tensor("name", {2}, std::vector<float>{3, 4})));
  ASSERT_TRUE(t.ok()) << t.error().message;
  EXPECT_EQ(t->first, "name");
  EXPECT_EQ(t->second.view().as<const float>()[1], 4);
}

}  // namespace
}  // namespace motet::graph
