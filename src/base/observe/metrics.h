// Counters, gauges and histograms, and the registry that names them; wire/export writes them out. Updates are wait-free and
// may come from any thread (sharded by thread, summed when read). Metrics live as long as their Registry; a removed label
// set (an unloaded model) keeps its memory and leaves the exports.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace motet::observe {

inline constexpr int kShards = 8;

class Counter {
 public:
  void add(uint64_t n = 1);
  uint64_t value() const;

 private:
  struct alignas(64) Cell { std::atomic<uint64_t> n{0}; };
  std::array<Cell, kShards> cells_;
};

class Gauge {
 public:
  void set(double v) { value_.store(v, std::memory_order_relaxed); }
  void add(double v);
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

struct HistogramSnapshot {
  std::vector<double> upper_bounds;   // ascending, without +Inf
  std::vector<uint64_t> counts;       // one more than bounds; not cumulative
  uint64_t count = 0;
  double sum = 0;
  // The value below which a share q of the observations lies, interpolated within its bucket. 0 when empty.
  double quantile(double q) const;
};

class Histogram {
 public:
  explicit Histogram(std::vector<double> upper_bounds);
  void observe(double value);
  HistogramSnapshot snapshot() const;

 private:
  std::vector<double> upper_bounds_;
  std::vector<std::atomic<uint64_t>> cells_;  // kShards rows of (bounds + 1)
  std::array<std::atomic<double>, kShards> sums_;
};

// 1-2-5 steps from 100 us to 100 s, in seconds.
std::span<const double> latency_bounds_s();
// 1, 2, 4 .. 1024.
std::span<const double> batch_bounds();

using Labels = std::vector<std::pair<std::string, std::string>>;
enum class MetricKind : uint8_t { kCounter, kGauge, kHistogram };

struct Sample {
  Labels labels;
  double value = 0;              // counter, gauge
  HistogramSnapshot histogram;   // histogram
};
struct Family {
  std::string name;
  std::string help;
  MetricKind kind = MetricKind::kCounter;
  std::vector<Sample> samples;
};

class Registry {
 public:
  Registry();
  ~Registry();
  // The metric of that name and label set, made at the first call. Aborts if `name` exists as another kind.
  Counter& counter(std::string_view name, std::string_view help, const Labels& labels);
  Gauge& gauge(std::string_view name, std::string_view help, const Labels& labels);
  Histogram& histogram(std::string_view name, std::string_view help, const Labels& labels, std::span<const double> upper_bounds);
  // Leaves out of collect() from now on every sample that carries all of `labels`; asking for one again brings it back.
  void hide(const Labels& labels);
  // All families, by name; samples by label values.
  std::vector<Family> collect() const;

 private:
  struct State;
  std::unique_ptr<State> state_;  // synchronises itself
};

}  // namespace motet::observe
