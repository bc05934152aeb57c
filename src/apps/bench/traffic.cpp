#include "apps/bench/traffic.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "body/load/payload.h"
#include "compute/prep/file.h"
#include "compute/prep/npz.h"
#include "wire/proto/model_config.pb.h"

namespace motet::bench {
namespace {

// As many different requests as are sent in turn.
constexpr uint64_t kVariants = 4;

Result<double> parse_positive(std::string_view text, std::string_view what) {
  double value = 0;
  auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  bool good = read.ec == std::errc() && read.ptr == text.data() + text.size() && std::isfinite(value) && value > 0;
  if (good) return value;
  return invalid_argument("the " + std::string(what) + " '" + std::string(text) + "' must be a number > 0");
}

// What the server says of a model, config included where it has one.
struct Known {
  client::ModelMetadata metadata;
  bool has_batch_extent = true;
  std::optional<double> slo_ms;
};

Result<Known> ask(client::Client& client, const std::string& model) {
  Known known;
  MOTET_ASSIGN(known.metadata, client.model_metadata(model));
  // Not every KServe v2 server tells a config: then the first extent, where it is open, is taken for the batch.
  auto config = client.model_config(model);
  if (!config.ok()) return known;
  known.has_batch_extent = (*config)->max_batch_size() > 0;
  auto slo = (*config)->parameters().find("slo_ms");
  if (slo == (*config)->parameters().end()) return known;
  auto value = parse_positive(slo->second.string_value(), "parameter slo_ms of model '" + model + "'");
  if (!value.ok()) return std::move(value).error();
  known.slo_ms = *value;
  return known;
}

// The file given for `model`: its own, else the one for all.
std::optional<std::string> input_file(const TrafficOptions& options, const std::string& model) {
  std::optional<std::string> file;
  for (const std::string& text : options.inputs) {
    size_t equals = text.find('=');
    if (equals == std::string::npos)
      file = file.value_or(text);
    else if (text.substr(0, equals) == model)
      return text.substr(equals + 1);
  }
  return file;
}

Result<client::Request> file_request(const client::ModelMetadata& metadata, const std::string& file) {
  MOTET_ASSIGN(std::vector<NamedTensor> arrays, prep::read_npz(file));
  client::Request request;
  request.model = metadata.name;
  for (const client::TensorMetadata& input : metadata.inputs) {
    auto at = std::find_if(arrays.begin(), arrays.end(),
                           [&input](const NamedTensor& array) { return array.name == input.name; });
    if (at == arrays.end())
      return invalid_argument(file + " has no array '" + input.name + "', which model '" + metadata.name + "' takes");
    const Tensor& tensor = at->tensor;
    bool fits = tensor.dtype() == input.dtype && tensor.shape().size() == input.shape.size();
    for (size_t i = 0; fits && i < input.shape.size(); ++i)
      fits = input.shape[i] < 0 || input.shape[i] == tensor.shape()[i];
    if (!fits) {
      return invalid_argument("array '" + input.name + "' of " + file + " is " +
                              std::string(dtype_kserve_name(tensor.dtype())) + " " + shape_to_string(tensor.shape()) +
                              "; model '" + metadata.name + "' takes " + std::string(dtype_kserve_name(input.dtype)) +
                              " " + shape_to_string(input.shape));
    }
    request.inputs.push_back(*at);
  }
  return request;
}

// Of the shapes given for any model, those that this one has an input for.
std::map<std::string, Shape> own_shapes(const TrafficOptions& options, const client::ModelMetadata& metadata) {
  std::map<std::string, Shape> own;
  for (const client::TensorMetadata& input : metadata.inputs) {
    if (auto at = options.shapes.find(input.name); at != options.shapes.end()) own.insert(*at);
  }
  return own;
}

Result<std::vector<client::Request>> make_requests(const Known& known, const TrafficOptions& options) {
  std::vector<client::Request> requests;
  if (auto file = input_file(options, known.metadata.name)) {
    MOTET_ASSIGN(client::Request request, file_request(known.metadata, *file));
    requests.push_back(std::move(request));
  } else {
    for (uint64_t variant = 0; variant < kVariants; ++variant) {
      load::PayloadOptions payload{options.batch, known.has_batch_extent, own_shapes(options, known.metadata),
                                   options.seed + variant};
      MOTET_ASSIGN(client::Request request, load::random_request(known.metadata, payload));
      requests.push_back(std::move(request));
    }
  }
  for (client::Request& request : requests)
    request.transport_timeout = Nanos(static_cast<int64_t>(options.timeout_s * 1e9));
  return requests;
}

Result<brain::ArrivalSpec> make_arrivals(const ModelFlag& flag, const TrafficOptions& options,
                                         const brain::TraceArrivals& trace) {
  if (options.rates_follow) {
    if (flag.per_s) return invalid_argument("--model " + flag.model + " has a rate, which --fill finds by itself");
    return brain::ArrivalSpec(brain::PoissonArrivals{1});
  }
  bool rated = !options.closed_loop && options.arrivals.kind != ArrivalKind::kTrace;
  if (rated && !flag.per_s)
    return invalid_argument("--model " + flag.model + " needs a rate in queries a second: " + flag.model + ":RATE");
  if (!rated && flag.per_s) {
    return invalid_argument("--model " + flag.model + " has a rate, which " +
                            (options.closed_loop ? "a closed loop (--concurrency)" : "a trace") +
                            " does not take: write " + flag.model + " or " + flag.model + "::SLO_MS");
  }
  if (!rated) return brain::ArrivalSpec(trace);
  if (options.arrivals.kind == ArrivalKind::kConstant) return brain::ArrivalSpec(brain::ConstantArrivals{*flag.per_s});
  return brain::ArrivalSpec(brain::PoissonArrivals{*flag.per_s});
}

Result<brain::TraceArrivals> read_trace(const ArrivalFlag& flag) {
  brain::TraceArrivals trace{std::make_shared<std::vector<Nanos>>()};
  if (flag.kind != ArrivalKind::kTrace) return trace;
  MOTET_ASSIGN(auto bytes, prep::read_file(flag.trace_file));
  auto parsed = brain::parse_trace({reinterpret_cast<const char*>(bytes->data()), bytes->size()});
  if (!parsed.ok()) return Error{parsed.error().code, flag.trace_file + ": " + parsed.error().message};
  return parsed;
}

// A shape or a file for nothing is a mistake in the command line.
Status check_used(const TrafficOptions& options, const std::vector<Known>& models) {
  for (const auto& [name, shape] : options.shapes) {
    bool used = std::any_of(models.begin(), models.end(), [&options, &name = name](const Known& known) {
      return own_shapes(options, known.metadata).contains(name);
    });
    if (!used) return invalid_argument("--shape " + name + ": none of the models has an input of that name");
  }
  for (const std::string& text : options.inputs) {
    size_t equals = text.find('=');
    std::string model = text.substr(0, equals);
    bool used = equals == std::string::npos || std::any_of(models.begin(), models.end(), [&model](const Known& known) {
                  return known.metadata.name == model;
                });
    if (!used) return invalid_argument("--input " + text + ": model '" + model + "' is not under load");
  }
  return {};
}

}  // namespace

Result<ModelFlag> parse_model_flag(std::string_view text) {
  ModelFlag flag;
  size_t first = text.find(':');
  flag.model = text.substr(0, first);
  if (flag.model.empty())
    return invalid_argument("--model '" + std::string(text) + "' names no model: MODEL[:RATE[:SLO_MS]] is accepted");
  if (first == std::string_view::npos) return flag;
  std::string_view rest = text.substr(first + 1);
  size_t second = rest.find(':');
  if (std::string_view rate = rest.substr(0, second); !rate.empty()) {
    MOTET_ASSIGN(flag.per_s, parse_positive(rate, "rate of --model " + flag.model));
  }
  if (second != std::string_view::npos) {
    MOTET_ASSIGN(flag.slo_ms, parse_positive(rest.substr(second + 1), "SLO of --model " + flag.model));
  }
  return flag;
}

Result<ArrivalFlag> parse_arrival_flag(std::string_view text) {
  if (text == "poisson") return ArrivalFlag{ArrivalKind::kPoisson, ""};
  if (text == "constant") return ArrivalFlag{ArrivalKind::kConstant, ""};
  if (text.starts_with("trace:") && text.size() > 6)
    return ArrivalFlag{ArrivalKind::kTrace, std::string(text.substr(6))};
  return invalid_argument("--arrivals '" + std::string(text) + "' must be poisson, constant or trace:FILE");
}

Status parse_shape_flag(std::string_view text, std::map<std::string, Shape>& shapes) {
  size_t equals = text.find('=');
  Error error =
      invalid_argument("--shape '" + std::string(text) + "' must be INPUT=EXTENTxEXTENT..., as in x=1x3x224x224");
  if (equals == std::string_view::npos || equals == 0) return error;
  Shape shape;
  std::string_view rest = text.substr(equals + 1);
  while (true) {
    int64_t extent = 0;
    auto read = std::from_chars(rest.data(), rest.data() + rest.size(), extent);
    if (read.ec != std::errc() || extent < 0) return error;
    shape.push_back(extent);
    rest.remove_prefix(static_cast<size_t>(read.ptr - rest.data()));
    if (rest.empty()) break;
    if (rest[0] != 'x') return error;
    rest.remove_prefix(1);
  }
  shapes[std::string(text.substr(0, equals))] = std::move(shape);
  return {};
}

Result<std::vector<load::Stream>> make_streams(client::Client& client, const TrafficOptions& options) {
  MOTET_ASSIGN(brain::TraceArrivals trace, read_trace(options.arrivals));
  std::vector<Known> models;
  std::vector<load::Stream> streams;
  for (const ModelFlag& flag : options.models) {
    load::Stream stream;
    stream.model = flag.model;
    MOTET_ASSIGN(stream.arrivals, make_arrivals(flag, options, trace));
    auto known = ask(client, flag.model);
    if (!known.ok()) return Error{known.error().code, "model '" + flag.model + "': " + known.error().message};
    known->metadata.name = flag.model;
    auto slo_ms = flag.slo_ms ? flag.slo_ms : known->slo_ms;
    if (slo_ms) stream.slo = Nanos(static_cast<int64_t>(*slo_ms * 1e6));
    MOTET_ASSIGN(stream.requests, make_requests(*known, options));
    const client::Request& request = stream.requests.front();
    if (known->has_batch_extent && !request.inputs.empty() && !request.inputs[0].tensor.shape().empty()) {
      stream.rows_per_query = request.inputs[0].tensor.shape()[0];
    }
    models.push_back(*std::move(known));
    streams.push_back(std::move(stream));
  }
  MOTET_RETURN_IF_ERROR(check_used(options, models));
  return streams;
}

}  // namespace motet::bench
