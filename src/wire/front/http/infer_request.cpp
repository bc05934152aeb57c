#include "wire/front/http/infer_request.h"

#include <charconv>
#include <limits>
#include <set>
#include <vector>

#include "wire/front/http/json_read.h"
#include "wire/front/http/json_tensor.h"

namespace motet::http {
namespace {

constexpr size_t kMaxRank = 64;

// One element of "inputs" while its members are read.
struct InputFields {
  std::optional<std::string> name;
  std::optional<Shape> shape;
  std::optional<DType> dtype;
  std::optional<Tensor> data;
  std::string_view pending_data;  // text of "data" that came before shape or datatype
  bool has_data = false;
  std::optional<uint64_t> binary_bytes;
  std::optional<std::string> region;
};

class InferParser {
 public:
  InferParser(std::shared_ptr<const Body> body, size_t json_bytes)
      : body_(std::move(body)), json_bytes_(json_bytes), binary_at_(json_bytes) {}

  Result<InferBody> parse() {
    ondemand::parser parser;
    MOTET_RETURN_IF_ERROR(
        each_member_of_text(parser, body_->text().substr(0, json_bytes_),
                            [this](std::string_view key, ondemand::value value) { return member(key, value); }));
    if (!seen_.contains("inputs")) return invalid_argument("Unable to parse 'inputs': the request has no such member");
    if (binary_at_ != body_->size()) {
      return invalid_argument("unexpected additional input data: " + std::to_string(body_->size() - binary_at_) +
                              " bytes follow the tensors that the request names");
    }
    return std::move(out_);
  }

 private:
  Status once(std::set<std::string, std::less<>>& seen, std::string_view key, std::string_view what) {
    if (seen.emplace(key).second) return {};
    return invalid_argument("'" + std::string(key) + "' is given twice in " + std::string(what));
  }

  Status member(std::string_view key, ondemand::value value) {
    if (key != "id" && key != "inputs" && key != "outputs" && key != "parameters")
      return {};  // as Triton: unknown members are let pass
    MOTET_RETURN_IF_ERROR(once(seen_, key, "the request"));
    if (key == "id") {
      MOTET_ASSIGN(out_.request.id, json_get<std::string_view>(value, "id", "a string"));
      return {};
    }
    if (key == "parameters") return request_parameters(value);
    MOTET_ASSIGN(ondemand::array array, json_get<ondemand::array>(value, key, "an array"));
    if (key == "inputs")
      return each_element(array, "inputs", [this](ondemand::value element) { return input(element); });
    return each_element(array, "outputs", [this](ondemand::value element) { return output(element); });
  }

  Result<api::Parameter> parameter(std::string_view key, ondemand::value value) {
    bool flag = false;
    int64_t whole = 0;
    double real = 0;
    std::string_view text;
    if (value.get_bool().get(flag) == simdjson::SUCCESS) return api::Parameter(flag);
    if (value.get_int64().get(whole) == simdjson::SUCCESS) return api::Parameter(whole);
    if (value.get_double().get(real) == simdjson::SUCCESS) return api::Parameter(real);
    if (value.get_string().get(text) == simdjson::SUCCESS) return api::Parameter(std::string(text));
    return invalid_argument("parameter '" + std::string(key) +
                            "' has invalid type. It should be either 'int', 'bool', 'double', or 'string'.");
  }

  Status request_parameters(ondemand::value value) {
    MOTET_ASSIGN(ondemand::object object, json_get<ondemand::object>(value, "parameters", "an object"));
    std::set<std::string, std::less<>> seen;
    return each_member(object, "parameters", [this, &seen](std::string_view key, ondemand::value item) -> Status {
      MOTET_RETURN_IF_ERROR(once(seen, key, "the parameters"));
      if (key == "priority") {
        MOTET_ASSIGN(out_.request.priority, json_get<uint64_t>(item, key, "an integer >= 0"));
        return {};
      }
      if (key == "timeout") {
        MOTET_ASSIGN(uint64_t timeout, json_get<uint64_t>(item, key, "an integer >= 0, in microseconds"));
        out_.request.timeout_us =
            static_cast<int64_t>(std::min<uint64_t>(timeout, std::numeric_limits<int64_t>::max()));
        return {};
      }
      if (key == "binary_data_output") {
        MOTET_ASSIGN(out_.format.binary_default, json_get<bool>(item, key, "true or false"));
        return {};
      }
      if (key == "headers" || (key.starts_with("triton_") && key != "triton_enable_empty_final_response")) {
        return invalid_argument("parameter keys starting with 'triton_' and the key 'headers' are reserved: '" +
                                std::string(key) + "' must not be a parameter");
      }
      std::string name(key);
      MOTET_ASSIGN(api::Parameter read, parameter(key, item));
      out_.request.parameters[std::move(name)] = std::move(read);
      return {};
    });
  }

