// The loader on demand with a model whose programs are made here, where the loop lets go of a shape at the worst
// instants: each test decides when, by what the model is compiling.
#include "body/serve/loader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>

#include "compute/engine/runnable.h"

namespace motet::serve {
namespace {

using brain::BucketId;

// Never run: only loaded and let go of.
class IdleProgram final : public engine::Runnable {
 public:
  explicit IdleProgram(const Shape& shape) : ports_{{"x", DType::kF32, shape}} {}
  const std::vector<engine::Port>& inputs() const override { return ports_; }
  const std::vector<engine::Port>& outputs() const override { return ports_; }
  const std::vector<engine::StepInfo>& steps() const override { return steps_; }
  const std::vector<graph::PassReport>& passes() const override { return passes_; }
  Bytes arena_bytes() const override { return Bytes(64); }
  Bytes activation_bytes() const override { return Bytes(64); }
  Bytes packed_bytes() const override { return Bytes(100); }
  Nanos predicted() const override { return Nanos(9000); }
  Nanos longest_step() const override { return Nanos(7000); }
  engine::Precision precision() const override { return engine::Precision::kExact; }
  std::string executor() const override { return "native"; }
  std::string layout() const override { return "any"; }
  size_t arena_size() const override { return 64; }
  std::vector<engine::Staging> staging() const override { return {}; }
  int64_t longest_path() const override { return 1; }
  std::unique_ptr<engine::Run> start(std::byte*, std::vector<std::byte*>, std::vector<std::byte*>) const override {
    return nullptr;
  }

 private:
  std::vector<engine::Port> ports_;
  std::vector<engine::StepInfo> steps_;
  std::vector<graph::PassReport> passes_;
};

// What was compiled or dropped: its batch, and whether it was measured.
struct WatchedModel final : engine::Model {
  const std::vector<engine::Port>& inputs() const override { return ports; }
  const std::vector<engine::Port>& outputs() const override { return ports; }
  bool batchable() const override { return true; }
  Bytes weight_bytes() const override { return Bytes(weights.load()); }
  Result<engine::ProgramPtr> compile(const std::vector<Shape>& shapes, const engine::CompileOptions& options) override {
    const auto batch = static_cast<int>(shapes[0][0]);
    if (options.calibrate) {
      measured.push_back(batch);
      if (measuring) measuring(batch);
    } else if (loading) {
      loading(shapes[0]);
    }
    if (!keeps_one) return engine::ProgramPtr(std::make_shared<IdleProgram>(shapes[0]));
    if (only == nullptr) only = std::make_shared<IdleProgram>(shapes[0]);
    return only;
  }
  void drop(const std::vector<Shape>& shapes) override {
    std::lock_guard lock(mutex);
    if (!shapes.empty()) dropped.push_back(static_cast<int>(shapes[0][0]));
  }
  const graph::Model& source() const override { return graph; }

  std::vector<engine::Port> ports{{"x", DType::kF32, {-1, 4}}};
  std::atomic<int64_t> weights{1000};
  bool keeps_one = false;                     // one program is all there is
  engine::ProgramPtr only;                    // that one
  std::function<void(const Shape&)> loading;  // called while a first program is compiled
  std::function<void(int batch)> measuring;   // while one is compiled in full
  std::vector<int> measured;                  // the measuring thread's
  std::mutex mutex;
  std::vector<int> dropped;  // guarded by mutex
  graph::Model graph;
};

// A loader, one instance of four rows at most, and what the loop would have been told.
class LoaderTest : public ::testing::Test {
 protected:
  struct Told {
    brain::Loaded loaded;
    uint64_t releases = 0;
  };

  LoaderTest() {
    instance_->id = InstanceId(1);
    instance_->name = "watched";
    instance_->version = 1;
    instance_->batched = true;
    instance_->serving.max_batch = 4;
    instance_->model = model_;
    instance_->precision = std::make_unique<PrecisionState>(repo::PrecisionWish::kExact, 0.05, "watched");
    EXPECT_TRUE(instance_->add_bucket({kShape, engine::Precision::kExact}, {{4}}).ok());
    EXPECT_TRUE(instance_->add_bucket({kOther, engine::Precision::kExact}, {{5}}).ok());
  }

  void hear(const brain::Event& event, uint64_t releases) {
    std::lock_guard lock(mutex_);
    if (const auto* loaded = std::get_if<brain::Loaded>(&event)) told_.push_back({*loaded, releases});
    gone_ = gone_ || std::holds_alternative<brain::Unloaded>(event);
    heard_.notify_all();
  }
  // Until the bucket has been told of so often.
  void await(BucketId bucket, size_t times) {
    std::unique_lock lock(mutex_);
    heard_.wait(lock, [&] { return of(bucket).size() >= times; });
  }
  // Until all that was asked for has been done: another shape is loaded behind it, in full, and the instance let go.
  void finish() {
    loader_.compile(instance_, kOther);
    await(kOther, 2);
    loader_.unload(instance_);
    std::unique_lock lock(mutex_);
    heard_.wait(lock, [&] { return gone_; });
  }
  // As (programs, releases).
  std::vector<std::pair<size_t, uint64_t>> of(BucketId bucket) const {
    std::vector<std::pair<size_t, uint64_t>> list;
    for (const Told& told : told_)
      if (told.loaded.bucket == bucket) list.emplace_back(told.loaded.programs.size(), told.releases);
    return list;
  }
  // The same of what a loop that only hears now must still be told.
  std::vector<std::pair<size_t, uint64_t>> in_time(BucketId bucket) const {
    std::vector<std::pair<size_t, uint64_t>> list;
    for (const Told& told : told_)
      if (told.loaded.bucket == bucket && !told_too_late(*instance_, told.loaded, told.releases))
        list.emplace_back(told.loaded.programs.size(), told.releases);
    return list;
  }

