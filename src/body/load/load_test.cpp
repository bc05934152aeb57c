#include <gtest/gtest.h>

#include <algorithm>
#include <queue>

#include "body/load/generator.h"
#include "body/load/payload.h"

namespace motet::load {
namespace {

// Virtual time: sleeping jumps, and runs what falls due on the way.
class VirtualPacer final : public Pacer {
 public:
  Nanos now() const override { return now_; }
  void sleep_until(Nanos at) override { advance(at, false); }
  void wait_until(Nanos at, std::condition_variable&, std::unique_lock<std::mutex>& lock) override {
    lock.unlock();
    advance(at, true);
    lock.lock();
  }
  void at(Nanos due, std::function<void()> run) { events_.push_back({due, std::move(run)}); }
  void jump(Nanos by) { now_ += by; }

 private:
  struct Event {
    Nanos due;
    std::function<void()> run;
  };
  void advance(Nanos until, bool one) {
    while (true) {
      auto next = std::min_element(events_.begin(), events_.end(),
                                   [](const Event& a, const Event& b) { return a.due < b.due; });
      if (next == events_.end() || next->due > until) break;
      Event event = std::move(*next);
      events_.erase(next);
      now_ = std::max(now_, event.due);
      event.run();
      if (one) return;
    }
    now_ = std::max(now_, until);
  }
  Nanos now_ = Nanos::from_seconds(5);  // not zero: the start is an offset
  std::vector<Event> events_;
};

// Answers query n of a model after the time and with the error that `behave` gives.
class FakeClient final : public client::Client {
 public:
  struct Behaviour {
    Nanos takes;
    std::optional<Error> error;
  };
  explicit FakeClient(VirtualPacer& pacer, std::function<Behaviour(const client::Request&, int)> behave)
      : pacer_(pacer), behave_(std::move(behave)) {}

  std::string_view protocol() const override { return "fake"; }
  Status server_ready() override { return {}; }
  Result<client::ModelMetadata> model_metadata(std::string_view) override { return not_found("none"); }
  Result<std::shared_ptr<const inference::ModelConfig>> model_config(std::string_view) override {
    return not_found("none");
  }
  Result<client::Response> infer(const client::Request&) override { return not_found("none"); }
  void infer_async(const client::Request& request, client::Done done) override {
    sent_at.push_back(pacer_.now());
    Behaviour behaviour = behave_(request, count_++);
    ++open;
    most_open = std::max(most_open, open);
    pacer_.at(pacer_.now() + behaviour.takes, [this, done = std::move(done), error = behaviour.error] {
      --open;
      if (error)
        done(*error);
      else
        done(client::Response{});
    });
  }

  std::vector<Nanos> sent_at;
  int open = 0;
  int most_open = 0;

