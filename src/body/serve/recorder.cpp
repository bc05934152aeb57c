#include "body/serve/recorder.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "body/serve/background.h"

namespace motet::serve {
namespace {

// Bytes gathered before they are handed to the writing thread.
constexpr size_t kChunk = size_t{1} << 16;

class FileRecorder final : public Recorder {
 public:
  FileRecorder(std::FILE* file, std::string name) : name_(std::move(name)), file_(file, &std::fclose) {}
  ~FileRecorder() override { flush(); }

  void record(Nanos, const brain::Event&, std::span<const brain::Action>) override {}

 private:
  void flush() {
    if (buffer_.empty()) return;
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
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;               // writing thread only
  Background writing_{"motet-record", Background::AtEnd::kFinishAll};  // last: its jobs use the above
};

}  // namespace

Result<std::unique_ptr<Recorder>> Recorder::open(const std::string& file, const brain::LoopOptions&) {
  return unsupported("recording to " + file);
}

}  // namespace motet::serve
