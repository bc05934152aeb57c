#include "wire/api/validate.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "wire/api/data_type.h"
#include "wire/api/tensor_bytes.h"
#include "wire/proto/model_config.pb.h"

namespace motet::api {
namespace {

using inference::ModelConfig;
using inference::ModelInput;

// Names as "['a','b']".
template <class Items>
std::string names_text(const Items& items) {
  std::string out = "[";
  for (const auto& item : items) out += (out.size() > 1 ? ",'" : "'") + item + "'";
  return out + "]";
}

template <class Items>
std::string listed_names(const Items& items) {
  std::vector<std::string> names;
  for (const auto& item : items) names.push_back(item.name());
  return names_text(names);
}

DType config_dtype(inference::DataType type) {
  auto dtype = dtype_of(type);
  MOTET_CHECK(dtype.has_value(), "a completed config has data types");
  return *dtype;
}

// The shape of the one input whose bytes are the whole body: a batch of one, and at most one free extent, which the
// size tells.
Result<Shape> raw_shape(const ModelInput& input, const ModelConfig& config, int64_t bytes) {
  Shape shape(input.dims().begin(), input.dims().end());
  if (config.max_batch_size() > 0) shape.insert(shape.begin(), 1);
  const auto free = std::count(shape.begin(), shape.end(), -1);
  const DType dtype = config_dtype(input.data_type());
  const Error refused =
      invalid_argument("raw request for model '" + config.name() + "' cannot tell the shape of input '" + input.name() +
                       "' from " + std::to_string(bytes) + " bytes; dims are " + shape_to_string(shape) + " of " +
                       std::string(dtype_kserve_name(dtype)) +
                       ": at most one may be variable, and the bytes must be a whole number of elements");
  if (dtype == DType::kString) {
    for (int64_t& extent : shape) {
      if (extent != -1 && extent != 1) return refused;
      extent = 1;
    }
    return shape;
  }
  if (free > 1) return refused;
  if (free == 0) return shape;
  int64_t rest = static_cast<int64_t>(dtype_bytes(dtype));
  for (int64_t extent : shape) {
    if (extent == -1) continue;
    auto next = checked_multiply(rest, extent);
    if (!next) return refused;
    rest = *next;
  }
  if (rest == 0 || bytes % rest != 0) return refused;
  std::replace(shape.begin(), shape.end(), int64_t{-1}, bytes / rest);
  return shape;
}

Status deduce_raw(InferRequest& request, const ModelConfig& config) {
  if (config.input_size() != 1 || request.inputs.size() != 1) {
    return invalid_argument("Raw request must only have 1 input (found " + std::to_string(request.inputs.size()) +
                            ") to be deduced but got " + std::to_string(config.input_size()) + " inputs in '" +
                            config.name() + "' model configuration");
  }
  const ModelInput& input = config.input(0);
  const Tensor& body = request.inputs[0].tensor;
  const std::span<const std::byte> bytes(body.view().data, body.view().bytes());
  MOTET_ASSIGN(Shape shape, raw_shape(input, config, static_cast<int64_t>(bytes.size())));
  const DType dtype = config_dtype(input.data_type());
  if (dtype == DType::kString) {  // the body is the one element, without its length
    auto element = std::make_shared<std::pair<std::string_view, std::shared_ptr<const void>>>();
    *element = {{reinterpret_cast<const char*>(bytes.data()), bytes.size()}, body.owner()};
    TensorView view{dtype, std::move(shape), reinterpret_cast<std::byte*>(&element->first)};
    request.inputs[0] = {input.name(), Tensor(std::move(view), std::move(element))};
  } else {
    MOTET_ASSIGN(Tensor tensor,
                 tensor_from_bytes(input.name(), config.name(), dtype, std::move(shape), bytes, body.owner()));
    request.inputs[0] = {input.name(), std::move(tensor)};
  }
  request.raw_body = false;
  return {};
}

Status arrange_inputs(InferRequest& request, const ModelConfig& config) {
  std::vector<NamedTensor> arranged(static_cast<size_t>(config.input_size()));
  std::vector<bool> given(arranged.size(), false);
  std::vector<std::string> got;
  for (NamedTensor& input : request.inputs) {
    auto at = std::find_if(config.input().begin(), config.input().end(),
                           [&](const ModelInput& i) { return i.name() == input.name; });
    if (at == config.input().end()) {
      return invalid_argument("unexpected inference input '" + input.name + "' for model '" + config.name() +
                              "'; its inputs are " + listed_names(config.input()));
    }
    const auto index = static_cast<size_t>(at - config.input().begin());
    if (given[index]) return invalid_argument("input '" + input.name + "' already exists in request; give it once");
    given[index] = true;
    got.push_back(input.name);
    arranged[index] = std::move(input);
  }
  std::vector<std::string> missing;
  for (int i = 0; i < config.input_size(); ++i)
    if (!given[static_cast<size_t>(i)]) missing.push_back(config.input(i).name());
  if (!missing.empty()) {
    return invalid_argument("expected " + std::to_string(config.input_size()) + " inputs but got " +
                            std::to_string(got.size()) + " inputs for model '" + config.name() + "'. Got input(s) " +
                            names_text(got) + ", but missing required input(s) " + names_text(missing) +
                            ". Please provide all required input(s).");
  }
  request.inputs = std::move(arranged);
  return {};
}

Status check_shape(const NamedTensor& input, const ModelInput& expected, const ModelConfig& config) {
  const bool batched = config.max_batch_size() > 0;
  const Shape& shape = input.tensor.shape();
  const std::string who = "input '" + input.name + "' for model '" + config.name() + "'";
  Shape wanted(expected.dims().begin(), expected.dims().end());
  if (batched) wanted.insert(wanted.begin(), -1);
  bool fits = shape.size() == wanted.size();
  for (size_t i = 0; fits && i < shape.size(); ++i) fits = wanted[i] == -1 || wanted[i] == shape[i];
  if (!fits)
    return invalid_argument("unexpected shape for " + who + ". Expected " + shape_to_string(wanted) + ", got " +
                            shape_to_string(shape) + ".");
  if (std::find(shape.begin(), shape.end(), 0) != shape.end())
    return invalid_argument("shape " + shape_to_string(shape) + " of " + who +
                            " has an extent of 0; accepted is 1 or more");
  return {};
}

Result<int64_t> check_inputs(const InferRequest& request, const ModelConfig& config) {
  const int64_t most = config.max_batch_size();
  int64_t rows = 1;
  for (size_t i = 0; i < request.inputs.size(); ++i) {
    const NamedTensor& input = request.inputs[i];
    const ModelInput& expected = config.input(static_cast<int>(i));
    const DType dtype = config_dtype(expected.data_type());
    if (input.tensor.dtype() != dtype) {
      return invalid_argument("input '" + input.name + "' has data-type '" +
                              std::string(dtype_kserve_name(input.tensor.dtype())) + "', but model '" + config.name() +
                              "' expects '" + std::string(dtype_kserve_name(dtype)) + "'");
    }
    const Shape& shape = input.tensor.shape();
    if (most > 0) {
      if (shape.empty() || shape[0] < 1 || shape[0] > most) {
        return invalid_argument("inference request batch-size must be <= " + std::to_string(most) +
                                " and at least 1 for '" + config.name() + "'; input '" + input.name + "' has shape " +
                                shape_to_string(shape) + ", whose first extent is the batch");
      }
      if (i > 0 && shape[0] != rows) {
        return invalid_argument("input '" + input.name + "' batch size does not match other inputs for '" +
                                config.name() + "': it is " + std::to_string(shape[0]) + ", and that of '" +
                                request.inputs[0].name + "' is " + std::to_string(rows));
      }
      rows = shape[0];
    }
    MOTET_RETURN_IF_ERROR(check_shape(input, expected, config));
  }
  return rows;
}

Status check_outputs(InferRequest& request, const ModelConfig& config) {
  std::vector<RequestedOutput> outputs;
  for (const RequestedOutput& wanted : request.outputs) {
    auto at = std::find_if(config.output().begin(), config.output().end(),
                           [&](const auto& o) { return o.name() == wanted.name; });
    if (at == config.output().end()) {
      return invalid_argument("unexpected inference output '" + wanted.name + "' for model '" + config.name() +
                              "'; its outputs are " + listed_names(config.output()));
    }
    if (wanted.classification < 0)
      return invalid_argument("classification of output '" + wanted.name + "' is " +
                              std::to_string(wanted.classification) + "; accepted is 0 or more");
    if (wanted.classification > 0 && at->data_type() == inference::TYPE_STRING)
      return invalid_argument("classification of output '" + wanted.name + "' of model '" + config.name() +
                              "' is not possible: it holds BYTES, not numbers");
    auto earlier =
        std::find_if(outputs.begin(), outputs.end(), [&](const RequestedOutput& o) { return o.name == wanted.name; });
    if (earlier == outputs.end()) {
      outputs.push_back(wanted);
    } else if (earlier->classification != wanted.classification) {
      return invalid_argument("output '" + wanted.name + "' is requested twice, with classification " +
                              std::to_string(earlier->classification) + " and " +
                              std::to_string(wanted.classification) + "; request it once");
    }
  }
  request.outputs = std::move(outputs);
  return {};
}

Result<int64_t> check_all(InferRequest& request, const ModelConfig& config) {
  if (request.raw_body) MOTET_RETURN_IF_ERROR(deduce_raw(request, config));
  MOTET_RETURN_IF_ERROR(arrange_inputs(request, config));
  MOTET_ASSIGN(int64_t rows, check_inputs(request, config));
  MOTET_RETURN_IF_ERROR(check_outputs(request, config));
  if (request.timeout_us < 0)
    return invalid_argument("timeout is " + std::to_string(request.timeout_us) +
                            " microseconds; accepted is 0 or more");
  if (request.priority > config.dynamic_batching().priority_levels()) request.priority = 0;
  return rows;
}

}  // namespace

Result<int64_t> validate(InferRequest& request, const ModelConfig& config) {
  auto rows = check_all(request, config);
  if (rows.ok()) return rows;
  return Error{rows.error().code,
               "[request id: " + (request.id.empty() ? "<id_unknown>" : request.id) + "] " + rows.error().message};
}

}  // namespace motet::api
