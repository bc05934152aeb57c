// What a completed config says to the part that decides: batching, queue, priorities, and of `parameters` the SLO and
// the precision. Plain value; any thread may call.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace inference {
class ModelConfig;
}

namespace motet::repo {

// How a model may be computed: exact is fp32; the others round what is worth it, once their error has been measured and
// lies within the model's bound; automatic takes the fastest of those.
enum class PrecisionWish : uint8_t { kExact, kBf16, kInt8, kAutomatic };
std::string_view precision_wish_name(PrecisionWish wish);  // "exact", "bf16", "int8", "auto"
std::optional<PrecisionWish> precision_wish_of(std::string_view name);

// The bound on the error of a model that states none: the greatest departure of an output, over the largest magnitude
// that the output has.
inline constexpr double kDefaultPrecisionMaxError = 0.05;

struct ServingSettings {
  int max_batch = 0;                          // rows; 0: the model has no batch extent
  Nanos slo = kNever;                         // parameters slo_ms
  double slo_attainment = 0.99;               // parameters slo_attainment
  bool allow_padding = false;                 // parameters allow_padding
  std::string executor = "auto";              // parameters executor: auto, native, openvino
  std::optional<PrecisionWish> precision;     // parameters precision; absent: the server's default
  std::optional<double> precision_max_error;  // parameters precision_max_error; absent: the server's default
  bool dynamic_batching = false;
  Nanos max_queue_delay{0};
  std::vector<int> preferred_batches;
  bool preserve_ordering = false;
  int max_queue = 0;               // requests; 0: no limit
  int priority_levels = 0;         // 0: one level
  int default_priority = 0;        // 1 .. priority_levels, or 0 without levels
  Nanos default_timeout = kNever;  // of requests that state none; kNever: none
  bool allow_timeout_override = false;
  friend bool operator==(const ServingSettings&, const ServingSettings&) = default;
};

// What is to run the model, by the parameter executor: known before the model is read. An Error names the value.
Result<std::string> executor_of(const inference::ModelConfig& config);

// An Error names the field, its value and the accepted range.
Result<ServingSettings> serving_settings(const inference::ModelConfig& config);

// How long a request may take that states `timeout_us` (0: none), by the model's queue policy: the default where it
// states none, the shorter of the two where it may override, else the default alone. kNever: no limit.
Nanos effective_timeout(const ServingSettings& settings, int64_t timeout_us);

}  // namespace motet::repo
