#include "compute/foreign/test_support.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/random.h"
#include "compute/device/cpu_budget.h"
#include "compute/foreign/openvino.h"
#include "compute/foreign/worker.h"

namespace motet::foreign::test {
namespace {

namespace fs = std::filesystem;

std::string text_of(const fs::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// Fields of a stat file behind the command's name: [0] is the state, which proc(5) numbers 3.
std::vector<std::string> stat_fields(const std::string& text) {
  size_t behind = text.rfind(')');
  if (behind == std::string::npos) return {};
  std::istringstream words(text.substr(behind + 1));
  std::vector<std::string> fields;
  for (std::string word; words >> word;) fields.push_back(word);
  return fields;
}

}  // namespace

std::shared_ptr<engine::ForeignExecutor> executor() {
  // Never destroyed: OpenVINO's own statics go first.
  static auto* made = new auto(make_openvino({.worker = {"/proc/self/exe", kWorkerCommand}}));
  return *made;
}

std::string missing() {
  Status opened = executor()->open();
  return opened.ok() ? "" : "skipped: " + opened.error().message;
}

Tensors::Tensors(const engine::ForeignStep& step) {
  Random random(3, "foreign inputs");
  for (const engine::Port& port : step.inputs()) {
    inputs.push_back(Tensor::zeros(port.dtype, port.shape));
    if (port.dtype == DType::kF32)
      for (float& x : inputs.back().view().as<float>()) x = static_cast<float>(random.uniform());
    in.push_back(inputs.back().view());
  }
  for (const engine::Port& port : step.outputs()) {
    bool fixed = std::all_of(port.shape.begin(), port.shape.end(), [](int64_t extent) { return extent >= 0; });
    outputs.push_back(fixed ? Tensor::zeros(port.dtype, port.shape) : Tensor());
    out.push_back(fixed ? outputs.back().view() : TensorView{port.dtype, port.shape, nullptr});
  }
}

Status run(const engine::ForeignStep& step, Tensors& tensors, device::Team& team) {
  MOTET_ASSIGN(auto run, step.start(tensors.in, tensors.out, team));
  for (;;) {
    MOTET_ASSIGN(bool ended, run->poll(Nanos::from_seconds(1)));
    if (ended) break;
  }
  for (size_t o = 0; o < tensors.out.size(); ++o)
    if (tensors.out[o].data == nullptr) tensors.outputs[o] = run->take_output(o);
  return {};
}

std::vector<ThreadUse> threads_of(int pid) {
  std::vector<ThreadUse> threads;
  std::error_code error;
  for (fs::directory_iterator it("/proc/" + std::to_string(pid) + "/task", error), end; !error && it != end;
       it.increment(error)) {
    ThreadUse use{.id = std::atoi(it->path().filename().c_str())};
    auto fields = stat_fields(text_of(it->path() / "stat"));
    constexpr size_t kProcessor = 39 - 3;
    if (fields.size() <= kProcessor) continue;
    use.processor = std::atoi(fields[kProcessor].c_str());
    std::istringstream(text_of(it->path() / "schedstat")) >> use.cpu_ns;
    std::istringstream(text_of(it->path() / "comm")) >> use.name;
    std::istringstream status(text_of(it->path() / "status"));
    for (std::string line; std::getline(status, line);)
      if (line.starts_with("Cpus_allowed_list:\t")) use.cpus = device::parse_cpu_list(line.substr(19));
    threads.push_back(std::move(use));
  }
  return threads;
}

bool ended(int pid) {
  const std::string folder = "/proc/" + std::to_string(pid);
  auto fields = stat_fields(text_of(folder + "/stat"));
  if (fields.empty()) return true;
  // The last thread to go closes the files; one that is going may have nothing to read in its own folder any more.
  std::error_code error;
  fs::directory_iterator threads(folder + "/task", error);
  return fields[0] == "Z" && (error || std::distance(fs::begin(threads), fs::end(threads)) <= 1);
}

std::vector<int> children() {
  std::vector<int> pids;
  std::error_code error;
  for (fs::directory_iterator it("/proc", error), end; !error && it != end; it.increment(error)) {
    int pid = std::atoi(it->path().filename().c_str());
    auto fields = pid > 0 ? stat_fields(text_of(it->path() / "stat")) : std::vector<std::string>();
    if (fields.size() > 1 && std::atoi(fields[1].c_str()) == getpid()) pids.push_back(pid);
  }
  return pids;
}

}  // namespace motet::foreign::test

// The tests' own main: children are this program, started again.
int main(int argc, char** argv) {
  if (argc > 1 && std::string(argv[1]) == motet::foreign::kWorkerCommand)
    return motet::foreign::foreign_worker_main(argc - 1, argv + 1);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
