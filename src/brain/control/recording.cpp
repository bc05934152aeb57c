#include "brain/control/recording.h"

#include <algorithm>

#include "brain/control/describe.h"

namespace motet::brain {
namespace {

constexpr std::string_view kMagic = "MOTETREC";
constexpr uint64_t kVersion = 2;
constexpr uint64_t kFirstCheck = 0xCBF29CE484222325u;
constexpr size_t kCheckBytes = 8;

uint64_t check_on(uint64_t before, std::string_view bytes) {
  uint64_t hash = before;
  for (char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return hash;
}

std::string words_or_nothing(std::span<const Action> actions, size_t i) {
  return i < actions.size() ? describe(actions[i]) : "nothing";
}

void count(ReplayReport& report, const Event& event, std::span<const Action> actions) {
  ++report.events;
  report.actions += actions.size();
  if (std::holds_alternative<Cancelled>(event)) ++report.cancels;
  if (const auto* failed = std::get_if<Failed>(&event)) report.failed_loads += failed->execution ? 0 : 1;
  for (const Action& a : actions) report.sheds += std::holds_alternative<Shed>(a) ? 1 : 0;
}

}  // namespace

RecordingWriter::RecordingWriter(const LoopOptions& options, std::string& out) : check_(kFirstCheck) {
  std::string header(kMagic);
  ByteWriter writer(header);
  writer.u64(kVersion);
  std::string encoded;
  append_options(encoded, options);
  writer.text(encoded);
  check_ = check_on(check_, header);
  writer.fixed64(check_);
  out += header;
}

void RecordingWriter::append(std::string& out, Nanos now, const Event& event, std::span<const Action> actions) {
  record_.clear();
  append_event(record_, now, event);
  ByteWriter(record_).u64(actions.size());
  for (const Action& a : actions) append_action(record_, a);
  check_ = check_on(check_, record_);
  ByteWriter writer(out);
  writer.text(record_);
  writer.fixed64(check_);
}

Result<RecordingReader> RecordingReader::open(std::string_view bytes) {
  RecordingReader reader(bytes);
  ByteReader& in = reader.in_;
  if (in.raw(std::min(kMagic.size(), bytes.size())) != kMagic) {
    return invalid_argument("these bytes are no recording: they do not begin with '" + std::string(kMagic) + "'");
  }
  uint64_t version = in.u64();
  if (in.ok() && version != kVersion) {
    return unsupported("a recording of format " + std::to_string(version) + "; format " + std::to_string(kVersion) +
                       " is accepted");
  }
  std::string_view encoded = in.text();
  uint64_t expected = check_on(kFirstCheck, bytes.substr(0, in.position()));
  uint64_t found = in.fixed64();
  if (!in.ok()) return in.error();
  if (found != expected) return invalid_argument("the header of the recording is damaged: its check does not match");
  ByteReader options(encoded);
  MOTET_ASSIGN(reader.options_, read_options(options));
  reader.check_ = expected;
  return reader;
}

Result<std::optional<RecordedStep>> RecordingReader::next() {
  if (in_.at_end() || cut_short_) return std::optional<RecordedStep>();
  std::string where = "record " + std::to_string(records_ + 1) + " at byte " + std::to_string(in_.position());
  ByteReader ahead = in_;
  uint64_t size = ahead.u64();
  if (!ahead.ok() || size > ahead.left() || ahead.left() - size < kCheckBytes) {
    cut_short_ = true;
    return std::optional<RecordedStep>();
  }
  std::string_view record = ahead.raw(static_cast<size_t>(size));
  check_ = check_on(check_, record);
  if (ahead.fixed64() != check_) return invalid_argument(where + " is damaged: its check does not match");
  in_ = ahead;
  ByteReader body(record);
  RecordedStep step;
  MOTET_ASSIGN(step.heard, read_event(body));
  size_t actions = body.list();
  for (size_t i = 0; i < actions && body.ok(); ++i) {
    MOTET_ASSIGN(Action action, read_action(body));
    step.said.push_back(std::move(action));
  }
  if (!body.ok()) return invalid_argument(where + ", " + body.error().message);
  if (!body.at_end()) return invalid_argument(where + " has more bytes than its event and actions");
  ++records_;
  return std::optional<RecordedStep>(std::move(step));
}

Result<ReplayReport> replay(std::string_view bytes) {
  MOTET_ASSIGN(RecordingReader reader, RecordingReader::open(bytes));
  MOTET_ASSIGN(std::unique_ptr<Loop> loop, Loop::create(reader.options()));
  ReplayReport report;
  for (;;) {
    MOTET_ASSIGN(std::optional<RecordedStep> step, reader.next());
    if (!step) break;
    std::span<const Action> said = loop->step(step->heard.event, step->heard.now);
    count(report, step->heard.event, step->said);
    if (std::ranges::equal(said, step->said)) continue;
    size_t i = 0;
    while (i < said.size() && i < step->said.size() && said[i] == step->said[i]) ++i;
    report.difference = {reader.records(), step->heard.now, describe(step->heard.event),
                         words_or_nothing(step->said, i), words_or_nothing(said, i)};
    break;
  }
  report.cut_short = reader.cut_short();
  return report;
}

}  // namespace motet::brain
