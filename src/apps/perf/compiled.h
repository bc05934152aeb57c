// A model compiled as the command line says: what `motet inspect` and `motet perf` share. One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
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
};

// The flags write to `flags`, which must outlive the parse.
void add_model_flags(CLI::App& app, ModelFlags& flags);

struct Compiled {
  std::filesystem::path path;
  std::shared_ptr<engine::Model> model;
  engine::ProgramPtr program;
};

// Reads the model and compiles it for up to `max_width` cores. Without `calibrate` nothing is run to measure it. An
// Error names the flag's value that is wrong, or what the model cannot do.
Result<Compiled> compile_model(const ModelFlags& flags, int max_width, bool calibrate);

}  // namespace motet
