#include "wire/repo/settings.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <string>
#include <string_view>

#include "wire/proto/model_config.pb.h"

namespace motet::repo {
namespace {

constexpr double kMaxSloMs = 86'400'000;  // a day
constexpr uint64_t kMaxPriorityLevels = 1024;

const std::string* parameter(const inference::ModelConfig& config, const std::string& key) {
  auto it = config.parameters().find(key);
  return it == config.parameters().end() ? nullptr : &it->second.string_value();
}

Error bad_parameter(std::string_view key, std::string_view value, std::string_view accepted) {
  return invalid_argument("config parameter " + std::string(key) + " is \"" + std::string(value) + "\"; accepted is " +
                          std::string(accepted));
}

// A number in (0, most].
Result<double> positive_number(std::string_view key, std::string_view text, double most, std::string_view accepted) {
  double value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value > 0) || !(value <= most))
    return bad_parameter(key, text, accepted);
  return value;
}

Status read_parameters(const inference::ModelConfig& config, ServingSettings& out) {
  if (const std::string* text = parameter(config, "slo_ms")) {
    MOTET_ASSIGN(double ms,
                 positive_number("slo_ms", *text, kMaxSloMs, "a number of milliseconds above 0 and at most 86400000"));
    out.slo = Nanos(std::max<int64_t>(1, std::llround(ms * 1e6)));
  }
  if (const std::string* text = parameter(config, "slo_attainment")) {
    MOTET_ASSIGN(out.slo_attainment, positive_number("slo_attainment", *text, 1.0, "a share above 0 and at most 1"));
  }
  if (const std::string* text = parameter(config, "allow_padding")) {
    if (*text != "true" && *text != "false") return bad_parameter("allow_padding", *text, "\"true\" or \"false\"");
    out.allow_padding = *text == "true";
  }
  MOTET_ASSIGN(out.executor, executor_of(config));
  if (const std::string* text = parameter(config, "precision")) {
    out.precision = precision_wish_of(*text);
    if (!out.precision) return bad_parameter("precision", *text, "\"exact\", \"bf16\", \"int8\" or \"auto\"");
  }
  if (const std::string* text = parameter(config, "precision_max_error")) {
    MOTET_ASSIGN(out.precision_max_error,
                 positive_number("precision_max_error", *text, 1.0,
                                 "a share of an output's largest magnitude, above 0 and at most 1"));
  }
  return {};
}

// Unsigned microseconds of any size; what does not fit saturates to kNever.
Nanos from_unsigned_micros(uint64_t us) {
  constexpr uint64_t kMost = std::numeric_limits<int64_t>::max();
  return Nanos::from_micros(static_cast<int64_t>(std::min(us, kMost)));
}

Error bad_field(std::string_view field, uint64_t value, std::string_view accepted) {
  return invalid_argument("config field dynamic_batching." + std::string(field) + " is " + std::to_string(value) +
                          "; accepted is " + std::string(accepted));
}

Status read_priorities(const inference::ModelDynamicBatching& batching, ServingSettings& out) {
  const uint64_t levels = batching.priority_levels();
  const uint64_t preset = batching.default_priority_level();
  if (levels > kMaxPriorityLevels)
    return bad_field("priority_levels", levels, "0 to " + std::to_string(kMaxPriorityLevels));
  if (levels == 0 && preset != 0) return bad_field("default_priority_level", preset, "0, because priority_levels is 0");
  if (levels > 0 && (preset == 0 || preset > levels))
    return bad_field("default_priority_level", preset, "1 to priority_levels, which is " + std::to_string(levels));
  out.priority_levels = static_cast<int>(levels);
  out.default_priority = static_cast<int>(preset);
  return {};
}

Status read_batching(const inference::ModelDynamicBatching& batching, ServingSettings& out) {
  out.dynamic_batching = true;
  out.max_queue_delay = from_unsigned_micros(batching.max_queue_delay_microseconds());
  out.preserve_ordering = batching.preserve_ordering();
  for (int size : batching.preferred_batch_size()) {
    if (size < 1 || size > out.max_batch) {
      return invalid_argument("config field dynamic_batching.preferred_batch_size has " + std::to_string(size) +
                              "; accepted is 1 to max_batch_size, which is " + std::to_string(out.max_batch));
    }
    out.preferred_batches.push_back(size);
  }
  std::sort(out.preferred_batches.begin(), out.preferred_batches.end());
  out.preferred_batches.erase(std::unique(out.preferred_batches.begin(), out.preferred_batches.end()),
                              out.preferred_batches.end());
  MOTET_RETURN_IF_ERROR(read_priorities(batching, out));
  const inference::ModelQueuePolicy& queue = batching.default_queue_policy();
  if (queue.max_queue_size() > static_cast<uint32_t>(std::numeric_limits<int>::max()))
    return bad_field("default_queue_policy.max_queue_size", queue.max_queue_size(), "0 to 2147483647");
  out.max_queue = static_cast<int>(queue.max_queue_size());
  if (queue.default_timeout_microseconds() != 0)
    out.default_timeout = from_unsigned_micros(queue.default_timeout_microseconds());
  out.allow_timeout_override = queue.allow_timeout_override();
  return {};
}

}  // namespace

std::string_view precision_wish_name(PrecisionWish wish) {
  switch (wish) {
    case PrecisionWish::kExact: return "exact";
    case PrecisionWish::kBf16: return "bf16";
    case PrecisionWish::kInt8: return "int8";
    case PrecisionWish::kAutomatic: return "auto";
  }
  return "?";
}

std::optional<PrecisionWish> precision_wish_of(std::string_view name) {
  for (PrecisionWish wish :
       {PrecisionWish::kExact, PrecisionWish::kBf16, PrecisionWish::kInt8, PrecisionWish::kAutomatic})
    if (precision_wish_name(wish) == name) return wish;
  return std::nullopt;
}

Result<std::string> executor_of(const inference::ModelConfig& config) {
  const std::string* text = parameter(config, "executor");
  if (text == nullptr) return std::string("auto");
  if (*text != "auto" && *text != "native" && *text != "openvino")
    return bad_parameter("executor", *text, "\"auto\", \"native\" or \"openvino\"");
  return *text;
}

Result<ServingSettings> serving_settings(const inference::ModelConfig& config) {
  ServingSettings out;
  if (config.max_batch_size() < 0)
    return invalid_argument("config field max_batch_size is " + std::to_string(config.max_batch_size()) +
                            "; accepted is 0 or more");
  out.max_batch = config.max_batch_size();
  MOTET_RETURN_IF_ERROR(read_parameters(config, out));
  if (config.has_dynamic_batching()) MOTET_RETURN_IF_ERROR(read_batching(config.dynamic_batching(), out));
  return out;
}

Nanos effective_timeout(const ServingSettings& settings, int64_t timeout_us) {
  const Nanos asked = timeout_us > 0 ? Nanos::from_micros(timeout_us) : kNever;
  if (settings.default_timeout == kNever) return asked;
  return settings.allow_timeout_override ? std::min(asked, settings.default_timeout) : settings.default_timeout;
}

}  // namespace motet::repo
