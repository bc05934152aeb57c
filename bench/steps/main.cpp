// motet-steps MODEL: measures the steps of one model and prints one JSON object. `make bench-steps` runs it over the
// zoo.
#include <CLI/CLI.hpp>
#include <iostream>

#include "apps/perf/compiled.h"
#include "apps/perf/json.h"
#include "bench/steps/steps.h"

namespace motet {
namespace {

struct Options : ModelFlags {
  int width = 2;
  int losses = 0, asks = 0, schedules = 0;
};

Status measure_losses(const Options& options, JsonWriter& json) {
  MOTET_ASSIGN(Compiled sliced, compile_model(options, 1, true));
  engine::CompileOptions whole{.max_width = 1, .quantum = kNever, .calibrate = false};
  std::vector<Shape> shapes;
  for (const engine::Port& port : sliced.program->inputs()) shapes.push_back(port.shape);
  MOTET_ASSIGN(engine::ProgramPtr uncut, sliced.model->compile(shapes, whole));
  MOTET_ASSIGN(auto list, steps::losses(sliced.program, uncut, options.losses));
  json.key("losses").begin_array();
  for (const steps::Loss& loss : list)
    json.begin_object()
        .field("op", loss.op)
        .field("slices", int64_t{loss.slices})
        .field("whole_us", loss.whole_us)
        .field("sliced_us", loss.sliced_us)
        .end_object();
  json.end_array();
  return {};
}

Status measure_yields(const Options& options, JsonWriter& json) {
  MOTET_ASSIGN(Compiled compiled, compile_model(options, options.width, true));
  MOTET_ASSIGN(auto samples, steps::yields(compiled.program, options.width, options.asks));
  json.key("yields_us").begin_array();
  for (const steps::Yield& sample : samples)
    if (!sample.steal) json.value(sample.us);
  json.end_array();
  int64_t stolen = 0;
  for (const steps::Yield& sample : samples) stolen += sample.steal;
  json.field("stolen_samples", stolen).field("longest_step_us", compiled.program->longest_step().seconds() * 1e6);
  return {};
}

Status measure_schedules(const Options& options, JsonWriter& json) {
  MOTET_ASSIGN(Compiled compiled, compile_model(options, options.width, true));
  MOTET_ASSIGN(steps::Schedules result, steps::schedules(compiled.program, options.width, options.schedules));
  json.key("schedules").begin_object();
  json.field("different", int64_t{result.different}).field("pauses", result.pauses).field("resizes", result.resizes);
  json.field("killed", result.killed).end_object();
  return {};
}

int run(int argc, char** argv) {
  Options options;
  CLI::App app("Measures the steps of one ONNX model: what slicing loses, how soon it yields, whether bits hold.",
               "motet-steps");
  add_model_flags(app, options);
  app.add_option("--width", options.width, "cores")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--losses", options.losses, "time every kind of sliced op so many times, sliced and whole in turn");
  app.add_option("--asks", options.asks, "ask so many times for a yield");
  app.add_option("--schedules", options.schedules, "run so many drawn schedules of pauses, widths and leaders");
  CLI11_PARSE(app, argc, argv);
  JsonWriter json;
  json.begin_object().field("model", options.model);
  Status status;
  if (options.losses > 0) status = measure_losses(options, json);
  if (status.ok() && options.asks > 0) status = measure_yields(options, json);
  if (status.ok() && options.schedules > 0) status = measure_schedules(options, json);
  json.end_object();
  if (!status.ok()) {
    std::cerr << "motet-steps: " << status.error().message << '\n';
    return 1;
  }
  std::cout << json.text() << '\n';
  return 0;
}

}  // namespace
}  // namespace motet

int main(int argc, char** argv) { return motet::run(argc, argv); }
