#include "wire/front/http/fake_api.h"

#include <algorithm>

#include "wire/proto/model_config.pb.h"

namespace motet::http {

struct FakeApi::Model {
  int64_t max_batch = 0;
  std::vector<api::TensorMetadata> inputs;   // with the batch extent
  std::vector<api::TensorMetadata> outputs;  // output i is made from input i
  std::vector<std::string> labels;
  bool loaded = true;
};

struct FakeApi::Held : api::Call {
  explicit Held(FakeApi& a) : api(a) {}
  void cancel() override {
    api::InferDone end;
    {
      std::lock_guard lock(api.mutex_);
      end = std::exchange(done, nullptr);
      ++api.cancelled_;
      api.changed_.notify_all();
    }
    if (end) end(Error{Code::kCancelled, "the client went away"});
  }
  FakeApi& api;
  api::InferDone done;
  std::optional<Result<api::InferResponse>> result;
};

namespace {

Tensor combine(const Tensor& a, const Tensor& b, int sign) {
  Tensor out = Tensor::zeros(DType::kI32, a.shape());
  auto x = a.view().as<int32_t>();
  auto y = b.view().as<int32_t>();
  for (size_t i = 0; i < x.size(); ++i) {
    auto wide = static_cast<uint32_t>(x[i]) + static_cast<uint32_t>(sign) * static_cast<uint32_t>(y[i]);
    out.view().as<int32_t>()[i] = static_cast<int32_t>(wide);
  }
  return out;
}

template <class F>
Tensor map_floats(const Tensor& in, F f) {
  Tensor out = Tensor::zeros(DType::kF32, in.shape());
  auto x = in.view().as<float>();
  for (size_t i = 0; i < x.size(); ++i) out.view().as<float>()[i] = f(x[i]);
  return out;
}

// "value:index[:label]" of the k best of each row.
Tensor classify(const Tensor& tensor, int64_t k, const std::vector<std::string>& labels) {
  struct Block {
    std::vector<std::string> texts;
    std::vector<std::string_view> views;
  };
  auto block = std::make_shared<Block>();
  int64_t rows = tensor.shape()[0];
  int64_t width = tensor.view().elements() / rows;
  k = std::min(k, width);
  auto value = [&tensor](int64_t i) {
    return tensor.dtype() == DType::kF32 ? tensor.view().as<float>()[size_t(i)]
                                         : float(tensor.view().as<int32_t>()[size_t(i)]);
  };
  for (int64_t row = 0; row < rows; ++row) {
    std::vector<int64_t> order(static_cast<size_t>(width));
    for (int64_t i = 0; i < width; ++i) order[size_t(i)] = i;
    std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
      float x = value(row * width + a), y = value(row * width + b);
      return x != y ? x > y : a < b;
    });
    for (int64_t i = 0; i < k; ++i) {
      int64_t at = order[size_t(i)];
      float v = value(row * width + at);
      std::string text = tensor.dtype() == DType::kF32 ? std::to_string(v) : std::to_string(static_cast<int64_t>(v));
      text += ":" + std::to_string(at);
      if (size_t(at) < labels.size()) text += ":" + labels[size_t(at)];
      block->texts.push_back(text);
    }
  }
  for (const std::string& text : block->texts) block->views.push_back(text);
  return Tensor(TensorView{DType::kString, {rows, k}, reinterpret_cast<std::byte*>(block->views.data())}, block);
}

Status check_shape(std::string_view model, const std::string& name, const Shape& have, const Shape& want,
                   int64_t max_batch) {
  bool fits = have.size() == want.size();
  for (size_t i = 0; fits && i < have.size(); ++i) fits = want[i] < 0 || want[i] == have[i];
  if (!fits) {
    return invalid_argument("unexpected shape for input '" + name + "' for model '" + std::string(model) +
                            "'. Expected " + shape_to_string(want) + ", got " + shape_to_string(have));
  }
  if (max_batch > 0 && (have[0] < 1 || have[0] > max_batch)) {
    return invalid_argument("inference request batch-size must be 1 to " + std::to_string(max_batch) + " for '" +
                            std::string(model) + "'");
  }
  return {};
}

}  // namespace

