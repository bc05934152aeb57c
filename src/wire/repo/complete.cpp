#include "wire/repo/complete.h"

#include <algorithm>
#include <string_view>

#include "wire/proto/model_config.pb.h"

namespace motet::repo {
namespace {

using inference::ModelConfig;

template <class Extents>
std::string shape_text(const Extents& extents) {
  std::string out = "[";
  for (int64_t extent : extents) {
    if (out.size() > 1) out += ",";
    out += std::to_string(extent);
  }
  return out + "]";
}

std::string names_text(const std::vector<TensorSignature>& tensors) {
  std::string out;
  for (const TensorSignature& t : tensors) out += (out.empty() ? "'" : ", '") + t.name + "'";
  return out.empty() ? "none" : out;
}

const TensorSignature* find(const std::vector<TensorSignature>& tensors, std::string_view name) {
  auto it = std::find_if(tensors.begin(), tensors.end(), [&](const TensorSignature& t) { return t.name == name; });
  return it == tensors.end() ? nullptr : &*it;
}

// "input" or "output" in `kind`; Tensor is ModelInput or ModelOutput.
template <class Tensor>
Status complete_tensor(std::string_view kind, const TensorSignature& model, bool batched, Tensor& tensor) {
  const std::string who = "config " + std::string(kind) + " '" + tensor.name() + "'";
  if (tensor.data_type() == inference::TYPE_INVALID) tensor.set_data_type(model.data_type);
  if (tensor.data_type() != model.data_type) {
    return invalid_argument(who + " has data_type " + inference::DataType_Name(tensor.data_type()) +
                            "; the model's is " + inference::DataType_Name(model.data_type));
  }
  for (int64_t extent : tensor.dims()) {
    if (extent != -1 && extent < 1)
      return invalid_argument(who + " has the extent " + std::to_string(extent) + " in dims " +
                              shape_text(tensor.dims()) + "; accepted is 1 or more, or -1 for any");
  }
  if (model.any_shape) return {};
  std::vector<int64_t> shape = model.shape;
  if (batched && !shape.empty()) shape.erase(shape.begin());
  if (tensor.dims_size() == 0) {
    tensor.mutable_dims()->Assign(shape.begin(), shape.end());
    return {};
  }
  const auto& dims = tensor.dims();
  bool same = static_cast<size_t>(dims.size()) == shape.size();
  for (int i = 0; same && i < dims.size(); ++i) {
    const int64_t fixed = shape[static_cast<size_t>(i)];
    same = fixed == -1 || fixed == dims.Get(i);
  }
  if (same) return {};
  return invalid_argument(who + " has dims " + shape_text(dims) + "; the model's shape is " + shape_text(model.shape) +
                          (batched ? ", of which the first is the batch extent that dims leave out" : ""));
}

template <class Tensors>
Status complete_tensors(std::string_view kind, const std::vector<TensorSignature>& model, bool batched, bool all,
                        Tensors& tensors) {
  if (tensors.empty())
    for (const TensorSignature& t : model) tensors.Add()->set_name(t.name);
  for (int i = 0; i < tensors.size(); ++i) {
    auto& tensor = *tensors.Mutable(i);
    const TensorSignature* signature = find(model, tensor.name());
    if (signature == nullptr) {
      return invalid_argument("config " + std::string(kind) + " '" + tensor.name() + "' is not in the model, whose " +
                              std::string(kind) + "s are " + names_text(model));
    }
    for (int j = 0; j < i; ++j)
      if (tensors.Get(j).name() == tensor.name())
        return invalid_argument("config " + std::string(kind) + " '" + tensor.name() +
                                "' is listed twice; list it once");
    MOTET_RETURN_IF_ERROR(complete_tensor(kind, *signature, batched, tensor));
  }
  if (!all) return {};
  for (const TensorSignature& t : model) {
    if (std::none_of(tensors.begin(), tensors.end(), [&](const auto& listed) { return listed.name() == t.name; }))
      return invalid_argument("config lists " + std::to_string(tensors.size()) + " of the model's " +
                              std::to_string(model.size()) + " " + std::string(kind) + "s; '" + t.name +
                              "' is missing: list all of them or none");
  }
  return {};
}

Status complete_batching(const Signature& signature, ModelConfig& config) {
  const bool left_out = config.input().empty() || config.output().empty();
  if (config.max_batch_size() == 0 && left_out && signature.batchable) {
    config.set_max_batch_size(kDefaultMaxBatch);
    if (config.scheduling_choice_case() == ModelConfig::SCHEDULING_CHOICE_NOT_SET) config.mutable_dynamic_batching();
  }
  if (config.max_batch_size() < 0)
    return invalid_argument("config field max_batch_size is " + std::to_string(config.max_batch_size()) +
                            "; accepted is 0 or more");
  if (config.max_batch_size() == 0 || signature.batchable) return {};
  std::string shapes;
  for (const auto* tensors : {&signature.inputs, &signature.outputs})
    for (const TensorSignature& t : *tensors)
      shapes += (shapes.empty() ? "'" : ", '") + t.name + "' " + shape_text(t.shape);
  return invalid_argument(
      "config field max_batch_size is " + std::to_string(config.max_batch_size()) +
      ", but the model cannot be batched: the first extents of its tensors are not one free batch extent (" + shapes +
      "); accepted is 0, with dims that hold every extent");
}

// Triton's name for the format of a model's file.
std::string platform_of(const std::string& file_name) {
  auto ends = [&](std::string_view end) { return std::string_view(file_name).ends_with(end); };
  if (file_name.empty() || ends(".onnx")) return "onnxruntime_onnx";
  if (ends(".pb") || ends(".pbtxt") || ends(".graphdef")) return "tensorflow_graphdef";
  if (ends(".savedmodel")) return "tensorflow_savedmodel";
  return "openvino";
}

}  // namespace

Status complete_config(const std::string& model, const Signature& signature, ModelConfig& config) {
  if (config.name().empty()) config.set_name(model);
  if (config.name() != model)
    return invalid_argument("config field name is '" + config.name() + "' in the directory of model '" + model +
                            "'; accepted is '" + model + "', or no name");
  MOTET_RETURN_IF_ERROR(complete_batching(signature, config));
  const bool batched = config.max_batch_size() > 0;
  MOTET_RETURN_IF_ERROR(complete_tensors("input", signature.inputs, batched, true, *config.mutable_input()));
  MOTET_RETURN_IF_ERROR(complete_tensors("output", signature.outputs, batched, false, *config.mutable_output()));
  if (config.version_policy().policy_choice_case() == inference::ModelVersionPolicy::POLICY_CHOICE_NOT_SET)
    config.mutable_version_policy()->mutable_latest()->set_num_versions(1);
  if (config.platform().empty()) config.set_platform(platform_of(config.default_model_filename()));
  if (config.backend().empty()) config.set_backend("motet");
  if (config.default_model_filename().empty()) config.set_default_model_filename("model.onnx");
  return {};
}

}  // namespace motet::repo
