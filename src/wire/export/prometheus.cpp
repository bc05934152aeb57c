#include "wire/export/prometheus.h"

#include <charconv>
#include <cmath>
#include <string_view>

namespace motet::exporter {
namespace {

void append_number(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "NaN";
  } else if (std::isinf(value)) {
    out += value > 0 ? "+Inf" : "-Inf";
  } else {
    char digits[32];
    // Whole numbers in full, so that a counter reads as one; beyond 2^53 they are no longer exact.
    bool whole = value == std::trunc(value) && std::fabs(value) < 0x1p53;
    auto end = whole ? std::to_chars(digits, digits + sizeof digits, static_cast<int64_t>(value))
                     : std::to_chars(digits, digits + sizeof digits, value);
    out.append(digits, end.ptr);
  }
}

void append_escaped(std::string& out, std::string_view text, bool quotes) {
  for (char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && quotes) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
}

// One line: name suffix {labels, le} value.
void append_sample(std::string& out, std::string_view name, std::string_view suffix, const observe::Labels& labels,
                   const double* le, double value) {
  out.append(name).append(suffix);
  if (!labels.empty() || le != nullptr) {
    char separator = '{';
    for (const auto& [label, text] : labels) {
      out += separator;
      out.append(label).append("=\"");
      append_escaped(out, text, true);
      out += '"';
      separator = ',';
    }
    if (le != nullptr) {
      out += separator;
      out += "le=\"";
      append_number(out, *le);
      out += '"';
    }
    out += '}';
  }
  out += ' ';
  append_number(out, value);
  out += '\n';
}

void append_histogram(std::string& out, const std::string& name, const observe::Sample& sample) {
  const observe::HistogramSnapshot& h = sample.histogram;
  uint64_t cumulative = 0;
  for (size_t i = 0; i < h.counts.size(); ++i) {
    cumulative += h.counts[i];
    double le = i < h.upper_bounds.size() ? h.upper_bounds[i] : HUGE_VAL;
    append_sample(out, name, "_bucket", sample.labels, &le, static_cast<double>(cumulative));
  }
  append_sample(out, name, "_sum", sample.labels, nullptr, h.sum);
  append_sample(out, name, "_count", sample.labels, nullptr, static_cast<double>(h.count));
}

constexpr std::string_view kind_name(observe::MetricKind kind) {
  switch (kind) {
    case observe::MetricKind::kCounter: return "counter";
    case observe::MetricKind::kGauge: return "gauge";
    case observe::MetricKind::kHistogram: return "histogram";
  }
  return "untyped";
}

}  // namespace

std::string prometheus_text(const observe::Registry& registry) {
  std::string out;
  for (const observe::Family& family : registry.collect()) {
    out.append("# HELP ").append(family.name).append(" ");
    append_escaped(out, family.help, false);
    out.append("\n# TYPE ").append(family.name).append(" ").append(kind_name(family.kind)).append("\n");
    for (const observe::Sample& sample : family.samples) {
      if (family.kind == observe::MetricKind::kHistogram) {
        append_histogram(out, family.name, sample);
      } else {
        append_sample(out, family.name, "", sample.labels, nullptr, sample.value);
      }
    }
  }
  return out;
}

}  // namespace motet::exporter
