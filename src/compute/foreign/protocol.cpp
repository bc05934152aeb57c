#include "compute/foreign/protocol.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace motet::foreign {
namespace {

constexpr size_t kLargestPacket = size_t{128} << 10;
constexpr int64_t kMostItems = 65536;  // tensors, extents in a message

class Writer {
 public:
  Writer& number(int64_t value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Writer& text(std::string_view value) {
    number(static_cast<int64_t>(value.size()));
    bytes_.append(value);
    return *this;
  }
  template <class List, class Put>
  Writer& list(const List& items, Put&& put) {
    number(static_cast<int64_t>(items.size()));
    for (const auto& item : items) put(item);
    return *this;
  }
  Writer& shape(const Shape& shape) {
    return list(shape, [this](int64_t extent) { number(extent); });
  }
  Writer& placed(const std::vector<Placed>& tensors) {
    return list(tensors, [this](const Placed& t) { shape(t.shape).number(t.offset); });
  }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// Reads what a Writer wrote; after the first thing that is not there every read gives nothing.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  int64_t number() {
    int64_t value = 0;
    if (rest_.size() < sizeof value) return fail();
    std::memcpy(&value, rest_.data(), sizeof value);
    rest_.remove_prefix(sizeof value);
    return value;
  }
  std::string text() {
    int64_t size = number();
    if (size < 0 || static_cast<size_t>(size) > rest_.size()) return fail(), std::string();
    std::string value(rest_.substr(0, static_cast<size_t>(size)));
    rest_.remove_prefix(static_cast<size_t>(size));
    return value;
  }
  template <class Item, class Get>
  std::vector<Item> list(Get&& get) {
    std::vector<Item> items;
    int64_t count = number();
    if (count < 0 || count > kMostItems) return fail(), items;
    for (int64_t i = 0; i < count && sound_; ++i) items.push_back(get());
    return items;
  }
  Shape shape() {
    std::vector<int64_t> extents = list<int64_t>([this] { return number(); });
    return Shape(extents.begin(), extents.end());
  }
  std::vector<Placed> placed() {
    return list<Placed>([this] {
      Shape extents = shape();
      return Placed{std::move(extents), number()};
    });
  }
  // Nothing was missing and nothing is left over.
  bool whole() const { return sound_ && rest_.empty(); }

 private:
  int64_t fail() {
    sound_ = false;
    rest_ = {};
    return 0;
  }
  std::string_view rest_;
  bool sound_ = true;
};

Error malformed(const char* what) { return internal_error(std::string("foreign child: a malformed message: ") + what); }

Writer question(Question kind) {
  Writer out;
  out.number(static_cast<int64_t>(kind));
  return out;
}

Writer verdict(const Error* error) {
  Writer out;
  if (error == nullptr) return out.number(-1), out;
  out.number(static_cast<int64_t>(error->code)).text(error->message);
  return out;
}

// The Error that an answer holds, if it does; the reader stands behind it.
std::optional<Error> error_of(Reader& in) {
  int64_t code = in.number();
  if (code == -1) return std::nullopt;
  std::string message = in.text();
  bool sound = in.whole() && code >= 0 && code <= static_cast<int64_t>(Code::kInternal);
  if (!sound) return malformed("answer");
  return Error{static_cast<Code>(code), std::move(message)};
}

}  // namespace

std::string encode(const Load& message) {
  return question(Question::kLoad).text(message.library_directory).text(message.path).take();
}
std::string encode(const Compile& message) {
  Writer out = question(Question::kCompile);
  out.number(message.program).list(message.shapes, [&](const Shape& s) { out.shape(s); });
  return out.number(static_cast<int64_t>(message.precision)).number(message.calibrate ? 1 : 0).take();
}
std::string encode(const RunOnce& message) {
  Writer out = question(Question::kRun);
  return out.number(message.program).number(message.memory).placed(message.inputs).placed(message.outputs).take();
}
std::string encode(const Status& answer) { return verdict(answer.ok() ? nullptr : &answer.error()).take(); }
std::string encode(const Result<Measured>& answer) {
  if (!answer.ok()) return verdict(&answer.error()).take();
  return verdict(nullptr).number(answer->bytes.value).take();
}
std::string encode(const Result<Ran>& answer) {
  if (!answer.ok()) return verdict(&answer.error()).take();
  return verdict(nullptr).number(answer->memory).placed(answer->outputs).take();
}

