// Tensors that came in the typed fields of InferTensorContents. Any thread may call.
#pragma once

#include <memory>
#include <string_view>

#include "base/tensor/tensor.h"

namespace inference {
class InferTensorContents;
class ModelInferRequest_InferInputTensor;
}  // namespace inference

namespace motet::grpc {

// Whether any field holds elements.
bool has_contents(const inference::InferTensorContents& contents);

// The tensor of `input`, whose contents must be in the field of its type, as many as its shape holds. BYTES elements
// point into `input`, kept alive by `owner`. An Error names input, model, field and counts.
Result<Tensor> tensor_from_contents(const inference::ModelInferRequest_InferInputTensor& input, std::string_view model,
                                    DType dtype, std::shared_ptr<const void> owner);

}  // namespace motet::grpc
