#include "apps/perf/perf.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <numeric>

#include "apps/perf/compiled.h"
#include "apps/perf/json.h"
#include "apps/perf/session.h"
#include "apps/term/progress.h"
#include "apps/term/table.h"
#include "base/clock.h"
#include "compute/engine/execution.h"
#include "compute/ops/onednn/onednn.h"
#include "compute/prep/npz.h"

namespace motet {
namespace {

struct Options : ModelFlags {
  int threads = 0;
  double seconds = 3;
  std::vector<std::string> values;
  std::string inputs;
  bool json = false;
  bool profile = false;
  bool control = false;
};

// A program and the inputs to time it on.
struct Subject : Compiled {
  std::vector<Tensor> inputs;
  double flops = 0;

  engine::QueryInputs query() const {
    engine::QueryInputs query;
    for (const Tensor& tensor : inputs) query.tensors.push_back(tensor.view());
    return query;
  }
};

Result<Subject> prepare(const Options& options, int threads) {
  Subject subject;
  if (options.inputs.empty()) {
    MOTET_ASSIGN(static_cast<Compiled&>(subject), compile_model(options, threads, true));
    std::map<std::string, double> values;
    for (const std::string& text : options.values) {
      MOTET_ASSIGN(auto value, parse_value(text));
      values.insert(std::move(value));
    }
    MOTET_ASSIGN(subject.inputs, draw_inputs(*subject.program, values));
  } else {
    MOTET_ASSIGN(auto arrays, prep::read_npz(options.inputs));
    MOTET_ASSIGN(static_cast<Compiled&>(subject), compile_model_for(options, arrays, threads, true, subject.inputs));
  }
  for (const auto& step : subject.program->steps()) subject.flops += step.flops;
  return subject;
}

// One query from its inputs to its outputs.
Status answer(const Subject& subject, device::Team& team) {
  MOTET_ASSIGN(auto execution, engine::Execution::create({{subject.program, 0}}, {subject.query()}, false));
  if (execution->run(team) == engine::RunState::kFailed) return execution->failure();
  for (size_t o = 0; o < subject.program->outputs().size(); ++o) (void)execution->output(0, o);
  return {};
}

// Latencies in ms for as long as `time`, at least one.
Result<std::vector<double>> time_for(Session& session, const Subject& subject, Nanos time, term::Progress* progress) {
  std::vector<double> latencies;
  Status status;
  session.run([&](device::Team& team) {
    SteadyClock clock;
    Nanos begin = clock.now();
    Nanos last = begin;
    do {
      status = answer(subject, team);
      Nanos now = clock.now();
      latencies.push_back((now - last).millis());
      if (progress != nullptr) progress->set((now - begin).value / 1'000'000);
      last = progress != nullptr ? clock.now() : now;
    } while (status.ok() && last - begin < time);
  });
  if (!status.ok()) return status.error();
  return latencies;
}

double quantile(std::vector<double> sorted, double q) {
  std::sort(sorted.begin(), sorted.end());
  auto at = static_cast<size_t>(q * static_cast<double>(sorted.size() - 1) + 0.5);
  return sorted[at];
}

// Times of each op in microseconds, all its slices together, over several executions, run step by step.
struct Profile {
  std::vector<double> medians, minima;
};
Result<Profile> profile_steps(Session& session, const Subject& subject, Nanos time) {
  size_t count = subject.program->steps().size();
  std::vector<std::vector<double>> samples(count);
  Status status;
  session.run([&](device::Team& team) {
    SteadyClock clock;
    Nanos begin = clock.now();
    do {
      auto execution = engine::Execution::create({{subject.program, 0}}, {subject.query()}, false);
      if (!execution.ok()) {
        status = execution.error();
        return;
      }
      for (size_t i = 0; i < count; ++i) {
        const int64_t end = (*execution)->steps_done() + subject.program->steps()[i].slices;
        Nanos before = clock.now();
        while ((*execution)->steps_done() < end &&
               (*execution)->step(team, device::kGoOn) == engine::RunState::kPaused) {
        }
        samples[i].push_back((clock.now() - before).seconds() * 1e6);
      }
    } while (clock.now() - begin < time);
  });
  if (!status.ok()) return status.error();
  Profile profile;
  for (const auto& of_step : samples) {
    profile.medians.push_back(quantile(of_step, 0.5));
    profile.minima.push_back(quantile(of_step, 0));
  }
  return profile;
}

std::string number(double x, int digits) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.*f", digits, x);
  return buffer;
}

void print_profile(const Subject& subject, const Profile& profile) {
  const std::vector<double>& micros = profile.medians;
  struct Sum {
    int steps = 0;
    double micros = 0, flops = 0, bytes = 0;
  };
  double total = std::accumulate(micros.begin(), micros.end(), 0.0);
  std::map<std::string, Sum> by_op;
  term::Table steps({"step", "op", "implementation", "us", "share %", "GFLOP/s", "GB/s", "node"});
  for (size_t i = 0; i < micros.size(); ++i) {
    const engine::StepInfo& info = subject.program->steps()[i];
    double us = std::max(micros[i], 1e-3);
    steps.row({std::to_string(i), info.op, info.implementation, number(us, 1), number(100 * us / total, 1),
               number(info.flops / us * 1e-3, 1), number(static_cast<double>(info.bytes_moved) / us * 1e-3, 1),
               info.node});
    Sum& sum = by_op[info.op + "  " + info.implementation];
    ++sum.steps;
    sum.micros += us;
    sum.flops += info.flops;
  }
  term::Table ops({"op and implementation", "steps", "us", "share %", "GFLOP/s"});
  std::vector<std::pair<std::string, Sum>> order(by_op.begin(), by_op.end());
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.second.micros > b.second.micros; });
  for (const auto& [name, sum] : order)
    ops.row({name, std::to_string(sum.steps), number(sum.micros, 1), number(100 * sum.micros / total, 1),
             number(sum.flops / sum.micros * 1e-3, 1)});
  double least = std::accumulate(profile.minima.begin(), profile.minima.end(), 0.0);
  std::cout << steps.to_string() << '\n'
            << ops.to_string() << "\nsum of the steps' medians " << number(total * 1e-3, 3)
            << " ms, of their shortest times " << number(least * 1e-3, 3) << " ms\n";
}

