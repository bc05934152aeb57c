// Measuring with a model whose programs are made here: y = x * factor, another factor for each precision.
#include "body/serve/measurement.h"

#include <gtest/gtest.h>

#include "body/serve/facts.h"
#include "body/serve/loader.h"
#include "compute/engine/runnable.h"

namespace motet::serve {
namespace {

using engine::Precision;

class ScaleRun final : public engine::Run {
 public:
  ScaleRun(const float* x, float* y, size_t count, float factor) : x_(x), y_(y), count_(count), factor_(factor) {}
  bool done() const override { return done_; }
  Status step(device::Team&, const device::Stop&) override {
    done_ = true;
    for (size_t i = 0; i < count_; ++i) {
      if (x_[i] < 0) return invalid_argument("node 'scale': a negative number");
      y_[i] = x_[i] * factor_;
    }
    return {};
  }
  int64_t steps_done() const override { return done_ ? 1 : 0; }
  Tensor take_output(size_t) override { return {}; }

 private:
  const float* const x_;
  float* const y_;
  const size_t count_;
  const float factor_;
  bool done_ = false;
};

class ScaleProgram : public engine::Runnable {
 public:
  ScaleProgram(Shape shape, Precision precision, float factor)
      : ports_{{"x", DType::kF32, shape}},
        outputs_{{"y", DType::kF32, shape}},
        precision_(precision),
        factor_(factor) {}
  const std::vector<engine::Port>& inputs() const override { return ports_; }
  const std::vector<engine::Port>& outputs() const override { return outputs_; }
  const std::vector<engine::StepInfo>& steps() const override { return steps_; }
  const std::vector<graph::PassReport>& passes() const override { return passes_; }
  Bytes arena_bytes() const override { return Bytes(64); }
  Bytes activation_bytes() const override { return Bytes(64); }
  Bytes packed_bytes() const override { return {}; }
  Nanos predicted() const override { return Nanos(precision_ == Precision::kExact ? 9000 : 4000); }
  Nanos longest_step() const override { return Nanos(7000); }
  Precision precision() const override { return precision_; }
  std::string executor() const override { return "native"; }
  std::string layout() const override { return "any"; }
  size_t arena_size() const override { return 64; }
  std::vector<engine::Staging> staging() const override { return {{0, 0}}; }
  int64_t longest_path() const override { return 1; }
  std::unique_ptr<engine::Run> start(std::byte*, std::vector<std::byte*> inputs,
                                     std::vector<std::byte*> outputs) const override {
    return std::make_unique<ScaleRun>(reinterpret_cast<const float*>(inputs[0]), reinterpret_cast<float*>(outputs[0]),
                                      static_cast<size_t>(elements(ports_[0].shape)), factor_);
  }

 private:
  std::vector<engine::Port> ports_, outputs_;
  std::vector<engine::StepInfo> steps_{{.op = "Mul", .slices = 3}};
  std::vector<graph::PassReport> passes_;
  Precision precision_;
  float factor_;
};

struct ScaleModel final : engine::Model {
  const std::vector<engine::Port>& inputs() const override { return ports; }
  const std::vector<engine::Port>& outputs() const override { return ports; }
  bool batchable() const override { return true; }
  Bytes weight_bytes() const override { return {}; }
  Result<engine::ProgramPtr> compile(const std::vector<Shape>& shapes, const engine::CompileOptions& options) override {
    const Precision p = options.precision;
    if (p == Precision::kInt8 && !int8_refusal.empty()) return unsupported(int8_refusal);
    if (p == Precision::kBf16 && bf16_is_exact) return compile(shapes, {});
    const float factor = p == Precision::kExact ? 2.0F : p == Precision::kBf16 ? 2.02F : 2.4F;
    return engine::ProgramPtr(std::make_shared<ScaleProgram>(shapes[0], p, factor));
  }
  void drop(const std::vector<Shape>& shapes) override { dropped.push_back(shapes); }
  const graph::Model& source() const override { return graph; }

