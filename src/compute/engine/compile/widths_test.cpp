// Steps whose threads meet at a barrier: oneDNN's classic gemm, which shares what its threads have packed where the CPU
// has AVX-512. Held at such a step, resized, same bits. oneDNN prefers other kernels for this product, so the test
// picks gemm out of its list, through the private header of compute/ops/onednn.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "base/random.h"
#include "compute/device/region.h"
#include "compute/device/test_pool.h"
#include "compute/engine/compile/survey.h"
#include "compute/engine/execution.h"
#include "compute/ops/onednn/common.h"

namespace motet::engine {
namespace {

namespace onednn = ops::onednn;

// y = a x b, then z = y x c.
const Shape kA{1024, 768}, kB{768, 3072}, kY{1024, 3072}, kC{3072, 64}, kZ{1024, 64};
constexpr int kCores = 3;

Result<ops::KernelPtr> plan_gemm(const ops::NodeRequest& request) {
  onednn::set_parts(request.together ? request.max_width : 1);
  const auto left = onednn::row_major(request.inputs[0].shape), right = onednn::row_major(request.inputs[1].shape);
  const auto result = onednn::row_major(request.outputs[0].shape);
  // next_impl() reads these.
  const dnnl::matmul::desc desc(left, right, result);
  const dnnl::primitive_attr attr = onednn::attributes();
  dnnl::matmul::primitive_desc description(desc, attr, onednn::cpu_engine());
  while (!onednn::has_barriers(description.impl_info_str()))
    if (!description.next_impl()) return unsupported("oneDNN without its gemm");
  auto kernel = std::make_unique<onednn::PrimitiveKernel>(2, 1);
  kernel->add(description, dnnl::matmul(description),
              {{DNNL_ARG_SRC, onednn::Operand::input(0), left},
               {DNNL_ARG_WEIGHTS, onednn::Operand::input(1), right},
               {DNNL_ARG_DST, onednn::Operand::output(0), result}});
  return ops::KernelPtr(std::move(kernel));
}

class Products {
 public:
  explicit Products(int cores) : program_(std::make_shared<CompiledProgram>()) {
    auto& buffers = program_->buffers;
    for (size_t port = 0; const Shape& shape : {kA, kB, kC}) {
      program_->input_ports.push_back({std::string(1, static_cast<char>('a' + port)), DType::kF32, shape});
      buffers.push_back({.kind = Buffer::Kind::kInput, .bytes = bytes(shape), .port = port++});
    }
    program_->output_ports.push_back({"z", DType::kF32, kZ});
    buffers.push_back({.kind = Buffer::Kind::kArena, .bytes = bytes(kY)});
    buffers.push_back({.kind = Buffer::Kind::kOutput, .bytes = bytes(kZ)});
    program_->arena = bytes(kY);
    add({0, kA}, {1, kB}, {3, kY}, cores);
    add({3, kY}, {2, kC}, {4, kZ}, cores);
    program_->stages = single_lane(2);
    auto found = survey(*program_, cores, Nanos(0));
    MOTET_CHECK(found.has_value(), "there is memory for a survey");
    cut_steps(*program_, *found);
  }
  const CompiledProgram& operator*() const { return *program_; }
  ProgramPtr get() const { return program_; }

 private:
  struct Place {
    int buffer;
    Shape shape;
  };
  static size_t bytes(const Shape& shape) { return static_cast<size_t>(elements(shape)) * sizeof(float); }

  void add(const Place& left, const Place& right, const Place& result, int cores) {
    graph::Node node;
    node.op = "MatMul";
    const std::vector<ops::TensorSpec> inputs = {{DType::kF32, left.shape}, {DType::kF32, right.shape}};
    const std::vector<ops::TensorSpec> outputs = {{DType::kF32, result.shape}};
    const bool present[] = {true, true};
    const std::vector<const Tensor*> constants(2, nullptr);
    auto kernel = onednn::plan_widths({.node = node,
                                       .inputs = inputs,
                                       .present = present,
                                       .constants = constants,
                                       .outputs = outputs,
                                       .cores = cores},
                                      plan_gemm);
    MOTET_CHECK(kernel.ok(), "oneDNN has a gemm for every product");
    Step step;
    step.kernel = *std::move(kernel);
    step.key = std::to_string(result.buffer);
    for (const Place& input : {left, right}) step.inputs.push_back({input.buffer, {DType::kF32, input.shape, nullptr}});
    step.outputs = {{result.buffer, {DType::kF32, result.shape, nullptr}}};
    if (step.kernel->scratch_bytes() > 0) {
      step.scratch = static_cast<int>(program_->buffers.size());
      program_->buffers.push_back(
          {.kind = Buffer::Kind::kArena, .bytes = step.kernel->scratch_bytes(), .offset = program_->arena});
      program_->arena += (step.kernel->scratch_bytes() + 63) / 64 * 64;
    }
    program_->body.push_back(std::move(step));
    program_->infos.emplace_back();
  }

