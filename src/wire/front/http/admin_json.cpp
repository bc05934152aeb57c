#include "wire/front/http/admin_json.h"

#include "wire/front/http/json_read.h"
#include "wire/front/http/json_text.h"

namespace motet::http {
namespace {

// Writes members and elements with their commas.
class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}
  Writer& open(char bracket) {
    separate();
    out_ += bracket;
    fresh_ = true;
    return *this;
  }
  Writer& close(char bracket) {
    out_ += bracket;
    fresh_ = false;
    return *this;
  }
  Writer& key(std::string_view name) {
    separate();
    append_json_string(out_, name);
    out_ += ':';
    fresh_ = true;
    return *this;
  }
  Writer& text(std::string_view value) {
    separate();
    append_json_string(out_, value);
    return *this;
  }
  Writer& number(uint64_t value) {
    separate();
    append_json_int(out_, value);
    return *this;
  }
  Writer& parameters(const api::Parameters& value) {
    separate();
    append_json_parameters(out_, value);
    return *this;
  }
  Writer& shape(const Shape& value) {
    separate();
    append_json_shape(out_, value);
    return *this;
  }

 private:
  void separate() {
    if (!fresh_) out_ += ',';
    fresh_ = false;
  }
  std::string& out_;
  bool fresh_ = true;
};

void write_texts(Writer& w, std::string_view key, std::span<const std::string> texts) {
  w.key(key).open('[');
  for (const std::string& text : texts) w.text(text);
  w.close(']');
}

void write_tensors(Writer& w, std::string_view key, std::span<const api::TensorMetadata> tensors) {
  w.key(key).open('[');
  for (const api::TensorMetadata& tensor : tensors) {
    w.open('{')
        .key("name")
        .text(tensor.name)
        .key("datatype")
        .text(dtype_kserve_name(tensor.dtype))
        .key("shape")
        .shape(tensor.shape)
        .close('}');
  }
  w.close(']');
}

void write_leaf(Writer& w, std::string_view key, const api::StatLeaf& leaf) {
  w.key(key).open('{').key("count").number(leaf.count).key("ns").number(leaf.ns).close('}');
}

void write_model(Writer& w, const api::ModelStatistics& model) {
  w.open('{').key("name").text(model.name).key("version").text(model.version);
  w.key("last_inference").number(model.last_inference_ms).key("inference_count").number(model.inference_count);
  w.key("execution_count").number(model.execution_count).key("inference_stats").open('{');
  write_leaf(w, "success", model.success);
  write_leaf(w, "fail", model.fail);
  write_leaf(w, "queue", model.queue);
  write_leaf(w, "compute_input", model.compute_input);
  write_leaf(w, "compute_infer", model.compute_infer);
  write_leaf(w, "compute_output", model.compute_output);
  // There is no response cache: these stay 0, and Triton's clients expect them.
  write_leaf(w, "cache_hit", {});
  write_leaf(w, "cache_miss", {});
  w.close('}').key("batch_stats").open('[');
  for (const api::BatchStatistics& batch : model.batches) {
    w.open('{').key("batch_size").number(batch.batch_size);
    write_leaf(w, "compute_input", batch.compute_input);
    write_leaf(w, "compute_infer", batch.compute_infer);
    write_leaf(w, "compute_output", batch.compute_output);
    w.close('}');
  }
  w.close(']').key("memory_usage").open('[').close(']').key("response_stats").open('{').close('}').close('}');
}

}  // namespace

std::string server_metadata_json(const api::ServerMetadata& metadata) {
  std::string out;
  Writer w(out);
  w.open('{').key("name").text(metadata.name).key("version").text(metadata.version);
  write_texts(w, "extensions", metadata.extensions);
  w.close('}');
  return out;
}

std::string model_metadata_json(const api::ModelMetadata& metadata) {
  std::string out;
  Writer w(out);
  w.open('{').key("name").text(metadata.name);
  write_texts(w, "versions", metadata.versions);
  w.key("platform").text(metadata.platform);
  write_tensors(w, "inputs", metadata.inputs);
  write_tensors(w, "outputs", metadata.outputs);
  if (!metadata.parameters.empty()) w.key("parameters").parameters(metadata.parameters);
  w.close('}');
  return out;
}

std::string statistics_json(std::span<const api::ModelStatistics> models) {
  std::string out;
  Writer w(out);
  w.open('{').key("model_stats").open('[');
  for (const api::ModelStatistics& model : models) write_model(w, model);
  w.close(']').close('}');
  return out;
}

std::string index_json(std::span<const api::IndexEntry> entries) {
  std::string out;
  Writer w(out);
  w.open('[');
  for (const api::IndexEntry& entry : entries) {
    w.open('{').key("name").text(entry.name);
    if (!entry.version.empty()) w.key("version").text(entry.version);
    if (!entry.state.empty()) w.key("state").text(entry.state);
    if (!entry.reason.empty()) w.key("reason").text(entry.reason);
    w.close('}');
  }
  w.close(']');
  return out;
}

Result<bool> parse_index(const Body& body) {
  bool ready = false;
  if (body.size() == 0) return ready;
  ondemand::parser parser;
  MOTET_RETURN_IF_ERROR(
      each_member_of_text(parser, body.text(), [&ready](std::string_view key, ondemand::value value) -> Status {
        if (key != "ready") return {};
        MOTET_ASSIGN(ready, json_get<bool>(value, key, "true or false"));
        return {};
      }));
  return ready;
}

Result<std::string> parse_load(const Body& body) {
  std::string config;
  if (body.size() == 0) return config;
  ondemand::parser parser;
  MOTET_RETURN_IF_ERROR(
      each_member_of_text(parser, body.text(), [&config](std::string_view key, ondemand::value value) -> Status {
        if (key != "parameters") return {};
        MOTET_ASSIGN(ondemand::object parameters, json_get<ondemand::object>(value, key, "an object"));
        return each_member(parameters, key, [&config](std::string_view name, ondemand::value item) -> Status {
          if (name == "config") {
            MOTET_ASSIGN(config, json_get<std::string_view>(item, name, "a string: the model's config as JSON"));
            if (config.empty())
              return invalid_argument(
                  "Unable to parse 'config': it is empty; leave it out to use the repository's config");
            return {};
          }
          if (name.starts_with("file:")) {
            return unsupported("load parameter '" + std::string(name) +
                               "' is not supported: this server loads files from its model repository only");
          }
          return invalid_argument("unknown load parameter '" + std::string(name) + "': 'config' is accepted");
        });
      }));
  return config;
}

Result<bool> parse_unload(const Body& body) {
  bool dependents = false;
  if (body.size() == 0) return dependents;
  ondemand::parser parser;
  MOTET_RETURN_IF_ERROR(
      each_member_of_text(parser, body.text(), [&dependents](std::string_view key, ondemand::value value) -> Status {
        if (key != "parameters") return {};
        MOTET_ASSIGN(ondemand::object parameters, json_get<ondemand::object>(value, key, "an object"));
        return each_member(parameters, key, [&dependents](std::string_view name, ondemand::value item) -> Status {
          if (name != "unload_dependents")
            return invalid_argument("unknown unload parameter '" + std::string(name) +
                                    "': 'unload_dependents' is accepted");
          MOTET_ASSIGN(dependents, json_get<bool>(item, name, "true or false"));
          return {};
        });
      }));
  return dependents;
}

}  // namespace motet::http
