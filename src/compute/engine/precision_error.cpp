#include "compute/engine/precision_error.h"

#include <algorithm>

#include "base/check.h"

namespace motet::engine {
namespace {

Result<std::vector<Tensor>> answers(Model& model, const CompileOptions& options, const Sample& sample) {
  std::vector<Shape> shapes;
  QueryInputs query;
  for (const Tensor& tensor : sample) {
    shapes.push_back(tensor.shape());
    query.tensors.push_back(tensor.view());
  }
  MOTET_ASSIGN(auto program, model.compile(shapes, options));
  return run_alone({&program, 1}, query, false);
}

}  // namespace

Result<std::vector<OutputError>> measure_error(Model& model, const CompileOptions& options,
                                               std::span<const Sample> samples) {
  MOTET_CHECK(!samples.empty(), "an error is measured on data");
  CompileOptions exact_options = options;
  exact_options.precision = Precision::kExact;
  ErrorMeter meter;
  for (const Sample& sample : samples) {
    if (sample.size() != model.inputs().size())
      return invalid_argument("a sample of " + std::to_string(sample.size()) + " tensors; the model has " +
                              std::to_string(model.inputs().size()) + " inputs");
    for (size_t i = 0; i < sample.size(); ++i)
      if (sample[i].dtype() != model.inputs()[i].dtype)
        return invalid_argument("a sample's input '" + model.inputs()[i].name + "' is " +
                                std::string(dtype_kserve_name(sample[i].dtype())) + "; the model takes " +
                                std::string(dtype_kserve_name(model.inputs()[i].dtype)));
    MOTET_ASSIGN(auto exact, answers(model, exact_options, sample));
    MOTET_ASSIGN(auto reduced, answers(model, options, sample));
    meter.add(exact, reduced);
  }
  std::vector<OutputError> errors;
  for (const Departure& output : meter.outputs())
    errors.push_back({model.outputs()[errors.size()].name, output.max, output.rms});
  return errors;
}

double worst(std::span<const OutputError> errors) {
  double greatest = 0;
  for (const OutputError& error : errors) greatest = std::max(greatest, error.max);
  return greatest;
}

}  // namespace motet::engine
