// Reading traces: text to instants, without the C library's locale-dependent number parsing.
#include <charconv>

#include "brain/workload/arrivals.h"

namespace motet::brain {
namespace {

constexpr double kGreatestSecond = 9e9;           // as an instant still fits
constexpr int64_t kGreatestCount = 100'000'000;   // arrivals in one second
constexpr size_t kGreatestTrace = 1'000'000'000;  // arrivals in all

std::string_view trimmed(std::string_view s) {
  constexpr std::string_view kBlank = " \t\r";
  size_t begin = s.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return s.substr(begin, s.find_last_not_of(kBlank) - begin + 1);
}

std::optional<double> seconds_in(std::string_view s) {
  double v = 0;
  auto [end, fault] = std::from_chars(s.data(), s.data() + s.size(), v);
  if (fault != std::errc() || end != s.data() + s.size() || !(v >= 0 && v <= kGreatestSecond)) return std::nullopt;
  return v;
}

std::optional<int64_t> count_in(std::string_view s) {
  int64_t v = 0;
  auto [end, fault] = std::from_chars(s.data(), s.data() + s.size(), v);
  if (fault != std::errc() || end != s.data() + s.size() || v < 0 || v > kGreatestCount) return std::nullopt;
  return v;
}

Error bad_line(size_t number, std::string_view line, std::string_view accepted) {
  std::string shown(line.substr(0, 60));
  return invalid_argument("line " + std::to_string(number) + " of the trace is '" + shown + "'; " +
                          std::string(accepted));
}

// "second,count": the count's arrivals, evenly within that second.
Status add_counts(std::string_view line, size_t number, bool first, std::vector<Nanos>& at) {
  size_t comma = line.find(',');
  std::optional<double> second = seconds_in(trimmed(line.substr(0, comma)));
  std::optional<int64_t> count = count_in(trimmed(line.substr(comma + 1)));
  if (!second && !count && first) return {};  // a heading
  if (!second || !count) {
    return bad_line(number, line, "'second,count' is accepted: 0 or more, and a whole count up to 100000000");
  }
  if (at.size() + static_cast<size_t>(*count) > kGreatestTrace) {
    return bad_line(number, line, "at most 1000000000 arrivals in all are accepted");
  }
  Nanos begin(static_cast<int64_t>(*second * 1e9));
  if (!at.empty() && begin < at.back()) return bad_line(number, line, "ascending seconds are accepted");
  for (int64_t i = 0; i < *count; ++i) at.push_back(begin + Nanos(i * 1'000'000'000 / *count));
  return {};
}

Status add_offset(std::string_view line, size_t number, std::vector<Nanos>& at) {
  std::optional<double> second = seconds_in(line);
  if (!second) return bad_line(number, line, "an offset in seconds (0 to 9e9) or 'second,count' is accepted");
  Nanos offset(static_cast<int64_t>(*second * 1e9 + 0.5));
  if (!at.empty() && offset < at.back()) return bad_line(number, line, "ascending offsets are accepted");
  at.push_back(offset);
  return {};
}

}  // namespace

Result<TraceArrivals> parse_trace(std::string_view text) {
  auto at = std::make_shared<std::vector<Nanos>>();
  std::optional<bool> counts;  // the form, as the first line of numbers shows it
  for (size_t number = 1; !text.empty(); ++number) {
    size_t end = text.find('\n');
    std::string_view line = trimmed(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty() || line.front() == '#') continue;
    bool comma = line.find(',') != std::string_view::npos;
    if (counts && *counts != comma) return bad_line(number, line, "one form throughout is accepted");
    MOTET_RETURN_IF_ERROR(comma ? add_counts(line, number, !counts, *at) : add_offset(line, number, *at));
    counts = comma;
  }
  return TraceArrivals{std::move(at)};
}

}  // namespace motet::brain
