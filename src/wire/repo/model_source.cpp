// A model's directory read into a ModelSource, and a ModelSource finished into what is served.
#include <algorithm>
#include <charconv>

#include "wire/proto/model_config.pb.h"
#include "wire/repo/config_text.h"
#include "wire/repo/field_lists.h"
#include "wire/repo/files.h"
#include "wire/repo/repository.h"

namespace motet::repo {
namespace {

namespace fs = std::filesystem;
using inference::ModelConfig;
using inference::ModelVersionPolicy;

constexpr int64_t kMaxConfigBytes = int64_t{16} << 20;
constexpr int64_t kMaxLabelBytes = int64_t{64} << 20;

// 0 for a name that is not a version.
int64_t version_number(const std::string& name) {
  int64_t number = 0;
  if (name.empty() || name.front() < '1' || name.front() > '9') return 0;
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  return error == std::errc() && end == name.data() + name.size() ? number : 0;
}

std::string list_text(const std::vector<int64_t>& versions) {
  std::string out;
  for (int64_t v : versions) out += (out.empty() ? "" : ", ") + std::to_string(v);
  return out.empty() ? "none" : out;
}

Result<std::vector<int64_t>> wanted_versions(const ModelVersionPolicy& policy, std::vector<int64_t> present,
                                             const std::string& model) {
  if (present.empty())
    return not_found("model '" + model +
                     "' has no version: its directory holds no directory named by a number without a leading zero");
  switch (policy.policy_choice_case()) {
    case ModelVersionPolicy::kAll: return present;
    case ModelVersionPolicy::kSpecific: {
      std::vector<int64_t> wanted(policy.specific().versions().begin(), policy.specific().versions().end());
      std::sort(wanted.begin(), wanted.end());
      wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
      if (wanted.empty())
        return invalid_argument("config field version_policy.specific.versions of model '" + model +
                                "' is empty; name at least one");
      for (int64_t v : wanted) {
        if (!std::binary_search(present.begin(), present.end(), v))
          return not_found("config field version_policy.specific.versions has " + std::to_string(v) + "; model '" +
                           model + "' has the versions " + list_text(present));
      }
      return wanted;
    }
    case ModelVersionPolicy::kLatest:
    case ModelVersionPolicy::POLICY_CHOICE_NOT_SET: break;
  }
  // proto3 does not tell an absent num_versions from 0; both mean the newest.
  const size_t count = std::min<size_t>(std::max<uint32_t>(policy.latest().num_versions(), 1), present.size());
  present.erase(present.begin(), present.end() - static_cast<std::ptrdiff_t>(count));
  return present;
}

fs::path version_path_of(const ModelDirectory& directory, int64_t version) {
  return directory.path / std::to_string(version);
}

Result<VersionSource> version_source(const ModelDirectory& directory, int64_t version, const ModelConfig& config) {
  const fs::path version_path = version_path_of(directory, version);
  const std::string& given = config.default_model_filename();
  const std::string file_name = given.empty() ? default_file_name(version_path) : given;
  const std::string what = "the file of model '" + directory.name + "' version " + std::to_string(version);
  std::error_code error;
  MOTET_ASSIGN(fs::path file, path_inside(version_path, file_name, what));
  // A model may be a directory of that name: TensorFlow's saved model, or an ONNX model with external data.
  if (fs::is_directory(file, error)) {
    if (fs::is_regular_file(file / "saved_model.pb", error)) return VersionSource{version, std::move(file)};
    MOTET_ASSIGN(file, path_inside(file, "model.onnx", what));
  }
  if (!fs::is_regular_file(file, error)) return not_found(what + " is not a file: " + file.string());
  return VersionSource{version, std::move(file)};
}

Status read_config(const ModelDirectory& directory, std::string_view config_json, ModelConfig& config, bool& given) {
  given = true;
  if (!config_json.empty()) return parse_config_json(config_json, config);
  const fs::path file = directory.path / "config.pbtxt";
  std::error_code error;
  given = fs::exists(file, error);
  if (!given) return {};
  MOTET_ASSIGN(std::string text, read_file(file, kMaxConfigBytes));
  return parse_config_text(text, file.string(), config);
}

}  // namespace

std::string default_file_name(const fs::path& version_directory) {
  std::error_code error;
  for (const char* name :
       {"model.onnx", "model.xml", "model.savedmodel", "model.graphdef", "model.pb", "model.tflite", "model.pdmodel"})
    if (fs::exists(version_directory / name, error)) return name;
  return "model.onnx";
}

Result<ModelSource> read_model(const ModelDirectory& directory, std::string_view config_json) {
  ModelSource source;
  source.directory = directory;
  auto config = std::make_shared<ModelConfig>();
  MOTET_RETURN_IF_ERROR(read_config(directory, config_json, *config, source.config_given));
  MOTET_ASSIGN(source.hints, check_fields(*config));
  std::vector<int64_t> present;
  MOTET_ASSIGN(auto names, directory_names(directory.path));
  for (const std::string& name : names)
    if (int64_t version = version_number(name); version > 0) present.push_back(version);
  std::sort(present.begin(), present.end());
  MOTET_ASSIGN(auto wanted, wanted_versions(config->version_policy(), std::move(present), directory.name));
  for (int64_t version : wanted) {
    MOTET_ASSIGN(VersionSource found, version_source(directory, version, *config));
    source.versions.push_back(std::move(found));
  }
  source.config = std::move(config);
  return source;
}

Result<std::vector<std::string>> read_labels(const fs::path& directory, const std::string& file) {
  MOTET_ASSIGN(fs::path path, path_inside(directory, file, "config field label_filename"));
  MOTET_ASSIGN(std::string text, read_file(path, kMaxLabelBytes));
  std::vector<std::string> labels;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    size_t length = end - at;
    if (length > 0 && text[at + length - 1] == '\r') --length;
    labels.emplace_back(text, at, length);
    at = end + 1;
  }
  return labels;
}

Result<ServedConfig> finish_config(const ModelSource& source, const Signature& signature) {
  auto config = std::make_shared<ModelConfig>(*source.config);
  if (config->default_model_filename().empty())
    config->set_default_model_filename(
        default_file_name(version_path_of(source.directory, source.versions.back().version)));
  MOTET_RETURN_IF_ERROR(complete_config(source.directory.name, signature, *config));
  ServedConfig served;
  MOTET_ASSIGN(served.settings, serving_settings(*config));
  for (const inference::ModelOutput& output : config->output()) {
    if (output.label_filename().empty()) continue;
    MOTET_ASSIGN(served.labels[output.name()], read_labels(source.directory.path, output.label_filename()));
  }
  served.config = std::move(config);
  return served;
}

}  // namespace motet::repo
