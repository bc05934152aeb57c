// What the three commands share: finding the model, binding its open extents, and running executions on a pool of their
// own. One thread.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/tensor/named.h"
#include "compute/device/team.h"
#include "compute/engine/program.h"

namespace CLI {
class App;
}

namespace motet {

// The model to read: `path` itself if it is a file or a TensorFlow saved model, or for a model's folder in a repository
// the file of its highest version, by the names that a repository knows.
Result<std::filesystem::path> find_model(const std::filesystem::path& path);

// "name=1x3x224x224" as given on the command line.
Result<std::pair<std::string, Shape>> parse_shape(const std::string& text);

// One shape per input: as given by name, else as declared with the outermost open extent bound to `batch`. An Error
// names an extent that is still open and how to give it.
Result<std::vector<Shape>> bind_shapes(const engine::Model& model, int64_t batch,
                                       const std::map<std::string, Shape>& given);

// "name=16000" as given on the command line.
Result<std::pair<std::string, double>> parse_value(const std::string& text);

// Inputs filled with the values given by name, else drawn from a fixed stream: f32 in [0, 1), zeros for other types. An
// Error names an input that the program does not have, or that holds no numbers.
Result<std::vector<Tensor>> draw_inputs(const engine::Program& program, const std::map<std::string, double>& values);

// The flag --precision, as inspect, perf and run take it, and its value: "exact", "bf16", "int8".
void add_precision_flag(CLI::App& app, std::string& precision);
Result<engine::Precision> parse_precision(const std::string& text);

// The arrays in the order of the model's inputs. An Error names an input that has none, or one of another type.
Result<std::vector<Tensor>> order_inputs(const engine::Model& model, const std::vector<NamedTensor>& arrays);

// "nChw16c", "nChw8c", "nhwc", "any" as --layout takes them; nothing for "measured".
Result<std::optional<ops::Layout>> parse_layout(const std::string& text);

// A pool of `threads` workers (0: as many as the machine allows) and a team over all of them.
class Session {
 public:
  static Result<std::unique_ptr<Session>> create(int threads);
  virtual ~Session() = default;

  virtual int threads() const = 0;
  // Runs `work` on the leader's worker with a team of all cores, and returns when it has ended.
  virtual void run(const std::function<void(device::Team&)>& work) = 0;
};

// "AMD EPYC 9R14", from /proc/cpuinfo.
std::string cpu_model();

}  // namespace motet
