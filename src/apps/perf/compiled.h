// A model compiled as the command line says: what `motet inspect` and `motet perf` share. One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "apps/executors/executors.h"
#include "base/result.h"
#include "base/tensor/named.h"
#include "compute/engine/program.h"

namespace CLI {
class App;
}

namespace motet {

struct ModelFlags {
  std::string model;
  int64_t batch = 1;
  std::vector<std::string> shapes;
  std::vector<std::string> disabled_passes;
  std::string layout = "measured";
  std::string precision = "exact";
  bool lanes = false;
  ExecutorFlags executor;
};

// The flags write to `flags`, which must outlive the parse.
void add_model_flags(CLI::App& app, ModelFlags& flags);

struct Compiled {
  std::filesystem::path path;
  std::shared_ptr<engine::Model> model;
  engine::ProgramPtr program;
  std::vector<Shape> shapes;       // it was compiled for
  engine::CompileOptions options;  // and with
};

// Installs the executors, reads the model and compiles it for up to `max_width` cores. Without `calibrate` nothing is
// run to measure it. An Error names the flag's value that is wrong, or what the model cannot do.
Result<Compiled> compile_model(const ModelFlags& flags, int max_width, bool calibrate);
// The same for the shapes of `inputs`, one tensor per input of the model by name, which are put into its order.
Result<Compiled> compile_model_for(const ModelFlags& flags, const std::vector<NamedTensor>& arrays, int max_width,
                                   bool calibrate, std::vector<Tensor>& inputs);

}  // namespace motet
