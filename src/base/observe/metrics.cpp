#include "base/observe/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "base/check.h"

namespace motet::observe {
namespace {

// Each thread keeps to one shard, so that threads rarely write the same cache line.
size_t own_shard() {
  static std::atomic<uint32_t> next{0};
  thread_local const size_t shard = next.fetch_add(1, std::memory_order_relaxed) % kShards;
  return shard;
}

void add_to(std::atomic<double>& cell, double v) {
  double seen = cell.load(std::memory_order_relaxed);
  while (!cell.compare_exchange_weak(seen, seen + v, std::memory_order_relaxed)) {
  }
}

// A row of a histogram starts on a cache line of its own.
size_t row_cells(size_t bounds) { return (bounds + 1 + 7) / 8 * 8; }

constexpr std::array<double, 19> kLatencyBounds = {1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1,
                                                   0.2,  0.5,  1.0,  2.0,  5.0,  10.0, 20.0, 50.0, 100.0};
constexpr std::array<double, 11> kBatchBounds = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024};

}  // namespace

void Counter::add(uint64_t n) { cells_[own_shard()].n.fetch_add(n, std::memory_order_relaxed); }

uint64_t Counter::value() const {
  uint64_t total = 0;
  for (const Cell& cell : cells_) total += cell.n.load(std::memory_order_relaxed);
  return total;
}

void Gauge::add(double v) { add_to(value_, v); }

double HistogramSnapshot::quantile(double q) const {
  if (count == 0) return 0;
  double rank = std::clamp(q, 0.0, 1.0) * static_cast<double>(count);
  double below = 0;
  for (size_t i = 0; i < upper_bounds.size(); ++i) {
    auto here = static_cast<double>(counts[i]);
    if (here > 0 && below + here >= rank) {
      double low = i > 0 ? upper_bounds[i - 1] : std::min(0.0, upper_bounds[i]);
      return low + (upper_bounds[i] - low) * ((rank - below) / here);
    }
    below += here;
  }
  // In the overflow bucket nothing is known but its lower edge.
  return upper_bounds.empty() ? sum / static_cast<double>(count) : upper_bounds.back();
}

Histogram::Histogram(std::vector<double> upper_bounds)
    : upper_bounds_(std::move(upper_bounds)), cells_(kShards * row_cells(upper_bounds_.size())) {
  for (size_t i = 0; i < upper_bounds_.size(); ++i) {
    MOTET_CHECK(upper_bounds_[i] < std::numeric_limits<double>::infinity(),
                "a histogram's bounds are finite: +Inf is implied");
    MOTET_CHECK(i == 0 || upper_bounds_[i - 1] < upper_bounds_[i], "a histogram's bounds ascend");
  }
}

void Histogram::observe(double value) {
  if (value != value) return;  // NaN belongs to no bucket and would poison the sum
  auto bucket =
      static_cast<size_t>(std::lower_bound(upper_bounds_.begin(), upper_bounds_.end(), value) - upper_bounds_.begin());
  size_t shard = own_shard();
  cells_[shard * row_cells(upper_bounds_.size()) + bucket].fetch_add(1, std::memory_order_relaxed);
  add_to(sums_[shard], value);
}

HistogramSnapshot Histogram::snapshot() const {
  HistogramSnapshot out{upper_bounds_, std::vector<uint64_t>(upper_bounds_.size() + 1), 0, 0};
  for (size_t shard = 0; shard < kShards; ++shard) {
    size_t row = shard * row_cells(upper_bounds_.size());
    for (size_t i = 0; i < out.counts.size(); ++i) out.counts[i] += cells_[row + i].load(std::memory_order_relaxed);
    out.sum += sums_[shard].load(std::memory_order_relaxed);
  }
  for (uint64_t n : out.counts) out.count += n;
  return out;
}

std::span<const double> latency_bounds_s() { return kLatencyBounds; }
std::span<const double> batch_bounds() { return kBatchBounds; }

// Names map to families, label sets (sorted by label name) to metrics; std::map keeps exports in a fixed order.
struct Registry::State {
  struct Metric {
    bool hidden = false;
    std::unique_ptr<Counter> counter;
    std::unique_ptr<Gauge> gauge;
    std::unique_ptr<Histogram> histogram;
  };
  struct Entry {
    std::string help;
    MetricKind kind = MetricKind::kCounter;
    std::map<Labels, Metric> metrics;
  };

  Metric& find(std::string_view name, std::string_view help, MetricKind kind, const Labels& labels) {
    auto [at, fresh] = entries.try_emplace(std::string(name));
    Entry& entry = at->second;
    if (fresh) {
      entry.help = help;
      entry.kind = kind;
    }
    MOTET_CHECK(entry.kind == kind, "one metric name for two kinds");
    Labels sorted = labels;
    std::sort(sorted.begin(), sorted.end());
    Metric& metric = entry.metrics[std::move(sorted)];
    metric.hidden = false;
    return metric;
  }

  mutable std::mutex mutex;
  std::map<std::string, Entry, std::less<>> entries;  // guarded by mutex
};

Registry::Registry() : state_(std::make_unique<State>()) {}
Registry::~Registry() = default;

Counter& Registry::counter(std::string_view name, std::string_view help, const Labels& labels) {
  std::lock_guard lock(state_->mutex);
  State::Metric& metric = state_->find(name, help, MetricKind::kCounter, labels);
  if (!metric.counter) metric.counter = std::make_unique<Counter>();
  return *metric.counter;
}

Gauge& Registry::gauge(std::string_view name, std::string_view help, const Labels& labels) {
  std::lock_guard lock(state_->mutex);
  State::Metric& metric = state_->find(name, help, MetricKind::kGauge, labels);
  if (!metric.gauge) metric.gauge = std::make_unique<Gauge>();
  return *metric.gauge;
}

Histogram& Registry::histogram(std::string_view name, std::string_view help, const Labels& labels,
                               std::span<const double> upper_bounds) {
  std::lock_guard lock(state_->mutex);
  State::Metric& metric = state_->find(name, help, MetricKind::kHistogram, labels);
  if (!metric.histogram)
    metric.histogram = std::make_unique<Histogram>(std::vector<double>(upper_bounds.begin(), upper_bounds.end()));
  return *metric.histogram;
}

void Registry::hide(const Labels& labels) {
  std::lock_guard lock(state_->mutex);
  for (auto& [name, entry] : state_->entries) {
    for (auto& [own, metric] : entry.metrics) {
      bool all = std::all_of(labels.begin(), labels.end(),
                             [&own](const auto& label) { return std::binary_search(own.begin(), own.end(), label); });
      if (all) metric.hidden = true;
    }
  }
}

std::vector<Family> Registry::collect() const {
  std::lock_guard lock(state_->mutex);
  std::vector<Family> families;
  for (const auto& [name, entry] : state_->entries) {
    Family family{name, entry.help, entry.kind, {}};
    for (const auto& [labels, metric] : entry.metrics) {
      if (metric.hidden) continue;
      Sample sample{labels, 0, {}};
      if (metric.counter) sample.value = static_cast<double>(metric.counter->value());
      if (metric.gauge) sample.value = metric.gauge->value();
      if (metric.histogram) sample.histogram = metric.histogram->snapshot();
      family.samples.push_back(std::move(sample));
    }
    if (!family.samples.empty()) families.push_back(std::move(family));
  }
  return families;
}

}  // namespace motet::observe
