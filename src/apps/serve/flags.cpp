#include "apps/serve/flags.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>

#include "apps/executors/executors.h"
#include "apps/term/table.h"
#include "brain/sched/dispatcher.h"
#include "brain/sched/planner.h"
#include "compute/engine/cache/model_cache.h"
#include "wire/repo/field_lists.h"
#include "wire/repo/settings.h"

namespace motet {
namespace {

struct ForeignFlag {
  const char* name;
  bool takes_value;
  const char* instead;  // hint: what Motet does; refused: why
};

// Triton's flags that change nothing here, and what happens instead.
constexpr ForeignFlag kHints[] = {
    {"--strict-readiness", true, "readiness always means that every wanted model is ready"},
    {"--strict-model-config", true, "an absent config is completed from the model"},
    {"--disable-auto-complete-config", false, "an absent config is completed from the model"},
    {"--model-load-thread-count", true, "models load on one thread of low priority, beside serving"},
    {"--backend-directory", true, "there are no backends: the engine is built in"},
    {"--backend-config", true, "there are no backends: the engine is built in"},
    {"--repoagent-directory", true, "there are no repository agents"},
    {"--repository-poll-secs", true, "the repository is read when a model is loaded"},
    {"--grpc-infer-thread-count", true, "gRPC calls are answered by callbacks"},
    {"--grpc-infer-allocation-pool-size", true, "calls are not pooled"},
    {"--grpc-max-response-pool-size", true, "calls are not pooled"},
    {"--pinned-memory-pool-byte-size", true, "no GPU is used"},
    {"--cuda-memory-pool-byte-size", true, "no GPU is used"},
    {"--min-supported-compute-capability", true, "no GPU is used"},
    {"--model-load-gpu-limit", true, "no GPU is used"},
    {"--buffer-manager-thread-count", true, "buffers are not copied by threads"},
    {"--allow-cpu-metrics", true, "core use is always in the metrics"},
    {"--allow-gpu-metrics", true, "no GPU is used"},
    {"--metrics-interval-ms", true, "metrics are current whenever they are read"},
    {"--log-info", true, "info lines are always written"},
    {"--log-warning", true, "warnings are always written"},
    {"--log-error", true, "errors are always written"},
    {"--log-format", true, "the log has one format"},
    {"--reuse-http-port", true, "ports are not shared"},
    {"--reuse-grpc-port", true, "ports are not shared"},
};

// Triton's flags that would change answers, security or scheduling and are not acted on yet.
constexpr ForeignFlag kRefused[] = {
    {"--rate-limit", true, "the serving loop divides the device by deadlines instead"},
    {"--rate-limit-resource", true, "the serving loop divides the device by deadlines instead"},
    {"--cache-config", true, "there is no response cache yet"},
    {"--cache-directory", true, "there is no response cache yet"},
    {"--trace-config", true, "there is no request tracing yet"},
    {"--metrics-config", true, "metrics are not configurable yet"},
    {"--http-restricted-api", true, "access control is not built yet"},
    {"--grpc-restricted-protocol", true, "access control is not built yet"},
    {"--http-header-forward-pattern", true, "headers are not forwarded yet"},
    {"--grpc-header-forward-pattern", true, "headers are not forwarded yet"},
    {"--grpc-use-ssl", true, "TLS is not built yet"},
    {"--grpc-use-ssl-mutual", true, "TLS is not built yet"},
    {"--grpc-server-cert", true, "TLS is not built yet"},
    {"--grpc-server-key", true, "TLS is not built yet"},
    {"--grpc-root-cert", true, "TLS is not built yet"},
    {"--host-policy", true, "cores are shared by the planner"},
    {"--model-namespacing", true, "model names are one namespace"},
    {"--allow-client-shm", true, "shared memory is not built yet"},
    {"--log-file", true, "the log goes to standard error"},
};

std::string joined_names(auto list) {
  std::string out;
  for (const auto& entry : list)
    out += (out.empty() ? "" : ", ") + std::string(entry.name) + " (" + std::string(entry.what) + ")";
  return out;
}

void print_flag_lists() {
  std::puts("Triton's flags, beside those of `motet serve --help`:\n");
  term::Table table({"flag", "what Motet does"});
  for (const ForeignFlag& flag : kHints) table.row({flag.name, std::string("hint: ") + flag.instead});
  for (const ForeignFlag& flag : kRefused) table.row({flag.name, std::string("refused: ") + flag.instead});
  std::fputs(table.to_string().c_str(), stdout);
}

// Bytes from "512M", "8G" or a plain number.
Result<Bytes> parse_bytes(const std::string& text) {
  size_t digits = 0;
  while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') ++digits;
  static const std::map<std::string, int> kShift = {{"", 0}, {"K", 10}, {"M", 20}, {"G", 30}, {"T", 40}};
  auto shift = kShift.find(text.substr(digits));
  if (digits == 0 || digits > 12 || shift == kShift.end()) {
    return invalid_argument("'" + text + "' is not a size; write bytes, or a number with K, M, G or T, such as 8G");
  }
  auto product = checked_multiply(std::stoll(text.substr(0, digits)), int64_t{1} << shift->second);
  if (!product) return invalid_argument("'" + text + "' is too large");
  return Bytes(*product);
}

// What the options below write to, beside the flags themselves.
struct Texts {
  std::string mode = "none";
  std::string budget = "8G";
  std::string precision = "exact";
  std::string cache_dir = engine::default_cache_directory().native();
  std::string refused;  // why the command line cannot be honoured; "" if it can
  bool help_flags = false;
  bool help_config = false;
};

// Triton's flags that Motet honours.
void add_triton_options(CLI::App& app, ServeFlags& f, Texts& texts) {
  serve::ServerOptions& s = f.server;
  app.add_option("--model-repository,--model-store", s.repositories, "folder of models, Triton's layout (repeatable)")
      ->required()
      ->default_str("")
      ->type_name("DIR");
  app.add_option("--model-control-mode", texts.mode,
                 "none: load every model at start; explicit: those named by --load-model, and on request")
      ->check(CLI::IsMember({"none", "explicit"}));
  app.add_option("--load-model", s.load_models,
                 "with explicit control: a model to load at start, or * for all (repeatable)")
      ->default_str("")
      ->type_name("NAME");
  app.add_option("--http-address", f.http_address, "address of the HTTP front end");
  app.add_option("--http-port", f.http_port, "its port; 0: any free one")->check(CLI::Range(0, 65535));
  app.add_option("--http-thread-count", f.http_threads, "its threads")->check(CLI::Range(1, 64));
  app.add_option("--http-max-input-size", f.http_max_input_size, "largest request body, bytes")
      ->check(CLI::PositiveNumber);
  app.add_option("--grpc-address", f.grpc_address, "address of the gRPC front end");
  app.add_option("--grpc-port", f.grpc_port, "its port; 0: any free one")->check(CLI::Range(0, 65535));
  app.add_option("--metrics-address", f.metrics_address, "address of /metrics");
  app.add_option("--metrics-port", f.metrics_port, "its port; 0: any free one")->check(CLI::Range(0, 65535));
  app.add_option("--allow-http", f.allow_http, "serve HTTP");
  app.add_option("--allow-grpc", f.allow_grpc, "serve gRPC");
  app.add_option("--allow-metrics", f.allow_metrics, "serve /metrics");
  app.add_option("--exit-timeout-secs", f.exit_timeout_secs, "how long a shutdown waits for open queries")
      ->check(CLI::Range(0, 3600));
  app.add_option("--exit-on-error", f.exit_on_error, "end if a model fails to load at start");
  app.add_option("--log-verbose", f.log_verbose, "1: also write verbose lines")->check(CLI::Range(0, 9));
}

void add_own_options(CLI::App& app, ServeFlags& f, Texts& texts) {
  serve::ServerOptions& s = f.server;
  app.add_option("--cores", s.pool.workers, "worker threads; 0: what the machine and its cgroup allow")
      ->check(CLI::Range(0, 512))
      ->group("Motet");
  app.add_option("--memory-budget", texts.budget, "for weights, arenas and queries, such as 8G")
      ->type_name("SIZE")
      ->group("Motet");
  app.add_flag(
         "--load-on-demand", s.domain.loading.on_demand,
         "models are known and ready at once; their programs are compiled when a query needs them, and those least "
         "worth their memory give way when --memory-budget is full")
      ->group("Motet");
  app.add_option("--cache-dir", texts.cache_dir,
                 "where packed weights and measurements are kept between runs; none: nowhere")
      ->type_name("DIR")
      ->group("Motet");
  app.add_option("--dispatcher", s.domain.loop.dispatcher, joined_names(brain::dispatchers()))->group("Motet");
  app.add_option("--planner", s.domain.loop.planner, joined_names(brain::planners()))->group("Motet");
  app.add_option(
         "--precision", texts.precision,
         "of models whose config states none: exact (fp32), bf16, int8, or auto (the fastest within the bound); "
         "used once its error has been measured")
      ->check(CLI::IsMember({"exact", "bf16", "int8", "auto"}))
      ->group("Motet");
  app.add_option("--precision-max-error", s.domain.precision.max_error,
                 "error above which a precision is refused, of models whose config states none: a share of an output's "
                 "largest magnitude")
      ->check(CLI::Range(1e-9, 1.0))
      ->group("Motet");
  add_openvino_flag(app, f.openvino_dir, "Motet");
  app.add_option("--record", s.domain.record_file,
                 "write what the serving loop hears and says to this file, for replay")
      ->type_name("FILE")
      ->group("Motet");
  app.add_flag("--help-flags", texts.help_flags, "list Triton's other flags and what becomes of each")->group("Motet");
  app.add_flag("--help-config", texts.help_config, "list config.pbtxt's fields and what becomes of each")
      ->group("Motet");
}

// Triton's other flags: hints are logged, the rest refused. None is listed by --help.
void add_foreign_options(CLI::App& app, ServeFlags& f, Texts& texts) {
  for (const ForeignFlag& flag : kHints) {
    auto note = [&f, &flag] { f.hints.push_back(std::string(flag.name) + " changes nothing: " + flag.instead); };
    if (flag.takes_value) {
      app.add_option_function<std::vector<std::string>>(flag.name, [note](const std::vector<std::string>&) { note(); })
          ->group("");
    } else {
      app.add_flag_callback(flag.name, note)->group("");
    }
  }
  for (const ForeignFlag& flag : kRefused) {
    app.add_option_function<std::vector<std::string>>(flag.name,
                                                      [&texts, &flag](const std::vector<std::string>& values) {
                                                        texts.refused = std::string(flag.name) + "=" +
                                                                        (values.empty() ? "" : values[0]) +
                                                                        " is not supported: " + flag.instead;
                                                      })
        ->group("");
  }
}

}  // namespace

ParsedFlags parse_serve_flags(int argc, char** argv) {
  ParsedFlags parsed;
  ServeFlags& f = parsed.flags;
  serve::ServerOptions& s = f.server;
  CLI::App app{"Serve a model repository over HTTP and gRPC (KServe v2, as Triton speaks it).", "motet serve"};
  app.option_defaults()->always_capture_default();
  app.get_formatter()->column_width(38);

  Texts texts;
  add_triton_options(app, f, texts);
  add_own_options(app, f, texts);
  add_foreign_options(app, f, texts);

  for (int i = 1; i < argc; ++i) {  // these need no repository
    std::string_view argument = argv[i];
    if (argument == "--help-flags") {
      print_flag_lists();
      parsed.exit_code = 0;
      return parsed;
    }
    if (argument == "--help-config") {
      std::fputs(repo::describe_field_lists().c_str(), stdout);
      parsed.exit_code = 0;
      return parsed;
    }
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    int code = app.exit(error);
    parsed.exit_code = code == 0 ? 0 : 2;
    return parsed;
  }
  auto memory = parse_bytes(texts.budget);
  if (!memory.ok()) texts.refused = "--memory-budget: " + memory.error().message;
  if (!s.load_models.empty() && texts.mode != "explicit")
    texts.refused = "--load-model needs --model-control-mode=explicit";
  if (!texts.refused.empty()) {
    std::fprintf(stderr, "motet serve: %s\n", texts.refused.c_str());
    parsed.exit_code = 2;
    return parsed;
  }
  s.domain.loop.memory_budget = *memory;
  if (texts.cache_dir != "none") s.domain.loading.cache_dir = texts.cache_dir;
  s.domain.precision.wish = *repo::precision_wish_of(texts.precision);
  s.explicit_control = texts.mode == "explicit";
  return parsed;
}

}  // namespace motet
