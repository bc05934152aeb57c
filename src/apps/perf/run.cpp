#include <CLI/CLI.hpp>
#include <iostream>

#include "apps/executors/executors.h"
#include "apps/perf/perf.h"
#include "apps/perf/session.h"
#include "compute/engine/execution.h"
#include "compute/prep/npz.h"

namespace motet {
namespace {

struct Options {
  std::string model, inputs, outputs;
  std::string precision = "exact";
  int threads = 0;
  ExecutorFlags executor;
};

Status run_model(const Options& options) {
  MOTET_ASSIGN(auto path, find_model(options.model));
  MOTET_ASSIGN(auto arrays, prep::read_npz(options.inputs));
  MOTET_ASSIGN(auto session, Session::create(options.threads));
  install_executors(options.executor.openvino_dir);
  MOTET_ASSIGN(auto model, engine::Model::load(path, {.executor = options.executor.executor}));
  MOTET_ASSIGN(auto inputs, order_inputs(*model, arrays));
  std::vector<Shape> shapes;
  engine::QueryInputs query;
  for (const Tensor& tensor : inputs) {
    shapes.push_back(tensor.shape());
    query.tensors.push_back(tensor.view());
  }
  MOTET_ASSIGN(auto precision, parse_precision(options.precision));
  // One run is not worth measuring layouts for.
  MOTET_ASSIGN(auto program,
               model->compile(shapes, {.max_width = session->threads(), .precision = precision, .calibrate = false}));
  MOTET_ASSIGN(auto execution, engine::Execution::create({{program, 0}}, {query}, false));
  engine::RunState state = engine::RunState::kPaused;
  session->run([&](device::Team& team) { state = execution->run(team); });
  if (state == engine::RunState::kFailed) return execution->failure();
  std::vector<NamedTensor> results;
  for (size_t o = 0; o < program->outputs().size(); ++o)
    results.push_back({program->outputs()[o].name, execution->output(0, o)});
  return prep::write_npz(options.outputs, results);
}

}  // namespace

int run_main(int argc, char** argv) {
  Options options;
  CLI::App app("Runs a model once on tensors from a .npz file and writes its outputs to another.", "motet run");
  app.add_option("model", options.model,
                 "a .onnx file, a file that OpenVINO reads, or a model's folder in a repository")
      ->required();
  app.add_option("--inputs", options.inputs, "a .npz file with one array per input, by name")->required();
  app.add_option("--outputs", options.outputs, "the .npz file to write, one array per output, by name")->required();
  app.add_option("--threads", options.threads, "cores to use; 0 for all that the machine allows")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  add_precision_flag(app, options.precision);
  add_executor_flags(app, options.executor);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  Status status = run_model(options);
  if (status.ok()) return 0;
  std::cerr << "motet run: " << status.error().message << '\n';
  return 1;
}

}  // namespace motet
