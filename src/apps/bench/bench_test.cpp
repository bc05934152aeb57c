#include <gtest/gtest.h>

#include "apps/bench/fill.h"
#include "apps/bench/print.h"
#include "apps/bench/server_side.h"
#include "apps/bench/traffic.h"
#include "wire/proto/model_config.pb.h"

namespace motet::bench {
namespace {

// Knows one model with a batch extent, an SLO of 40 ms, and one open extent besides.
class FakeClient final : public client::Client {
 public:
  std::string_view protocol() const override { return "fake"; }
  Status server_ready() override { return {}; }
  Result<client::ModelMetadata> model_metadata(std::string_view model) override {
    if (model != "m") return not_found("no such model");
    return client::ModelMetadata{"m", {"1"}, {{"x", DType::kF32, {-1, 4}}, {"w", DType::kI32, {-1, -1}}}, {}};
  }
  Result<std::shared_ptr<const inference::ModelConfig>> model_config(std::string_view) override {
    if (!has_config) return not_found("no config");
    auto config = std::make_shared<inference::ModelConfig>();
    config->set_max_batch_size(8);
    (*config->mutable_parameters())["slo_ms"].set_string_value("40");
    return std::shared_ptr<const inference::ModelConfig>(config);
  }
  Result<client::Response> infer(const client::Request&) override { return client::Response{}; }
  void infer_async(const client::Request&, client::Done done) override { done(client::Response{}); }
  bool has_config = true;
};

TEST(Flags, ModelRateAndSlo) {
  auto all = parse_model_flag("m:2.5:40");
  ASSERT_TRUE(all.ok());
  EXPECT_EQ(all->model, "m");
  EXPECT_EQ(all->per_s, 2.5);
  EXPECT_EQ(all->slo_ms, 40);
  EXPECT_FALSE(parse_model_flag("m")->per_s.has_value());
  auto no_rate = parse_model_flag("m::9");
  EXPECT_FALSE(no_rate->per_s.has_value());
  EXPECT_EQ(no_rate->slo_ms, 9);
  for (const char* bad : {"", ":5", "m:x", "m:0", "m:-1", "m:5:", "m:5:y", "m:1e999", "m:5:6:7", "m:nan"})
    EXPECT_FALSE(parse_model_flag(bad).ok()) << bad;
  EXPECT_NE(parse_model_flag("m:fast").error().message.find("'fast'"), std::string::npos);
}

TEST(Flags, ArrivalsAndShapes) {
  EXPECT_EQ(parse_arrival_flag("constant")->kind, ArrivalKind::kConstant);
  EXPECT_EQ(parse_arrival_flag("trace:a/b.csv")->trace_file, "a/b.csv");
  EXPECT_NE(parse_arrival_flag("burst").error().message.find("poisson, constant or trace:FILE"), std::string::npos);
  EXPECT_FALSE(parse_arrival_flag("trace:").ok());
  std::map<std::string, Shape> shapes;
  ASSERT_TRUE(parse_shape_flag("x=1x3x224", shapes).ok());
  EXPECT_EQ(shapes["x"], (Shape{1, 3, 224}));
  for (const char* bad : {"x", "=1", "x=", "x=1x", "x=ax2", "x=1y2", "x=-1"})
    EXPECT_FALSE(parse_shape_flag(bad, shapes).ok()) << bad;
}

TEST(Traffic, MakesStreamsFromWhatTheServerSays) {
  FakeClient client;
  TrafficOptions options;
  options.models = {*parse_model_flag("m:10"), *parse_model_flag("m:5:7")};
  options.batch = 3;
  options.shapes["w"] = {3, 6};
  auto streams = make_streams(client, options);
  ASSERT_TRUE(streams.ok()) << streams.error().message;
  EXPECT_EQ((*streams)[0].slo, Nanos::from_millis(40)) << "the config's";
  EXPECT_EQ((*streams)[1].slo, Nanos::from_millis(7));
  EXPECT_EQ((*streams)[0].rows_per_query, 3);
  EXPECT_EQ((*streams)[0].requests.size(), 4u);
  EXPECT_EQ((*streams)[0].requests[0].inputs[0].tensor.shape(), (Shape{3, 4}));
  EXPECT_EQ((*streams)[0].requests[0].inputs[1].tensor.shape(), (Shape{3, 6}));
  client.has_config = false;
  streams = make_streams(client, options);
  ASSERT_TRUE(streams.ok()) << "a server without configs will do";
  EXPECT_EQ((*streams)[0].slo, kNever);
}

TEST(Traffic, NamesWhatCannotBe) {
  FakeClient client;
  auto error = [&client](TrafficOptions options) {
    auto streams = make_streams(client, options);
    return streams.ok() ? "(accepted)" : streams.error().message;
  };
  TrafficOptions options;
  options.models = {*parse_model_flag("m")};
  EXPECT_NE(error(options).find("m:RATE"), std::string::npos);
  options.models = {*parse_model_flag("q:1")};
  EXPECT_NE(error(options).find("model 'q': no such model"), std::string::npos);
  options.models = {*parse_model_flag("m:1")};
  options.closed_loop = true;
  EXPECT_NE(error(options).find("--concurrency"), std::string::npos);
  options.closed_loop = false;
  options.shapes["nope"] = {1};
  EXPECT_NE(error(options).find("--shape nope"), std::string::npos);
  options.shapes.clear();
  options.inputs = {"other=x.npz"};
  EXPECT_NE(error(options).find("'other' is not under load"), std::string::npos);
  options.inputs = {"no_such_file.npz"};
  EXPECT_NE(error(options).find("no_such_file.npz"), std::string::npos);
  options.inputs.clear();
  options.arrivals = {ArrivalKind::kTrace, "no_such_trace"};
  EXPECT_NE(error(options).find("no_such_trace"), std::string::npos);
}

load::Report sample_report() {
  load::Recorder recorder("m", Nanos::from_millis(10), 1);
  for (int64_t i = 1; i <= 4; ++i) {
    recorder.intended();
    recorder.sent(Nanos(0));
    recorder.answered(i == 4 ? Status(unavailable("shed \"now\"")) : Status(), Nanos::from_millis(4 * i),
                      Nanos::from_seconds(1));
  }
  load::Report report;
  report.duration = Nanos::from_seconds(2);
  report.streams.push_back(recorder.finish());
  return report;
}

TEST(Print, TableAndJsonSayTheSame) {
  Conditions conditions{"http://h:1", "http", "poisson", "A CPU", 7, 1};
  std::string table = report_table(sample_report(), conditions);
  for (const char* part :
       {"http://h:1", "A CPU", "seed 7", "50.00 %", "8.00", "12.00", "m: 1 refused or failed, such as: shed \"now\""})
    EXPECT_NE(table.find(part), std::string::npos) << part << "\n" << table;
  std::string json = report_json(sample_report(), conditions);
  for (const char* part :
       {R"("model":"m")", R"("slo_ms":10)", R"("attainment":0.5)", R"("served":3)", R"("shed":1)", R"("p50_ms":8)",
        R"("p99_ms":12)", R"("intended_per_s":2)", R"("errors":{"shed \"now\"":1})"}) {
    EXPECT_NE(json.find(part), std::string::npos) << part << "\n" << json;
  }
}

TEST(Burst, IsAShareAndALength) {
  auto burst = parse_burst_flag("1.5:3");
  ASSERT_TRUE(burst.ok());
  EXPECT_EQ(burst->share, 1.5);
  EXPECT_EQ(burst->length, Nanos::from_seconds(3));
  for (const char* bad : {"", "1.5", "x:3", "1.5:", "0:3", "1:-1", "1:3s"}) {
    auto refused = parse_burst_flag(bad);
    ASSERT_FALSE(refused.ok()) << bad;
    EXPECT_NE(refused.error().message.find("SHARE:SECONDS"), std::string::npos);
  }
}

TEST(ServerSide, CountsWhatCameBetweenTwoPages) {
  const char* page =
      "# HELP nv_inference_count rows\n"
      "nv_inference_count{model=\"m\",version=\"1\"} 10\n"
      "nv_inference_exec_count{model=\"m\",version=\"1\"} 4\n"
      "motet_core_time_us_total{model=\"m\",version=\"1\"} 2000000\n"
      "motet_core_busy_seconds{core=\"0\"} 1.5\n"
      "motet_core_busy_seconds{core=\"1\"} 0.5\n"
      "not a line\n";
  ServerCounters before = parse_metrics(page);
  ServerCounters after = before;
  after.models["m"].rows = 40;
  after.models["m"].executions = 14;
  after.busy_s = 5;
  ServerCounters between = difference(before, after);
  EXPECT_EQ(between.models["m"].rows, 30);
  EXPECT_EQ(between.models["m"].executions, 10);
  EXPECT_EQ(between.models["m"].core_s, 0);
  EXPECT_EQ(between.busy_s, 3);
  EXPECT_EQ(between.cores, 2);
}

}  // namespace
}  // namespace motet::bench
