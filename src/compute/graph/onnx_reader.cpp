#include "compute/graph/onnx_reader.h"

#include "compute/graph/file_map.h"
#include "compute/graph/onnx_build.h"
#include "compute/graph/onnx_records.h"
#include "compute/graph/onnx_tensor.h"
#include "compute/graph/text.h"

namespace motet::graph {
namespace {

// The first with opsets 7 and up; the newest whose additions we know.
constexpr int64_t kMinIrVersion = 3;
constexpr int64_t kMaxIrVersion = 14;

Result<Model> read(std::span<const std::byte> bytes, const std::shared_ptr<const void>& owner,
                   std::filesystem::path directory) {
  if (bytes.empty()) return invalid_argument("the model file is empty; expected an ONNX ModelProto");
  MOTET_ASSIGN(ModelRecord record, parse_model(bytes));
  if (!record.graph) return invalid_argument("the model has no graph; is it an ONNX file?");
  if (record.ir_version < kMinIrVersion || record.ir_version > kMaxIrVersion) {
    return unsupported("IR version " + std::to_string(record.ir_version) + "; versions " +
                       std::to_string(kMinIrVersion) + " to " + std::to_string(kMaxIrVersion) + " are accepted");
  }
  auto standard = record.opsets.find("");
  if (standard != record.opsets.end() && (standard->second < kMinOpset || standard->second > kMaxOpset)) {
    return unsupported("opset " + std::to_string(standard->second) + " of domain 'ai.onnx'; opsets " +
                       std::to_string(kMinOpset) + " to " + std::to_string(kMaxOpset) + " are accepted");
  }
  TensorSource source(owner, std::move(directory));
  Model model;
  MOTET_ASSIGN(model.graph, build_graph(record, source));
  MOTET_RETURN_IF_ERROR(model.graph->verify());
  model.ir_version = record.ir_version;
  model.opsets = std::move(record.opsets);
  model.producer = record.producer;
  if (!record.producer_version.empty()) model.producer += " " + std::string(record.producer_version);
  model.metadata = std::move(record.metadata);
  model.file_bytes = bytes.size() + source.external_bytes();
  model.files = source.external_files();
  return model;
}

Error in_file(const std::filesystem::path& path, const Error& error) {
  return Error{error.code, "model file " + in_quotes(path.native()) + ": " + error.message};
}

}  // namespace

Result<Model> read_onnx(const std::filesystem::path& path) {
  MOTET_ASSIGN(std::shared_ptr<const FileMap> file, FileMap::open(path, true));
  std::filesystem::path directory = path.parent_path();
  auto model = read(file->bytes(), file, directory.empty() ? std::filesystem::path(".") : directory);
  if (!model.ok()) return in_file(path, model.error());
  model->files.insert(model->files.begin(), path);
  return model;
}

Result<Model> read_onnx_bytes(std::span<const std::byte> bytes, std::shared_ptr<const void> owner) {
  return read(bytes, owner, {});
}

Result<std::pair<std::string, Tensor>> read_tensor_proto(const std::filesystem::path& path) {
  MOTET_ASSIGN(std::shared_ptr<const FileMap> file, FileMap::open(path, true));
  auto record = parse_tensor(file->bytes());
  if (!record.ok()) return in_file(path, record.error());
  TensorSource source(file, {});
  auto tensor = source.load(*record);
  if (!tensor.ok()) return in_file(path, tensor.error());
  return std::pair(std::string(record->name), *std::move(tensor));
}

}  // namespace motet::graph
