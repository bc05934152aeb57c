#include "wire/export/prometheus.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <optional>
#include <set>

namespace motet::exporter {
namespace {

struct Line {
  std::string name;
  std::map<std::string, std::string> labels;
  double value = 0;
};

bool name_char(char c, bool first) {
  return std::isalpha(static_cast<unsigned char>(c)) || c == '_' || c == ':' ||
         (!first && std::isdigit(static_cast<unsigned char>(c)));
}

// Reads one sample line by the letter of the format; nothing if it breaks a rule.
std::optional<Line> parse_sample(const std::string& text) {
  Line line;
  size_t at = 0;
  while (at < text.size() && name_char(text[at], at == 0)) ++at;
  line.name = text.substr(0, at);
  if (line.name.empty()) return std::nullopt;
  if (at < text.size() && text[at] == '{') {
    ++at;
    while (true) {
      size_t start = at;
      while (at < text.size() && name_char(text[at], at == start)) ++at;
      std::string label = text.substr(start, at - start);
      if (label.empty() || at + 1 >= text.size() || text[at] != '=' || text[at + 1] != '"') return std::nullopt;
      at += 2;
      std::string value;
      while (at < text.size() && text[at] != '"') {
        if (text[at] == '\n') return std::nullopt;
        if (text[at] == '\\') {
          if (++at >= text.size()) return std::nullopt;
          if (text[at] == 'n')
            value += '\n';
          else if (text[at] == '\\' || text[at] == '"')
            value += text[at];
          else
            return std::nullopt;
          ++at;
        } else {
          value += text[at++];
        }
      }
      if (at >= text.size() || !line.labels.emplace(label, value).second) return std::nullopt;
      ++at;
      if (at < text.size() && text[at] == ',') {
        ++at;
        continue;
      }
      if (at < text.size() && text[at] == '}') {
        ++at;
        break;
      }
      return std::nullopt;
    }
  }
  if (at >= text.size() || text[at] != ' ') return std::nullopt;
  std::string number = text.substr(at + 1);
  if (number == "+Inf") {
    line.value = std::numeric_limits<double>::infinity();
    return line;
  }
  size_t used = 0;
  try {
    line.value = std::stod(number, &used);
  } catch (...) {
    return std::nullopt;
  }
  if (used != number.size()) return std::nullopt;
  return line;
}

struct Parsed {
  std::map<std::string, std::string> help, type;
  std::vector<Line> samples;
};

// The whole text: HELP then TYPE before the samples of a family, families not interleaved, no sample twice.
std::optional<Parsed> parse(const std::string& text) {
  Parsed parsed;
  std::string family;
  std::set<std::pair<std::string, std::map<std::string, std::string>>> seen;
  size_t at = 0;
  while (at < text.size()) {
    size_t end = text.find('\n', at);
    if (end == std::string::npos) return std::nullopt;
    std::string line = text.substr(at, end - at);
    at = end + 1;
    if (line.rfind("# HELP ", 0) == 0) {
      size_t space = line.find(' ', 7);
      family = line.substr(7, space - 7);
      if (!parsed.help.emplace(family, line.substr(space + 1)).second) return std::nullopt;
    } else if (line.rfind("# TYPE ", 0) == 0) {
      size_t space = line.find(' ', 7);
      if (line.substr(7, space - 7) != family) return std::nullopt;
      if (!parsed.type.emplace(family, line.substr(space + 1)).second) return std::nullopt;
    } else {
      auto sample = parse_sample(line);
      if (!sample || parsed.type.count(family) == 0) return std::nullopt;
      std::string suffix = sample->name.size() >= family.size() && sample->name.compare(0, family.size(), family) == 0
                               ? sample->name.substr(family.size())
                               : "?";
      bool histogram = parsed.type[family] == "histogram";
      if (histogram ? suffix != "_bucket" && suffix != "_sum" && suffix != "_count" : !suffix.empty())
        return std::nullopt;
      if (!seen.emplace(sample->name, sample->labels).second) return std::nullopt;
      parsed.samples.push_back(*sample);
    }
  }
  return parsed;
}

TEST(Prometheus, WritesTheExactText) {
  observe::Registry registry;
  registry.counter("served_total", "Queries\nserved \\ \"all\".", {{"model", "a\"b\\c\nd"}}).add(12345678901);
  registry.gauge("load", "Share.", {}).set(0.25);
  std::vector<double> bounds = {0.1, 1, 10};
  observe::Histogram& h = registry.histogram("took_seconds", "Time.", {{"model", "m"}}, bounds);
  for (double v : {0.05, 0.5, 0.75, 20.0}) h.observe(v);
  EXPECT_EQ(prometheus_text(registry), R"(# HELP load Share.
# TYPE load gauge
load 0.25
# HELP served_total Queries\nserved \\ "all".
# TYPE served_total counter
served_total{model="a\"b\\c\nd"} 12345678901
# HELP took_seconds Time.
# TYPE took_seconds histogram
took_seconds_bucket{model="m",le="0.1"} 1
took_seconds_bucket{model="m",le="1"} 3
took_seconds_bucket{model="m",le="10"} 3
took_seconds_bucket{model="m",le="+Inf"} 4
took_seconds_sum{model="m"} 21.3
took_seconds_count{model="m"} 4
)");
}

TEST(Prometheus, AStrictParserReadsBackWhatWasCounted) {
  observe::Registry registry;
  std::string nasty = "x\\y\"z\nw, le=\"1\"} 5";
  registry.counter("c_total", "", {{"model", nasty}, {"version", "1"}}).add(3);
  registry.counter("c_total", "", {{"model", "m"}, {"version", "2"}}).add(4);
  registry.gauge("g", "help", {}).set(-1.5e-7);
  observe::Histogram& h = registry.histogram("h", "help", {{"model", nasty}}, observe::latency_bounds_s());
  for (int i = 0; i < 1000; ++i) h.observe(0.00007 * i * i);
  auto parsed = parse(prometheus_text(registry));
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->type,
            (std::map<std::string, std::string>{{"c_total", "counter"}, {"g", "gauge"}, {"h", "histogram"}}));
  double last = 0, infinite = -1, count = -2, nasty_value = 0, previous_le = -1;
  for (const Line& line : parsed->samples) {
    if (line.name == "h_bucket") {
      EXPECT_GE(line.value, last);
      last = line.value;
      double le =
          line.labels.at("le") == "+Inf" ? std::numeric_limits<double>::infinity() : std::stod(line.labels.at("le"));
      EXPECT_GT(le, previous_le);
      previous_le = le;
      if (line.labels.at("le") == "+Inf") infinite = line.value;
    }
    if (line.name == "h_count") count = line.value;
    if (line.name == "c_total" && line.labels.at("model") == nasty) nasty_value = line.value;
    if (line.name == "g") EXPECT_DOUBLE_EQ(line.value, -1.5e-7);
  }
  EXPECT_EQ(infinite, 1000);
  EXPECT_EQ(count, 1000);
  EXPECT_EQ(nasty_value, 3);
}

TEST(Prometheus, EmptyAndHiddenFamiliesLeaveNoTrace) {
  observe::Registry registry;
  EXPECT_EQ(prometheus_text(registry), "");
  registry.counter("c", "", {{"model", "m"}});
  registry.hide({{"model", "m"}});
  EXPECT_EQ(prometheus_text(registry), "");
}

TEST(Prometheus, TheStrictParserRefusesBrokenText) {
  for (const char* broken : {"a 1\n", "# HELP a h\n# TYPE a gauge\na{b=\"c} 1\n", "# HELP a h\n# TYPE a gauge\na 1",
                             "# HELP a h\n# TYPE a gauge\na 1\na 1\n", "# HELP a h\n# TYPE a histogram\na 1\n"}) {
    EXPECT_FALSE(parse(broken).has_value()) << broken;
  }
}

}  // namespace
}  // namespace motet::exporter