  static constexpr BucketId kShape = 7, kOther = 8;
  using List = std::vector<std::pair<size_t, uint64_t>>;

  const std::shared_ptr<WatchedModel> model_ = std::make_shared<WatchedModel>();
  const InstancePtr instance_ = std::make_shared<Instance>();
  observe::Registry registry_;
  std::mutex mutex_;
  std::condition_variable heard_;
  std::vector<Told> told_;  // guarded by mutex_
  bool gone_ = false;       // guarded by mutex_
  Loader loader_{1, PrecisionDefaults{}, Loading{.on_demand = true, .cache_dir = {}}, registry_,
                 [this](const brain::Event& event, const InstancePtr&, uint64_t releases) { hear(event, releases); }};
};

TEST_F(LoaderTest, AShapeIsToldOfWithItsFirstProgramAndWithAll) {
  loader_.compile(instance_, kShape);
  finish();
  EXPECT_EQ(of(kShape), List({{1, 0}, {3, 0}}));
  EXPECT_EQ(in_time(kShape), of(kShape));
  EXPECT_EQ(instance_->programs(kShape).size(), 3u);
}

TEST_F(LoaderTest, ARefinementStopsOnceTheLoopHasLetGo) {
  std::once_flag once;
  model_->measuring = [&](int batch) {
    if (batch == 2) std::call_once(once, [&] { loader_.drop(instance_, kShape); });
  };
  loader_.compile(instance_, kShape);
  finish();
  EXPECT_EQ(of(kShape), List({{1, 0}}));
  EXPECT_TRUE(in_time(kShape).empty());
  EXPECT_EQ(model_->measured, std::vector<int>({1, 2, 1, 2, 4})) << "of the shape, then of the other";
  EXPECT_TRUE(instance_->programs(kShape).empty());
  // The first program by the loop's wish, the two that the refinement had made by its own.
  std::sort(model_->dropped.begin(), model_->dropped.end());
  EXPECT_EQ(model_->dropped, std::vector<int>({1, 1, 2}));
}

TEST_F(LoaderTest, AShapeLoadedAnewIsNotServedByWhatWasBegunBefore) {
  std::once_flag once;
  model_->measuring = [&](int batch) {
    if (batch != 4) return;
    std::call_once(once, [&] {  // the loop drops the shape, and asks for it again, before the last program is there
      loader_.drop(instance_, kShape);
      loader_.compile(instance_, kShape);
      await(kShape, 2);
    });
  };
  loader_.compile(instance_, kShape);
  await(kShape, 3);
  finish();
  // Not told: the three programs of the first load. They would be of a shape that has been dropped since.
  EXPECT_EQ(of(kShape), List({{1, 0}, {1, 1}, {3, 1}}));
  EXPECT_EQ(in_time(kShape), List({{1, 1}, {3, 1}})) << "the first load is not there any more";
  EXPECT_EQ(instance_->programs(kShape).size(), 3u);
}

TEST_F(LoaderTest, AChargeThatHasChangedIsToldThoughTheFirstProgramIsAllThereIs) {
  instance_->serving.max_batch = 1;
  model_->keeps_one = true;
  model_->weights = 5000;  // with what is packed beside it
  model_->measuring = [&](int) { model_->weights = 1000; };
  loader_.compile(instance_, kShape);
  await(kShape, 2);
  loader_.compile(instance_, kShape);
  await(kShape, 3);
  loader_.unload(instance_);
  std::unique_lock lock(mutex_);
  heard_.wait(lock, [&] { return gone_; });
  std::vector<int64_t> charges;
  for (const Told& told : told_) charges.push_back(told.loaded.bytes.value);
  EXPECT_EQ(charges, std::vector<int64_t>({5100, 1100, 1100}));
}

TEST_F(LoaderTest, WhatTheLoopHasLetGoOfBeforeItWasBegunIsNotBegun) {
  std::once_flag once;
  model_->loading = [&](const Shape& shape) {
    if (shape.back() != 5) return;
    std::call_once(once, [&] {  // while the other shape keeps the loader busy
      loader_.compile(instance_, kShape);
      loader_.drop(instance_, kShape);
    });
  };
  finish();
  EXPECT_TRUE(of(kShape).empty());
  EXPECT_TRUE(instance_->programs(kShape).empty());
  EXPECT_EQ(model_->measured, std::vector<int>({1, 2, 4})) << "of the other alone";
}

}  // namespace
}  // namespace motet::serve
