// Child: a process of its own that runs a foreign executor on more than one core, confined to a partition by its CPU
// affinity. It is this program, started again with a hidden command. While it runs, the partition's workers sleep: the
// one that leads waits for the answer. A crash of it is an Error of the run under way. Private to compute/foreign. One
// thread at a time, but for kill().
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "compute/foreign/protocol.h"

namespace motet::foreign {

// What a child is started with.
struct ChildOptions {
  std::vector<std::string> command;  // program and arguments; the CPUs follow
  std::string library_directory;     // as find_library() takes it
  std::filesystem::path model;
};

class Child {
 public:
  // Starts the process on these CPUs of the machine, with the model to read as its first question.
  static Result<std::unique_ptr<Child>> start(const ChildOptions& options, std::vector<int> cpus);
  // Ends the process.
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t pid() const { return pid_; }
  const std::vector<int>& cpus() const { return cpus_; }
  bool knows(int64_t program) const { return programs_.count(program) != 0; }
  SharedMemory& memory() { return memory_; }

  // Asks; answers come in the order of the questions. The child may be gone: the answer tells.
  void ask(const Compile& question);
  void ask(const RunOnce& question);
  // Waits `patience_ms` at most (for ever if negative) for the last question's answer. Nothing if it has not come. The
  // Error of an earlier question, or of a child that has ended, ends all.
  std::optional<Result<std::string>> answer(int patience_ms);
  // Whether it can be asked again, as far as its answers tell.
  bool alive() const { return alive_; }
  // Whether it has ended by itself since its last answer. REQUIRES: no question is open.
  bool gone() const;
  // Any thread: ends the process, and so the wait for its answer.
  void kill();

 private:
  Child(pid_t pid, int socket, SharedMemory memory, std::vector<int> cpus)
      : pid_(pid), socket_(socket), memory_(std::move(memory)), cpus_(std::move(cpus)) {}
  void ask(const std::string& bytes);
  Error ended();  // collects the process and says how it ended

  const pid_t pid_;
  const int socket_;
  SharedMemory memory_;
  const std::vector<int> cpus_;
  std::set<int64_t> programs_;
  int unanswered_ = 0;
  bool alive_ = true;
  std::mutex reaping_;      // so that a pid is never signalled after it was collected
  bool collected_ = false;  // guarded by reaping_
};

// The children of one model: as many as run at once on disjoint partitions. A child keeps its CPUs for life (OpenVINO
// gives its threads back the affinity that it first saw): on another partition another is started. Any thread.
class Children {
 public:
  explicit Children(ChildOptions options) : options_(std::move(options)) {}

  // An idle child on these CPUs; else a new one, in the place of an idle one on others.
  Result<std::unique_ptr<Child>> take(const std::vector<int>& cpus);
  // Whether take() would find one.
  bool has(const std::vector<int>& cpus);
  // Keeps a child that is alive for the next run.
  void give(std::unique_ptr<Child> child);

 private:
  const ChildOptions options_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Child>> idle_;  // guarded by mutex_
};

}  // namespace motet::foreign