  Status output(ondemand::value value) {
    MOTET_ASSIGN(ondemand::object object, json_get<ondemand::object>(value, "outputs", "an array of objects"));
    api::RequestedOutput wanted;
    std::optional<bool> binary;
    std::set<std::string, std::less<>> seen;
    MOTET_RETURN_IF_ERROR(each_member(object, "outputs", [&](std::string_view key, ondemand::value item) -> Status {
      if (key != "name" && key != "parameters") return {};
      MOTET_RETURN_IF_ERROR(once(seen, key, "an output"));
      if (key == "name") {
        MOTET_ASSIGN(wanted.name, json_get<std::string_view>(item, "name", "a string"));
        return {};
      }
      MOTET_ASSIGN(ondemand::object parameters, json_get<ondemand::object>(item, "parameters", "an object"));
      return each_member(parameters, "parameters", [&](std::string_view name, ondemand::value parameter) {
        return output_parameter(name, parameter, wanted, binary);
      });
    }));
    if (!seen.contains("name")) return invalid_argument("Unable to parse 'name': an output has no such member");
    return add_output(std::move(wanted), binary);
  }

  Status output_parameter(std::string_view key, ondemand::value value, api::RequestedOutput& wanted,
                          std::optional<bool>& binary) {
    if (key == "binary_data") {
      MOTET_ASSIGN(binary, json_get<bool>(value, key, "true or false"));
    } else if (key == "classification") {
      MOTET_ASSIGN(uint64_t k,
                   json_get<uint64_t>(value, key, "an integer >= 0: how many of the best classes to return"));
      wanted.classification = static_cast<int64_t>(std::min<uint64_t>(k, std::numeric_limits<int64_t>::max()));
    } else if (key.starts_with("shared_memory_")) {
      return unknown_region(value, key);
    }
    return {};
  }

  // The same output twice is one output, as long as both ask for the same.
  Status add_output(api::RequestedOutput wanted, std::optional<bool> binary) {
    for (const api::RequestedOutput& other : out_.request.outputs) {
      if (other.name != wanted.name) continue;
      auto at = out_.format.binary.find(wanted.name);
      std::optional<bool> other_binary =
          at == out_.format.binary.end() ? std::nullopt : std::optional<bool>(at->second);
      if (other.classification == wanted.classification && other_binary == binary) return {};
      return invalid_argument("output '" + wanted.name + "' is asked for twice with different parameters");
    }
    if (binary) out_.format.binary[wanted.name] = *binary;
    out_.request.outputs.push_back(std::move(wanted));
    return {};
  }

  // No region can be registered with this server, so that none is known.
  static Status unknown_region(ondemand::value value, std::string_view key) {
    if (key != "shared_memory_region") return {};
    MOTET_ASSIGN(std::string_view region, json_get<std::string_view>(value, key, "a string"));
    return not_found("Unable to find shared memory region: '" + std::string(region) + "'");
  }

  Status input(ondemand::value value) {
    MOTET_ASSIGN(ondemand::object object, json_get<ondemand::object>(value, "inputs", "an array of objects"));
    InputFields fields;
    std::set<std::string, std::less<>> seen;
    MOTET_RETURN_IF_ERROR(each_member(object, "inputs", [&](std::string_view key, ondemand::value item) -> Status {
      if (key != "name" && key != "shape" && key != "datatype" && key != "data" && key != "parameters") return {};
      MOTET_RETURN_IF_ERROR(once(seen, key, "an input"));
      return input_member(key, item, fields);
    }));
    for (const char* needed : {"name", "shape", "datatype"}) {
      if (!seen.contains(needed))
        return invalid_argument("Unable to parse '" + std::string(needed) + "': an input has no such member");
    }
    for (const NamedTensor& other : out_.request.inputs) {
      if (other.name == *fields.name)
        return invalid_argument("[request id: " + request_id() + "] input '" + *fields.name +
                                "' already exists in request");
    }
    return add_input(fields);
  }

