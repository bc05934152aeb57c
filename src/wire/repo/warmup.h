// The samples of model_warmup, read from the config and the files it names: what a model is run on before it is ready,
// and what the error of a reduced precision is measured on. Plain values; any thread may call, from one that may block.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace inference {
class ModelConfig;
enum DataType : int;
}  // namespace inference

namespace motet::repo {

enum class WarmupData : uint8_t { kZero, kRandom, kFile };

struct WarmupInput {
  std::string name;
  inference::DataType data_type{};
  std::vector<int64_t> shape;  // of the sample, with the batch extent where the model has one
  WarmupData data = WarmupData::kZero;
  std::string bytes;  // of kFile: the elements of the whole shape in row-major order (BYTES: each with its length)
};

struct WarmupSample {
  std::string name;
  int runs = 1;
  std::vector<WarmupInput> inputs;  // one per input of the config, in its order
  // Real values, on which an error may be measured: some input comes from a file. Zeros and random numbers are not like
  // what the model will be asked.
  bool holds_data() const;
};

// The samples of a completed config; those with batch_size 0 are left out, as Triton does. Files lie in the folder
// `warmup` of `model_directory`; one that holds a single row is repeated for batch_size, one that holds batch_size rows
// is taken as it is. An Error names the sample and the input, the value and what is accepted.
Result<std::vector<WarmupSample>> read_warmup(const std::filesystem::path& model_directory,
                                              const inference::ModelConfig& config);

}  // namespace motet::repo
