// Seeded mutations of sound models through the reader, inference and passes: bounded, the same on every machine. A
// failing seed is printed first, so that it can be run alone.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "compute/graph/test_model.h"
#include "mutate.h"
#include "onnx_target.h"

namespace motet::fuzz {
namespace {

using namespace graph::test;

std::string small_models(size_t which) {
  std::vector<float> w(36, 0.5F);
  std::string relu = graph::test::graph({{node("Relu", {"c"}, {"r"})}, {}, {}, {field(1, "r")}});
  GraphParts conv{
      {node("Conv", {"x", "w"}, {"c"}, {attribute("pads", std::vector<int64_t>{1, 1, 1, 1})}),
       node("If", {"flag"}, {"i"}, {attribute_graph("then_branch", relu), attribute_graph("else_branch", relu)}),
       node("Add", {"i", "b"}, {"a"}), node("Add", {"a", "x"}, {"s"}), node("Relu", {"s"}, {"y"})},
      {tensor("w", {2, 2, 3, 3}, w), tensor("b", {2, 1, 1}, std::vector<float>{1, 2})},
      {info("x", 1, {"N", "2", "5", "5"}), info("flag", 9, {})},
      {info("y", 1, {"N", "2", "5", "5"})}};
  GraphParts shapes{
      {node("Shape", {"x"}, {"s"}), node("Slice", {"s", "from", "to"}, {"n"}),
       node("Concat", {"n", "rest"}, {"t"}, {attribute("axis", int64_t{0})}), node("Reshape", {"x", "t"}, {"f"}),
       node("Gemm", {"f", "m"}, {"g"}, {attribute("transB", int64_t{1})}),
       node("Softmax", {"g"}, {"y"}, {attribute("axis", int64_t{-1})})},
      {tensor("from", {1}, std::vector<int64_t>{0}), tensor("to", {1}, std::vector<int64_t>{1}),
       tensor("rest", {1}, std::vector<int64_t>{-1}), tensor("m", {3, 12}, w)},
      {info("x", 1, {"N", "3", "4"})},
      {info("y", 1, {"N", "3"})}};
  std::string body = graph::test::graph(
      {{node("Concat", {"v", "v"}, {"v2"}, {attribute("axis", int64_t{0})}), node("Identity", {"go"}, {"go2"})},
       {},
       {info("i", 7, {}), info("go", 9, {}), field(1, "v")},
       {field(1, "go2"), field(1, "v2")}});
  GraphParts loop{{node("Loop", {"m", "", "x"}, {"l"}, {attribute_graph("body", body)}),
                   node("Transpose", {"l"}, {"t"}), node("Transpose", {"t"}, {"y"})},
                  {tensor("m", {}, std::vector<int64_t>{3})},
                  {info("x", 1, {"2", "3"})},
                  {info("y", 1, {})}};
  std::string function = field(25, field(1, "F") + field(4, "a") + field(5, "b") + field(10, "own") +
                                       field(7, node("Add", {"a", "a"}, {"t"})) + field(7, node("Tanh", {"t"}, {"b"})));
  GraphParts calls{{node("F", {"x"}, {"u"}, {}, "own"), node("F", {"u"}, {"y"}, {}, "own")},
                   {},
                   {info("x", 1, {"?"})},
                   {info("y", 1, {"?"})}};
  switch (which) {
    case 0: return model(graph::test::graph(conv));
    case 1: return model(graph::test::graph(shapes));
    case 2: return model(graph::test::graph(loop));
    default: return model(graph::test::graph(calls)) + function;
  }
}
constexpr size_t kSmallModels = 4;

bool survives(const std::string& bytes) {
  return read_infer_and_rewrite({reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()});
}

TEST(OnnxFuzz, SoundModelsAreRead) {
  for (size_t i = 0; i < kSmallModels; ++i) EXPECT_TRUE(survives(small_models(i))) << i;
}

TEST(OnnxFuzz, MutatedSmallModels) {
  int read = 0;
  constexpr uint64_t kSeeds = 20'000;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed, "onnx");
    read += survives(mutate(small_models(random.below(kSmallModels)), small_models(random.below(kSmallModels)), random))
                ? 1
                : 0;
  }
  // Some must get past the reader, or inference and passes would not be tested; most mutations must be noticed.
  EXPECT_GT(read, static_cast<int>(kSeeds) / 50);
  EXPECT_LT(read, static_cast<int>(kSeeds) * 9 / 10);
}

// The graph parts of a shipped model: weights are a file's end, so changes fall on its first bytes.
TEST(OnnxFuzz, MutatedShippedModels) {
  namespace fs = std::filesystem;
  if (!fs::exists("models")) GTEST_SKIP() << "no models folder";
  for (const auto& entry : fs::recursive_directory_iterator("models")) {
    if (entry.path().extension() != ".onnx" || entry.file_size() > 400'000) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(in)), {});
    EXPECT_TRUE(survives(bytes)) << entry.path();
    for (uint64_t seed = 0; seed < 100; ++seed) {
      SCOPED_TRACE(seed);
      Random random(seed, entry.path().filename().string());
      survives(mutate(bytes, bytes, random));
    }
  }
}

}  // namespace
}  // namespace motet::fuzz
