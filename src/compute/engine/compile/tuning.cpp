#include "compute/engine/compile/tuning.h"

#include <charconv>

#include "compute/engine/cache/blob_store.h"

namespace motet::engine {
namespace {

constexpr std::string_view kFormat = "motet-tuning-5";
constexpr int64_t kMost = int64_t{1} << 24;  // elements of any list
constexpr int kDeepest = 64;                 // branches within branches

class Writer {
 public:
  void number(int64_t value) { text_ += std::to_string(value) + ' '; }
  void word(std::string_view word) {
    number(static_cast<int64_t>(word.size()));
    text_.append(word);
    text_ += ' ';
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

// After the first fault everything reads as zero and empty.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}
  int64_t number() {
    int64_t value = 0;
    auto [end, code] = std::from_chars(text_.data(), text_.data() + text_.size(), value);
    auto used = static_cast<size_t>(end - text_.data());
    if (code != std::errc() || used >= text_.size() || text_[used] != ' ') return fail();
    text_.remove_prefix(used + 1);
    return value;
  }
  int64_t count() {
    int64_t value = number();
    return value < 0 || value > kMost ? fail() : value;
  }
  std::string word() {
    auto size = static_cast<size_t>(count());
    if (size >= text_.size()) {
      fail();
      return {};
    }
    std::string out(text_.substr(0, size));
    text_.remove_prefix(size + 1);
    return out;
  }
  bool sound() const { return sound_; }
  bool done() const { return sound_ && text_.empty(); }
  int64_t fail() {
    sound_ = false;
    text_ = {};
    return 0;
  }

 private:
  std::string_view text_;
  bool sound_ = true;
};

void write(const Survey& survey, Writer& out) {
  out.number(survey.total.value);
  out.number(survey.wide.value);
  out.number(static_cast<int64_t>(survey.steps.size()));
  for (const StepSurvey& step : survey.steps) {
    out.number(step.outside.value);
    out.number(step.total.value);
    out.number(step.wide.value);
    out.number(step.whole.value);
    out.number(step.barrier ? 1 : 0);
    out.number(step.sliceable ? 1 : 0);
    out.number(step.units.total);
    out.number(static_cast<int64_t>(step.units.stages.size()));
    for (const auto& stage : step.units.stages) {
      out.number(stage.first);
      out.number(stage.units);
      out.number(stage.serial ? 1 : 0);
    }
    out.number(static_cast<int64_t>(step.times.size()));
    for (Nanos time : step.times) out.number(time.value);
    out.number(static_cast<int64_t>(step.sides.size()));
    for (const Survey& side : step.sides) write(side, out);
  }
}

Survey read_survey(Reader& in, int depth) {
  Survey survey;
  if (depth > kDeepest) {
    in.fail();
    return survey;
  }
  survey.total = Nanos(in.number());
  survey.wide = Nanos(in.number());
  for (int64_t steps = in.count(); in.sound() && steps > 0; --steps) {
    StepSurvey step;
    step.outside = Nanos(in.number());
    step.total = Nanos(in.number());
    step.wide = Nanos(in.number());
    step.whole = Nanos(in.number());
    step.barrier = in.number() != 0;
    step.sliceable = in.number() != 0;
    step.units.total = static_cast<int>(in.count());
    int64_t covered = 0;
    for (int64_t stages = in.count(); in.sound() && stages > 0; --stages) {
      auto first = static_cast<int>(in.count());
      auto units = static_cast<int>(in.count());
      bool serial = in.number() != 0;
      if (first != covered) in.fail();
      covered += units;
      step.units.stages.push_back({first, units, serial});
    }
    for (int64_t times = in.count(); in.sound() && times > 0; --times) step.times.emplace_back(in.number());
    for (int64_t sides = in.count(); in.sound() && sides > 0; --sides) step.sides.push_back(read_survey(in, depth + 1));
    if (covered != step.units.total || step.times.size() != static_cast<size_t>(step.units.total)) in.fail();
    survey.steps.push_back(std::move(step));
  }
  return survey;
}

void add_steps(const CompiledProgram& program, std::string& text) {
  for (const Step& step : program.body) {
    text += step.key + '\n' + (step.kernel ? step.kernel->implementation() : "branch") + '\n' +
            std::to_string(step.parts) + '\n';
    if (!step.branch) continue;
    for (const auto& side : step.branch->taken) add_steps(*side, text);
    text += "end\n";
  }
}

}  // namespace

std::string to_text(const Tuning& tuning) {
  Writer out;
  out.word(kFormat);
  out.number(static_cast<int64_t>(tuning.care));
  out.word(tuning.steps);
  out.number(static_cast<int64_t>(tuning.parts.size()));
  for (const auto& [key, parts] : tuning.parts) {
    out.word(key);
    out.number(parts);
  }
  write(tuning.survey, out);
  return out.take();
}

std::optional<Tuning> tuning_of(std::string_view text) {
  Reader in(text);
  if (in.word() != kFormat) return std::nullopt;
  Tuning tuning;
  const int64_t care = in.count();
  if (care > static_cast<int64_t>(Care::kTightened)) in.fail();
  tuning.care = static_cast<Care>(care);
  tuning.steps = in.word();
  for (int64_t count = in.count(); in.sound() && count > 0; --count) {
    std::string key = in.word();
    const auto parts = static_cast<int>(in.count());
    if (parts < 1) in.fail();
    tuning.parts.emplace(std::move(key), parts);
  }
  tuning.survey = read_survey(in, 0);
  if (!in.done()) return std::nullopt;
  return tuning;
}

std::string steps_text(const CompiledProgram& program) {
  std::string text;
  add_steps(program, text);
  return content_hash(std::as_bytes(std::span(text)));
}

std::string program_key(const std::vector<Shape>& shapes, const CompileOptions& options, ops::Layout layout) {
  std::string key;
  for (const Shape& shape : shapes) key += shape_to_string(shape);
  key += " width " + std::to_string(options.max_width) + " quantum " + std::to_string(options.quantum.value) +
         " lanes " + std::to_string(options.lanes ? 1 : 0) + " layout " + std::to_string(static_cast<int>(layout)) +
         ' ' + std::string(precision_name(options.precision));
  for (const std::string& pass : options.disabled_passes) key += " without " + pass;
  return key;
}

}  // namespace motet::engine
