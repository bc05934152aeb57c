// The model repository on disk, in Triton's layout:
//   <root>/<model>/[config.pbtxt] [labels] <version>/model.onnx, or one of the other names of default_file_name()
// A version is a directory named by a number without a leading zero; other directories are ignored. Nothing is cached:
// each call reads the disk. Any thread may call, from one that may block.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "wire/repo/complete.h"
#include "wire/repo/settings.h"

namespace motet::repo {

struct ModelDirectory {
  std::string name;
  std::filesystem::path path;
};

struct RefusedModel {
  std::string name;
  Error error;
};

struct Listing {
  std::vector<ModelDirectory> models;  // by name
  std::vector<RefusedModel> refused;   // by name: in two repositories
};

class Repository {
 public:
  // An Error names a root that is not a readable directory, or is given twice.
  static Result<Repository> open(const std::vector<std::string>& roots);

  Result<Listing> list() const;
  // kNotFound, or kAlreadyExists for a name in two roots. A name that could leave the root is not found.
  Result<ModelDirectory> find(std::string_view name) const;
  const std::vector<std::filesystem::path>& roots() const { return roots_; }

 private:
  std::vector<std::filesystem::path> roots_;
};

// The name of the model's file in a version's directory, where the config gives none: the first that is there of
// model.onnx, model.xml (OpenVINO), model.savedmodel, model.graphdef, model.pb (TensorFlow), model.tflite and
// model.pdmodel (Paddle); "model.onnx" if none is.
std::string default_file_name(const std::filesystem::path& version_directory);

struct VersionSource {
  int64_t version = 0;
  std::filesystem::path file;
};

// A model as it lies on disk, before its file is read.
struct ModelSource {
  ModelDirectory directory;
  std::shared_ptr<const inference::ModelConfig> config;  // as written; empty when there is none
  bool config_given = false;
  std::vector<VersionSource> versions;  // those that version_policy wants, ascending; at least one
  std::vector<std::string> hints;       // config fields taken as hints: log each
};

// Reads config.pbtxt (or `config_json` in its place, when not ""), holds it against the field lists and picks the
// versions.
Result<ModelSource> read_model(const ModelDirectory& directory, std::string_view config_json = {});

// Labels of outputs, by output name.
using Labels = std::map<std::string, std::vector<std::string>, std::less<>>;

// What is served: the config completed from the model, what it says to the scheduler, and the labels it names.
struct ServedConfig {
  std::shared_ptr<const inference::ModelConfig> config;
  ServingSettings settings;
  Labels labels;
};

Result<ServedConfig> finish_config(const ModelSource& source, const Signature& signature);

// One label a line. `file` must lie inside `directory`, also once links are followed.
Result<std::vector<std::string>> read_labels(const std::filesystem::path& directory, const std::string& file);

}  // namespace motet::repo
