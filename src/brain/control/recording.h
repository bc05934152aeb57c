// A recording: everything that one loop heard and said from its creation on, as bytes. The bytes are
//   "MOTETREC", version, length and encoding of LoopOptions, check
//   then per step: length of the record; the record: now, event, number of actions, actions; check
// in the encoding of bytes.h; each check is a 64-bit FNV-1a hash of the one before and what lies between, so that one
// altered byte is found. Nothing here opens a file. One thread at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "brain/control/codec.h"

namespace motet::brain {

class RecordingWriter {
 public:
  // Appends the header to `out`.
  RecordingWriter(const LoopOptions& options, std::string& out);
  // Appends one step. `out` need not be the same string: what is appended follows what was appended before.
  void append(std::string& out, Nanos now, const Event& event, std::span<const Action> actions);

 private:
  uint64_t check_;
  std::string record_;
};

struct RecordedStep {
  TimedEvent heard;
  std::vector<Action> said;
};

class RecordingReader {
 public:
  // An Error says at which byte the header is not one, and what would be accepted. `bytes` outlive the reader.
  static Result<RecordingReader> open(std::string_view bytes);
  const LoopOptions& options() const { return options_; }
  // The next step, or nothing at the end. An Error names the record (counted from 1) that is damaged. A last record
  // that the bytes cut short (the server was killed) is not damage: it ends the recording and sets cut_short().
  Result<std::optional<RecordedStep>> next();
  bool cut_short() const { return cut_short_; }
  uint64_t records() const { return records_; }  // read so far

 private:
  explicit RecordingReader(std::string_view bytes) : in_(bytes) {}

  ByteReader in_;
  LoopOptions options_;
  uint64_t check_ = 0;
  uint64_t records_ = 0;
  bool cut_short_ = false;
};

struct ReplayDifference {
  uint64_t record = 0;  // counted from 1
  Nanos now;
  std::string event;     // in words
  std::string recorded;  // the first action that differs, in words; "nothing" where there was none
  std::string replayed;
};
struct ReplayReport {
  uint64_t events = 0;
  uint64_t actions = 0;
  uint64_t cancels = 0, sheds = 0, failed_loads = 0;  // among them
  bool cut_short = false;
  std::optional<ReplayDifference> difference;  // the first; where it is set, replay stopped
};

// Feeds the recorded events to a fresh loop and compares its actions, record by record. An Error: the bytes are no
// recording, or damaged, or of a loop that cannot be made (a policy that is not known).
Result<ReplayReport> replay(std::string_view bytes);

}  // namespace motet::brain
