// OpenVINO as a foreign executor: models of any format it reads (ONNX, its own IR, TensorFlow, TFLite, Paddle), through
// its C library, which is looked for and opened when the first model needs it. On one core a model runs in this process
// on the calling worker; on more, in a child process that is confined to the partition (child.h). Any thread.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "compute/engine/foreign_step.h"

namespace motet::foreign {

struct OpenVinoOptions {
  // Where OpenVINO lies: the Python wheel's folder, or an archive's. "": $MOTET_OPENVINO_DIR, else well-known places.
  std::filesystem::path directory;
  // How a child is started: a program that calls foreign_worker_main (worker.h), and its arguments before the CPUs.
  std::vector<std::string> worker;
};

// OpenVINO, opened when first asked for.
std::shared_ptr<engine::ForeignExecutor> make_openvino(OpenVinoOptions options);

}  // namespace motet::foreign
