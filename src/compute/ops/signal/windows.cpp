// Windows and mel filters: results known when planned, copied out at each run.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "compute/ops/signal/signal.h"
#include "compute/ops/support/dispatch.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"

namespace motet::ops {
namespace {

constexpr double kMost = 1e8;  // elements

Result<KernelPtr> numbers_kernel(const NodeRequest& request, const Shape& shape, const std::vector<double>& numbers) {
  const DType dtype = request.outputs[0].dtype;
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, dtype, shape));
  Tensor value = Tensor::zeros(dtype, shape);
  const bool known = for_number_type(dtype, [&]<class T>(T) {
    auto to = value.view().as<T>();
    for (size_t i = 0; i < numbers.size(); ++i) to[i] = static_cast<T>(numbers[i]);
  });
  if (!known) return unsupported("of type " + std::string(dtype_kserve_name(dtype)));
  const size_t bytes = value.view().bytes();
  return make_kernel(
      [value, bytes](const KernelArgs& args, device::Team&) {
        if (bytes > 0) std::memcpy(args.outputs[0].data, value.view().data, bytes);
      },
      {.packed_bytes = bytes});
}

}  // namespace

Result<KernelPtr> plan_signal_window(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 1, 1));
  MOTET_ASSIGN(const double size, constant_scalar(request, 0, "size"));
  if (!(size >= 0 && size <= kMost)) return unsupported("a window of " + std::to_string(size) + " elements");
  const auto count = static_cast<int64_t>(size);
  const double period = size - (request.node.int_or("periodic", 1) != 0 ? 0 : 1);
  // a - b cos(x) + c cos(2x)
  double a = 0.5, b = 0.5, c = 0;
  if (request.node.op == "HammingWindow") {
    a = 25.0 / 46;
    b = 1 - a;
  } else if (request.node.op == "BlackmanWindow") {
    a = 0.42;
    c = 0.08;
  }
  std::vector<double> values;
  for (int64_t i = 0; i < count; ++i) {
    const double x = 2 * std::numbers::pi * static_cast<double>(i) / period;
    values.push_back(period > 0 ? a - b * std::cos(x) + c * std::cos(2 * x) : 1);
  }
  return numbers_kernel(request, {count}, values);
}

// Triangles over the bins of a spectrum, evenly spaced on the mel scale; onnx/onnx docs/Operators.md,
// "MelWeightMatrix".
Result<KernelPtr> plan_mel_weight_matrix(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 5, 5));
  static constexpr const char* kNames[] = {"num_mel_bins", "dft_length", "sample_rate", "lower_edge_hertz",
                                           "upper_edge_hertz"};
  double given[5];
  for (size_t i = 0; i < 5; ++i) {
    MOTET_ASSIGN(given[i], constant_scalar(request, i, kNames[i]));
  }
  const auto bins = static_cast<int64_t>(given[0]), spectrum = static_cast<int64_t>(given[1]) / 2 + 1;
  if (!(given[0] >= 1 && given[0] <= 1e5 && given[1] >= 1 && given[1] <= 1e6 && given[2] >= 1 &&
        given[0] * given[1] <= kMost))
    return unsupported(std::to_string(given[0]) + " bins of a spectrum of " + std::to_string(given[1]));
  auto mel = [](double hertz) { return 2595 * std::log10(1 + hertz / 700); };
  const double low = mel(given[3]), high = mel(given[4]);
  const double step = (high - low) / static_cast<double>(bins + 2);
  std::vector<int64_t> edges;
  for (int64_t i = 0; i < bins + 2; ++i) {
    const double hertz = 700 * (std::pow(10, (low + static_cast<double>(i) * step) / 2595) - 1);
    edges.push_back(static_cast<int64_t>((given[1] + 1) * hertz / given[2]));
  }
  std::vector<double> values(static_cast<size_t>(spectrum * bins), 0);
  auto set = [&](int64_t at, int64_t bin, double value) {
    if (at >= 0 && at < spectrum) values[static_cast<size_t>(at * bins + bin)] = value;
  };
  for (int64_t i = 0; i < bins; ++i) {
    const auto e = static_cast<size_t>(i);
    const int64_t from = edges[e], middle = edges[e + 1], to = edges[e + 2];
    if (middle == from) set(middle, i, 1);
    for (int64_t j = from; j <= middle && middle > from; ++j)
      set(j, i, static_cast<double>(j - from) / static_cast<double>(middle - from));
    for (int64_t j = middle; j < to; ++j) set(j, i, static_cast<double>(to - j) / static_cast<double>(to - middle));
  }
  return numbers_kernel(request, {spectrum, bins}, values);
}

}  // namespace motet::ops
