#include "body/serve/warmup.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/random.h"
#include "compute/engine/error_meter.h"
#include "wire/api/data_type.h"
#include "wire/api/tensor_bytes.h"

namespace motet::serve {
namespace {

template <class T>
void draw(Tensor& tensor, Random& random) {
  for (T& value : tensor.view().as<T>()) {
    if constexpr (std::is_floating_point_v<T>) {
      value = static_cast<T>(random.uniform());
    } else {
      value = static_cast<T>(random.below(2));
    }
  }
}

Tensor random_tensor(DType dtype, const Shape& shape, Random& random) {
  static const std::array<std::string, 10> kDigits = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
  Tensor tensor = Tensor::zeros(dtype, shape);
  switch (dtype) {
    case DType::kF32: draw<float>(tensor, random); break;
    case DType::kF64: draw<double>(tensor, random); break;
    case DType::kBool: draw<bool>(tensor, random); break;
    case DType::kU8: draw<uint8_t>(tensor, random); break;
    case DType::kU16: draw<uint16_t>(tensor, random); break;
    case DType::kU32: draw<uint32_t>(tensor, random); break;
    case DType::kU64: draw<uint64_t>(tensor, random); break;
    case DType::kI8: draw<int8_t>(tensor, random); break;
    case DType::kI16: draw<int16_t>(tensor, random); break;
    case DType::kI32: draw<int32_t>(tensor, random); break;
    case DType::kI64: draw<int64_t>(tensor, random); break;
    case DType::kF16:
      for (uint16_t& bits : tensor.view().as<uint16_t>()) bits = float_to_f16(static_cast<float>(random.uniform()));
      break;
    case DType::kBF16:
      for (uint16_t& bits : tensor.view().as<uint16_t>()) bits = float_to_bf16(static_cast<float>(random.uniform()));
      break;
    case DType::kString:
      for (std::string_view& text : tensor.view().as<std::string_view>()) text = kDigits[random.below(10)];
      break;
  }
  return tensor;
}

Result<Tensor> tensor_of(const Instance& instance, const repo::WarmupInput& input, Random& random) {
  auto dtype = api::dtype_of(input.data_type);
  MOTET_CHECK(dtype.has_value(), "a warm-up input has the model's type");
  switch (input.data) {
    case repo::WarmupData::kZero: return Tensor::zeros(*dtype, input.shape);
    case repo::WarmupData::kRandom: return random_tensor(*dtype, input.shape, random);
    case repo::WarmupData::kFile: break;
  }
  auto bytes = std::make_shared<const std::string>(input.bytes);
  return api::tensor_from_bytes(input.name, instance.name, *dtype, input.shape, std::as_bytes(std::span(*bytes)),
                                bytes);
}

}  // namespace

Result<std::vector<WarmupRun>> warmup_runs(const Instance& instance, const std::vector<repo::WarmupSample>& samples) {
  std::vector<WarmupRun> runs;
  for (const repo::WarmupSample& from : samples) {
    WarmupRun run{from.name, from.runs, from.holds_data(), {}};
    run.sample.shapes.resize(from.inputs.size());
    run.sample.inputs.resize(from.inputs.size());
    Random random(1, "warm-up " + from.name);
    for (size_t i = 0; i < from.inputs.size(); ++i) {
      auto tensor = tensor_of(instance, from.inputs[i], random);
      if (!tensor.ok())
        return Error{tensor.error().code, "model_warmup '" + from.name + "': " + tensor.error().message};
      const size_t place = instance.input_order[i];
      const Shape& whole = tensor->shape();
      run.sample.shapes[place] = Shape(whole.begin() + (instance.batched ? 1 : 0), whole.end());
      run.sample.inputs[place] = std::move(*tensor);
    }
    runs.push_back(std::move(run));
  }
  return runs;
}

Status run_warmup(const Instance& instance, const std::vector<WarmupRun>& runs) {
  for (const WarmupRun& run : runs) {
    const brain::BucketId bucket = instance.route(run.sample.shapes).bucket;
    std::vector<engine::ProgramPtr> programs = instance.programs(bucket);
    MOTET_CHECK(!programs.empty(), "the bucket of a warm-up sample is compiled");
    engine::QueryInputs inputs;
    for (const Tensor& tensor : run.sample.inputs) inputs.tensors.push_back(tensor.view());
    for (int i = 0; i < run.runs && instance.wanted; ++i) {
      auto outputs = engine::run_alone(programs, inputs, instance.batched);
      if (!outputs.ok())
        return Error{outputs.error().code, "model_warmup '" + run.name + "': " + outputs.error().message};
    }
  }
  return {};
}

}  // namespace motet::serve