  const std::shared_ptr<CompiledProgram> program_;
};

class Widths : public ::testing::Test {
 protected:
  Widths() {
    Random random(3, "widths");
    for (const Shape& shape : {kA, kB, kC}) {
      inputs_.push_back(Tensor::zeros(DType::kF32, shape));
      for (float& x : inputs_.back().view().as<float>()) x = static_cast<float>(random.uniform() * 2 - 1);
    }
  }
  void SetUp() override {
    if (onednn::blocked_layout() != ops::Layout::kNChw16c) GTEST_SKIP() << "gemm has no barriers without AVX-512";
  }
  std::unique_ptr<Execution> start(const Products& program) const {
    QueryInputs query;
    for (const Tensor& tensor : inputs_) query.tensors.push_back(tensor.view());
    auto execution = Execution::create({{program.get(), 0}}, {query}, false);
    MOTET_CHECK(execution.ok(), "an execution of the products");
    return *std::move(execution);
  }

  std::vector<Tensor> inputs_;
};

// Has a thread for every part, and notes whether they have met.
class Noting final : public device::Team {
 public:
  explicit Noting(int width) : width_(width) {}
  int width() const override { return width_; }
  bool concurrent(int parts) const override { return parts <= width_; }
  void run(int parts, device::PartFunction f) override {
    std::atomic<bool> met{false};
    auto part = [&](int i) {
      const int64_t before = device::this_thread().barriers;
      f(i, parts);
      if (device::this_thread().barriers != before) met = true;
    };
    {
      std::vector<std::jthread> threads;
      for (int i = 0; i < parts; ++i) threads.emplace_back(part, i);
    }
    if (met) met_at_ = parts;
  }
  int met_at() const { return met_at_; }

 private:
  const int width_;
  int met_at_ = 0;
};

TEST_F(Widths, AKernelWhoseThreadsMeetIsMadeForEveryWidthAndMarked) {
  const Products program(kCores);
  EXPECT_TRUE((*program).infos[0].barrier);
  EXPECT_EQ((*program).infos[0].slices, 1);
  for (int width : {1, 2, 3, 4}) {
    Noting team(width);
    EXPECT_EQ(start(program)->step(team), RunState::kPaused);
    EXPECT_EQ(team.met_at(), width == 1 ? 0 : std::min(width, kCores)) << "on " << width << " cores";
  }
  EXPECT_FALSE((*Products(1)).infos[0].barrier) << "one thread meets nobody";
}

TEST_F(Widths, AnExecutionHeldAtOneAndResizedGivesTheSameBits) {
  const Products program(kCores);
  auto alone = start(program);
  ASSERT_EQ(alone->run(device::Team::serial()), RunState::kFinished);
  const Tensor want = alone->output(0, 0);
  auto pool = device::make_test_pool(kCores);
  device::OnWorker lead(*pool, 0, [&] {
    for (auto [before, after] : {std::pair{1, 3}, {3, 1}, {2, 3}, {3, 2}}) {
      auto execution = start(program);
      auto team = device::PoolTeam::create(*pool, 0, CoreSet::range(0, before));
      EXPECT_EQ(execution->step(*team), RunState::kPaused);
      team->resize(CoreSet::range(0, after));
      EXPECT_EQ(execution->run(*team), RunState::kFinished);
      const Tensor got = execution->output(0, 0);
      EXPECT_EQ(std::memcmp(got.view().data, want.view().data, want.view().bytes()), 0)
          << before << " cores, then " << after;
    }
  });
}

}  // namespace
}  // namespace motet::engine
