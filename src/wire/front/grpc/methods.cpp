#include "wire/front/grpc/methods.h"

#include <grpcpp/support/proto_buffer_reader.h>

#include <algorithm>
#include <array>

#include "wire/front/grpc/parameter.h"
#include "wire/proto/grpc_service.pb.h"
#include "wire/proto/health.pb.h"

namespace motet::grpc {
namespace {

using inference::ModelConfigRequest;
using inference::ModelConfigResponse;

template <class Message>
Result<Message> parse(::grpc::ByteBuffer& bytes) {
  Message message;
  ::grpc::ProtoBufferReader reader(&bytes);
  if (reader.status().ok() && message.ParseFromZeroCopyStream(&reader)) return message;
  return invalid_argument("the message of " + std::to_string(bytes.Length()) + " bytes is not a " +
                          Message::descriptor()->name());
}

::grpc::ByteBuffer serialise(const google::protobuf::Message& message) {
  const std::string text = message.SerializeAsString();
  ::grpc::Slice slice(text);
  return {&slice, 1};
}

// A Handler from a function that answers at once.
template <class Request, class Response>
using Immediate = Status (*)(api::Api&, const Request&, Response&);

template <class Request, class Response, Immediate<Request, Response> kHandle>
void immediately(api::Api& api, ::grpc::ByteBuffer& message, Answer answer) {
  auto request = parse<Request>(message);
  if (!request.ok()) return answer(std::move(request).error());
  Response response;
  if (Status status = kHandle(api, *request, response); !status.ok()) return answer(std::move(status).error());
  answer(serialise(response));
}

// ---- health and metadata
// ----------------------------------------------------------------------------------------------

Status server_live(api::Api& api, const inference::ServerLiveRequest&, inference::ServerLiveResponse& out) {
  out.set_live(api.live());
  return {};
}

Status server_ready(api::Api& api, const inference::ServerReadyRequest&, inference::ServerReadyResponse& out) {
  out.set_ready(api.ready());
  return {};
}

// A model that is not there is not ready; that is an answer, not an error.
Status model_ready(api::Api& api, const inference::ModelReadyRequest& in, inference::ModelReadyResponse& out) {
  auto ready = api.model_ready(in.name(), in.version());
  if (!ready.ok() && ready.error().code != Code::kNotFound) return std::move(ready).error();
  out.set_ready(ready.ok() && *ready);
  return {};
}

Status health_check(api::Api& api, const ::grpc::health::v1::HealthCheckRequest& in,
                    ::grpc::health::v1::HealthCheckResponse& out) {
  if (!in.service().empty() && in.service() != "inference.GRPCInferenceService")
    return not_found("service '" + in.service() +
                     "' is not known; accepted are '' and 'inference.GRPCInferenceService'");
  using Health = ::grpc::health::v1::HealthCheckResponse;
  out.set_status(api.live() && api.ready() ? Health::SERVING : Health::NOT_SERVING);
  return {};
}

Status server_metadata(api::Api& api, const inference::ServerMetadataRequest&, inference::ServerMetadataResponse& out) {
  api::ServerMetadata server = api.server_metadata();
  out.set_name(server.name);
  out.set_version(server.version);
  for (const std::string& extension : server.extensions) out.add_extensions(extension);
  return {};
}

template <class Out>
void write_tensors(const std::vector<api::TensorMetadata>& tensors, Out* out) {
  for (const api::TensorMetadata& tensor : tensors) {
    auto* added = out->Add();
    added->set_name(tensor.name);
    added->set_datatype(std::string(dtype_kserve_name(tensor.dtype)));
    added->mutable_shape()->Assign(tensor.shape.begin(), tensor.shape.end());
  }
}

Status model_metadata(api::Api& api, const inference::ModelMetadataRequest& in, inference::ModelMetadataResponse& out) {
  MOTET_ASSIGN(api::ModelMetadata model, api.model_metadata(in.name(), in.version()));
  out.set_name(model.name);
  out.set_platform(model.platform);
  for (const std::string& version : model.versions) out.add_versions(version);
  write_tensors(model.inputs, out.mutable_inputs());
  write_tensors(model.outputs, out.mutable_outputs());
  for (const auto& [key, value] : model.parameters) set_parameter((*out.mutable_parameters())[key], value);
  return {};
}

Status model_config(api::Api& api, const ModelConfigRequest& in, ModelConfigResponse& out) {
  MOTET_ASSIGN(auto config, api.model_config(in.name(), in.version()));
  *out.mutable_config() = *config;
  return {};
}

// ---- statistics and index
// ---------------------------------------------------------------------------------------------

void write_leaf(const api::StatLeaf& leaf, inference::StatisticDuration* out) {
  out->set_count(leaf.count);
  out->set_ns(leaf.ns);
}

void write_statistics(const api::ModelStatistics& model, inference::ModelStatistics* out) {
  out->set_name(model.name);
  out->set_version(model.version);
  out->set_last_inference(model.last_inference_ms);
  out->set_inference_count(model.inference_count);
  out->set_execution_count(model.execution_count);
  inference::InferStatistics* all = out->mutable_inference_stats();
  write_leaf(model.success, all->mutable_success());
  write_leaf(model.fail, all->mutable_fail());
  write_leaf(model.queue, all->mutable_queue());
  write_leaf(model.compute_input, all->mutable_compute_input());
  write_leaf(model.compute_infer, all->mutable_compute_infer());
  write_leaf(model.compute_output, all->mutable_compute_output());
  write_leaf({}, all->mutable_cache_hit());
  write_leaf({}, all->mutable_cache_miss());
  for (const api::BatchStatistics& batch : model.batches) {
    inference::InferBatchStatistics* added = out->add_batch_stats();
    added->set_batch_size(batch.batch_size);
    write_leaf(batch.compute_input, added->mutable_compute_input());
    write_leaf(batch.compute_infer, added->mutable_compute_infer());
    write_leaf(batch.compute_output, added->mutable_compute_output());
  }
}

Status model_statistics(api::Api& api, const inference::ModelStatisticsRequest& in,
                        inference::ModelStatisticsResponse& out) {
  MOTET_ASSIGN(auto models, api.statistics(in.name(), in.version()));
  for (const api::ModelStatistics& model : models) write_statistics(model, out.add_model_stats());
  return {};
}

Status refuse_repository_name(const std::string& name) {
  if (name.empty()) return {};
  return unsupported("'repository_name' specification is not supported: it is '" + name + "'; leave it out");
}

Status repository_index(api::Api& api, const inference::RepositoryIndexRequest& in,
                        inference::RepositoryIndexResponse& out) {
  MOTET_RETURN_IF_ERROR(refuse_repository_name(in.repository_name()));
  MOTET_ASSIGN(auto entries, api.index(in.ready()));
  for (const api::IndexEntry& entry : entries) {
    auto* model = out.add_models();
    model->set_name(entry.name);
    model->set_version(entry.version);
    model->set_state(entry.state);
    model->set_reason(entry.reason);
  }
  return {};
}

// ---- load and unload
// --------------------------------------------------------------------------------------------------

Result<std::string> load_config(const inference::RepositoryModelLoadRequest& in) {
  MOTET_RETURN_IF_ERROR(refuse_repository_name(in.repository_name()));
  std::string config;
  for (const auto& [key, value] : in.parameters()) {
    if (key.starts_with("file:"))
      return unsupported("load parameter '" + key + "' is not done: files are taken from the model repository only");
    if (key != "config") return invalid_argument("load parameter '" + key + "' is not known; accepted is 'config'");
    if (!value.has_string_param())
      return invalid_argument("load parameter 'config' is not a string; accepted is a model config in JSON");
    config = value.string_param();
  }
  return config;
}

Result<bool> unload_dependents(const inference::RepositoryModelUnloadRequest& in) {
  MOTET_RETURN_IF_ERROR(refuse_repository_name(in.repository_name()));
  bool dependents = false;
  for (const auto& [key, value] : in.parameters()) {
    if (key != "unload_dependents")
      return invalid_argument("unload parameter '" + key + "' is not known; accepted is 'unload_dependents'");
    if (!value.has_bool_param())
      return invalid_argument("unload parameter 'unload_dependents' is not a bool; accepted is true or false");
    dependents = value.bool_param();
  }
  return dependents;
}

template <class Response>
api::StatusDone status_answer(Answer answer) {
  return [answer = std::move(answer)](Status status) {
    if (!status.ok()) return answer(std::move(status).error());
    answer(serialise(Response()));
  };
}

void load_model(api::Api& api, ::grpc::ByteBuffer& message, Answer answer) {
  auto request = parse<inference::RepositoryModelLoadRequest>(message);
  if (!request.ok()) return answer(std::move(request).error());
  auto config = load_config(*request);
  if (!config.ok()) return answer(std::move(config).error());
  api.load(request->model_name(), *config, api::Principal{},
           status_answer<inference::RepositoryModelLoadResponse>(std::move(answer)));
}

void unload_model(api::Api& api, ::grpc::ByteBuffer& message, Answer answer) {
  auto request = parse<inference::RepositoryModelUnloadRequest>(message);
  if (!request.ok()) return answer(std::move(request).error());
  auto dependents = unload_dependents(*request);
  if (!dependents.ok()) return answer(std::move(dependents).error());
  api.unload(request->model_name(), *dependents, api::Principal{},
             status_answer<inference::RepositoryModelUnloadResponse>(std::move(answer)));
}

// ---- what this server does not do: asked about, it says so; asked to do it, it refuses
// ----------------------------------

constexpr char kSystem[] = "system";
constexpr char kCuda[] = "CUDA";

template <class Request, class Response, const char* kKind>
Status memory_status(api::Api&, const Request& in, Response&) {
  if (in.name().empty()) return {};
  return not_found("Unable to find " + std::string(kKind) + " shared memory region: '" + in.name() +
                   "'; none is registered");
}

template <class Request, class Response, const char* kKind>
Status memory_register(api::Api&, const Request& in, Response&) {
  return unsupported(std::string(kKind) + " shared memory is not done by this server; region '" + in.name() +
                     "' is not registered, send tensors in the message");
}

// None is registered, so afterwards none is.
template <class Request, class Response>
Status memory_unregister(api::Api&, const Request&, Response&) {
  return {};
}

Status trace_setting(api::Api&, const inference::TraceSettingRequest& in, inference::TraceSettingResponse& out) {
  if (!in.settings().empty())
    return unsupported("tracing is not done by this server; trace setting '" + in.settings().begin()->first +
                       "' is not changed");
  (*out.mutable_settings())["trace_level"].add_value("OFF");
  for (const auto& [key, value] :
       {std::pair("trace_rate", "1000"), std::pair("trace_count", "-1"), std::pair("log_frequency", "0"),
        std::pair("trace_file", ""), std::pair("trace_mode", "triton")})
    (*out.mutable_settings())[key].add_value(value);
  return {};
}

Status log_settings(api::Api&, const inference::LogSettingsRequest& in, inference::LogSettingsResponse& out) {
  if (!in.settings().empty())
    return unsupported("log settings are fixed when the server starts; '" + in.settings().begin()->first +
                       "' is not changed");
  auto& settings = *out.mutable_settings();
  for (const char* level : {"log_info", "log_warning", "log_error"}) settings[level].set_bool_param(true);
  settings["log_verbose_level"].set_uint32_param(0);
  settings["log_file"].set_string_param("");
  settings["log_format"].set_string_param("default");
  return {};
}

struct Method {
  std::string_view name;
  Handler handler;
};

#define MOTET_METHOD(name, function)                                               \
  Method {                                                                         \
    "/inference.GRPCInferenceService/" #name,                                      \
        immediately<inference::name##Request, inference::name##Response, function> \
  }
#define MOTET_MEMORY(kind, constant)                                                                                \
  MOTET_METHOD(kind##SharedMemoryStatus, (memory_status<inference::kind##SharedMemoryStatusRequest,                 \
                                                        inference::kind##SharedMemoryStatusResponse, constant>)),   \
      MOTET_METHOD(kind##SharedMemoryRegister,                                                                      \
                   (memory_register<inference::kind##SharedMemoryRegisterRequest,                                   \
                                    inference::kind##SharedMemoryRegisterResponse, constant>)),                     \
      MOTET_METHOD(kind##SharedMemoryUnregister, (memory_unregister<inference::kind##SharedMemoryUnregisterRequest, \
                                                                    inference::kind##SharedMemoryUnregisterResponse>))

constexpr auto kMethods = std::to_array<Method>({
    MOTET_METHOD(ServerLive, server_live),
    MOTET_METHOD(ServerReady, server_ready),
    MOTET_METHOD(ModelReady, model_ready),
    MOTET_METHOD(ServerMetadata, server_metadata),
    MOTET_METHOD(ModelMetadata, model_metadata),
    MOTET_METHOD(ModelConfig, model_config),
    MOTET_METHOD(ModelStatistics, model_statistics),
    MOTET_METHOD(RepositoryIndex, repository_index),
    {"/inference.GRPCInferenceService/RepositoryModelLoad", load_model},
    {"/inference.GRPCInferenceService/RepositoryModelUnload", unload_model},
    MOTET_MEMORY(System, kSystem),
    MOTET_MEMORY(Cuda, kCuda),
    MOTET_METHOD(TraceSetting, trace_setting),
    MOTET_METHOD(LogSettings, log_settings),
    {"/grpc.health.v1.Health/Check",
     immediately<::grpc::health::v1::HealthCheckRequest, ::grpc::health::v1::HealthCheckResponse, health_check>},
});

#undef MOTET_MEMORY
#undef MOTET_METHOD

}  // namespace

Handler find_handler(std::string_view method) {
  auto found = std::find_if(kMethods.begin(), kMethods.end(), [&](const Method& m) { return m.name == method; });
  return found == kMethods.end() ? nullptr : found->handler;
}

}  // namespace motet::grpc
