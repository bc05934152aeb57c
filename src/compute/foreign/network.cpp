#include "compute/foreign/network.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <string_view>

#include "base/check.h"
#include "base/clock.h"

namespace motet::foreign {
namespace {

using engine::Port;

// ov_element_type_e by number, as far as tensors of ours can hold them.
constexpr std::array<std::pair<ov::ov_element_type_e, DType>, 13> kElementTypes = {{{1, DType::kBool},
                                                                                    {2, DType::kBF16},
                                                                                    {3, DType::kF16},
                                                                                    {4, DType::kF32},
                                                                                    {5, DType::kF64},
                                                                                    {7, DType::kI8},
                                                                                    {8, DType::kI16},
                                                                                    {9, DType::kI32},
                                                                                    {10, DType::kI64},
                                                                                    {16, DType::kU8},
                                                                                    {17, DType::kU16},
                                                                                    {18, DType::kU32},
                                                                                    {19, DType::kU64}}};

// The others, for reasons of refusals.
constexpr std::pair<ov::ov_element_type_e, std::string_view> kOtherTypes[] = {
    {0, "dynamic"}, {6, "i4"},      {11, "u1"},     {12, "u2"},     {13, "u3"},     {14, "u4"},    {15, "u6"},
    {20, "nf4"},    {21, "f8e4m3"}, {22, "f8e5m2"}, {23, "string"}, {24, "f4e2m1"}, {25, "f8e8m0"}};

std::string type_text(ov::ov_element_type_e type) {
  for (const auto& [number, name] : kOtherTypes)
    if (number == type) return std::string(name);
  return "number " + std::to_string(type) + " of OpenVINO's";
}

std::optional<DType> dtype_of(ov::ov_element_type_e type) {
  for (const auto& [number, dtype] : kElementTypes)
    if (number == type) return dtype;
  return std::nullopt;
}

ov::ov_element_type_e element_type(DType dtype) {
  for (const auto& [number, known] : kElementTypes)
    if (known == dtype) return number;
  MOTET_CHECK(false, "ports have types that OpenVINO has");
  return 0;
}

// Deletes with a function of the API.
template <class T>
class Held {
 public:
  Held(const ov::Api& api, void (*ov::Api::*free)(T*)) : api_(api), free_(free) {}
  ~Held() {
    if (object_ != nullptr) (api_.*free_)(object_);
  }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  T** out() { return &object_; }
  T* get() const { return object_; }
  T* release() { return std::exchange(object_, nullptr); }

