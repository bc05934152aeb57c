// Runs cases of the ONNX node suite, one after another in this process, and prints one line for each:
//
//   onnx_cases FOLDER EXECUTOR < NAMES
//
// reads FOLDER/NAME/model.onnx and FOLDER/NAME/test_data_set_0/{input,output}_I.pb; EXECUTOR is "native" or "auto", as
// of a model's config. It prints
//
//   begin NAME
//   pass NAME EXECUTOR | refused NAME REASON | wrong NAME WHAT
//
// A case that was begun and has no verdict has crashed. The comparison is that of ONNX's own backend tests: |a - b| <=
// 1e-7 + 1e-3 |b| for floating types, with equal infinities and NaNs; anything else is to be equal.
// Two cases (kRounded) expect the rounding errors of a transform in single precision, 1.9e-7 where the true value is 0:
// they get 1e-6.
#include <cmath>
#include <filesystem>
#include <iostream>
#include <string>

#include "compute/engine/execution.h"
#include "compute/engine/foreign_step.h"
#include "compute/foreign/openvino.h"
#include "compute/graph/onnx_reader.h"
#include "compute/ops/data_dependent.h"
#include "compute/ops/registry.h"

namespace motet {
namespace {

namespace fs = std::filesystem;

struct Verdict {
  std::string word;
  std::string detail;
};

// An Error that blames ourselves is no refusal.
Verdict refused(const Error& error) { return {error.code == Code::kInternal ? "wrong" : "refused", error.message}; }

constexpr double kRelative = 1e-3;
constexpr std::string_view kRounded[] = {"test_dft_inverse", "test_dft_inverse_opset19"};

double absolute_tolerance(std::string_view name) {
  for (std::string_view rounded : kRounded)
    if (name == rounded) return 1e-6;
  return 1e-7;
}

bool close(double got, double want, double absolute) {
  if (std::isnan(got) || std::isnan(want)) return std::isnan(got) && std::isnan(want);
  if (std::isinf(got) || std::isinf(want)) return got == want;
  return std::abs(got - want) <= absolute + kRelative * std::abs(want);
}

double number(const TensorView& view, size_t i) {
  switch (view.dtype) {
    case DType::kF32: return view.as<float>()[i];
    case DType::kF64: return view.as<double>()[i];
    case DType::kF16: return f16_to_float(view.as<uint16_t>()[i]);
    default: return bf16_to_float(view.as<uint16_t>()[i]);
  }
}

bool is_floating(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF64 || dtype == DType::kF16 || dtype == DType::kBF16;
}

std::string kind(const TensorView& view) {
  return std::string(dtype_kserve_name(view.dtype)) + shape_to_string(view.shape);
}

// What differs, or nothing.
std::string difference(const TensorView& got, const TensorView& want, double absolute) {
  if (got.dtype != want.dtype || got.shape != want.shape) return "is " + kind(got) + ", not " + kind(want);
  auto at = [](size_t i) { return "element " + std::to_string(i) + " "; };
  if (got.dtype == DType::kString) {
    auto a = got.as<std::string_view>(), b = want.as<std::string_view>();
    for (size_t i = 0; i < a.size(); ++i)
      if (a[i] != b[i]) return at(i) + "is '" + std::string(a[i]) + "', not '" + std::string(b[i]) + "'";
  } else if (is_floating(got.dtype)) {
    for (size_t i = 0; i < static_cast<size_t>(got.elements()); ++i) {
      double a = number(got, i), b = number(want, i);
      if (!close(a, b, absolute)) return at(i) + "is " + std::to_string(a) + ", not " + std::to_string(b);
    }
  } else {
    const size_t size = dtype_bytes(got.dtype);
    for (size_t i = 0; i < static_cast<size_t>(got.elements()); ++i)
      if (std::memcmp(got.data + i * size, want.data + i * size, size) != 0) return at(i) + "differs";
  }
  return {};
}

// The tensors of files PREFIX_0.pb, PREFIX_1.pb, ...
Result<std::vector<Tensor>> tensors(const fs::path& folder, const std::string& prefix) {
  std::vector<Tensor> list;
  while (true) {
    fs::path file = folder / (prefix + "_" + std::to_string(list.size()) + ".pb");
    if (!fs::exists(file)) return list;
    MOTET_ASSIGN(auto named, graph::read_tensor_proto(file));
    list.push_back(std::move(named.second));
  }
}

Verdict run(const fs::path& folder, const std::string& executor) {
  auto model = engine::Model::load(folder / "model.onnx", {.executor = executor});
  if (!model.ok()) return refused(model.error());
  auto inputs = tensors(folder / "test_data_set_0", "input");
  if (!inputs.ok()) return refused(inputs.error());
  auto wanted = tensors(folder / "test_data_set_0", "output");
  if (!wanted.ok()) return refused(wanted.error());
  std::vector<Shape> shapes;
  engine::QueryInputs query;
  for (const Tensor& tensor : *inputs) {
    shapes.push_back(tensor.shape());
    query.tensors.push_back(tensor.view());
  }
  auto program = (*model)->compile(shapes, {.max_width = executor == "native" ? 2 : 1, .calibrate = false});
  if (!program.ok()) return refused(program.error());
  auto execution = engine::Execution::create({{*program, 0}}, {query}, false);
  if (!execution.ok()) return refused(execution.error());
  if ((*execution)->run(device::Team::serial()) != engine::RunState::kFinished) return refused((*execution)->failure());
  if ((*program)->outputs().size() != wanted->size())
    return {"wrong", std::to_string((*program)->outputs().size()) + " outputs, not " + std::to_string(wanted->size())};
  const double absolute = absolute_tolerance(folder.filename().string());
  for (size_t o = 0; o < wanted->size(); ++o) {
    const Tensor got = (*execution)->output(0, o);
    const std::string what = difference(got.view(), (*wanted)[o].view(), absolute);
    if (!what.empty()) return {"wrong", "output " + std::to_string(o) + " " + what};
  }
  return {"pass", (*program)->executor()};
}

// One line an op: its implementations in the order in which they are asked.
void print_implementations() {
  for (const std::string& op : ops::supported_ops()) {
    const size_t colon = op.rfind(':');
    const std::string domain = colon == std::string::npos ? "" : op.substr(0, colon);
    if (!domain.empty()) continue;
    graph::Node node;
    node.op = op;
    std::cout << op;
    if (ops::shaped_by_data(node)) {
      std::cout << " data";
    } else {
      for (const ops::Implementation& implementation : ops::implementations(domain, op))
        std::cout << ' ' << implementation.name;
    }
    std::cout << '\n';
  }
  for (const char* op : {"If", "Loop", "Scan"}) std::cout << op << " body\n";
}

std::string one_line(std::string text) {
  for (char& c : text)
    if (c == '\n' || c == '\r') c = ' ';
  return text;
}

}  // namespace
}  // namespace motet

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--implementations") {
    motet::print_implementations();
    return 0;
  }
  if (argc != 3) {
    std::cerr << "usage: onnx_cases FOLDER EXECUTOR < NAMES, or onnx_cases --implementations\n";
    return 2;
  }
  // One core: what OpenVINO runs, it runs in this process.
  if (std::string_view(argv[2]) != "native") motet::engine::install_foreign(motet::foreign::make_openvino({}));
  std::string name;
  while (std::getline(std::cin, name)) {
    std::cout << "begin " << name << std::endl;
    const motet::Verdict verdict = motet::run(std::filesystem::path(argv[1]) / name, argv[2]);
    std::cout << verdict.word << ' ' << name << ' ' << motet::one_line(verdict.detail) << std::endl;
  }
  return 0;
}
