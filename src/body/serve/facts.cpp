#include "body/serve/facts.h"

namespace motet::serve {
namespace {

std::string text_of(engine::Precision precision) { return std::string(engine::precision_name(precision)); }

}  // namespace

std::string precision_in_words(const PrecisionReport& report) {
  if (std::string why = report.why_exact(); !why.empty()) return "precision stays exact: " + why;
  if (report.current == engine::Precision::kExact) return "precision exact";
  return "precision " + text_of(report.current) + " with an error of " + brain::error_text(report.error) + " on " +
         report.measured_on + ", within the bound of " + brain::error_text(report.max_error);
}

api::Parameters model_facts(const Instance& instance) {
  api::Parameters facts;
  const Instance::Programs programs = instance.programs_in_words();
  if (!programs.executor.empty()) {  // else none is compiled yet
    facts["executor"] = programs.executor;
    facts["longest_step_us"] = programs.longest_step.value / 1000;
    facts["slices"] = programs.slices;
  }
  const PrecisionReport report = instance.precision->report();
  facts["precision"] = text_of(report.current);
  if (report.wish == repo::PrecisionWish::kExact) return facts;
  facts["precision_asked"] = std::string(repo::precision_wish_name(report.wish));
  facts["precision_max_error"] = report.max_error;
  if (!report.measured_on.empty()) facts["precision_measured_on"] = report.measured_on;
  if (report.current != engine::Precision::kExact) facts["precision_error"] = report.error;
  if (std::string why = report.why_exact(); !why.empty()) facts["precision_refused"] = why;
  return facts;
}

void publish_facts(const Instance& instance, observe::Registry& registry) {
  const observe::Labels labels{{"model", instance.name}, {"version", std::to_string(instance.version)}};
  auto with = [&](const char* label, const std::string& value) {
    observe::Labels more = labels;
    more.emplace_back(label, value);
    return more;
  };
  const Instance::Programs programs = instance.programs_in_words();
  if (!programs.executor.empty()) {
    registry.gauge("motet_model_executor", "1 for what runs the model's programs", with("executor", programs.executor))
        .set(1);
    registry
        .gauge("motet_model_longest_step_seconds",
               "Longest uninterruptible step of any program of the model on one core, by prediction", labels)
        .set(programs.longest_step.seconds());
    registry
        .gauge("motet_model_slices", "Steps into which the model's most finely cut program is compiled, slices counted",
               labels)
        .set(static_cast<double>(programs.slices));
  }
  const PrecisionReport report = instance.precision->report();
  auto precision = [&](engine::Precision one) {
    registry
        .gauge("motet_model_precision", "1 for the precision that the model runs at", with("precision", text_of(one)))
        .set(one == report.current ? 1 : 0);
  };
  precision(engine::Precision::kExact);
  for (const MeasuredPrecision& one : report.alternatives) {
    precision(one.precision);
    if (!one.known) continue;
    registry
        .gauge("motet_model_precision_error",
               "Measured error of a precision against exact, as a share of an output's largest magnitude",
               with("precision", text_of(one.precision)))
        .set(one.error);
  }
}

void note_precision(const Instance& instance, engine::Precision precision, api::Parameters& parameters) {
  if (!instance.precision->reduced()) return;
  parameters["precision"] = text_of(precision);
  if (precision != engine::Precision::kExact) parameters["precision_error"] = instance.precision->error();
}

}  // namespace motet::serve