FakeApi::FakeApi() {
  auto add = [this](std::string name, int64_t max_batch, std::vector<api::TensorMetadata> inputs,
                    std::vector<api::TensorMetadata> outputs, std::vector<std::string> labels = {}) {
    models_[std::move(name)] =
        std::make_unique<Model>(Model{max_batch, std::move(inputs), std::move(outputs), std::move(labels)});
  };
  add("simple", 8, {{"INPUT0", DType::kI32, {-1, 16}}, {"INPUT1", DType::kI32, {-1, 16}}},
      {{"OUTPUT0", DType::kI32, {-1, 16}}, {"OUTPUT1", DType::kI32, {-1, 16}}});
  add("relu", 4, {{"x", DType::kF32, {-1, 4}}}, {{"y", DType::kF32, {-1, 4}}}, {"zero", "one", "two", "three"});
  add("fixed", 0, {{"a", DType::kF32, {2, 3}}}, {{"b", DType::kF32, {2, 3}}});
  add("text", 4, {{"s", DType::kString, {-1, -1}}}, {{"t", DType::kString, {-1, -1}}});
  std::vector<api::TensorMetadata> in, out;
  for (const auto& [suffix, dtype] : std::vector<std::pair<std::string, DType>>{{"u8", DType::kU8},
                                                                                {"i8", DType::kI8},
                                                                                {"i64", DType::kI64},
                                                                                {"f64", DType::kF64},
                                                                                {"f16", DType::kF16},
                                                                                {"bool", DType::kBool}}) {
    in.push_back({"i_" + suffix, dtype, {-1, 2}});
    out.push_back({"o_" + suffix, dtype, {-1, 2}});
  }
  add("types", 2, in, out);
}

FakeApi::~FakeApi() { release(); }

void FakeApi::hold() {
  std::lock_guard lock(mutex_);
  holding_ = true;
}

void FakeApi::release() {
  std::vector<std::pair<api::InferDone, Result<api::InferResponse>>> due;
  {
    std::lock_guard lock(mutex_);
    holding_ = false;
    for (const auto& held : held_) {
      if (auto done = std::exchange(held->done, nullptr)) due.emplace_back(std::move(done), *held->result);
    }
    held_.clear();
  }
  for (auto& [done, result] : due) done(std::move(result));
}

void FakeApi::wait_held(size_t count) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this, count] { return held_.size() >= count; });
}

void FakeApi::wait_cancelled(size_t count) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this, count] { return cancelled_ >= count; });
}

api::InferRequest FakeApi::last_request() {
  std::lock_guard lock(mutex_);
  return last_;
}

Result<const FakeApi::Model*> FakeApi::find(std::string_view model, std::string_view version) const {
  auto at = models_.find(model);
  std::string name = "'" + std::string(model) + "'";
  if (at == models_.end()) return not_found("Request for unknown model: " + name + " is not found");
  if (!version.empty() && version != "1")
    return not_found("Request for unknown model: " + name + " version " + std::string(version) + " is not found");
  if (!at->second->loaded) return not_found("Request for unknown model: " + name + " has no available versions");
  return at->second.get();
}

Result<bool> FakeApi::model_ready(std::string_view model, std::string_view version) const {
  std::lock_guard lock(mutex_);
  MOTET_RETURN_IF_ERROR(find(model, version));
  return true;
}

api::ServerMetadata FakeApi::server_metadata() const {
  return {"motet", "0.1.0", {"classification", "binary_tensor_data"}};
}

Result<api::ModelMetadata> FakeApi::model_metadata(std::string_view model, std::string_view version) const {
  std::lock_guard lock(mutex_);
  MOTET_ASSIGN(const Model* found, find(model, version));
  return api::ModelMetadata{std::string(model), {"1"}, "onnxruntime_onnx", found->inputs, found->outputs, {}};
}

Result<std::shared_ptr<const inference::ModelConfig>> FakeApi::model_config(std::string_view model,
                                                                            std::string_view version) const {
  std::lock_guard lock(mutex_);
  MOTET_ASSIGN(const Model* found, find(model, version));
  auto config = std::make_shared<inference::ModelConfig>();
  config->set_name(std::string(model));
  config->set_max_batch_size(static_cast<int>(found->max_batch));
  for (const api::TensorMetadata& input : found->inputs) {
    auto* entry = config->add_input();
    entry->set_name(input.name);
    entry->set_data_type(inference::TYPE_INT32);
    for (int64_t extent : input.shape) entry->add_dims(extent);
  }
  config->mutable_dynamic_batching()->add_preferred_batch_size(4);
  (*config->mutable_parameters())["slo_ms"].set_string_value("50");
  (*config->mutable_parameters())["allow_padding"].set_string_value("\"yes\"");
  return std::shared_ptr<const inference::ModelConfig>(config);
}

Result<std::vector<api::ModelStatistics>> FakeApi::statistics(std::string_view model, std::string_view version) const {
  std::lock_guard lock(mutex_);
  if (!model.empty()) MOTET_RETURN_IF_ERROR(find(model, version));
  std::vector<api::ModelStatistics> out;
  for (const auto& [name, entry] : models_) {
    if (!model.empty() && name != model) continue;
    api::ModelStatistics one{name, "1", 1700000000000, 3, 2, {3, 900}, {1, 50}, {3, 30}, {3, 3}, {3, 600}, {3, 9}, {}};
    one.batches.push_back({2, {1, 1}, {1, 300}, {1, 3}});
    out.push_back(one);
  }
  return out;
}

