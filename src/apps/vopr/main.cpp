// motet-vopr: seeded trials of the serving loop in virtual time, with faults. Prints what ran and, for a seed that
// breaks a rule, which rule and how to replay it; exits 1 then.
#include <unistd.h>
#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include <CLI/CLI.hpp>

#include "apps/term/progress.h"
#include "apps/term/table.h"
#include "body/sim/campaign.h"
#include "brain/control/describe.h"

namespace {

using namespace motet;

constexpr size_t kMostExplained = 5;  // violations told in full

// For a loop that aborts: which seed it was. Written before each seed, read by the signal handler only.
char g_seed_notice[128];

extern "C" void tell_seed(int) {
  ssize_t ignored = write(STDERR_FILENO, g_seed_notice, std::strlen(g_seed_notice));
  static_cast<void>(ignored);
}

void note_seed(uint64_t seed) {
  std::snprintf(g_seed_notice, sizeof g_seed_notice,
                "the loop aborted in seed %llu\nreplay: build/motet-vopr --seed %llu --verbose\n",
                static_cast<unsigned long long>(seed), static_cast<unsigned long long>(seed));
}

struct Options {
  uint64_t seeds = 200;
  uint64_t first = 1;
  uint64_t seed = 0;
  bool verbose = false;
  std::string json = "build/bench/vopr.json";
};

int run_one(const Options& options, const sim::MakeLoop& make_loop) {
  note_seed(options.seed);
  sim::TrailSink trail;
  if (options.verbose)
    trail = [](const std::string& line) {
      std::printf("%s\n", line.c_str());
      std::fflush(stdout);
    };
  sim::TrialReport report = sim::run_trial(options.seed, make_loop, trail);
  if (!report.violation) report = sim::run_twice(options.seed, make_loop);
  std::printf("seed %llu: %llu events, %llu actions, %s of virtual time\n",
              static_cast<unsigned long long>(report.seed), static_cast<unsigned long long>(report.events),
              static_cast<unsigned long long>(report.actions), brain::describe(report.virtual_time).c_str());
  if (report.violation) std::printf("%s", sim::explain(report, make_loop).c_str());
  std::printf("bar vopr-violations %d 0 %s\n", report.violation ? 1 : 0, report.violation ? "short" : "ok");
  return report.violation ? 1 : 0;
}

void print_totals(const sim::CampaignTotals& totals) {
  std::printf(
      "seeds run          %llu, each twice\nevents             %llu\nactions            %llu\nvirtual time       %.1f "
      "hours\n\n",
      static_cast<unsigned long long>(totals.seeds), static_cast<unsigned long long>(totals.events),
      static_cast<unsigned long long>(totals.actions), totals.virtual_hours);
  term::Table answers({"answer", "queries"});
  answers.row({"ok", std::to_string(totals.answers.ok)});
  answers.row({"failed", std::to_string(totals.answers.failed)});
  answers.row({"cancelled", std::to_string(totals.answers.cancelled)});
  for (size_t r = 0; r < totals.answers.shed.size(); ++r)
    answers.row({"shed: " + std::string(brain::describe(static_cast<brain::ShedReason>(r))),
                 std::to_string(totals.answers.shed[r])});
  term::Table actions({"action", "taken"});
  for (size_t a = 0; a < totals.action_kinds.size(); ++a)
    actions.row({std::string(sim::action_name(a)), std::to_string(totals.action_kinds[a])});
  term::Table faults({"fault", "injected"});
  for (size_t f = 0; f < sim::kFaultKinds; ++f)
    faults.row({std::string(sim::fault_name(static_cast<sim::Fault>(f))), std::to_string(totals.faults[f])});
  std::printf("%s\n%s\n%s\n", answers.to_string().c_str(), actions.to_string().c_str(), faults.to_string().c_str());
}

bool write_json(const std::string& path, const std::string& text) {
  std::error_code error;
  std::filesystem::path parent = std::filesystem::path(path).parent_path();
  if (!parent.empty()) std::filesystem::create_directories(parent, error);
  std::ofstream out(path);
  out << text;
  out.close();
  if (!out) std::fprintf(stderr, "cannot write '%s'\n", path.c_str());
  return !out.fail();
}

int run_many(const Options& options, const sim::MakeLoop& make_loop) {
  sim::CampaignTotals totals;
  {
    term::Progress progress("seeds", static_cast<int64_t>(options.seeds));
    note_seed(options.first);
    totals = sim::run_campaign(options.first, options.seeds, make_loop, [&](const sim::TrialReport& report) {
      progress.advance();
      note_seed(report.seed + 1);
      return true;
    });
  }
  print_totals(totals);
  for (size_t i = 0; i < totals.violations.size(); ++i) {
    if (i < kMostExplained) {
      std::printf("%s\n", sim::explain(totals.violations[i], make_loop).c_str());
    } else {
      std::printf("seed %llu breaks the rule \"%s\": %s\n", static_cast<unsigned long long>(totals.violations[i].seed),
                  totals.violations[i].violation->rule.c_str(), totals.violations[i].violation->words.c_str());
    }
  }
  bool written = write_json(options.json, sim::to_json(totals));
  std::printf("bar vopr-violations %zu 0 %s\n", totals.violations.size(), totals.violations.empty() ? "ok" : "short");
  return totals.violations.empty() && written ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app(
      "Runs the serving loop in virtual time against simulated devices and faults, and checks every rule it promises.");
  app.option_defaults()->always_capture_default();
  CLI::Option* seeds =
      app.add_option("--seeds", options.seeds, "how many seeds to run, each twice")->check(CLI::Range(1, 100'000'000));
  CLI::Option* first = app.add_option("--first", options.first, "the first of them");
  CLI::Option* seed = app.add_option("--seed", options.seed, "run this seed only")->excludes(seeds)->excludes(first);
  app.add_flag("--verbose", options.verbose, "with --seed: print every event and action")->needs(seed);
  app.add_option("--json", options.json, "where to write the totals of --seeds");
  CLI11_PARSE(app, argc, argv);
  std::signal(SIGABRT, tell_seed);
  sim::MakeLoop make_loop = [](const brain::LoopOptions& o) { return brain::Loop::create(o); };
  return seed->count() > 0 ? run_one(options, make_loop) : run_many(options, make_loop);
}