  std::string request_id() const { return out_.request.id.empty() ? "<id_unknown>" : out_.request.id; }

  Status input_member(std::string_view key, ondemand::value value, InputFields& fields) {
    if (key == "name") {
      MOTET_ASSIGN(std::string_view name, json_get<std::string_view>(value, key, "a string"));
      fields.name = name;
    } else if (key == "datatype") {
      MOTET_ASSIGN(std::string_view name, json_get<std::string_view>(value, key, "a string"));
      fields.dtype = dtype_from_kserve(name);
      if (!fields.dtype) {
        return invalid_argument("invalid datatype '" + std::string(name.substr(0, 64)) + "' for input " +
                                fields.name.value_or("") +
                                ": it must be one of BOOL, UINT8, UINT16, UINT32, UINT64, INT8, INT16, INT32, INT64, "
                                "FP16, BF16, FP32, FP64 and BYTES");
      }
    } else if (key == "shape") {
      MOTET_ASSIGN(ondemand::array array, json_get<ondemand::array>(value, key, "an array of integers >= 0"));
      return read_shape(array, fields);
    } else if (key == "parameters") {
      MOTET_ASSIGN(ondemand::object object, json_get<ondemand::object>(value, key, "an object"));
      return each_member(object, key, [&fields](std::string_view name, ondemand::value parameter) {
        return input_parameter(name, parameter, fields);
      });
    } else {
      MOTET_ASSIGN(ondemand::array array, json_get<ondemand::array>(value, key, "an array"));
      return read_data(array, fields);
    }
    return {};
  }

  static Status read_shape(ondemand::array array, InputFields& fields) {
    Shape shape;
    MOTET_RETURN_IF_ERROR(each_element(array, "shape", [&shape](ondemand::value extent) -> Status {
      MOTET_ASSIGN(uint64_t value, json_get<uint64_t>(extent, "shape", "an array of integers >= 0"));
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) || shape.size() == kMaxRank) {
        return invalid_argument("Unable to parse 'shape': extent " + std::to_string(value) +
                                " is out of range, or there are more than " + std::to_string(kMaxRank));
      }
      shape.push_back(static_cast<int64_t>(value));
      return {};
    }));
    fields.shape = std::move(shape);
    return {};
  }

  Status read_data(ondemand::array array, InputFields& fields) {
    fields.has_data = true;
    if (fields.name && fields.shape && fields.dtype) {
      MOTET_ASSIGN(fields.data, read_json_tensor(array, *fields.name, *fields.dtype, *fields.shape, json_bytes_));
      return {};
    }
    if (auto code = array.raw_json().get(fields.pending_data)) return json_error("data", code, "an array");
    return {};
  }

  static Status input_parameter(std::string_view key, ondemand::value value, InputFields& fields) {
    if (key == "binary_data_size") {
      MOTET_ASSIGN(fields.binary_bytes, json_get<uint64_t>(value, key, "an integer >= 0"));
    }
    if (key == "shared_memory_region") {
      MOTET_ASSIGN(std::string_view region, json_get<std::string_view>(value, key, "a string"));
      fields.region = region;
    }
    return {};
  }

  Status add_input(InputFields& fields) {
    int ways = (fields.has_data ? 1 : 0) + (fields.binary_bytes ? 1 : 0) + (fields.region ? 1 : 0);
    if (ways != 1) {
      return invalid_argument(
          "Input '" + *fields.name +
          "' must set only one of the following fields: 'data', 'binary_data_size' in 'parameters', " +
          "'shared_memory_region' in 'parameters'. But " + (ways == 0 ? "no field is set" : "more than one is set"));
    }
    if (fields.region) return not_found("Unable to find shared memory region: '" + *fields.region + "'");
    if (fields.binary_bytes) {
      MOTET_ASSIGN(fields.data, binary_tensor(fields));
    } else if (!fields.data) {
      MOTET_ASSIGN(fields.data, read_pending_data(fields));
    }
    out_.request.inputs.push_back({std::move(*fields.name), std::move(*fields.data)});
    return {};
  }

