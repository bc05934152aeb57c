// Measurement: the error of a model's reduced precisions against fp32, on samples. Two parts, so that compiling happens
// where the machine's other compiling does and running elsewhere, at the lowest priority. One thread at a time.
#pragma once

#include <string>
#include <vector>

#include "body/serve/instance.h"
#include "brain/sched/variants.h"
#include "compute/engine/error_meter.h"

namespace motet::serve {

class Measurement {
 public:
  // Compiles the exact program and one of each precision for every sample's shapes, at a batch of 1. A precision that
  // the engine cannot give is refused in its variant; an Error is of the exact programs. REQUIRES: the instance is
  // read; samples are not empty.
  static Result<Measurement> prepare(InstancePtr instance, std::vector<Sample> samples,
                                     const std::vector<engine::Precision>& precisions,
                                     const engine::CompileOptions& options);

  size_t samples() const { return samples_.size(); }

  // Runs them on the calling thread: exact first, then the others, in order. kCancelled once the instance is not wanted
  // any more; else an Error is a fault of a sample.
  Result<std::vector<brain::Variant>> run();

  // Lets the engine forget the programs that were compiled for this alone.
  void release();

 private:
  struct Alternative {
    engine::Precision precision = engine::Precision::kExact;
    std::string refusal;
    std::vector<engine::ProgramPtr> programs;  // per sample
    engine::ErrorMeter meter;
    Nanos predicted;
  };

  explicit Measurement(InstancePtr instance, std::vector<Sample> samples)
      : instance_(std::move(instance)), samples_(std::move(samples)) {}
  void compile(Alternative& alternative, engine::CompileOptions options) const;

  InstancePtr instance_;
  std::vector<Sample> samples_;
  Alternative exact_;
  std::vector<Alternative> others_;
};

}  // namespace motet::serve