 private:
  VirtualPacer& pacer_;
  std::function<Behaviour(const client::Request&, int)> behave_;
  int count_ = 0;
};

Stream constant(std::string model, double per_s, Nanos slo = kNever) {
  client::Request request;
  request.model = model;
  return {std::move(model), brain::ConstantArrivals{per_s}, slo, {request}, 1};
}

TEST(OpenLoop, KeepsItsScheduleWhileTheServerStalls) {
  VirtualPacer pacer;
  Nanos start = pacer.now();
  // The server answers nothing before 1 s, then everything at once.
  FakeClient client(pacer, [&](const client::Request&, int) {
    return FakeClient::Behaviour{std::max(Nanos(0), start + Nanos::from_seconds(1) - pacer.now()), {}};
  });
  std::vector<Stream> streams = {constant("m", 100, Nanos::from_millis(500))};
  Options options;
  options.duration = Nanos::from_seconds(1);
  auto report = run_open_loop(client, streams, options, pacer);
  ASSERT_TRUE(report.ok());
  const StreamReport& m = report->streams.at(0);
  EXPECT_EQ(m.intended, 100u);
  EXPECT_EQ(m.served, 100u);
  EXPECT_EQ(m.max_send_lag, Nanos(0));
  for (size_t i = 0; i < client.sent_at.size(); ++i)
    EXPECT_EQ(client.sent_at[i] - start, Nanos::from_millis(10 * int64_t(i)));
  EXPECT_EQ(m.latencies.back(), Nanos::from_seconds(1)) << "the first query waited the whole second";
  EXPECT_EQ(m.within_slo, 50u);
  EXPECT_DOUBLE_EQ(m.attainment(), 0.5);
}

TEST(OpenLoop, ALateGeneratorIsPartOfTheLatency) {
  VirtualPacer pacer;
  bool stalled = false;
  FakeClient client(pacer, [&](const client::Request&, int n) {
    if (n == 0 && !std::exchange(stalled, true)) pacer.jump(Nanos::from_millis(35));
    return FakeClient::Behaviour{Nanos::from_millis(1), {}};
  });
  std::vector<Stream> streams = {constant("m", 100)};
  Options options;
  options.duration = Nanos::from_millis(50);
  auto report = run_open_loop(client, streams, options, pacer);
  ASSERT_TRUE(report.ok());
  const StreamReport& m = report->streams.at(0);
  EXPECT_EQ(m.served, 5u);
  EXPECT_EQ(m.max_send_lag, Nanos::from_millis(25)) << "the query meant for 10 ms went out at 35 ms";
  EXPECT_EQ(m.latencies.front(), Nanos::from_millis(1));
  EXPECT_EQ(m.percentile(1), Nanos::from_millis(36));
}

TEST(OpenLoop, CountsShedFailedAndUnsent) {
  VirtualPacer pacer;
  FakeClient client(pacer, [](const client::Request& request, int n) {
    FakeClient::Behaviour behaviour{Nanos::from_millis(1), {}};
    if (request.model == "a" && n % 4 == 0) behaviour.error = unavailable("shed");
    if (request.model == "b") behaviour.error = Error{Code::kDeadlineExceeded, "slow"};
    if (request.model == "c") behaviour.takes = Nanos::from_seconds(30);
    return behaviour;
  });
  std::vector<Stream> a = {constant("a", 100)};
  Options options;
  options.duration = Nanos::from_seconds(1);
  auto report = run_open_loop(client, a, options, pacer);
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->streams[0].shed, 25u);
  EXPECT_EQ(report->streams[0].served, 75u);
  EXPECT_DOUBLE_EQ(report->streams[0].attainment(), 0.75) << "a shed query was not served in time";
  EXPECT_EQ(report->streams[0].errors.at("shed"), 25u);
  std::vector<Stream> both = {constant("b", 10), constant("c", 100)};
  options.max_open = 20;
  report = run_open_loop(client, both, options, pacer);
  ASSERT_TRUE(report.ok());
  const StreamReport& b = report->streams[0];
  const StreamReport& c = report->streams[1];
  EXPECT_EQ(b.failed + b.unsent, 10u);
  EXPECT_EQ(b.sent, b.failed);
  EXPECT_EQ(c.intended, 100u);
  EXPECT_LE(c.sent, 20u);
  EXPECT_EQ(c.sent + c.unsent, 100u);
  EXPECT_LE(client.most_open, 20);
}

TEST(OpenLoop, MixesStreamsByTheirRates) {
  VirtualPacer pacer;
  FakeClient client(pacer,
                    [](const client::Request&, int) { return FakeClient::Behaviour{Nanos::from_micros(10), {}}; });
  Stream poisson = constant("p", 1);
  poisson.arrivals = brain::PoissonArrivals{200};
  Stream trace = constant("t", 1);
  trace.arrivals = brain::TraceArrivals{std::make_shared<std::vector<Nanos>>(
      std::vector<Nanos>{Nanos(0), Nanos::from_millis(5), Nanos::from_seconds(99)})};
  std::vector<Stream> streams = {poisson, constant("c", 50), trace};
  Options options;
  options.duration = Nanos::from_seconds(10);
  int shown = 0;
  options.on_progress = [&shown](Nanos) { ++shown; };
  auto report = run_open_loop(client, streams, options, pacer);
  ASSERT_TRUE(report.ok());
  EXPECT_NEAR(static_cast<double>(report->streams[0].intended), 2000, 200);
  EXPECT_EQ(report->streams[1].intended, 500u);
  EXPECT_EQ(report->streams[2].intended, 2u) << "what lies behind the end is not sent";
  EXPECT_GE(shown, 40);
  EXPECT_TRUE(std::is_sorted(client.sent_at.begin(), client.sent_at.end()));
  VirtualPacer again_pacer;
  FakeClient again(again_pacer,
                   [](const client::Request&, int) { return FakeClient::Behaviour{Nanos::from_micros(10), {}}; });
  ASSERT_TRUE(run_open_loop(again, streams, options, again_pacer).ok());
  EXPECT_EQ(again.sent_at, client.sent_at) << "the same seed, the same instants";
}

TEST(ClosedLoop, KeepsAFixedNumberOpen) {
  VirtualPacer pacer;
  FakeClient client(pacer,
                    [](const client::Request&, int) { return FakeClient::Behaviour{Nanos::from_millis(10), {}}; });
  std::vector<Stream> streams = {constant("m", 1)};
  Options options;
  options.duration = Nanos::from_seconds(1);
  auto report = run_closed_loop(client, streams, 3, options, pacer);
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(client.most_open, 3);
  EXPECT_EQ(report->streams[0].served, 300u);
  EXPECT_EQ(report->streams[0].percentile(0.99), Nanos::from_millis(10));
  EXPECT_NEAR(report->streams[0].served_per_s(), 300, 5);
}

TEST(Generator, RefusesWhatCannotRun) {
  VirtualPacer pacer;
  FakeClient client(pacer, [](const client::Request&, int) { return FakeClient::Behaviour{}; });
  EXPECT_FALSE(run_open_loop(client, {}, {}, pacer).ok());
  std::vector<Stream> empty = {constant("m", 10)};
  empty[0].requests.clear();
  EXPECT_NE(run_open_loop(client, empty, {}, pacer).error().message.find("'m'"), std::string::npos);
  std::vector<Stream> negative = {constant("m", -1)};
  EXPECT_FALSE(run_open_loop(client, negative, {}, pacer).ok());
  std::vector<Stream> good = {constant("m", 10)};
  EXPECT_NE(run_closed_loop(client, good, 0, {}, pacer).error().message.find("not 0"), std::string::npos);
}

TEST(Report, PercentilesAreNearestRank) {
  Recorder recorder("m", Nanos(50), 1);
  for (int64_t i = 100; i >= 1; --i) {
    recorder.intended();
    recorder.answered({}, Nanos(i), Nanos(i));
  }
  StreamReport report = recorder.finish();
  EXPECT_EQ(report.percentile(0.5), Nanos(50));
  EXPECT_EQ(report.percentile(0.99), Nanos(99));
  EXPECT_EQ(report.percentile(1), Nanos(100));
  EXPECT_EQ(report.percentile(0), Nanos(1));
  EXPECT_EQ(report.mean(), Nanos(50));
  EXPECT_DOUBLE_EQ(report.attainment(), 0.5);
  EXPECT_EQ(StreamReport{}.percentile(0.5), Nanos(0));
}

TEST(Report, ErrorsThatDifferInNumbersAreOneKind) {
  Recorder recorder("m", kNever, 1);
  for (int i = 0; i < 20; ++i)
    recorder.answered(unavailable("queue of " + std::to_string(i) + " is full"), Nanos(1), Nanos(1));
  recorder.answered(invalid_argument("wrong"), Nanos(1), Nanos(1));
  StreamReport report = recorder.finish();
  EXPECT_EQ(report.errors, (std::map<std::string, uint64_t>{{"queue of 0 is full", 20}, {"wrong", 1}}));
  EXPECT_EQ(report.shed, 20u);
  EXPECT_EQ(report.failed, 1u);
}

TEST(Payload, FollowsTheSignature) {
  client::ModelMetadata model{"m",
                              {"1"},
                              {{"x", DType::kF32, {-1, 3, -1}},
                               {"i", DType::kI64, {-1, 2}},
                               {"s", DType::kString, {-1, 1}},
                               {"h", DType::kF16, {-1}}},
                              {}};
  PayloadOptions options;
  options.batch = 4;
  options.shapes["x"] = {4, 3, 5};
  auto request = random_request(model, options);
  ASSERT_TRUE(request.ok()) << request.error().message;
  ASSERT_EQ(request->inputs.size(), 4u);
  EXPECT_EQ(request->inputs[0].tensor.shape(), (Shape{4, 3, 5}));
  EXPECT_EQ(request->inputs[1].tensor.shape(), (Shape{4, 2}));
  for (float v : request->inputs[0].tensor.view().as<float>()) EXPECT_TRUE(v >= 0 && v < 1);
  for (int64_t v : request->inputs[1].tensor.view().as<int64_t>()) EXPECT_TRUE(v >= 0 && v < 8);
  EXPECT_EQ(request->inputs[2].tensor.view().as<std::string_view>()[3].size(), 8u);
  auto again = random_request(model, options);
  EXPECT_EQ(std::memcmp(again->inputs[0].tensor.view().data, request->inputs[0].tensor.view().data, 240), 0)
      << "the same seed";
  options.seed = 2;
  EXPECT_NE(std::memcmp(random_request(model, options)->inputs[0].tensor.view().data,
                        request->inputs[0].tensor.view().data, 240),
            0);
}

TEST(Payload, RefusesShapesAndBatchesThatDoNotFit) {
  client::ModelMetadata model{"m", {"1"}, {{"x", DType::kF32, {2, 3}}}, {}};
  PayloadOptions options;
  EXPECT_TRUE(random_request(model, options).ok());
  options.batch = 2;
  EXPECT_NE(random_request(model, options).error().message.find("no batch extent"), std::string::npos);
  options.batch = 1;
  options.shapes["x"] = {2, 4};
  EXPECT_NE(random_request(model, options).error().message.find("[2,4]"), std::string::npos);
  options.shapes = {{"y", {1}}};
  EXPECT_NE(random_request(model, options).error().message.find("'y'"), std::string::npos);
  model.inputs[0].shape = {-1, 1 << 20, 1 << 20};
  EXPECT_NE(random_request(model, {}).error().message.find("elements"), std::string::npos);
}

}  // namespace
}  // namespace motet::load
