#include "compute/engine/precision_error.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "compute/device/team.h"
#include "compute/engine/execution.h"

namespace motet::engine {
namespace {

// What one output's elements add up to.
struct Sums {
  double greatest_error = 0, greatest_exact = 0;
  double squared_error = 0, squared_exact = 0;

  void add(double y, double exact) {
    if (y == exact || (std::isnan(y) && std::isnan(exact))) {
      if (std::isfinite(exact)) {
        greatest_exact = std::max(greatest_exact, std::abs(exact));
        squared_exact += exact * exact;
      }
      return;
    }

    if (!std::isfinite(y) || !std::isfinite(exact)) {
      greatest_error = squared_error = std::numeric_limits<double>::infinity();
      return;
    }
    greatest_error = std::max(greatest_error, std::abs(y - exact));
    greatest_exact = std::max(greatest_exact, std::abs(exact));
    squared_error += (y - exact) * (y - exact);
    squared_exact += exact * exact;
  }
};

template <class T>
void add_numbers(Sums& sums, const TensorView& y, const TensorView& exact) {
  auto a = y.as<T>();
  auto b = exact.as<T>();
  for (size_t i = 0; i < a.size(); ++i) sums.add(static_cast<double>(a[i]), static_cast<double>(b[i]));
}

void add_strings(Sums& sums, const TensorView& y, const TensorView& exact) {
  auto a = y.as<std::string_view>();
  auto b = exact.as<std::string_view>();
  if (!std::equal(a.begin(), a.end(), b.begin(), b.end())) sums.greatest_error = sums.greatest_exact = 1;
}

void add(Sums& sums, const TensorView& y, const TensorView& exact) {
  if (y.shape != exact.shape) {  // extents that depend on data
    sums.greatest_error = sums.squared_error = std::numeric_limits<double>::infinity();
    return;
  }
  switch (y.dtype) {
    case DType::kF32: return add_numbers<float>(sums, y, exact);
    case DType::kF64: return add_numbers<double>(sums, y, exact);
    case DType::kI64: return add_numbers<int64_t>(sums, y, exact);
    case DType::kI32: return add_numbers<int32_t>(sums, y, exact);
    case DType::kU8: return add_numbers<uint8_t>(sums, y, exact);
    case DType::kI8: return add_numbers<int8_t>(sums, y, exact);
    case DType::kString: return add_strings(sums, y, exact);
    case DType::kF16:
    case DType::kBF16: {
      auto wide = y.dtype == DType::kF16 ? f16_to_float : bf16_to_float;
      auto a = y.as<uint16_t>();
      auto b = exact.as<uint16_t>();
      for (size_t i = 0; i < a.size(); ++i) sums.add(wide(a[i]), wide(b[i]));
      return;
    }
    default:
      if (std::memcmp(y.data, exact.data, y.bytes()) != 0) sums.greatest_error = sums.greatest_exact = 1;
  }
}

Result<std::vector<Tensor>> answers(Model& model, const CompileOptions& options, const Sample& sample) {
  std::vector<Shape> shapes;
  QueryInputs query;
  for (const Tensor& tensor : sample) {
    shapes.push_back(tensor.shape());
    query.tensors.push_back(tensor.view());
  }
  MOTET_ASSIGN(auto program, model.compile(shapes, options));
  MOTET_ASSIGN(auto execution, Execution::create({{program, 0}}, {query}, false));
  if (execution->run(device::Team::serial()) == RunState::kFailed) return execution->failure();
  std::vector<Tensor> outputs;
  for (size_t o = 0; o < program->outputs().size(); ++o) outputs.push_back(execution->output(0, o));
  return outputs;
}

double ratio(double part, double whole) {
  if (part == 0) return 0;
  return whole > 0 ? part / whole : std::numeric_limits<double>::infinity();
}

}  // namespace

Result<std::vector<OutputError>> measure_error(Model& model, const CompileOptions& options,
                                               std::span<const Sample> samples) {
  MOTET_CHECK(!samples.empty(), "an error is measured on data");
  CompileOptions exact_options = options;
  exact_options.precision = Precision::kExact;
  std::vector<Sums> sums(model.outputs().size());
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
    for (size_t o = 0; o < sums.size(); ++o) add(sums[o], reduced[o].view(), exact[o].view());
  }
  std::vector<OutputError> errors;
  for (size_t o = 0; o < sums.size(); ++o)
    errors.push_back({.output = model.outputs()[o].name,
                      .max = ratio(sums[o].greatest_error, sums[o].greatest_exact),
                      .rms = std::sqrt(ratio(sums[o].squared_error, sums[o].squared_exact))});
  return errors;
}

double worst(std::span<const OutputError> errors) {
  double greatest = 0;
  for (const OutputError& error : errors) greatest = std::max(greatest, error.max);
  return greatest;
}

}  // namespace motet::engine
