// The foreign executors of the motet command: installed here, before the first model is loaded, and found by the engine
// from then on. One thread.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace motet {

struct ExecutorFlags {
  std::string executor = "auto";
  std::string openvino_dir;
};

// --executor and --openvino-dir. What the flags write to must outlive the parse.
void add_executor_flags(CLI::App& app, ExecutorFlags& flags);
void add_openvino_flag(CLI::App& app, std::string& openvino_dir, const std::string& group = "Options");

// Installs OpenVINO, to be looked for in `openvino_dir` ("": well-known places) once a model needs it.
void install_executors(const std::string& openvino_dir);

}  // namespace motet
