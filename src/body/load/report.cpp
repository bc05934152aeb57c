#include "body/load/report.h"

#include <algorithm>
#include <cmath>
#include <string_view>

namespace motet::load {
namespace {
constexpr size_t kMaxErrorKinds = 8;

// Each run of digits as one '#'.
std::string without_numbers(std::string_view text) {
  std::string out;
  for (char c : text) {
    bool digit = c >= '0' && c <= '9';
    if (!digit)
      out += c;
    else if (out.empty() || out.back() != '#')
      out += '#';
  }
  return out;
}

}  // namespace

double StreamReport::attainment() const {
  return intended == 0 ? 1 : static_cast<double>(within_slo) / static_cast<double>(intended);
}

Nanos StreamReport::percentile(double q) const {
  if (latencies.empty()) return Nanos(0);
  auto rank = static_cast<size_t>(std::ceil(std::clamp(q, 0.0, 1.0) * static_cast<double>(latencies.size())));
  return latencies[std::max<size_t>(rank, 1) - 1];
}

Nanos StreamReport::mean() const {
  if (latencies.empty()) return Nanos(0);
  double sum = 0;
  for (Nanos latency : latencies) sum += static_cast<double>(latency.value);
  return Nanos(static_cast<int64_t>(sum / static_cast<double>(latencies.size())));
}

double StreamReport::served_per_s() const { return span.value > 0 ? static_cast<double>(served) / span.seconds() : 0; }

Recorder::Recorder(std::string model, Nanos slo, int64_t rows_per_query) {
  report_.model = std::move(model);
  report_.slo = slo;
  report_.rows_per_query = rows_per_query;
}

void Recorder::intended() {
  std::lock_guard lock(mutex_);
  ++report_.intended;
}

void Recorder::unsent() {
  std::lock_guard lock(mutex_);
  ++report_.unsent;
}

void Recorder::sent(Nanos lag) {
  std::lock_guard lock(mutex_);
  ++report_.sent;
  report_.max_send_lag = std::max(report_.max_send_lag, lag);
}

void Recorder::answered(const Status& status, Nanos latency, Nanos at) {
  std::lock_guard lock(mutex_);
  report_.span = std::max(report_.span, at);
  if (status.ok()) {
    ++report_.served;
    if (latency <= report_.slo) ++report_.within_slo;
    report_.latencies.push_back(latency);
    return;
  }
  ++(status.error().code == Code::kUnavailable ? report_.shed : report_.failed);
  const std::string& text = status.error().message;
  std::string kind = without_numbers(text);
  auto known = kinds_.find(kind);
  if (known == kinds_.end() && kinds_.size() == kMaxErrorKinds) return;
  if (known == kinds_.end()) known = kinds_.emplace(std::move(kind), text).first;
  ++report_.errors[known->second];
}

StreamReport Recorder::finish() {
  std::lock_guard lock(mutex_);
  StreamReport out = std::move(report_);
  std::sort(out.latencies.begin(), out.latencies.end());
  return out;
}

}  // namespace motet::load
