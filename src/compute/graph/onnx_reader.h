// Reads an ONNX model file into a Graph without copying weights: the file is mapped and initializers are views on the
// map (raw_data, and external data files beside the model). Every length, offset and size is checked before use: a
// truncated or hostile file gets an Error that names the field and the byte offset. Opsets 7 to 23 are accepted;
// functions of the model (local functions) are inlined or refused by name. Any thread.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "base/result.h"
#include "compute/graph/graph.h"

namespace motet::graph {

struct Model {
  std::shared_ptr<Graph> graph;
  int64_t ir_version = 0;
  std::map<std::string, int64_t> opsets;  // domain -> version
  std::string producer;
  std::map<std::string, std::string> metadata;
  size_t file_bytes = 0;                     // the model file and its external data
  std::vector<std::filesystem::path> files;  // the same; empty for a model held in memory
};

// Maps and reads `path`. External data must lie in the model's own directory (no "..", no absolute path, no link out of
// it).
Result<Model> read_onnx(const std::filesystem::path& path);
// Reads a model held in memory; `owner` keeps `bytes` alive for as long as any weight view lives. External data is
// refused.
Result<Model> read_onnx_bytes(std::span<const std::byte> bytes, std::shared_ptr<const void> owner);
// One TensorProto (test data sets: input_0.pb), with its name.
Result<std::pair<std::string, Tensor>> read_tensor_proto(const std::filesystem::path& path);

}  // namespace motet::graph
