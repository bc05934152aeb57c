// What the server and its foreign child say to each other: one message a packet over a socketpair, tensors in a shared
// memory file that both map. The server asks (Load, Compile, Run), the child answers each in order. A reader is told of
// every message that is cut short or out of bounds: the other side may have crashed in the middle of anything. Private
// to compute/foreign. Plain values.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/tensor/shape.h"
#include "base/units.h"
#include "compute/engine/program.h"

namespace motet::foreign {

// File descriptors that a child is born with.
inline constexpr int kChildSocket = 3;
inline constexpr int kChildMemory = 4;

// Reads the model: the child's first message.
struct Load {
  std::string library_directory;
  std::string path;
};
// Compiles it for these shapes and as many threads as it has CPUs; and runs it on zeros, if asked to.
struct Compile {
  int64_t program = 0;
  std::vector<Shape> shapes;
  engine::Precision precision = engine::Precision::kExact;
  bool calibrate = false;
};
struct Measured {
  Bytes bytes;
};
// Where a tensor lies in the shared memory; offset -1: its extents are not known, the child finds a place.
struct Placed {
  Shape shape;
  int64_t offset = -1;
};
struct RunOnce {
  int64_t program = 0;
  int64_t memory = 0;  // bytes of the shared memory
  std::vector<Placed> inputs, outputs;
};
struct Ran {
  int64_t memory = 0;           // bytes of the shared memory, perhaps grown
  std::vector<Placed> outputs;  // all, with the extents they have
};

// An answer is an Error or a value.
std::string encode(const Load& message);
std::string encode(const Compile& message);
std::string encode(const RunOnce& message);
std::string encode(const Result<Measured>& answer);
std::string encode(const Result<Ran>& answer);
std::string encode(const Status& answer);

enum class Question : uint8_t { kLoad = 1, kCompile = 2, kRun = 3 };
std::optional<Question> question_of(std::string_view bytes);
Result<Load> decode_load(std::string_view bytes);
Result<Compile> decode_compile(std::string_view bytes);
Result<RunOnce> decode_run(std::string_view bytes);
// The Error that an answer of any kind holds, or nothing.
std::optional<Error> error_in(std::string_view bytes);
// The answer itself, or the Error it holds, or that of a malformed message (kInternal).
Status decode_status(std::string_view bytes);
Result<Measured> decode_measured(std::string_view bytes);
Result<Ran> decode_ran(std::string_view bytes);

// One packet; false when the other side is gone.
bool send_packet(int socket, const std::string& bytes);
enum class Received : uint8_t { kMessage, kNothing, kClosed };
// Waits for `patience_ms` at most, for ever if negative.
Received receive_packet(int socket, int patience_ms, std::string& bytes);

// A memory file mapped whole. Move-only; unmaps and closes.
class SharedMemory {
 public:
  // A new file of no bytes, which can grow and not shrink.
  static Result<SharedMemory> create();
  // Takes over a descriptor.
  explicit SharedMemory(int file) : file_(file) {}
  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&& other) noexcept;
  ~SharedMemory();

  int file() const { return file_; }
  std::byte* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  // Makes the file at least so long, and maps it; addresses change.
  Status grow(int64_t bytes);
  // Maps what the other side says the file has; an Error if it has not.
  Status follow(int64_t bytes);

 private:
  Status map(int64_t bytes);
  int file_ = -1;
  std::byte* data_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace motet::foreign