std::optional<Question> question_of(std::string_view bytes) {
  int64_t kind = Reader(bytes).number();
  if (kind < 1 || kind > 3) return std::nullopt;
  return static_cast<Question>(kind);
}

Result<Load> decode_load(std::string_view bytes) {
  Reader in(bytes);
  (void)in.number();
  Load message{in.text(), in.text()};
  if (!in.whole()) return malformed("load");
  return message;
}

Result<Compile> decode_compile(std::string_view bytes) {
  Reader in(bytes);
  (void)in.number();
  Compile message;
  message.program = in.number();
  message.shapes = in.list<Shape>([&] { return in.shape(); });
  message.precision = static_cast<engine::Precision>(in.number());
  message.calibrate = in.number() != 0;
  if (!in.whole()) return malformed("compile");
  return message;
}

Result<RunOnce> decode_run(std::string_view bytes) {
  Reader in(bytes);
  (void)in.number();
  RunOnce message;
  message.program = in.number();
  message.memory = in.number();
  message.inputs = in.placed();
  message.outputs = in.placed();
  if (!in.whole()) return malformed("run");
  return message;
}

std::optional<Error> error_in(std::string_view bytes) {
  Reader in(bytes);
  return error_of(in);
}

Status decode_status(std::string_view bytes) {
  Reader in(bytes);
  if (auto error = error_of(in)) return *error;
  return in.whole() ? Status() : malformed("status");
}

Result<Measured> decode_measured(std::string_view bytes) {
  Reader in(bytes);
  if (auto error = error_of(in)) return *error;
  Measured answer{Bytes(in.number())};
  if (!in.whole() || answer.bytes < Bytes(0)) return malformed("measurement");
  return answer;
}

Result<Ran> decode_ran(std::string_view bytes) {
  Reader in(bytes);
  if (auto error = error_of(in)) return *error;
  Ran answer{in.number(), in.placed()};
  if (!in.whole()) return malformed("result");
  return answer;
}

bool send_packet(int socket, const std::string& bytes) {
  ssize_t sent = 0;
  do sent = send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(bytes.size());
}

Received receive_packet(int socket, int patience_ms, std::string& bytes) {
  pollfd waiting{socket, POLLIN, 0};
  int ready = poll(&waiting, 1, patience_ms);
  if (ready == 0 || (ready < 0 && errno == EINTR)) return Received::kNothing;
  bytes.resize(kLargestPacket);
  ssize_t got = recv(socket, bytes.data(), bytes.size(), MSG_TRUNC | MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return Received::kNothing;
  if (got <= 0) return Received::kClosed;
  bytes.resize(std::min(static_cast<size_t>(got), bytes.size()));
  return Received::kMessage;
}

Result<SharedMemory> SharedMemory::create() {
  int file = memfd_create("motet-foreign", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (file < 0) return resource_exhausted(std::string("no shared memory for a foreign child: ") + std::strerror(errno));
  SharedMemory memory(file);
  if (fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK) != 0)
    return internal_error(std::string("shared memory cannot be sealed: ") + std::strerror(errno));
  return memory;
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : file_(std::exchange(other.file_, -1)),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
  std::swap(file_, other.file_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

SharedMemory::~SharedMemory() {
  if (data_ != nullptr) munmap(data_, static_cast<size_t>(bytes_));
  if (file_ >= 0) close(file_);
}

Status SharedMemory::map(int64_t bytes) {
  void* at = data_ == nullptr ? mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0)
                              : mremap(data_, static_cast<size_t>(bytes_), static_cast<size_t>(bytes), MREMAP_MAYMOVE);
  if (at == MAP_FAILED)
    return resource_exhausted(std::to_string(bytes) + " bytes of shared memory: " + std::strerror(errno));
  data_ = static_cast<std::byte*>(at);
  bytes_ = bytes;
  return {};
}

Status SharedMemory::grow(int64_t bytes) {
  if (bytes <= bytes_) return {};
  if (ftruncate(file_, bytes) != 0)
    return resource_exhausted(std::to_string(bytes) + " bytes of shared memory: " + std::strerror(errno));
  return map(bytes);
}

Status SharedMemory::follow(int64_t bytes) {
  if (bytes <= bytes_) return {};
  struct stat status{};
  if (fstat(file_, &status) != 0 || status.st_size < bytes)
    return internal_error("foreign child: shared memory of " + std::to_string(status.st_size) + " bytes; " +
                          std::to_string(bytes) + " were announced");
  return map(bytes);
}

}  // namespace motet::foreign
