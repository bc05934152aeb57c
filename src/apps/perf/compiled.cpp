#include "apps/perf/compiled.h"

#include <CLI/CLI.hpp>
#include <map>

#include "apps/perf/session.h"

namespace motet {

void add_model_flags(CLI::App& app, ModelFlags& flags) {
  app.add_option("model", flags.model, "a .onnx file, or a model's folder in a repository")->required();
  app.add_option("--batch", flags.batch, "extent for the outermost open extent of the inputs")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--shape", flags.shapes, "NAME=1x3x224x224: the shape of one input (repeatable)");
  app.add_option("--disable-pass", flags.disabled_passes,
                 "a graph pass to leave out (repeatable); `motet inspect` lists them");
  app.add_option("--layout", flags.layout,
                 "layout of convolutions: measured (the fastest here), nChw16c, nChw8c, nhwc or any (oneDNN's choice)")
      ->capture_default_str();
}

Result<Compiled> compile_model(const ModelFlags& flags, int max_width, bool calibrate) {
  Compiled compiled;
  MOTET_ASSIGN(compiled.path, find_model(flags.model));
  MOTET_ASSIGN(compiled.model, engine::Model::load(compiled.path));
  std::map<std::string, Shape> given;
  for (const std::string& text : flags.shapes) {
    MOTET_ASSIGN(auto shape, parse_shape(text));
    given.insert(std::move(shape));
  }
  MOTET_ASSIGN(auto shapes, bind_shapes(*compiled.model, flags.batch, given));
  MOTET_ASSIGN(auto layout, parse_layout(flags.layout));
  engine::CompileOptions options{.max_width = max_width,
                                 .disabled_passes = {flags.disabled_passes.begin(), flags.disabled_passes.end()},
                                 .calibrate = calibrate,
                                 .layout = layout};
  MOTET_ASSIGN(compiled.program, compiled.model->compile(shapes, options));
  return compiled;
}

}  // namespace motet
