// A Registry as Prometheus text (exposition format 0.0.4): HELP and TYPE once a family, samples in the registry's
// order, histograms as cumulative _bucket, _sum and _count. Pure; any thread. Names are the caller's: they must be
// valid Prometheus names, which the code that makes the metrics decides, never a client; label values and help are
// escaped.
#pragma once

#include <string>

#include "base/observe/metrics.h"

namespace motet::exporter {

inline constexpr char kPrometheusContentType[] = "text/plain; version=0.0.4; charset=utf-8";

std::string prometheus_text(const observe::Registry& registry);

}  // namespace motet::exporter
