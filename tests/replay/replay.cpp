// motet-replay RECORDING: proves that a recorded live run replays to identical actions, in a process of its own. With
// --alter N one event of the recording is changed first (the next arrival from record N on gets another query id),
// which must show as a difference. Exits 0 when all actions are identical, 1 when one differs, 2 when the file is no
// recording.
#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include "brain/control/recording.h"

namespace {

using namespace motet;

constexpr std::array<std::string_view, std::variant_size_v<brain::Event>> kEvents = {
    "Arrived",  "Cancelled", "Progress", "Finished",      "Failed", "Loaded",
    "Unloaded", "PlanReady", "Tick",     "ConfigChanged", "Retired"};
constexpr std::array<std::string_view, std::variant_size_v<brain::Action>> kActions = {
    "Start", "Yield", "Resume", "Resize", "Kill", "Reply", "Shed", "Load", "Unload", "Plan", "WakeAt"};

struct Contents {
  std::map<std::string_view, uint64_t> events;
  std::map<std::string_view, uint64_t> actions;
  uint64_t records = 0;
};

// Counts what a recording holds and, if `alter` is not 0, writes it anew to `altered` with one event changed.
Result<Contents> read_through(std::string_view bytes, uint64_t alter, std::string& altered) {
  MOTET_ASSIGN(brain::RecordingReader reader, brain::RecordingReader::open(bytes));
  brain::RecordingWriter writer(reader.options(), altered);
  Contents contents;
  bool done = alter == 0;
  for (;;) {
    MOTET_ASSIGN(std::optional<brain::RecordedStep> step, reader.next());
    if (!step) break;
    ++contents.records;
    ++contents.events[kEvents[step->heard.event.index()]];
    for (const brain::Action& action : step->said) ++contents.actions[kActions[action.index()]];
    if (alter == 0) continue;
    if (auto* arrived = std::get_if<brain::Arrived>(&step->heard.event);
        arrived != nullptr && !done && contents.records >= alter) {
      arrived->query = QueryId(arrived->query.value + 1'000'000'000);
      done = true;
    }
    writer.append(altered, step->heard.now, step->heard.event, step->said);
  }
  if (!done)
    return invalid_argument("no arrival from record " + std::to_string(alter) + " on; the recording has " +
                            std::to_string(contents.records));
  return contents;
}

std::string json_counts(const std::map<std::string_view, uint64_t>& counts) {
  std::string out;
  for (const auto& [kind, n] : counts)
    out += (out.empty() ? "\"" : ", \"") + std::string(kind) + "\": " + std::to_string(n);
  return "{" + out + "}";
}

std::string json_string(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) out += c;
  }
  return out + "\"";
}

int fail(const std::string& file, const Error& error) {
  std::fprintf(stderr, "motet-replay: %s: %s\n", file.c_str(), error.message.c_str());
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Replays a recording of `motet serve --record` and compares the actions.", "motet-replay"};
  std::string file;
  uint64_t alter = 0;
  bool json = false;
  app.add_option("RECORDING", file, "the file that `motet serve --record FILE` wrote")->required();
  app.add_option("--alter", alter, "change one event first: the next arrival from this record on");
  app.add_flag("--json", json, "print one JSON object");
  CLI11_PARSE(app, argc, argv);

  std::ifstream in(file, std::ios::binary);
  std::stringstream whole;
  whole << in.rdbuf();
  if (!in) return fail(file, not_found("cannot be read"));
  std::string bytes = std::move(whole).str();
  std::string altered;
  auto contents = read_through(bytes, alter, altered);
  if (!contents.ok()) return fail(file, contents.error());
  auto report = brain::replay(alter != 0 ? altered : bytes);
  if (!report.ok()) return fail(file, report.error());

  std::string difference;
  if (report->difference) {
    const auto& d = *report->difference;
    difference =
        "record " + std::to_string(d.record) + ", " + d.event + ": recorded " + d.recorded + "; replayed " + d.replayed;
  }
  if (json) {
    std::printf(
        "{\"events\": %llu, \"actions\": %llu, \"failed_loads\": %llu, \"differences\": %d, \"cut_short\": %s, "
        "\"first_difference\": %s, \"events_by_kind\": %s, \"actions_by_kind\": %s}\n",
        static_cast<unsigned long long>(contents->records), static_cast<unsigned long long>(report->actions),
        static_cast<unsigned long long>(report->failed_loads), report->difference ? 1 : 0,
        report->cut_short ? "true" : "false", json_string(difference).c_str(), json_counts(contents->events).c_str(),
        json_counts(contents->actions).c_str());
  } else {
    std::printf("%llu events, %llu actions: %s\n", static_cast<unsigned long long>(contents->records),
                static_cast<unsigned long long>(report->actions),
                report->difference ? difference.c_str() : "identical");
  }
  return report->difference ? 1 : 0;
}
