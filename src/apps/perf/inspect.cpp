#include <CLI/CLI.hpp>
#include <cmath>
#include <iostream>

#include "apps/perf/compiled.h"
#include "apps/perf/json.h"
#include "apps/perf/perf.h"
#include "apps/perf/session.h"
#include "apps/term/table.h"
#include "compute/engine/error_meter.h"
#include "compute/ops/onednn/onednn.h"
#include "compute/prep/npz.h"

namespace motet {
namespace {

struct Options : ModelFlags {
  std::string inputs;
  int threads = 1;
  bool json = false;
  bool no_times = false;
};

// What a precision costs in accuracy, on the inputs that were given.
struct MeasuredError {
  engine::Precision precision = engine::Precision::kExact;
  std::string refusal;  // why it cannot be had; "" if it can
  double error = 0;
  Nanos predicted;
};

struct Subject : Compiled {
  std::vector<MeasuredError> errors;   // of bf16 and int8, with --inputs
  std::map<std::string, int64_t> ops;  // as read, bodies included
  double flops = 0;
  double bytes = 0;
};

void count_ops(const graph::Graph& graph, std::map<std::string, int64_t>& ops) {
  for (const graph::Node& node : graph.nodes) {
    ++ops[node.domain.empty() ? node.op : node.domain + ":" + node.op];
    for (const auto& [key, attribute] : node.attributes)
      if (const auto* body = std::get_if<std::shared_ptr<const graph::Graph>>(&attribute);
          body != nullptr && *body != nullptr)
        count_ops(**body, ops);
  }
}

Result<MeasuredError> measure(const Subject& subject, engine::Precision precision, const engine::QueryInputs& query,
                              const std::vector<Tensor>& exact) {
  MeasuredError measured{.precision = precision};
  engine::CompileOptions options = subject.options;
  options.precision = precision;
  auto program = subject.model->compile(subject.shapes, options);
  if (!program.ok()) {
    measured.refusal = program.error().message;
  } else if ((*program)->precision() != precision) {
    measured.refusal = "nothing of this model can be computed in it here";
  } else {
    MOTET_ASSIGN(auto outputs, engine::run_alone({&*program, 1}, query, false));
    engine::ErrorMeter meter;
    meter.add(exact, outputs);
    measured.error = meter.error();
    if (!std::isfinite(measured.error)) measured.refusal = "its answers cannot be compared with the exact ones";
    measured.predicted = (*program)->predicted();
  }
  return measured;
}

Status measure_errors(const std::vector<Tensor>& inputs, Subject& subject) {
  engine::QueryInputs query;
  for (const Tensor& tensor : inputs) query.tensors.push_back(tensor.view());
  engine::CompileOptions options = subject.options;
  options.precision = engine::Precision::kExact;
  MOTET_ASSIGN(auto program, subject.model->compile(subject.shapes, options));
  MOTET_ASSIGN(auto exact, engine::run_alone({&program, 1}, query, false));
  for (engine::Precision precision : {engine::Precision::kBf16, engine::Precision::kInt8}) {
    MOTET_ASSIGN(MeasuredError measured, measure(subject, precision, query, exact));
    subject.errors.push_back(std::move(measured));
  }
  return {};
}

Result<Subject> prepare(const Options& options) {
  Subject subject;
  if (options.inputs.empty()) {
    MOTET_ASSIGN(static_cast<Compiled&>(subject), compile_model(options, options.threads, !options.no_times));
  } else {
    MOTET_ASSIGN(auto arrays, prep::read_npz(options.inputs));
    std::vector<Tensor> inputs;
    MOTET_ASSIGN(static_cast<Compiled&>(subject),
                 compile_model_for(options, arrays, options.threads, !options.no_times, inputs));
    MOTET_RETURN_IF_ERROR(measure_errors(inputs, subject));
  }
  count_ops(*subject.model->source().graph, subject.ops);
  for (const auto& step : subject.program->steps()) {
    subject.flops += step.flops;
    subject.bytes += static_cast<double>(step.bytes_moved);
  }
  return subject;
}

std::string number(double x, int digits) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.*f", digits, x);
  return buffer;
}

std::string megabytes(Bytes bytes) { return number(static_cast<double>(bytes.value) / 1e6, 3); }

std::string port_text(const engine::Port& port) {
  return port.name + " " + std::string(dtype_kserve_name(port.dtype)) + " " + shape_to_string(port.shape);
}

void print_ports(const char* what, const std::vector<engine::Port>& declared,
                 const std::vector<engine::Port>& compiled) {
  for (size_t i = 0; i < declared.size(); ++i)
    std::cout << what << port_text(declared[i]) << ", compiled for " << shape_to_string(compiled[i].shape) << '\n';
}

void print_text(const Subject& s) {
  const graph::Model& source = s.model->source();
  std::cout << "model    " << s.path.string() << " (" << number(static_cast<double>(source.file_bytes) / 1e6, 3)
            << " MB)";
  if (source.ir_version > 0) std::cout << ", IR " << source.ir_version;
  for (const auto& [domain, version] : source.opsets)
    std::cout << ", opset " << (domain.empty() ? "ai.onnx" : domain) << ' ' << version;
  std::cout << (source.producer.empty() ? "" : ", made by " + source.producer) << '\n';
  print_ports("input    ", s.model->inputs(), s.program->inputs());
  print_ports("output   ", s.model->outputs(), s.program->outputs());
  std::cout << "batch    "
            << (s.model->batchable() ? "rows of different queries can be one batch" : "no: queries run one by one")
            << '\n';
  if (!s.ops.empty()) std::cout << "ops     ";
  for (const auto& [op, count] : s.ops) std::cout << ' ' << op << ' ' << count;
  std::cout << (s.ops.empty() ? "" : "\n") << "work     " << number(s.flops * 1e-9, 4) << " GFLOP, "
            << number(s.bytes / 1e6, 2) << " MB moved by steps, predicted "
            << number(s.program->predicted().millis(), 3) << " ms on one core (" << cpu_model() << ", "
            << ops::onednn::isa_name() << "), layout " << s.program->layout() << ", precision "
            << engine::precision_name(s.program->precision()) << '\n';
  std::cout << "memory   arena " << megabytes(s.program->arena_bytes()) << " MB ("
            << megabytes(s.program->activation_bytes()) << " without reuse), weights "
            << megabytes(s.model->weight_bytes()) << " MB with packed copies, " << megabytes(s.program->packed_bytes())
            << " of them this program's alone\n";
  std::cout << "runs     by " << s.program->executor() << "; longest uninterruptible step "
            << number(s.program->longest_step().seconds() * 1e6, 1) << " us\n";
  for (const MeasuredError& e : s.errors) {
    std::cout << "error    " << engine::precision_name(e.precision) << ": ";
    if (e.refusal.empty()) {
      std::cout << number(e.error, 6) << " of an output's largest magnitude, predicted "
                << number(e.predicted.millis(), 3) << " ms on one core\n";
    } else {
      std::cout << e.refusal << '\n';
    }
  }
  std::cout << "sharing  runs in the server's process: models served together share its fate"
            << (s.program->executor() == "native" ? "" : "; on more cores than one in a child process of its own")
            << "\n\n";
  term::Table passes({"pass", "rewrites", "us", "state"});
  for (const auto& report : s.program->passes())
    passes.row({report.name, std::to_string(report.rewrites), number(report.took.seconds() * 1e6, 0),
                report.disabled ? "disabled" : ""});
  std::cout << passes.to_string() << '\n';
  term::Table steps({"step", "op", "implementation", "MFLOP", "KB moved", "packed KB", "us", "slices", "longest us",
                     "loss %", "lane", "node"});
  for (size_t i = 0; i < s.program->steps().size(); ++i) {
    const engine::StepInfo& info = s.program->steps()[i];
    steps.row({std::to_string(i), info.op, info.implementation, number(info.flops * 1e-6, 2),
               number(static_cast<double>(info.bytes_moved) / 1e3, 1),
               number(static_cast<double>(info.weight_bytes) / 1e3, 1), number(info.predicted.seconds() * 1e6, 1),
               std::to_string(info.slices) + (info.barrier ? " barrier" : ""),
               number(info.longest_slice.seconds() * 1e6, 1), number(info.loss * 100, 2),
               std::to_string(info.stage) + "." + std::to_string(info.lane), info.node});
  }
  std::cout << steps.to_string();
  std::map<std::string, int> refusals;
  for (const auto& step : s.program->steps())
    for (const auto& refusal : step.refusals)
      ++refusals[step.op + ": " + refusal.implementation + " refused: " + refusal.reason];
  if (!refusals.empty()) std::cout << '\n';
  for (const auto& [text, count] : refusals) std::cout << count << " x " << text << '\n';
}

void ports_json(JsonWriter& json, std::string_view name, const std::vector<engine::Port>& ports) {
  json.key(name).begin_array();
  for (const auto& port : ports) {
    json.begin_object()
        .field("name", port.name)
        .field("datatype", dtype_kserve_name(port.dtype))
        .key("shape")
        .begin_array();
    for (int64_t extent : port.shape) json.value(extent);
    json.end_array().end_object();
  }
  json.end_array();
}

void print_json(const Subject& s) {
  JsonWriter json;
  json.begin_object().field("model", s.path.string()).field("ir_version", s.model->source().ir_version);
  json.key("opsets").begin_object();
  for (const auto& [domain, version] : s.model->source().opsets) json.field(domain, version);
  json.end_object();
  ports_json(json, "inputs", s.model->inputs());
  ports_json(json, "outputs", s.model->outputs());
  ports_json(json, "compiled_inputs", s.program->inputs());
  ports_json(json, "compiled_outputs", s.program->outputs());
  json.field("batchable", int64_t{s.model->batchable()}).key("ops").begin_object();
  for (const auto& [op, count] : s.ops) json.field(op, count);
  json.end_object();
  json.field("flops", s.flops)
      .field("bytes_moved", s.bytes)
      .field("predicted_us", s.program->predicted().seconds() * 1e6);
  json.field("layout", s.program->layout())
      .field("precision", engine::precision_name(s.program->precision()))
      .field("cpu", cpu_model())
      .field("isa", ops::onednn::isa_name());
  json.field("arena_bytes", s.program->arena_bytes().value)
      .field("arena_bytes_without_reuse", s.program->activation_bytes().value);
  json.field("weight_bytes", s.model->weight_bytes().value).field("packed_bytes", s.program->packed_bytes().value);
  json.field("executor", s.program->executor())
      .field("longest_step_us", s.program->longest_step().seconds() * 1e6)
      .field("sharing", "process");
  json.key("errors").begin_array();
  for (const MeasuredError& e : s.errors) {
    json.begin_object().field("precision", engine::precision_name(e.precision));
    if (e.refusal.empty()) {
      json.field("error", e.error).field("predicted_us", e.predicted.seconds() * 1e6);
    } else {
      json.field("refused", e.refusal);
    }
    json.end_object();
  }
  json.end_array();
  json.key("passes").begin_array();
  for (const auto& report : s.program->passes())
    json.begin_object()
        .field("name", report.name)
        .field("rewrites", int64_t{report.rewrites})
        .field("took_us", report.took.seconds() * 1e6)
        .field("disabled", int64_t{report.disabled})
        .end_object();
  json.end_array().key("steps").begin_array();
  for (const auto& step : s.program->steps()) {
    json.begin_object().field("op", step.op).field("node", step.node).field("implementation", step.implementation);
    json.field("flops", step.flops)
        .field("bytes_moved", static_cast<int64_t>(step.bytes_moved))
        .field("packed_weight_bytes", static_cast<int64_t>(step.weight_bytes))
        .field("predicted_us", step.predicted.seconds() * 1e6)
        .field("slices", int64_t{step.slices})
        .field("longest_slice_us", step.longest_slice.seconds() * 1e6)
        .field("slicing_loss", step.loss)
        .field("stage", int64_t{step.stage})
        .field("lane", int64_t{step.lane})
        .field("barrier", int64_t{step.barrier});
    json.key("refusals").begin_array();
    for (const auto& refusal : step.refusals)
      json.begin_object().field("implementation", refusal.implementation).field("reason", refusal.reason).end_object();
    json.end_array().end_object();
  }
  json.end_array().end_object();
  std::cout << json.text() << '\n';
}

}  // namespace

int inspect_main(int argc, char** argv) {
  Options options;
  CLI::App app(
      "Shows what runs a model and what it compiles to: ops, FLOPs, bytes, passes, steps with their implementations, "
      "memory.",
      "motet inspect");
  add_model_flags(app, options);
  app.add_option(
      "--inputs", options.inputs,
      "a .npz file with one array per input, by name: shows the error of bf16 and int8 on it, against exact");
  app.add_option("--threads", options.threads, "greatest number of cores a step is compiled for")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_flag("--no-times", options.no_times,
               "one quick run instead of several: rough step times, no choice of layout by measurement");
  app.add_flag("--json", options.json, "one JSON object on standard output");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  auto subject = prepare(options);
  if (!subject.ok()) {
    std::cerr << "motet inspect: " << subject.error().message << '\n';
    return 1;
  }
  options.json ? print_json(*subject) : print_text(*subject);
  return 0;
}

}  // namespace motet
