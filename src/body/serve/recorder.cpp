#include "body/serve/recorder.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "body/serve/background.h"
#include "brain/control/recording.h"

namespace motet::serve {
namespace {

// Bytes gathered before they are handed to the writing thread.
constexpr size_t kChunk = size_t{1} << 16;

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

class FileRecorder final : public Recorder {
 public:
  FileRecorder(File file, std::string name, const brain::LoopOptions& options)
      : name_(std::move(name)), writer_(options, buffer_), file_(std::move(file)) {}
  ~FileRecorder() override { flush(); }

  void record(Nanos now, const brain::Event& event, std::span<const brain::Action> actions) override {
    writer_.append(buffer_, now, event, actions);
    if (buffer_.size() >= kChunk) flush();
  }

 private:
  void flush() {
    writing_.post([this, bytes = std::exchange(buffer_, {})] { write(bytes); });
  }
  // Writing thread only.
  void write(const std::string& bytes) {
    if (!file_) return;
    if (std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) == bytes.size() && std::fflush(file_.get()) == 0)
      return;
    log_error("recording to " + name_ + " ends: " + std::strerror(errno));
    file_.reset();
  }

  const std::string name_;
  std::string buffer_;                                                 // loop's thread only
  brain::RecordingWriter writer_;                                      // loop's thread only
  File file_;                                                          // writing thread only
  Background writing_{"motet-record", Background::AtEnd::kFinishAll};  // last: its jobs use the above
};

}  // namespace

Result<std::unique_ptr<Recorder>> Recorder::open(const std::string& file, const brain::LoopOptions& options) {
  File handle(std::fopen(file.c_str(), "wb"), &std::fclose);
  if (!handle) return invalid_argument("cannot record to " + file + ": " + std::strerror(errno));
  return std::unique_ptr<Recorder>(new FileRecorder(std::move(handle), file, options));
}

}  // namespace motet::serve
