#include "body/serve/measurement.h"

namespace motet::serve {
namespace {

engine::QueryInputs views_of(const Sample& sample) {
  engine::QueryInputs inputs;
  for (const Tensor& tensor : sample.inputs) inputs.tensors.push_back(tensor.view());
  return inputs;
}

}  // namespace

void Measurement::compile(Alternative& alternative, engine::CompileOptions options) const {
  options.precision = alternative.precision;
  for (const Sample& sample : samples_) {
    auto program = instance_->model->compile(instance_->full_shapes(sample.shapes, 1), options);
    if (!program.ok()) {
      alternative.refusal = program.error().message;
      return;
    }
    if ((*program)->precision() != alternative.precision) {
      alternative.refusal = "nothing of this model can be computed in it here; it would run " +
                            std::string(engine::precision_name((*program)->precision()));
      return;
    }
    alternative.predicted += (*program)->predicted();
    alternative.programs.push_back(std::move(*program));
  }
}

Result<Measurement> Measurement::prepare(InstancePtr instance, std::vector<Sample> samples,
                                         const std::vector<engine::Precision>& precisions,
                                         const engine::CompileOptions& options) {
  Measurement measurement(std::move(instance), std::move(samples));
  measurement.compile(measurement.exact_, options);
  if (!measurement.exact_.refusal.empty()) return internal_error(measurement.exact_.refusal);
  for (engine::Precision precision : precisions) {
    measurement.compile(measurement.others_.emplace_back(Alternative{.precision = precision}), options);
  }
  return measurement;
}

Result<std::vector<brain::Variant>> Measurement::run() {
  const bool batched = instance_->batched;
  for (size_t s = 0; s < samples_.size(); ++s) {
    if (!instance_->wanted) return Error{Code::kCancelled, "the model is not wanted any more"};
    const engine::QueryInputs inputs = views_of(samples_[s]);
    MOTET_ASSIGN(auto exact, engine::run_alone({&exact_.programs[s], 1}, inputs, batched));
    for (Alternative& other : others_) {
      if (!other.refusal.empty()) continue;
      auto outputs = engine::run_alone({&other.programs[s], 1}, inputs, batched);
      if (outputs.ok()) {
        other.meter.add(exact, *outputs);
      } else {
        other.refusal = "it fails where exact does not: " + outputs.error().message;
      }
    }
  }
  std::vector<brain::Variant> variants{{"exact", "", 0, exact_.predicted}};
  for (const Alternative& other : others_)
    variants.push_back(
        {std::string(engine::precision_name(other.precision)), other.refusal, other.meter.error(), other.predicted});
  return variants;
}

void Measurement::release() {
  for (const Sample& sample : samples_) instance_->model->drop(instance_->full_shapes(sample.shapes, 1));
}

}  // namespace motet::serve
