// Seeded mutations of models whose shapes depend on data, compiled and run: whatever a file says, a run ends, takes no
// more memory than it may, and faults rather than reads or writes where it should not.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "compute/engine/execution.h"
#include "compute/graph/test_model.h"
#include "mutate.h"

namespace motet::fuzz {
namespace {

using namespace graph::test;

constexpr size_t kModels = 3;
constexpr int64_t kLongest = 400;                // steps of a run that are taken
constexpr int64_t kLargest = int64_t{64} << 20;  // arena of a program that is run

std::string loop_model() {
  std::string body = graph::test::graph(
      {{node("Concat", {"v", "v"}, {"v2"}, {attribute("axis", int64_t{0})}),
        node("ReduceSum", {"v2"}, {"sum"}, {attribute("keepdims", int64_t{0})}), node("Identity", {"go"}, {"go2"})},
       {},
       {info("i", 7, {}), info("go", 9, {}), info("v", 1, {"?"})},
       {info("go2", 9, {}), info("v2", 1, {"?"}), info("sum", 1, {})}});
  return model(graph::test::graph({{node("Loop", {"n", "", "x"}, {"last", "sums"}, {attribute_graph("body", body)}),
                                    node("TopK", {"last", "k"}, {"top", "at"})},
                                   {},
                                   {info("n", 7, {}), info("x", 1, {"2"}), info("k", 7, {"1"})},
                                   {info("sums", 1, {"?"}), info("top", 1, {"?"}), info("at", 7, {"?"})}}),
               18);
}

std::string choosing_model() {
  return model(
      graph::test::graph({{node("NonZero", {"x"}, {"nz"}), node("Transpose", {"nz"}, {"t"}),
                           node("GatherND", {"x", "t"}, {"picked"}), node("Unique", {"picked"}, {"u", "f"}),
                           node("Reshape", {"u", "s"}, {"r"}), node("Slice", {"r", "from", "to"}, {"y"})},
                          {},
                          {info("x", 1, {"3", "4"}), info("s", 7, {"2"}), info("from", 7, {"1"}), info("to", 7, {"1"})},
                          {info("y", 1, {"?", "?"}), info("f", 7, {"?"})}}),
      18);
}

std::string picture_model() {
  return model(
      graph::test::graph({{node("Resize", {"x", "", "scales"}, {"big"}, {attribute_text("mode", "linear")}),
                           node("Pad", {"big", "pads"}, {"padded"}),
                           node("Conv", {"padded", "w"}, {"c"}, {attribute("strides", std::vector<int64_t>{2, 2})}),
                           node("Col2Im", {"blocks", "size", "block"}, {"im"}), node("Add", {"c", "im"}, {"y"})},
                          {tensor("w", {1, 1, 2, 2}, std::vector<float>{1, 2, 3, 4})},
                          {info("x", 1, {"1", "1", "4", "4"}), info("scales", 1, {"4"}), info("pads", 7, {"8"}),
                           info("blocks", 1, {"1", "4", "9"}), info("size", 7, {"2"}), info("block", 7, {"2"})},
                          {info("y", 1, {"?", "?", "?", "?"})}}),
      18);
}

std::string small_model(size_t which) {
  return which == 0 ? loop_model() : which == 1 ? choosing_model() : picture_model();
}

// Small numbers: most are valid axes, counts or extents somewhere.
Tensor draw(const engine::Port& port, Shape shape, Random& random) {
  Tensor tensor = Tensor::zeros(port.dtype, std::move(shape));
  auto fill = [&]<class T>(T) {
    for (T& v : tensor.view().as<T>()) v = static_cast<T>(random.between(-1, 4));
  };
  if (port.dtype == DType::kF32) fill(float{});
  if (port.dtype == DType::kI64) fill(int64_t{});
  if (port.dtype == DType::kI32) fill(int32_t{});
  if (port.dtype == DType::kBool)
    for (bool& v : tensor.view().as<bool>()) v = random.chance(0.7);
  return tensor;
}

enum class Ending : uint8_t { kNotRead, kRefused, kFaulted, kCutOff, kFinished };

Ending run(const std::filesystem::path& path, const std::string& bytes, Random& random) {
  std::ofstream(path, std::ios::binary) << bytes;
  auto model = engine::Model::load(path, {.executor = "native"});
  if (!model.ok()) return Ending::kNotRead;
  std::vector<Shape> shapes;
  std::vector<Tensor> inputs;
  for (const engine::Port& port : (*model)->inputs()) {
    shapes.push_back(port.shape);
    for (int64_t& extent : shapes.back())
      if (extent < 0) extent = 2;
    auto count = checked_elements(shapes.back());
    if (!count.ok() || *count > 1 << 16) return Ending::kRefused;
    inputs.push_back(draw(port, shapes.back(), random));
  }
  auto program = (*model)->compile(shapes, {.growth = Bytes(1 << 20), .calibrate = false});
  if (!program.ok() || (*program)->arena_bytes().value > kLargest) return Ending::kRefused;
  engine::QueryInputs query;
  for (const Tensor& tensor : inputs) query.tensors.push_back(tensor.view());
  auto execution = engine::Execution::create({{*program, 0}}, {query}, false);
  if (!execution.ok()) return Ending::kRefused;
  engine::RunState state = engine::RunState::kPaused;
  for (int64_t i = 0; i < kLongest && state == engine::RunState::kPaused; ++i)
    state = (*execution)->step(device::Team::serial());
  if (state == engine::RunState::kPaused) return Ending::kCutOff;
  if (state == engine::RunState::kFailed) return Ending::kFaulted;
  for (size_t o = 0; o < (*program)->outputs().size(); ++o) {
    const Tensor output = (*execution)->output(0, o);
    EXPECT_TRUE(checked_elements(output.shape()).ok());
  }
  return Ending::kFinished;
}

TEST(DynamicFuzz, MutatedModelsEnd) {
  const auto path = std::filesystem::temp_directory_path() / ("motet-fuzz-" + std::to_string(getpid()) + ".onnx");
  std::map<Ending, int> endings;
  constexpr uint64_t kSeeds = 2'000;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed, "dynamic");
    const size_t which = random.below(kModels);
    // One in eight is left as it is: only its data vary.
    const std::string sound = small_model(which);
    const std::string bytes = seed % 8 == 0 ? sound : mutate(sound, small_model(random.below(kModels)), random);
    const Ending ending = run(path, bytes, random);
    ++endings[ending];
    if (seed % 8 == 0)
      EXPECT_TRUE(ending == Ending::kFinished || ending == Ending::kFaulted) << static_cast<int>(ending);
  }
  std::filesystem::remove(path);
  // Every ending but the cut-off must have been seen, or something is not being tried.
  for (Ending ending : {Ending::kNotRead, Ending::kRefused, Ending::kFaulted, Ending::kFinished})
    EXPECT_GT(endings[ending], static_cast<int>(kSeeds) / 200) << static_cast<int>(ending);
}

}  // namespace
}  // namespace motet::fuzz
