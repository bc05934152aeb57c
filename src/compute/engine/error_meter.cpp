#include "compute/engine/error_meter.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/check.h"

namespace motet::engine {
namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();

// Calls f(exact, other) with each pair of elements as doubles; false if the type is not of floating point.
template <class F>
bool each_pair(const TensorView& exact, const TensorView& other, F&& f) {
  auto walk = [&]<class T>(T, auto&& widen) {
    auto a = exact.as<T>();
    auto b = other.as<T>();
    for (size_t i = 0; i < a.size(); ++i) f(widen(a[i]), widen(b[i]));
    return true;
  };
  switch (exact.dtype) {
    case DType::kF32: return walk(float{}, [](float x) { return static_cast<double>(x); });
    case DType::kF64: return walk(double{}, [](double x) { return x; });
    case DType::kF16: return walk(uint16_t{}, [](uint16_t x) { return static_cast<double>(f16_to_float(x)); });
    case DType::kBF16: return walk(uint16_t{}, [](uint16_t x) { return static_cast<double>(bf16_to_float(x)); });
    default: return false;
  }
}

// |other - exact|. Two infinities of one sign, and two NaN, are the same answer.
double distance(double exact, double other) {
  if (std::isfinite(exact) && std::isfinite(other)) return std::fabs(other - exact);
  return exact == other || (std::isnan(exact) && std::isnan(other)) ? 0 : kInfinite;
}

int64_t differing_elements(const TensorView& exact, const TensorView& other) {
  int64_t count = 0;
  if (exact.dtype == DType::kString) {
    auto a = exact.as<std::string_view>();
    auto b = other.as<std::string_view>();
    for (size_t i = 0; i < a.size(); ++i) count += a[i] != b[i];
    return count;
  }
  const size_t size = dtype_bytes(exact.dtype);
  for (size_t at = 0; at < exact.bytes(); at += size) count += std::memcmp(exact.data + at, other.data + at, size) != 0;
  return count;
}

}  // namespace

void ErrorMeter::add(std::span<const Tensor> exact, std::span<const Tensor> other) {
  MOTET_CHECK(exact.size() == other.size(), "two programs of one model have the same outputs");
  sums_.resize(std::max(sums_.size(), exact.size()));
  for (size_t o = 0; o < exact.size(); ++o) {
    const TensorView& a = exact[o].view();
    const TensorView& b = other[o].view();
    Sums& sums = sums_[o];
    if (a.dtype != b.dtype || a.shape != b.shape) {
      sums.difference = sums.squared_difference = kInfinite;
      continue;
    }
    sums.real = each_pair(a, b, [&](double x, double y) {
      const double apart = distance(x, y);
      sums.difference = std::max(sums.difference, apart);
      sums.squared_difference += apart * apart;
      if (!std::isfinite(x)) return;
      sums.magnitude = std::max(sums.magnitude, std::fabs(x));
      sums.squared_exact += x * x;
    });
    if (sums.real) continue;
    sums.difference += static_cast<double>(differing_elements(a, b));
    sums.magnitude += static_cast<double>(a.elements());
  }
}

std::vector<Departure> ErrorMeter::outputs() const {
  auto ratio = [](double part, double whole) { return part == 0 ? 0 : whole > 0 ? part / whole : kInfinite; };
  std::vector<Departure> outputs;
  for (const Sums& sums : sums_) {
    const double max = ratio(sums.difference, sums.magnitude);
    outputs.push_back({max, sums.real ? std::sqrt(ratio(sums.squared_difference, sums.squared_exact)) : max});
  }
  return outputs;
}

double ErrorMeter::error() const {
  double worst = 0;
  for (const Departure& output : outputs()) worst = std::max(worst, output.max);
  return worst;
}

Result<std::vector<Tensor>> run_alone(std::span<const ProgramPtr> programs, const QueryInputs& query, bool batched) {
  MOTET_CHECK(!programs.empty(), "there is a program to run");
  std::vector<Part> parts;
  if (batched) {
    auto batch_of = [](const ProgramPtr& program) { return program->inputs().front().shape[0]; };
    for (int64_t left = query.tensors.front().shape.front(); left > 0;) {
      size_t at = programs.size() - 1;
      while (at > 0 && batch_of(programs[at]) > left) --at;
      const int64_t rows = std::min(left, batch_of(programs[at]));
      parts.push_back({programs[at], rows});
      left -= rows;
    }
  } else {
    parts.push_back({programs.front(), 1});
  }
  MOTET_ASSIGN(auto execution, Execution::create(std::move(parts), {query}, batched));
  device::Team& alone = device::Team::serial();
  device::TeamScope scope(alone);
  if (execution->run(alone) != RunState::kFinished) return execution->failure();
  std::vector<Tensor> outputs;
  for (size_t o = 0; o < programs.front()->outputs().size(); ++o) outputs.push_back(execution->output(0, o));
  return outputs;
}

}  // namespace motet::engine
