#include "compute/foreign/openvino.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <optional>

#include "base/check.h"
#include "compute/foreign/openvino_step.h"

namespace motet::foreign {
namespace {

namespace fs = std::filesystem;

size_t file_bytes(const fs::path& path) {
  std::error_code error;
  auto bytes = fs::file_size(path, error);
  return error ? 0 : bytes;
}

// The model's files: weights lie beside an IR and a Paddle model, under a saved model, or in the file itself.
Bytes weight_bytes(const fs::path& path) {
  std::error_code error;
  size_t sum = 0;
  if (fs::is_directory(path, error)) {
    for (fs::recursive_directory_iterator it(path, error), end; !error && it != end; it.increment(error))
      sum += file_bytes(it->path());
  } else {
    sum = file_bytes(path);
    if (path.extension() == ".xml") sum += file_bytes(fs::path(path).replace_extension(".bin"));
    if (path.extension() == ".pdmodel") sum += file_bytes(fs::path(path).replace_extension(".pdiparams"));
  }
  return Bytes(static_cast<int64_t>(sum));
}

// Ops that OpenVINO computes otherwise than ONNX says, found with ONNX's own cases: no answer is better than a wrong
// one. Who forces OpenVINO gets them.
constexpr std::pair<std::string_view, std::string_view> kDepartures[] = {
    {"DynamicQuantizeLinear", "rounds values half way between two integers to the wrong one"},
};

Status check_departures(const engine::KnownModel& known) {
  for (const auto& [op, how] : kDepartures)
    if (known.ops.count(std::string(op)) != 0)
      return unsupported("openvino: its " + std::string(op) + " " + std::string(how) +
                         "; executor openvino runs it so");
  return {};
}

class OpenVinoModel final : public engine::ForeignModel {
 public:
  OpenVinoModel(std::shared_ptr<OpenedModel> model, PortMap ports, bool batchable, Bytes bytes)
      : model_(std::move(model)), ports_(std::move(ports)), batchable_(batchable), bytes_(bytes) {}

  const std::vector<engine::Port>& inputs() const override { return ports_.inputs; }
  const std::vector<engine::Port>& outputs() const override { return ports_.outputs; }
  bool batchable() const override { return batchable_; }
  Bytes bytes() const override { return bytes_; }
  Result<std::shared_ptr<const engine::ForeignStep>> compile(const std::vector<Shape>& shapes,
                                                             const engine::ForeignOptions& options) override {
    return OpenVinoStep::compile(model_, ports_, shapes, options);
  }

 private:
  const std::shared_ptr<OpenedModel> model_;
  const PortMap ports_;
  const bool batchable_;
  const Bytes bytes_;
};

// The network's ports under the names that are known for them. An input that OpenVINO does not have is one that the
// model does not use.
Result<PortMap> map_ports(const Network& network, const engine::KnownModel* known) {
  PortMap map;
  if (known == nullptr) {
    map.inputs = network.inputs();
    map.outputs = network.outputs();
    for (size_t i = 0; i < map.inputs.size(); ++i) map.input_of.push_back(i);
    return map;
  }
  map.inputs = known->inputs;
  map.outputs = known->outputs;
  std::vector<std::optional<size_t>> ours(network.inputs().size());
  for (size_t i = 0; i < known->inputs.size(); ++i)
    if (size_t at = network.find_input(known->inputs[i].name); at < ours.size()) ours[at] = i;
  for (size_t at = 0; at < ours.size(); ++at) {
    const engine::Port& port = network.inputs()[at];
    if (!ours[at] || known->inputs[*ours[at]].dtype != port.dtype)
      return unsupported("openvino: it reads an input '" + port.name + "' of type " +
                         std::string(dtype_kserve_name(port.dtype)) + " that the model has not");
    map.input_of.push_back(*ours[at]);
  }
  bool same = network.outputs().size() == known->outputs.size();
  for (size_t o = 0; same && o < known->outputs.size(); ++o)
    same = network.outputs()[o].dtype == known->outputs[o].dtype;
  if (!same) return unsupported("openvino: the outputs that it reads are not the model's in number or type");
  return map;
}

class OpenVino final : public engine::ForeignExecutor {
 public:
  explicit OpenVino(OpenVinoOptions options) : options_(std::move(options)) {}

  std::string_view name() const override { return "openvino"; }
  Status open() override {
    std::lock_guard lock(mutex_);
    if (library_) return {};
    MOTET_ASSIGN(library_, Library::open(options_.directory, Threads::kCallersOnly));
    return {};
  }
  std::string version() const override {
    std::lock_guard lock(mutex_);
    MOTET_CHECK(library_ != nullptr, "version() of an executor that is open");
    return library_->version();
  }
  bool reads(const fs::path& path) const override {
    static constexpr std::array<std::string_view, 7> kExtensions = {".onnx",     ".xml",    ".pb",     ".pbtxt",
                                                                    ".graphdef", ".tflite", ".pdmodel"};
    std::error_code error;
    if (fs::is_directory(path, error)) return fs::exists(path / "saved_model.pb", error);
    std::string extension = path.extension().string();
    return std::find(kExtensions.begin(), kExtensions.end(), extension) != kExtensions.end();
  }
  Result<std::shared_ptr<engine::ForeignModel>> load(const fs::path& path, const engine::KnownModel* known) override {
    std::shared_ptr<Library> library;
    {
      std::lock_guard lock(mutex_);
      library = library_;
    }
    MOTET_CHECK(library != nullptr, "load() of an executor that is open");
    if (known != nullptr) MOTET_RETURN_IF_ERROR(check_departures(*known));
    MOTET_ASSIGN(auto network, Network::read(library, path));
    MOTET_ASSIGN(PortMap ports, map_ports(*network, known));
    bool batchable = network->batchable();
    ChildOptions child{options_.worker, options_.directory.string(), fs::absolute(path)};
    auto model = std::make_shared<OpenedModel>(std::move(network), std::move(child));
    return std::shared_ptr<engine::ForeignModel>(
        std::make_shared<OpenVinoModel>(std::move(model), std::move(ports), batchable, weight_bytes(path)));
  }

 private:
  const OpenVinoOptions options_;
  mutable std::mutex mutex_;
  std::shared_ptr<Library> library_;  // guarded by mutex_; never replaced
};

}  // namespace

std::shared_ptr<engine::ForeignExecutor> make_openvino(OpenVinoOptions options) {
  return std::make_shared<OpenVino>(std::move(options));
}

}  // namespace motet::foreign