  std::vector<engine::Port> ports{{"x", DType::kF32, {-1, 4}}};
  std::string int8_refusal;
  bool bf16_is_exact = false;
  std::vector<std::vector<Shape>> dropped;
  graph::Model graph;
};

InstancePtr instance(repo::PrecisionWish wish, double max_error, const std::shared_ptr<ScaleModel>& model) {
  auto made = std::make_shared<Instance>();
  made->name = "scale";
  made->version = 1;
  made->batched = true;
  made->model = model;
  made->precision = std::make_unique<PrecisionState>(wish, max_error, "scale");
  return made;
}

Sample sample(std::vector<float> values) {
  const auto rows = static_cast<int64_t>(values.size() / 4);
  return {{{4}}, {Tensor::of<float>({rows, 4}, values)}};
}

TEST(Measurement, FindsTheErrorOfEveryAlternative) {
  auto model = std::make_shared<ScaleModel>();
  auto one = instance(repo::PrecisionWish::kAutomatic, 0.05, model);
  auto measurement = Measurement::prepare(one, {sample({1, 2, 3, 4, 5, 6, 7, 8}), sample({0, 0, 1, 1})},
                                          one->precision->alternatives(), {});
  ASSERT_TRUE(measurement.ok()) << measurement.error().message;
  auto variants = measurement->run();
  ASSERT_TRUE(variants.ok()) << variants.error().message;
  ASSERT_EQ(variants->size(), 3u);
  EXPECT_EQ((*variants)[0].predicted, Nanos(18000));
  EXPECT_NEAR((*variants)[1].error, 0.01, 1e-6);
  EXPECT_NEAR((*variants)[2].error, 0.2, 1e-6);
  measurement->release();
  EXPECT_EQ(model->dropped.size(), 2u);
  one->precision->settle(*variants, "2 samples of model_warmup");
  EXPECT_EQ(one->precision->current(), Precision::kBf16);
  EXPECT_NE(one->precision->report().alternatives[1].refusal.find("0.2 is above the bound of 0.05"), std::string::npos);
}

TEST(Measurement, WhatTheEngineCannotGiveIsRefusedWithItsReason) {
  auto model = std::make_shared<ScaleModel>();
  model->int8_refusal = "int8 needs VNNI";
  model->bf16_is_exact = true;
  auto one = instance(repo::PrecisionWish::kAutomatic, 0.05, model);
  auto measurement = Measurement::prepare(one, {sample({1, 2, 3, 4})}, one->precision->alternatives(), {});
  ASSERT_TRUE(measurement.ok());
  auto variants = measurement->run();
  ASSERT_TRUE(variants.ok());
  EXPECT_NE((*variants)[1].refusal.find("it would run exact"), std::string::npos) << (*variants)[1].refusal;
  EXPECT_EQ((*variants)[2].refusal, "int8 needs VNNI");
}

TEST(Measurement, AFaultOfTheDataIsAnErrorAndAnUnwantedModelEndsIt) {
  auto one = instance(repo::PrecisionWish::kBf16, 0.05, std::make_shared<ScaleModel>());
  auto measurement = Measurement::prepare(one, {sample({1, -2, 3, 4})}, {Precision::kBf16}, {});
  ASSERT_TRUE(measurement.ok());
  auto refused = measurement->run();
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("a negative number"), std::string::npos);
  one->wanted = false;
  EXPECT_EQ(measurement->run().error().code, Code::kCancelled);
}

TEST(Instance, QueriesMoveToTheReducedBucketOnceItHasPrograms) {
  auto model = std::make_shared<ScaleModel>();
  auto one = instance(repo::PrecisionWish::kBf16, 0.05, model);
  const BucketShapes shapes{{4}};
  auto programs_of = [&](Precision precision) {
    auto program = model->compile({{1, 4}}, {.precision = precision});
    return std::map<int, engine::ProgramPtr>{{1, *program}};
  };
  const Route exact = one->route(shapes);
  EXPECT_EQ(exact.precision, Precision::kExact);
  ASSERT_TRUE(one->add_bucket(exact, shapes).ok());
  one->set_programs(exact.bucket, programs_of(Precision::kExact));
  std::vector<brain::Variant> variants{{"exact", "", 0, Nanos(9)}, {"bf16", "", 0.01, Nanos(5)}};
  one->precision->settle(variants, "8 live queries");
  EXPECT_EQ(one->route(shapes).bucket, exact.bucket) << "its programs are still being compiled";
  EXPECT_EQ(one->route({{8}}).precision, Precision::kBf16) << "shapes that are new have none to wait for";
  EXPECT_EQ(one->shapes_lacking(Precision::kBf16), (std::vector<BucketShapes>{shapes}));
  const Route reduced{bucket_id(shapes, Precision::kBf16), Precision::kBf16};
  ASSERT_NE(reduced.bucket, exact.bucket);
  ASSERT_TRUE(one->add_bucket(reduced, shapes).ok());
  EXPECT_FALSE(one->add_bucket({reduced.bucket, Precision::kInt8}, shapes).ok());
  one->set_programs(reduced.bucket, programs_of(Precision::kBf16));
  EXPECT_EQ(one->route(shapes).bucket, reduced.bucket);
  EXPECT_EQ(one->bucket_precision(reduced.bucket), Precision::kBf16);
  EXPECT_TRUE(one->shapes_lacking(Precision::kBf16).empty());
  EXPECT_EQ(one->replaced_by(reduced.bucket), (std::vector<brain::BucketId>{exact.bucket}));
  one->drop_programs(reduced.bucket);
  EXPECT_EQ(one->route(shapes).bucket, exact.bucket) << "back, until it is loaded again";
  one->drop_programs(exact.bucket);
  EXPECT_EQ(one->route(shapes).bucket, reduced.bucket);
}

TEST(Loader, TellsTheLongestStepAtEveryWidth) {
  auto model = std::make_shared<ScaleModel>();
  auto program = model->compile({{4, 4}}, {});
  const brain::ProgramFeatures features = program_features(4, **program, 2);
  EXPECT_EQ(features.batch, 4);
  EXPECT_EQ(features.arena, Bytes(64));
  ASSERT_EQ(features.predicted.size(), 2u);
  EXPECT_EQ(features.predicted[0], Nanos(9000));
  ASSERT_LT(features.predicted[1], Nanos(7000));
  EXPECT_EQ(features.longest_step, (std::vector<Nanos>{Nanos(7000), features.predicted[1]})) << "never above the whole";
}

// One step, timed on one core and on two, where it takes longer.
struct TimedProgram final : ScaleProgram {
  TimedProgram() : ScaleProgram({4, 4}, Precision::kExact, 1.0F) {}
  Nanos timed_at(int width) const override { return Nanos(8000 + 1000 * width); }
};

TEST(Loader, TellsWhatWasTimedAtEveryWidthRatherThanAGuess) {
  const brain::ProgramFeatures features = program_features(4, TimedProgram(), 2);
  EXPECT_EQ(features.predicted, (std::vector<Nanos>{Nanos(9000), Nanos(10000)}));
  EXPECT_EQ(features.longest_step, features.predicted) << "nothing interrupts it";
}

TEST(Facts, SayWhatTheModelIs) {
  auto model = std::make_shared<ScaleModel>();
  auto one = instance(repo::PrecisionWish::kBf16, 0.05, model);
  EXPECT_EQ(model_facts(*one).count("executor"), 0u) << "nothing is compiled yet";
  EXPECT_EQ(std::get<std::string>(model_facts(*one)["precision_asked"]), "bf16");
  const Route route = one->route({{4}});
  ASSERT_TRUE(one->add_bucket(route, {{4}}).ok());
  auto program = model->compile({{1, 4}}, {});
  one->set_programs(route.bucket, {{1, *program}});
  std::vector<brain::Variant> variants{{"exact", "", 0, Nanos(9)}, {"bf16", "", 0.01, Nanos(5)}};
  one->precision->settle(variants, "8 live queries");
  api::Parameters facts = model_facts(*one);
  EXPECT_EQ(std::get<std::string>(facts["executor"]), "native");
  EXPECT_EQ(std::get<int64_t>(facts["longest_step_us"]), 7);
  EXPECT_EQ(std::get<int64_t>(facts["slices"]), 3);
  EXPECT_EQ(std::get<std::string>(facts["precision"]), "bf16");
  EXPECT_EQ(std::get<double>(facts["precision_error"]), 0.01);
  observe::Registry registry;
  publish_facts(*one, registry);
  const observe::Labels bf16{{"model", "scale"}, {"version", "1"}, {"precision", "bf16"}};
  EXPECT_EQ(registry.gauge("motet_model_precision", "", bf16).value(), 1);
  EXPECT_EQ(registry.gauge("motet_model_precision_error", "", bf16).value(), 0.01);
  EXPECT_EQ(registry.gauge("motet_model_slices", "", {{"model", "scale"}, {"version", "1"}}).value(), 3);
  api::Parameters answer;
  note_precision(*one, Precision::kBf16, answer);
  EXPECT_EQ(std::get<std::string>(answer["precision"]), "bf16");
  EXPECT_EQ(std::get<double>(answer["precision_error"]), 0.01);
  answer.clear();
  note_precision(*one, Precision::kExact, answer);
  EXPECT_EQ(answer.size(), 1u) << "exact has no error";
}

}  // namespace
}  // namespace motet::serve
