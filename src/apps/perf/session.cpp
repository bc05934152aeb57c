#include "apps/perf/session.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <optional>

#include "base/random.h"
#include "compute/device/pool.h"
#include "wire/repo/repository.h"

namespace motet {
namespace {

std::optional<int64_t> to_number(std::string_view text) {
  int64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return number;
}

class PoolSession final : public Session {
 public:
  explicit PoolSession(std::unique_ptr<device::Pool> pool) : pool_(std::move(pool)) {}

  int threads() const override { return pool_->size(); }

  void run(const std::function<void(device::Team&)>& work) override {
    work_ = &work;
    finished_ = false;
    pool_->submit(0, {[](void* self) { static_cast<PoolSession*>(self)->lead(); }, this});
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [&] { return finished_; });
  }

 private:
  void lead() {
    auto team = device::PoolTeam::create(*pool_, 0, pool_->cores());
    (*work_)(*team);
    std::lock_guard lock(mutex_);
    finished_ = true;
    ended_.notify_one();
  }

  std::unique_ptr<device::Pool> pool_;
  const std::function<void(device::Team&)>* work_ = nullptr;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool finished_ = false;  // guarded by mutex_
};

}  // namespace

Result<std::filesystem::path> find_model(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::is_regular_file(path, error)) return path;
  if (std::filesystem::exists(path / "saved_model.pb", error)) return path;
  if (!std::filesystem::is_directory(path, error))
    return not_found("'" + path.string() + "' is neither a file nor a model's folder in a repository");
  int64_t highest = -1;
  std::filesystem::path found;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    auto version = to_number(entry.path().filename().string());
    auto file = entry.path() / repo::default_file_name(entry.path());
    // A folder holds an ONNX model with external data, or is a saved model.
    if (std::filesystem::is_directory(file, error) && !std::filesystem::exists(file / "saved_model.pb", error))
      file /= "model.onnx";
    if (version && *version > highest && std::filesystem::exists(file, error)) {
      highest = *version;
      found = file;
    }
  }
  if (highest < 0) return not_found("'" + path.string() + "' has no VERSION/model.onnx");
  return found;
}

Result<std::pair<std::string, Shape>> parse_shape(const std::string& text) {
  auto refuse = [&] { return invalid_argument("shape '" + text + "' is not of the form NAME=1x3x224x224"); };
  size_t equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0) return refuse();
  Shape shape;
  std::string_view rest = std::string_view(text).substr(equals + 1);
  while (!rest.empty()) {
    size_t cross = rest.find('x');
    auto extent = to_number(rest.substr(0, cross));
    if (!extent || *extent < 0) return refuse();
    shape.push_back(*extent);
    if (cross == std::string_view::npos) break;
    rest.remove_prefix(cross + 1);
    if (rest.empty()) return refuse();
  }
  return std::make_pair(text.substr(0, equals), shape);
}

Result<std::vector<Shape>> bind_shapes(const engine::Model& model, int64_t batch,
                                       const std::map<std::string, Shape>& given) {
  std::vector<Shape> shapes;
  size_t used = 0;
  for (const engine::Port& port : model.inputs()) {
    Shape shape = port.shape;
    if (auto found = given.find(port.name); found != given.end()) {
      shape = found->second;
      ++used;
    } else if (!shape.empty() && shape[0] < 0) {
      shape[0] = batch;
    }
    for (int64_t extent : shape)
      if (extent < 0)
        return invalid_argument("input '" + port.name + "' is declared " + shape_to_string(port.shape) +
                                "; give its extents with --shape " + port.name + "=...");
    shapes.push_back(std::move(shape));
  }
  if (used != given.size()) {
    std::string names;
    for (const engine::Port& port : model.inputs()) names += (names.empty() ? "" : ", ") + port.name;
    return invalid_argument("--shape names an input that the model does not have; it has " + names);
  }
  return shapes;
}

Result<std::vector<Tensor>> order_inputs(const engine::Model& model, const std::vector<NamedTensor>& arrays) {
  std::vector<Tensor> ordered;
  for (const engine::Port& port : model.inputs()) {
    auto found = std::find_if(arrays.begin(), arrays.end(), [&](const NamedTensor& a) { return a.name == port.name; });
    if (found == arrays.end()) {
      std::string names;
      for (const NamedTensor& array : arrays) names += (names.empty() ? "" : ", ") + array.name;
      return invalid_argument("no array for input '" + port.name + "'; the file has " +
                              (names.empty() ? "none" : names));
    }
    if (found->tensor.dtype() != port.dtype)
      return invalid_argument("input '" + port.name + "' is " + std::string(dtype_kserve_name(port.dtype)) +
                              "; the file's array is " + std::string(dtype_kserve_name(found->tensor.dtype())));
    ordered.push_back(found->tensor);
  }
  return ordered;
}

