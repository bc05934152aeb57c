#include "apps/executors/executors.h"

#include <CLI/CLI.hpp>

#include "compute/foreign/openvino.h"
#include "compute/foreign/worker.h"

namespace motet {

void add_executor_flags(CLI::App& app, ExecutorFlags& flags) {
  app.add_option("--executor", flags.executor,
                 "what runs models: native, openvino, or auto (native, and openvino for what native refuses)")
      ->check(CLI::IsMember({"auto", "native", "openvino"}))
      ->capture_default_str();
  add_openvino_flag(app, flags.openvino_dir);
}

void add_openvino_flag(CLI::App& app, std::string& openvino_dir, const std::string& group) {
  app.add_option(
         "--openvino-dir", openvino_dir,
         "where OpenVINO lies; else $MOTET_OPENVINO_DIR, a Python environment (pip install openvino), /opt/intel")
      ->type_name("DIR")
      ->group(group);
}

void install_executors(const std::string& openvino_dir) {
  engine::install_foreign(
      foreign::make_openvino({.directory = openvino_dir, .worker = {"/proc/self/exe", foreign::kWorkerCommand}}));
}

}  // namespace motet