Result<std::vector<api::IndexEntry>> FakeApi::index(bool ready_only) const {
  std::lock_guard lock(mutex_);
  std::vector<api::IndexEntry> out;
  for (const auto& [name, model] : models_) {
    if (model->loaded)
      out.push_back({name, "1", "READY", ""});
    else if (!ready_only)
      out.push_back({name, "1", "UNAVAILABLE", "unloaded"});
  }
  return out;
}

void FakeApi::load(std::string_view model, std::string_view config, const api::Principal&, api::StatusDone done) {
  Status status;
  {
    std::lock_guard lock(mutex_);
    auto at = models_.find(model);
    if (at == models_.end()) {
      status = not_found("failed to load '" + std::string(model) + "', no such model in the repository");
    } else if (config.empty()) {
      at->second->loaded = true;
      if (model == "relu") at->second->max_batch = 4;
    } else if (config.find("\"max_batch_size\": 2") != std::string_view::npos) {
      at->second->loaded = true;
      at->second->max_batch = 2;
    } else {
      status = invalid_argument("failed to load '" + std::string(model) + "': its config override is no JSON");
    }
  }
  done(std::move(status));
}

void FakeApi::unload(std::string_view model, bool, const api::Principal&, api::StatusDone done) {
  {
    std::lock_guard lock(mutex_);
    if (auto at = models_.find(model); at != models_.end()) at->second->loaded = false;
  }
  done({});
}

Result<api::InferResponse> FakeApi::compute(const api::InferRequest& request) const {
  MOTET_ASSIGN(const Model* model, find(request.model, request.version));
  if (request.inputs.size() != model->inputs.size()) {
    return invalid_argument("expected " + std::to_string(model->inputs.size()) + " inputs but got " +
                            std::to_string(request.inputs.size()) + " inputs for model '" + request.model + "'");
  }
  std::vector<Tensor> inputs;
  for (const api::TensorMetadata& want : model->inputs) {
    auto at = std::find_if(request.inputs.begin(), request.inputs.end(),
                           [&](const NamedTensor& t) { return t.name == want.name || request.raw_body; });
    if (at == request.inputs.end()) return invalid_argument("missing input '" + want.name + "'");
    Tensor tensor = at->tensor;
    if (request.raw_body)
      tensor = Tensor(
          TensorView{want.dtype, {1, tensor.view().elements() / int64_t(dtype_bytes(want.dtype))}, tensor.view().data},
          tensor.owner());
    if (tensor.dtype() != want.dtype) return invalid_argument("inference input '" + want.name + "' data-type is wrong");
    MOTET_RETURN_IF_ERROR(check_shape(request.model, want.name, tensor.shape(), want.shape, model->max_batch));
    inputs.push_back(tensor);
  }
  api::InferResponse response{request.model, "1", request.id, {}, {}};
  for (size_t i = 0; i < model->outputs.size(); ++i) {
    Tensor out = inputs[i];
    if (request.model == "simple") out = combine(inputs[0], inputs[1], i == 0 ? 1 : -1);
    if (request.model == "relu") out = map_floats(inputs[0], [](float v) { return v > 0 ? v : 0; });
    if (request.model == "fixed") out = map_floats(inputs[0], [](float v) { return v * 2; });
    const std::string& name = model->outputs[i].name;
    auto wanted = std::find_if(request.outputs.begin(), request.outputs.end(),
                               [&name](const api::RequestedOutput& o) { return o.name == name; });
    if (!request.outputs.empty() && wanted == request.outputs.end()) continue;
    if (!request.outputs.empty() && wanted->classification > 0)
      out = classify(out, wanted->classification, model->labels);
    response.outputs.push_back({name, out});
  }
  if (!request.outputs.empty() && response.outputs.size() != request.outputs.size())
    return invalid_argument("unexpected inference output for model '" + request.model + "'");
  return response;
}

std::shared_ptr<api::Call> FakeApi::infer(api::InferRequest request, api::InferDone done) {
  auto call = std::make_shared<Held>(*this);
  Result<api::InferResponse> result = [&] {
    std::lock_guard lock(mutex_);
    last_ = request;
    return compute(request);
  }();
  {
    std::lock_guard lock(mutex_);
    if (holding_) {
      call->done = std::move(done);
      call->result = std::move(result);
      held_.push_back(call);
      changed_.notify_all();
      return call;
    }
  }
  done(std::move(result));
  return call;
}

}  // namespace motet::http
