// Completing a config from the model's own signature: what is absent is filled in, what contradicts the model is
// refused with both values named. Plain functions; any thread may call.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace inference {
class ModelConfig;
enum DataType : int;
}  // namespace inference

namespace motet::repo {

struct TensorSignature {
  std::string name;
  inference::DataType data_type{};
  std::vector<int64_t> shape;  // with the batch extent; -1 where variable
  bool any_shape = false;      // the model does not say even the rank: what the config says stands
};

struct Signature {
  std::vector<TensorSignature> inputs;
  std::vector<TensorSignature> outputs;
  bool batchable = false;  // the first extent of every input and output is one and the same free batch extent
};

// max_batch_size of a batchable model whose config leaves inputs or outputs out and states none.
inline constexpr int kDefaultMaxBatch = 4;

// Fills in name (from `model`), inputs, outputs, data types, dims, max_batch_size with dynamic_batching,
// version_policy, platform and backend. A listed input or output must be the model's: same type, same rank, and the
// same extent where the model's is fixed. A config that lists inputs lists all of them; of the outputs it may list
// some.
Status complete_config(const std::string& model, const Signature& signature, inference::ModelConfig& config);

}  // namespace motet::repo