Result<std::optional<ops::Layout>> parse_layout(const std::string& text) {
  using Choice = std::optional<ops::Layout>;
  if (text == "measured") return Choice();
  if (text == "nChw16c") return Choice(ops::Layout::kNChw16c);
  if (text == "nChw8c") return Choice(ops::Layout::kNChw8c);
  if (text == "nhwc") return Choice(ops::Layout::kNhwc);
  if (text == "any") return Choice(ops::Layout::kRowMajor);
  return invalid_argument("layout '" + text + "'; measured, nChw16c, nChw8c, nhwc and any are accepted");
}

void add_precision_flag(CLI::App& app, std::string& precision) {
  app.add_option(
         "--precision", precision,
         "exact (fp32), bf16 (needs AVX512_BF16 or AMX) or int8: how far convolutions and products may be rounded")
      ->capture_default_str();
}

Result<engine::Precision> parse_precision(const std::string& text) {
  if (auto precision = engine::precision_of(text)) return *precision;
  return invalid_argument("precision '" + text + "'; exact, bf16 and int8 are accepted");
}

Result<std::pair<std::string, double>> parse_value(const std::string& text) {
  size_t equals = text.rfind('=');
  double value = 0;
  const char* end = text.data() + text.size();
  bool sound = equals != std::string::npos && equals > 0 && equals + 1 < text.size();
  if (sound) {
    auto [stopped, error] = std::from_chars(text.data() + equals + 1, end, value);
    sound = error == std::errc() && stopped == end;
  }
  if (!sound) return invalid_argument("value '" + text + "' is not of the form NAME=16000");
  return std::make_pair(text.substr(0, equals), value);
}

namespace {

Status fill(const Tensor& tensor, const std::string& name, double value) {
  auto set = [&](auto zero) {
    for (auto& x : tensor.view().as<decltype(zero)>()) x = static_cast<decltype(zero)>(value);
    return Status();
  };
  switch (tensor.dtype()) {
    case DType::kF32: return set(float{});
    case DType::kF64: return set(double{});
    case DType::kI64: return set(int64_t{});
    case DType::kI32: return set(int32_t{});
    case DType::kU8: return set(uint8_t{});
    default:
      return unsupported("--value for input '" + name + "' of type " + std::string(dtype_kserve_name(tensor.dtype())));
  }
}

}  // namespace

Result<std::vector<Tensor>> draw_inputs(const engine::Program& program, const std::map<std::string, double>& values) {
  std::vector<Tensor> inputs;
  Random random(1, "perf inputs");
  size_t used = 0;
  for (const engine::Port& port : program.inputs()) {
    inputs.push_back(Tensor::zeros(port.dtype, port.shape));
    if (auto given = values.find(port.name); given != values.end()) {
      MOTET_RETURN_IF_ERROR(fill(inputs.back(), port.name, given->second));
      ++used;
    } else if (port.dtype == DType::kF32) {
      for (float& x : inputs.back().view().as<float>()) x = static_cast<float>(random.uniform());
    }
  }
  if (used != values.size()) return invalid_argument("--value names an input that the model does not have");
  return inputs;
}

Result<std::unique_ptr<Session>> Session::create(int threads) {
  device::CpuBudget budget = device::read_cpu_budget();
  if (threads < 0 || threads > static_cast<int>(budget.cpus.size()))
    return invalid_argument(std::to_string(threads) + " threads on " + std::to_string(budget.cpus.size()) +
                            " CPUs; 1 to " + std::to_string(budget.cpus.size()) + ", or 0 for all, would be accepted");
  MOTET_ASSIGN(auto pool, device::Pool::create({.workers = threads}));
  return std::unique_ptr<Session>(std::make_unique<PoolSession>(std::move(pool)));
}

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line)) {
    if (!line.starts_with("model name")) continue;
    size_t colon = line.find(':');
    if (colon != std::string::npos && colon + 2 <= line.size()) return line.substr(colon + 2);
  }
  return "unknown CPU";
}

}  // namespace motet