 private:
  const ov::Api& api_;
  void (*ov::Api::*free_)(T*);
  T* object_ = nullptr;
};

Result<Port> port_of(const ov::Api& api, const ov::ov_output_const_port_t* port, const std::string& fallback) {
  Port result{.name = fallback};
  char* name = nullptr;
  if (api.ov_port_get_any_name(port, &name) == 0 && name != nullptr) {
    result.name = name;
    api.ov_free(name);
  }
  ov::ov_element_type_e type = 0;
  MOTET_RETURN_IF_ERROR(api.check(api.ov_port_get_element_type(port, &type), "type of '" + result.name + "'"));
  auto dtype = dtype_of(type);
  if (!dtype)
    return unsupported("openvino: '" + result.name + "' has element type " + type_text(type) +
                       "; accepted are bool, bf16, f16, f32, f64 and integers of 8 to 64 bits");
  result.dtype = *dtype;
  ov::ov_partial_shape_t shape{};
  MOTET_RETURN_IF_ERROR(api.check(api.ov_port_get_partial_shape(port, &shape), "shape of '" + result.name + "'"));
  bool ranked = shape.rank.min == shape.rank.max;
  for (int64_t d = 0; ranked && d < shape.rank.max; ++d)
    result.shape.push_back(shape.dims[d].min == shape.dims[d].max ? shape.dims[d].min : -1);
  api.ov_partial_shape_free(&shape);
  if (!ranked) return unsupported("openvino: '" + result.name + "' may have any rank; accepted is a fixed rank");
  return result;
}

}  // namespace

Result<std::shared_ptr<Library>> Library::open(const std::filesystem::path& directory, Threads threads) {
  MOTET_ASSIGN(auto file, ov::find_library(directory));
  OneCpu one(threads);
  MOTET_ASSIGN(ov::Api api, ov::load_api(file));
  std::shared_ptr<Library> library(new Library(api, threads));
  MOTET_RETURN_IF_ERROR(api.check(api.ov_core_create(&library->core_), "a core of " + file.string()));
  ov::ov_version_t version{};
  MOTET_RETURN_IF_ERROR(api.check(api.ov_get_openvino_version(&version), "the version"));
  std::string build = version.buildNumber;
  library->version_ = build.substr(0, build.find('-'));
  api.ov_version_free(&version);
  return library;
}

Compiled::~Compiled() {
  library_->api().ov_infer_request_free(request_);
  library_->api().ov_compiled_model_free(model_);
}

Status Compiled::bind(size_t index, const TensorView& view, bool input) {
  const ov::Api& api = library_->api();
  alignas(64) static std::byte nothing[64];  // what an empty tensor points to
  Shape extents = view.shape;
  ov::ov_shape_t shape{static_cast<int64_t>(extents.size()), extents.data()};
  Held<ov::ov_tensor_t> tensor(api, &ov::Api::ov_tensor_free);
  void* data = view.bytes() == 0 ? nothing : view.data;
  std::string what = (input ? "input " : "output ") + std::to_string(index);
  MOTET_RETURN_IF_ERROR(
      api.check(api.ov_tensor_create_from_host_ptr(element_type(view.dtype), shape, data, tensor.out()), what));
  return api.check(input ? api.ov_infer_request_set_input_tensor_by_index(request_, index, tensor.get())
                         : api.ov_infer_request_set_output_tensor_by_index(request_, index, tensor.get()),
                   what);
}

Status Compiled::infer(std::span<const TensorView> inputs, std::span<const TensorView> outputs) {
  const ov::Api& api = library_->api();
  for (size_t i = 0; i < inputs.size(); ++i) MOTET_RETURN_IF_ERROR(bind(i, inputs[i], true));
  for (size_t o = 0; o < outputs.size(); ++o)
    if (outputs[o].data != nullptr) MOTET_RETURN_IF_ERROR(bind(o, outputs[o], false));
  constexpr ov::ov_status_e kInferCancelled = -13;
  ov::ov_status_e status = api.ov_infer_request_infer(request_);
  if (status == kInferCancelled) return Error{Code::kCancelled, "openvino: cancelled"};
  return api.check(status, "run");
}

Status Compiled::infer_zeros() {
  ZeroTensors zeros(inputs_, outputs_);
  return infer(zeros.inputs(), zeros.outputs());
}

void Compiled::cancel() { (void)library_->api().ov_infer_request_cancel(request_); }

Result<Tensor> Compiled::output(size_t port) const {
  const ov::Api& api = library_->api();
  std::string what = "output '" + outputs_[port].name + "'";
  Held<ov::ov_tensor_t> tensor(api, &ov::Api::ov_tensor_free);
  MOTET_RETURN_IF_ERROR(api.check(api.ov_infer_request_get_output_tensor_by_index(request_, port, tensor.out()), what));
  ov::ov_shape_t extents{};
  MOTET_RETURN_IF_ERROR(api.check(api.ov_tensor_get_shape(tensor.get(), &extents), what));
  Shape shape(extents.dims, extents.dims + extents.rank);
  (void)api.ov_shape_free(&extents);
  Tensor result = Tensor::zeros(outputs_[port].dtype, std::move(shape));
  if (result.view().bytes() == 0) return result;
  void* data = nullptr;
  MOTET_RETURN_IF_ERROR(api.check(api.ov_tensor_data(tensor.get(), &data), what));
  std::memcpy(result.view().data, data, result.view().bytes());
  return result;
}

Result<std::unique_ptr<Network>> Network::read(std::shared_ptr<const Library> library,
                                               const std::filesystem::path& path) {
  const ov::Api& api = library->api();
  OneCpu one(library->threads());
  ov::ov_model_t* model = nullptr;
  MOTET_RETURN_IF_ERROR(
      api.check(api.ov_core_read_model(library->core(), path.c_str(), nullptr, &model), "'" + path.string() + "'"));
  std::unique_ptr<Network> network(new Network(std::move(library), model));
  MOTET_ASSIGN(network->inputs_, network->ports(true));
  MOTET_ASSIGN(network->outputs_, network->ports(false));
  return network;
}

Network::~Network() { library_->api().ov_model_free(model_); }

Result<std::vector<Port>> Network::ports(bool inputs) const {
  const ov::Api& api = library_->api();
  size_t count = 0;
  MOTET_RETURN_IF_ERROR(api.check(
      inputs ? api.ov_model_inputs_size(model_, &count) : api.ov_model_outputs_size(model_, &count), "ports"));
  std::vector<Port> list;
  for (size_t i = 0; i < count; ++i) {
    std::string fallback = (inputs ? "input_" : "output_") + std::to_string(i);
    Held<ov::ov_output_const_port_t> port(api, &ov::Api::ov_output_const_port_free);
    MOTET_RETURN_IF_ERROR(api.check(inputs ? api.ov_model_const_input_by_index(model_, i, port.out())
                                           : api.ov_model_const_output_by_index(model_, i, port.out()),
                                    fallback));
    MOTET_ASSIGN(Port found, port_of(api, port.get(), fallback));
    list.push_back(std::move(found));
  }
  return list;
}

size_t Network::find_input(const std::string& name) const {
  const ov::Api& api = library_->api();
  for (size_t i = 0; i < inputs_.size(); ++i)
    if (inputs_[i].name == name) return i;
  Held<ov::ov_output_const_port_t> port(api, &ov::Api::ov_output_const_port_free);
  if (api.ov_model_const_input_by_name(model_, name.c_str(), port.out()) != 0) return inputs_.size();
  char* any = nullptr;
  if (api.ov_port_get_any_name(port.get(), &any) != 0 || any == nullptr) return inputs_.size();
  std::string canonical = any;
  api.ov_free(any);
  for (size_t i = 0; i < inputs_.size(); ++i)
    if (inputs_[i].name == canonical) return i;
  return inputs_.size();
}

Status Network::reshape(const std::vector<Shape>& shapes) {
  const ov::Api& api = library_->api();
  std::vector<size_t> indexes(shapes.size());
  std::vector<std::vector<ov::ov_dimension_t>> dims(shapes.size());
  std::vector<ov::ov_partial_shape_t> partial(shapes.size());
  std::string text;
  for (size_t i = 0; i < shapes.size(); ++i) {
    indexes[i] = i;
    for (int64_t extent : shapes[i])
      dims[i].push_back(extent < 0 ? ov::ov_dimension_t{0, -1} : ov::ov_dimension_t{extent, extent});
    auto rank = static_cast<int64_t>(shapes[i].size());
    partial[i] = {{rank, rank}, dims[i].data()};
    text += (text.empty() ? "" : ", ") + shape_to_string(shapes[i]);
  }
  if (shapes.empty()) return {};
  return api.check(api.ov_model_reshape_by_port_indexes(model_, indexes.data(), partial.data(), shapes.size()),
                   "input shapes " + text);
}

bool Network::batchable() {
  auto open_rows = [](const Port& port) { return !port.shape.empty() && port.shape[0] < 0; };
  if (inputs_.empty() || outputs_.empty()) return false;
  if (!std::all_of(inputs_.begin(), inputs_.end(), open_rows)) return false;
  if (!std::all_of(outputs_.begin(), outputs_.end(), open_rows)) return false;
  OneCpu one(library_->threads());
  std::vector<Shape> declared;
  for (const Port& port : inputs_) declared.push_back(port.shape);
  auto outputs_for = [&](int64_t rows) -> std::vector<Port> {
    std::vector<Shape> shapes = declared;
    for (Shape& shape : shapes) shape[0] = rows;
    if (!reshape(shapes).ok()) return {};
    auto found = ports(false);
    return found.ok() ? std::move(found).value() : std::vector<Port>();
  };
  auto two = outputs_for(2);
  auto three = outputs_for(3);
  bool rows_stay = reshape(declared).ok() && two.size() == outputs_.size() && three.size() == two.size();
  for (size_t o = 0; rows_stay && o < two.size(); ++o) {
    Shape a = two[o].shape;
    Shape b = three[o].shape;
    rows_stay = !a.empty() && a.size() == b.size() && a[0] == 2 && b[0] == 3;
    if (rows_stay) a[0] = b[0];
    rows_stay = rows_stay && a == b;
  }
  return rows_stay;
}

Result<std::unique_ptr<Compiled>> Network::compile(const std::vector<Shape>& shapes, int threads,
                                                   engine::Precision precision) {
  const ov::Api& api = library_->api();
  if (precision == engine::Precision::kInt8)
    return unsupported("openvino: a model keeps the integers it was made with; precision exact or bf16 is accepted");
  OneCpu one(library_->threads());
  MOTET_RETURN_IF_ERROR(reshape(shapes));
  MOTET_ASSIGN(auto in, ports(true));
  MOTET_ASSIGN(auto out, ports(false));
  std::string count = std::to_string(threads);
  const char* type = precision == engine::Precision::kBf16 ? "bf16" : "f32";
  // One stream with no thread of its own: infer() runs on its caller. Nothing is pinned: affinity is the caller's.
  std::array<ov::ov_property_t, 6> properties = {{{"NUM_STREAMS", "1"},
                                                  {"INFERENCE_NUM_THREADS", count.c_str()},
                                                  {"ENABLE_CPU_PINNING", "NO"},
                                                  {"ENABLE_HYPER_THREADING", "YES"},
                                                  {"INFERENCE_PRECISION_HINT", type},
                                                  {"EXECUTION_MODE_HINT", "ACCURACY"}}};
  Held<ov::ov_compiled_model_t> compiled(api, &ov::Api::ov_compiled_model_free);
  MOTET_RETURN_IF_ERROR(api.check(api.ov_core_compile_model_props(library_->core(), model_, "CPU", properties.size(),
                                                                  properties.data(), compiled.out()),
                                  "compiling"));
  ov::ov_infer_request_t* request = nullptr;
  MOTET_RETURN_IF_ERROR(
      api.check(api.ov_compiled_model_create_infer_request(compiled.get(), &request), "an infer request"));
  return std::make_unique<Compiled>(library_, compiled.release(), request, std::move(in), std::move(out));
}

OneCpu::OneCpu(Threads threads) {
  if (threads != Threads::kCallersOnly) return;
  // Room for as many CPUs as the kernel may have.
  std::vector<unsigned char> mask(8192 / 8);
  auto* set = reinterpret_cast<cpu_set_t*>(mask.data());
  int cpu = sched_getcpu();
  if (cpu < 0 || sched_getaffinity(0, mask.size(), set) != 0) return;
  if (!CPU_ISSET_S(static_cast<size_t>(cpu), mask.size(), set)) return;
  before_ = mask;
  CPU_ZERO_S(mask.size(), set);
  CPU_SET_S(static_cast<size_t>(cpu), mask.size(), set);
  if (sched_setaffinity(0, mask.size(), set) != 0) before_.clear();
}

OneCpu::~OneCpu() {
  if (!before_.empty()) (void)sched_setaffinity(0, before_.size(), reinterpret_cast<const cpu_set_t*>(before_.data()));
}

ZeroTensors::ZeroTensors(const std::vector<Port>& inputs, const std::vector<Port>& outputs) {
  for (const Port& port : inputs) {
    tensors_.push_back(Tensor::zeros(port.dtype, port.shape));
    inputs_.push_back(tensors_.back().view());
  }
  for (const Port& port : outputs) {
    bool fixed = std::all_of(port.shape.begin(), port.shape.end(), [](int64_t extent) { return extent >= 0; });
    if (fixed) tensors_.push_back(Tensor::zeros(port.dtype, port.shape));
    outputs_.push_back(fixed ? tensors_.back().view() : TensorView{port.dtype, port.shape, nullptr});
  }
}

Nanos time_runs(const std::function<Status()>& run) {
  constexpr Nanos kBudget = Nanos::from_millis(150);
  constexpr int kMost = 100;
  SteadyClock clock;
  Nanos begin = clock.now();
  Nanos shortest = kNever;
  for (int i = 0; i < kMost && (i < 3 || clock.now() - begin < kBudget); ++i) {
    Nanos before = clock.now();
    if (!run().ok()) return Nanos(0);
    shortest = std::min(shortest, clock.now() - before);
  }
  return shortest;
}

Bytes resident_bytes() {
  std::ifstream file("/proc/self/status");
  std::string line;
  while (std::getline(file, line))
    if (line.starts_with("RssAnon:")) return Bytes(std::strtoll(line.c_str() + 8, nullptr, 10) * 1024);
  return Bytes(0);
}

}  // namespace motet::foreign