  // "data" came before what it needs to be understood: read its text again.
  Result<Tensor> read_pending_data(const InputFields& fields) {
    ondemand::parser parser;
    ondemand::document document;
    std::string_view text = fields.pending_data;
    if (auto code = parser.iterate(text.data(), text.size(), text.size() + kBodyPadding).get(document))
      return json_error("data", code, "an array");
    ondemand::array array;
    if (auto code = document.get_array().get(array)) return json_error("data", code, "an array");
    return read_json_tensor(array, *fields.name, *fields.dtype, *fields.shape, json_bytes_);
  }

  // The next bytes behind the JSON, in the order in which the inputs name them.
  Result<Tensor> binary_tensor(const InputFields& fields) {
    size_t left = body_->size() - binary_at_;
    uint64_t bytes = *fields.binary_bytes;
    if (bytes > left) {
      return invalid_argument("unexpected size for input '" + *fields.name + "', expecting " +
                              std::to_string(bytes - left) + " additional bytes: 'binary_data_size' is " +
                              std::to_string(bytes) + ", the body has " + std::to_string(left) + " left");
    }
    std::span<const std::byte> content = body_->bytes().subspan(binary_at_, bytes);
    binary_at_ += bytes;
    if (*fields.dtype == DType::kString) {
      auto strings = parse_string_tensor(content, *fields.shape, body_);
      if (!strings.ok())
        return invalid_argument(strings.error().message + " for inference input '" + *fields.name + "'");
      return strings;
    }
    MOTET_ASSIGN(int64_t count, checked_elements(*fields.shape));
    auto element_bytes = static_cast<int64_t>(dtype_bytes(*fields.dtype));
    auto expected = checked_multiply(count, element_bytes);
    if (!expected || static_cast<uint64_t>(*expected) != bytes) {
      return invalid_argument("input byte size mismatch for input '" + *fields.name + "'. Expected " +
                              (expected ? std::to_string(*expected) : "more than fits") + " for shape " +
                              shape_to_string(*fields.shape) + " of " + std::string(dtype_kserve_name(*fields.dtype)) +
                              ", got " + std::to_string(bytes));
    }
    bool aligned = reinterpret_cast<uintptr_t>(content.data()) % static_cast<size_t>(element_bytes) == 0;
    if (!aligned) {
      Tensor copy = Tensor::zeros(*fields.dtype, *fields.shape);
      if (bytes > 0) std::memcpy(copy.view().data, content.data(), bytes);
      return copy;
    }
    // The view is writable by type only: nobody writes to a query's inputs.
    return Tensor(TensorView{*fields.dtype, *fields.shape, const_cast<std::byte*>(content.data())}, body_);
  }

  const std::shared_ptr<const Body> body_;
  const size_t json_bytes_;
  size_t binary_at_;
  std::set<std::string, std::less<>> seen_;
  InferBody out_;
};

// Header value 0: the whole body is the one input; its name, type and shape come from the model.
InferBody raw_request(const std::shared_ptr<const Body>& body) {
  InferBody out;
  out.request.raw_body = true;
  TensorView view{DType::kU8, {static_cast<int64_t>(body->size())}, const_cast<std::byte*>(body->data())};
  out.request.inputs.push_back({"", Tensor(std::move(view), body)});
  // Triton answers a raw request with raw outputs.
  out.format.binary_default = true;
  return out;
}

}  // namespace

Result<InferBody> parse_infer(const std::shared_ptr<const Body>& body, const std::optional<std::string>& json_length) {
  size_t json_bytes = body->size();
  if (json_length) {
    const char* end = json_length->data() + json_length->size();
    auto read = std::from_chars(json_length->data(), end, json_bytes);
    if (read.ec != std::errc() || read.ptr != end || json_bytes > body->size()) {
      return invalid_argument("Inference-Header-Content-Length '" + *json_length +
                              "' must be an integer from 0 (a raw body) to the body's " + std::to_string(body->size()) +
                              " bytes");
    }
    if (json_bytes == 0) return raw_request(body);
  }
  if (body->size() == 0) return invalid_argument("the request body is empty: send a KServe v2 infer request as JSON");
  return InferParser(body, json_bytes).parse();
}

}  // namespace motet::http
