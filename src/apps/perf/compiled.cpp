#include "apps/perf/compiled.h"

#include <CLI/CLI.hpp>
#include <map>

#include "apps/perf/session.h"

namespace motet {

void add_model_flags(CLI::App& app, ModelFlags& flags) {
  app.add_option("model", flags.model,
                 "a .onnx file, a file that OpenVINO reads (.xml, .pb, .tflite, .pdmodel, a saved model), or a model's "
                 "folder in a repository")
      ->required();
  app.add_option("--batch", flags.batch, "extent for the outermost open extent of the inputs")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--shape", flags.shapes, "NAME=1x3x224x224: the shape of one input (repeatable)");
  app.add_option("--disable-pass", flags.disabled_passes,
                 "a graph pass to leave out (repeatable); `motet inspect` lists them");
  app.add_option("--layout", flags.layout,
                 "layout of convolutions: measured (the fastest here), nChw16c, nChw8c, nhwc or any (oneDNN's choice)")
      ->capture_default_str();
  add_precision_flag(app, flags.precision);
  app.add_flag("--lanes", flags.lanes, "let branches of the graph run at once, each on cores of its own");
  add_executor_flags(app, flags.executor);
}

namespace {

// The model is read; `compiled.shapes` say for what.
Status compile(const ModelFlags& flags, int max_width, bool calibrate, Compiled& compiled) {
  MOTET_ASSIGN(auto layout, parse_layout(flags.layout));
  MOTET_ASSIGN(auto precision, parse_precision(flags.precision));
  compiled.options = {.max_width = max_width,
                      .disabled_passes = {flags.disabled_passes.begin(), flags.disabled_passes.end()},
                      .precision = precision,
                      .lanes = flags.lanes,
                      .calibrate = calibrate,
                      .layout = layout};
  MOTET_ASSIGN(compiled.program, compiled.model->compile(compiled.shapes, compiled.options));
  return {};
}

Status read(const ModelFlags& flags, Compiled& compiled) {
  MOTET_ASSIGN(compiled.path, find_model(flags.model));
  install_executors(flags.executor.openvino_dir);
  MOTET_ASSIGN(compiled.model, engine::Model::load(compiled.path, {.executor = flags.executor.executor}));
  return {};
}

}  // namespace

Result<Compiled> compile_model(const ModelFlags& flags, int max_width, bool calibrate) {
  Compiled compiled;
  MOTET_RETURN_IF_ERROR(read(flags, compiled));
  std::map<std::string, Shape> given;
  for (const std::string& text : flags.shapes) {
    MOTET_ASSIGN(auto shape, parse_shape(text));
    given.insert(std::move(shape));
  }
  MOTET_ASSIGN(compiled.shapes, bind_shapes(*compiled.model, flags.batch, given));
  MOTET_RETURN_IF_ERROR(compile(flags, max_width, calibrate, compiled));
  return compiled;
}

Result<Compiled> compile_model_for(const ModelFlags& flags, const std::vector<NamedTensor>& arrays, int max_width,
                                   bool calibrate, std::vector<Tensor>& inputs) {
  Compiled compiled;
  MOTET_RETURN_IF_ERROR(read(flags, compiled));
  MOTET_ASSIGN(inputs, order_inputs(*compiled.model, arrays));
  for (const Tensor& tensor : inputs) compiled.shapes.push_back(tensor.shape());
  MOTET_RETURN_IF_ERROR(compile(flags, max_width, calibrate, compiled));
  return compiled;
}

}  // namespace motet
