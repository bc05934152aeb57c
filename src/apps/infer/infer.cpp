#include "apps/infer/infer.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <map>

#include "apps/infer/recognise.h"
#include "compute/prep/file.h"
#include "compute/prep/npz.h"
#include "compute/prep/recipe.h"
#include "wire/client/client.h"
#include "wire/proto/model_config.pb.h"

namespace motet {
namespace {

struct Options {
  std::string url = "http://localhost:8000";
  std::string model;
  std::string version;
  std::string file;
  std::string labels;
  std::string out;
  int top = 0;
  double timeout_s = 60;
  bool json = false;
};

constexpr const char* kAbout =
    "Sends FILE to MODEL on a KServe v2 server and prints what was recognised, with its latency: labels, boxes, "
    "segments of speech, a score, "
    "an image, or plain tensors.\n"
    "The model's config.pbtxt says how (parameters recipe.*, see docs/recipes.md). Without a recipe, FILE is an .npz "
    "with an array for every "
    "input, and the outputs are printed, or written to --out as an .npz.";

// The file's bytes. "-" is standard input; a model that takes numbers takes them in place of a file's name, too.
Result<prep::FileBytes> read_input(const std::string& file, const prep::Recipe& recipe) {
  if (file == "-") {
    std::string text{std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
    auto bytes = std::as_bytes(std::span(text));
    return prep::FileBytes(std::make_shared<std::vector<std::byte>>(bytes.begin(), bytes.end()));
  }
  Result<prep::FileBytes> read = prep::read_file(file);
  bool numbers = recipe.input == prep::InputKind::kNumbers &&
                 file.find_first_not_of("0123456789+-.eE,; \t\n") == std::string::npos;
  if (read.ok() || !numbers) return read;
  auto bytes = std::as_bytes(std::span(file));
  return prep::FileBytes(std::make_shared<std::vector<std::byte>>(bytes.begin(), bytes.end()));
}

Result<prep::Recipe> read_recipe(const inference::ModelConfig& config, const Options& options) {
  std::map<std::string, std::string> parameters;
  for (const auto& [key, value] : config.parameters()) parameters[key] = value.string_value();
  Result<prep::Recipe> recipe = prep::parse_recipe(parameters);
  if (!recipe.ok())
    return Error{recipe.error().code, "the config of '" + options.model + "': " + recipe.error().message};
  if (options.top > 0) recipe->output.top = options.top;
  if (!options.labels.empty()) {
    MOTET_ASSIGN(prep::FileBytes labels, prep::read_file(options.labels, int64_t{1} << 24));
    recipe->output.labels = prep::parse_labels({reinterpret_cast<const char*>(labels->data()), labels->size()});
  }
  return recipe;
}

Status write_out(const prep::Findings& findings, const std::string& path) {
  if (findings.kind == prep::OutputKind::kTensors) return prep::write_npz(path, findings.tensors);
  if (!findings.image) return invalid_argument("--out is for images and tensors; this model's answer is neither");
  MOTET_ASSIGN(std::string png, prep::encode_png(*findings.image));
  return prep::write_file(path, std::as_bytes(std::span(png)));
}

// What the server said of the last answer's precision, if anything.
struct Computed {
  std::string precision;
  double error = 0;
};

void print(const Options& options, const Recognised& recognised, std::string_view protocol, const Computed& computed) {
  const bool reduced = !computed.precision.empty() && computed.precision != "exact";
  if (!options.json) {
    std::fputs(prep::to_text(recognised.findings).c_str(), stdout);
    std::printf("%s over %.*s", describe_latency(recognised.latencies).c_str(), static_cast<int>(protocol.size()),
                protocol.data());
    if (reduced) std::printf(", in %s (measured error %.3g)", computed.precision.c_str(), computed.error);
    std::printf("\n");
    return;
  }
  Nanos sum;
  for (Nanos latency : recognised.latencies) sum += latency;
  std::printf("{\"model\":%s,\"file\":%s,\"protocol\":\"%.*s\",\"calls\":%zu,\"latency_ms\":%.3f,",
              prep::json_string(options.model).c_str(), prep::json_string(options.file).c_str(),
              static_cast<int>(protocol.size()), protocol.data(), recognised.latencies.size(), sum.millis());
  if (reduced)
    std::printf("\"precision\":%s,\"precision_error\":%.6g,", prep::json_string(computed.precision).c_str(),
                computed.error);
  std::printf("\"findings\":%s}\n", prep::to_json(recognised.findings).c_str());
}

Status infer_file(const Options& options) {
  MOTET_ASSIGN(auto client, client::Client::create(options.url));
  MOTET_ASSIGN(auto config, client->model_config(options.model));
  MOTET_ASSIGN(prep::Recipe recipe, read_recipe(*config, options));
  MOTET_ASSIGN(client::ModelMetadata metadata, client->model_metadata(options.model));
  std::vector<prep::InputSpec> inputs;
  inputs.reserve(metadata.inputs.size());
  for (const client::TensorMetadata& input : metadata.inputs) inputs.push_back({input.name, input.dtype, input.shape});
  MOTET_ASSIGN(prep::FileBytes bytes, read_input(options.file, recipe));
  SteadyClock clock;
  Computed computed;
  auto ask = [&](std::vector<NamedTensor> tensors) -> Result<std::vector<NamedTensor>> {
    client::Request request;
    request.model = options.model;
    request.version = options.version;
    request.inputs = std::move(tensors);
    request.transport_timeout = Nanos(static_cast<int64_t>(options.timeout_s * 1e9));
    MOTET_ASSIGN(client::Response response, client->infer(request));
    computed = {std::move(response.precision), response.precision_error};
    return std::move(response.outputs);
  };
  MOTET_ASSIGN(Recognised recognised, recognise(recipe, options.file, *bytes, inputs, clock, ask));
  if (!options.out.empty()) MOTET_RETURN_IF_ERROR(write_out(recognised.findings, options.out));
  print(options, recognised, client->protocol(), computed);
  return {};
}

}  // namespace

int infer_main(int argc, char** argv) {
  Options options;
  CLI::App app(kAbout, "motet infer");
  app.add_option("MODEL", options.model, "Name of a model that the server has")->required();
  app.add_option("FILE", options.file,
                 "The photo (JPEG, PNG), sound (WAV), text of numbers, .npz or other file; '-' reads standard input. A "
                 "model that takes "
                 "numbers takes them here as well: '12 345'")
      ->required();
  app.add_option("--url", options.url, "Server: http://HOST:PORT, HOST:PORT (HTTP) or grpc://HOST:PORT")
      ->capture_default_str();
  app.add_option("--model-version", options.version, "Version of the model; the newest if not given");
  app.add_option("--top", options.top, "How many labels to print; the recipe's number if not given")
      ->check(CLI::Range(1, 100000));
  app.add_option("--labels", options.labels, "File with a label a line, in place of the recipe's");
  app.add_option(
      "--out", options.out,
      "Write the resulting image (PNG; for boxes, the photo with them drawn) or tensors (.npz) to this file");
  app.add_option("--timeout", options.timeout_s, "Seconds that a call may take")
      ->capture_default_str()
      ->check(CLI::Range(0.001, 86400.0));
  app.add_flag("--json", options.json, "Print one JSON object instead of text");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    int code = app.exit(error);
    return code == 0 ? 0 : 2;
  }
  Status status = infer_file(options);
  if (status.ok()) return 0;
  std::fprintf(stderr, "motet infer: %s\n", status.error().message.c_str());
  return 1;
}

}  // namespace motet