void print_result(const Options& options, const Session& session, const Subject& subject,
                  const std::vector<double>& ms) {
  double median = quantile(ms, 0.5);
  double p99 = quantile(ms, 0.99);
  double mean = std::accumulate(ms.begin(), ms.end(), 0.0) / static_cast<double>(ms.size());
  if (options.json) {
    JsonWriter json;
    json.begin_object()
        .field("model", options.model)
        .field("batch", options.batch)
        .field("threads", int64_t{session.threads()})
        .field("runs", static_cast<int64_t>(ms.size()))
        .field("median_ms", median)
        .field("p99_ms", p99)
        .field("mean_ms", mean)
        .field("min_ms", quantile(ms, 0))
        .field("gflop", subject.flops * 1e-9)
        .field("gflop_per_s", subject.flops / median * 1e-6)
        .field("arena_bytes", subject.program->arena_bytes().value)
        .field("layout", subject.program->layout())
        .field("cpu", cpu_model())
        .field("isa", ops::onednn::isa_name())
        .end_object();
    std::cout << json.text() << '\n';
    return;
  }
  std::cout << options.model << ", batch " << options.batch << ", " << session.threads() << " threads, " << cpu_model()
            << " (" << ops::onednn::isa_name() << "), layout " << subject.program->layout() << '\n';
  term::Table table({"runs", "median ms", "p99 ms", "mean ms", "min ms", "GFLOP", "GFLOP/s"});
  table.row({std::to_string(ms.size()), number(median, 3), number(p99, 3), number(mean, 3), number(quantile(ms, 0), 3),
             number(subject.flops * 1e-9, 3), number(subject.flops / median * 1e-6, 1)});
  std::cout << table.to_string();
}

// Times on demand: for each line `r MILLISECONDS` one line with a JSON array of latencies in ms, until `q` or the end.
Status answer_lines(Session& session, const Subject& subject) {
  std::cout << "ready" << std::endl;
  std::string line;
  while (std::getline(std::cin, line) && line != "q") {
    char* end = nullptr;
    double ms = line.starts_with("r ") ? std::strtod(line.c_str() + 2, &end) : 0;
    if (ms <= 0 || (end != nullptr && *end != 0))
      return invalid_argument("line '" + line + "'; 'r MILLISECONDS' and 'q' are accepted");
    MOTET_ASSIGN(auto latencies, time_for(session, subject, Nanos(static_cast<int64_t>(ms * 1e6)), nullptr));
    JsonWriter json;
    json.begin_array();
    for (double latency : latencies) json.value(latency);
    json.end_array();
    std::cout << json.text() << std::endl;
  }
  return {};
}

Status measure(const Options& options) {
  MOTET_ASSIGN(auto session, Session::create(options.threads));
  MOTET_ASSIGN(Subject subject, prepare(options, session->threads()));
  auto time = Nanos(static_cast<int64_t>(options.seconds * 1e9));
  MOTET_ASSIGN(auto warm_up, time_for(*session, subject, Nanos(time.value / 10), nullptr));
  (void)warm_up;
  if (options.control) return answer_lines(*session, subject);
  std::vector<double> latencies;
  {
    term::Progress progress("timing", time.value / 1'000'000);
    MOTET_ASSIGN(latencies, time_for(*session, subject, time, &progress));
  }
  print_result(options, *session, subject, latencies);
  if (!options.profile) return {};
  for (const auto& step : subject.program->steps())
    if (step.op == "If")
      return unsupported("--profile of a model with branches; `motet inspect` shows its steps' times at one thread");
  MOTET_ASSIGN(auto profile, profile_steps(*session, subject, time));
  print_profile(subject, profile);
  return {};
}

}  // namespace

int perf_main(int argc, char** argv) {
  Options options;
  CLI::App app("Times a model in this process: whole queries, inputs to outputs, on random inputs.", "motet perf");
  add_model_flags(app, options);
  app.add_option("--threads", options.threads, "cores to use; 0 for all that the machine allows")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--seconds", options.seconds, "how long to time, after a tenth of it to warm up")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--value", options.values,
                 "NAME=16000: fill an input with a number (repeatable); others are random or 0");
  app.add_option(
      "--inputs", options.inputs,
      "a .npz file with one array per input, by name: what to time, instead of --batch, --shape and --value");
  app.add_flag("--json", options.json, "one JSON object on standard output");
  app.add_flag("--profile", options.profile, "also time every step, and sum by op");
  app.add_flag(
      "--control", options.control,
      "time on demand: for each line 'r MILLISECONDS' on standard input a JSON array of latencies in ms; 'q' ends");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  Status status = measure(options);
  if (status.ok()) return 0;
  std::cerr << "motet perf: " << status.error().message << '\n';
  return 1;
}

}  // namespace motet
