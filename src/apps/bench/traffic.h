// From the command line's words to Streams: which models, how often, with what inputs. Asks the server for signatures
// and configs. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "body/load/generator.h"
#include "wire/client/client.h"

namespace motet::bench {

// "M", "M:rate", "M:rate:slo_ms" or "M::slo_ms".
struct ModelFlag {
  std::string model;
  std::optional<double> per_s;
  std::optional<double> slo_ms;
};
Result<ModelFlag> parse_model_flag(std::string_view text);

enum class ArrivalKind : unsigned char { kPoisson, kConstant, kTrace };
struct ArrivalFlag {
  ArrivalKind kind = ArrivalKind::kPoisson;
  std::string trace_file;
};
// "poisson", "constant" or "trace:FILE".
Result<ArrivalFlag> parse_arrival_flag(std::string_view text);

// "NAME=1x3x224x224" into `shapes`.
Status parse_shape_flag(std::string_view text, std::map<std::string, Shape>& shapes);

struct TrafficOptions {
  std::vector<ModelFlag> models;
  ArrivalFlag arrivals;
  bool closed_loop = false;
  bool rates_follow = false;  // --fill sets them once the server has been probed
  int64_t batch = 1;
  uint64_t seed = 1;
  std::map<std::string, Shape> shapes;
  std::vector<std::string> inputs;  // "FILE.npz" for every model, or "MODEL=FILE.npz"
  double timeout_s = 60;
};

// An Error names the model or flag that cannot be. A model's SLO, where none is given, is its config's parameter
// slo_ms.
Result<std::vector<load::Stream>> make_streams(client::Client& client, const TrafficOptions& options);

}  // namespace motet::bench
