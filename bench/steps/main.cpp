// motet-steps MODEL: measures the steps of one model and prints one JSON object. `make bench-steps` runs it over the
// zoo.
#include <CLI/CLI.hpp>
#include <iostream>
#include <optional>

#include "apps/perf/compiled.h"
#include "apps/perf/json.h"
#include "bench/steps/steps.h"

namespace motet {
namespace {

struct Options : ModelFlags {
  int width = 2;
  int losses = 0, asks = 0, schedules = 0;
};

Status measure_losses(const Compiled& sliced, int runs, JsonWriter& json) {
  const engine::CompileOptions whole{.max_width = 1, .quantum = kNever, .calibrate = false};
  MOTET_ASSIGN(engine::ProgramPtr uncut, sliced.model->compile(sliced.shapes, whole));
  MOTET_ASSIGN(auto list, steps::losses(sliced.program, uncut, runs));
  json.key("losses").begin_array();
  for (const steps::Loss& loss : list)
    json.begin_object()
        .field("op", loss.op)
        .field("whole", loss.whole)
        .field("sliced", loss.sliced)
        .field("slices", int64_t{loss.slices})
        .field("whole_us", loss.whole_us)
        .field("sliced_us", loss.sliced_us)
        .field("predicted_loss", loss.predicted)
        .end_object();
  json.end_array();
  return {};
}

// The op whose step was number `at`, counted from 1, of a program without branches.
std::string op_at(const engine::Program& program, int64_t at) {
  for (const engine::StepInfo& info : program.steps()) {
    at -= std::max<int64_t>(1, info.slices);
    if (at <= 0) return info.op + " " + info.implementation + " of " + info.node;
  }
  return "the end";
}

// Samples that took longer than a quantum and a fifth, and why, as far as it can be seen.
void write_late(const engine::Program& program, const std::vector<steps::Yield>& samples, JsonWriter& json) {
  constexpr double kLateUs = 1200;
  json.key("late").begin_array();
  for (const steps::Yield& sample : samples)
    if (sample.us > kLateUs && !sample.steal)
      json.begin_object()
          .field("us", sample.us)
          .field("delayed_us", sample.delayed_us)
          .field("faults", sample.faults)
          .field("at", op_at(program, sample.at))
          .end_object();
  json.end_array();
}

Status measure_yields(const Compiled& compiled, int width, int asks, JsonWriter& json) {
  MOTET_ASSIGN(auto samples, steps::yields(compiled.program, width, asks));
  json.begin_object().field("width", int64_t{width}).key("us").begin_array();
  for (const steps::Yield& sample : samples)
    if (!sample.steal) json.value(sample.us);
  json.end_array();
  write_late(*compiled.program, samples, json);
  int64_t stolen = 0;
  for (const steps::Yield& sample : samples) stolen += sample.steal;
  json.field("stolen_samples", stolen)
      .field("longest_step_us", compiled.program->longest_step().seconds() * 1e6)
      .key("long_steps")
      .begin_array();
  MOTET_ASSIGN(auto list, steps::long_steps(compiled.program, width, 5));
  for (const steps::LongStep& step : list)
    json.begin_object()
        .field("op", step.op)
        .field("us", step.us)
        .field("steps", int64_t{step.calls})
        .field("total_us", step.total_us)
        .field("predicted_us", step.predicted_us)
        .end_object();
  json.end_array().end_object();
  return {};
}

Status measure_schedules(const Compiled& compiled, int width, int runs, JsonWriter& json) {
  MOTET_ASSIGN(steps::Schedules result, steps::schedules(compiled.program, width, runs));
  json.key("schedules").begin_object();
  json.field("different", int64_t{result.different}).field("pauses", result.pauses).field("resizes", result.resizes);
  json.field("killed", result.killed).end_object();
  return {};
}

Status measure(const Options& options, JsonWriter& json) {
  // Programs of one loaded model: what the first measures of layouts holds for the others.
  MOTET_ASSIGN(const Compiled narrow, compile_model(options, 1, true));
  if (options.losses > 0) MOTET_RETURN_IF_ERROR(measure_losses(narrow, options.losses, json));
  std::optional<Compiled> wide;
  if (options.width > 1 && options.asks + options.schedules > 0) {
    MOTET_ASSIGN(wide, compile_model(options, options.width, true));
  }
  if (options.asks > 0) {
    json.key("yields").begin_array();
    MOTET_RETURN_IF_ERROR(measure_yields(narrow, 1, options.asks, json));
    if (wide) MOTET_RETURN_IF_ERROR(measure_yields(*wide, options.width, options.asks, json));
    json.end_array();
  }
  if (options.schedules == 0) return {};
  return measure_schedules(wide ? *wide : narrow, options.width, options.schedules, json);
}

int run(int argc, char** argv) {
  Options options;
  CLI::App app("Measures the steps of one ONNX model: what slicing loses, how soon it yields, whether bits hold.",
               "motet-steps");
  add_model_flags(app, options);
  app.add_option("--width", options.width, "also as wide as this")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--losses", options.losses, "time every kind of sliced op so many times, sliced and whole in turn");
  app.add_option("--asks", options.asks, "ask so many times for a yield");
  app.add_option("--schedules", options.schedules, "run so many drawn schedules of pauses, widths and leaders");
  CLI11_PARSE(app, argc, argv);
  JsonWriter json;
  json.begin_object().field("model", options.model);
  const Status status = measure(options, json);
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
