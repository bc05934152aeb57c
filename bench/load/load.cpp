// motet-load: how long a model takes from the call that loads it to its first answer, and how much memory that takes.
// One run a process: `motet-load MODEL [NAME=SHAPE...] --threads N --cache-dir DIR` waits until its threads are up,
// notes its memory, loads, compiles batch 1, answers once, and prints one JSON object.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "apps/perf/session.h"
#include "base/clock.h"
#include "compute/engine/execution.h"
#include "compute/engine/program.h"

namespace motet {
namespace {

// Of this process, in bytes: "VmRSS", "VmHWM".
int64_t memory(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(field + ":")) return std::stoll(line.substr(field.size() + 1)) * 1024;
  return 0;
}

void forget_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }

struct Flags {
  std::string model;
  std::vector<std::string> shapes;
  std::string cache_dir;
  int threads = 2;
};

int fail(const Error& error) {
  std::fprintf(stderr, "motet-load: %s\n", error.message.c_str());
  return 1;
}

int run(const Flags& flags) {
  auto session = Session::create(flags.threads);
  if (!session.ok()) return fail(session.error());
  (*session)->run([](device::Team& team) {
    auto nothing = [](int, int) {};
    team.run(team.width(), nothing);
  });
  std::map<std::string, Shape> given;
  for (const std::string& text : flags.shapes) {
    auto shape = parse_shape(text);
    if (!shape.ok()) return fail(shape.error());
    given.insert(std::move(*shape));
  }
  SteadyClock clock;
  forget_peak();
  int64_t before = memory("VmRSS");
  Nanos begin = clock.now();
  auto model = engine::Model::load(flags.model, {.executor = "native", .cache_dir = flags.cache_dir});
  if (!model.ok()) return fail(model.error());
  Nanos read = clock.now();
  auto shapes = bind_shapes(**model, 1, given);
  if (!shapes.ok()) return fail(shapes.error());
  engine::CompileOptions options{.max_width = flags.threads, .calibrate = false};
  auto program = (*model)->compile(*shapes, options);
  if (!program.ok()) return fail(program.error());
  Nanos compiled = clock.now();
  auto inputs = draw_inputs(**program, {});
  if (!inputs.ok()) return fail(inputs.error());
  engine::QueryInputs query;
  for (const Tensor& input : *inputs) query.tensors.push_back(input.view());
  auto execution = engine::Execution::create({{*program, 1}}, {query}, (*model)->batchable());
  if (!execution.ok()) return fail(execution.error());
  engine::RunState state = engine::RunState::kPaused;
  (*session)->run([&](device::Team& team) { state = (*execution)->run(team); });
  Nanos answered = clock.now();
  int64_t peak = memory("VmHWM");
  if (!flags.cache_dir.empty()) (void)(*model)->persist();  // for the next process
  if (state != engine::RunState::kFinished) return fail(internal_error("the run did not finish"));
  std::printf(
      "{\"ms\": %.2f, \"read_ms\": %.2f, \"compile_ms\": %.2f, \"run_ms\": %.2f, \"before_mb\": %.1f, "
      "\"peak_mb\": %.1f, \"after_mb\": %.1f}\n",
      (answered - begin).millis(), (read - begin).millis(), (compiled - read).millis(), (answered - compiled).millis(),
      static_cast<double>(before) / 1e6, static_cast<double>(peak - before) / 1e6,
      static_cast<double>(memory("VmRSS") - before) / 1e6);
  return 0;
}

}  // namespace
}  // namespace motet

int main(int argc, char** argv) {
  motet::Flags flags;
  CLI::App app("from the load call to the first answer");
  app.add_option("model", flags.model, "a .onnx file")->required();
  app.add_option("--shape", flags.shapes, "NAME=1x128: the shape of one input (repeatable)");
  app.add_option("--cache-dir", flags.cache_dir, "where packed weights are kept; none if left out");
  app.add_option("--threads", flags.threads, "cores")->check(CLI::PositiveNumber)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  return motet::run(flags);
}
