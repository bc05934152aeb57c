#include "compute/foreign/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/check.h"

extern char** environ;

namespace motet::foreign {
namespace {

std::string list_of(const std::vector<int>& cpus) {
  std::string text;
  for (int cpu : cpus) text += (text.empty() ? "" : ",") + std::to_string(cpu);
  return text;
}

// Both attributes of a new process, freed at the end.
struct Spawn {
  posix_spawn_file_actions_t files{};
  posix_spawnattr_t attributes{};
  Spawn() {
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
  }
  ~Spawn() {
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
  }
};

// The other end of the socket and the memory get their numbers; the process gets no signals meant for this one's group,
// and none of this thread's mask.
Result<pid_t> spawn(const std::vector<std::string>& command, int socket, int memory) {
  // Numbers above those that the child is born with, so that neither is overwritten by the other's.
  int socket_copy = fcntl(socket, F_DUPFD_CLOEXEC, kChildMemory + 1);
  int memory_copy = fcntl(memory, F_DUPFD_CLOEXEC, kChildMemory + 1);
  Spawn how;
  posix_spawn_file_actions_adddup2(&how.files, socket_copy, kChildSocket);
  posix_spawn_file_actions_adddup2(&how.files, memory_copy, kChildMemory);
  posix_spawn_file_actions_addclosefrom_np(&how.files, kChildMemory + 1);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&how.attributes, &none);
  posix_spawnattr_setpgroup(&how.attributes, 0);
  posix_spawnattr_setflags(&how.attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  pid_t pid = 0;
  int error = posix_spawn(&pid, words[0], &how.files, &how.attributes, words.data(), environ);
  close(socket_copy);
  close(memory_copy);
  if (error != 0) return internal_error("cannot start '" + command[0] + "': " + std::strerror(error));
  return pid;
}

}  // namespace

Result<std::unique_ptr<Child>> Child::start(const ChildOptions& options, std::vector<int> cpus) {
  MOTET_CHECK(!options.command.empty() && !cpus.empty(), "a child has a program and CPUs");
  MOTET_ASSIGN(SharedMemory memory, SharedMemory::create());
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return resource_exhausted(std::string("no socket for a foreign child: ") + std::strerror(errno));
  std::vector<std::string> command = options.command;
  command.push_back(list_of(cpus));
  auto pid = spawn(command, ends[1], memory.file());
  close(ends[1]);
  if (!pid.ok()) {
    close(ends[0]);
    return pid.error();
  }
  std::unique_ptr<Child> child(new Child(*pid, ends[0], std::move(memory), std::move(cpus)));
  child->ask(encode(Load{options.library_directory, options.model.string()}));
  return child;
}

Child::~Child() {
  kill();
  close(socket_);
  std::lock_guard lock(reaping_);
  if (!collected_) waitpid(pid_, nullptr, 0);
}

void Child::kill() {
  std::lock_guard lock(reaping_);
  if (!collected_) ::kill(pid_, SIGKILL);
}

void Child::ask(const std::string& bytes) {
  if (!send_packet(socket_, bytes)) alive_ = false;
  ++unanswered_;
}

void Child::ask(const Compile& question) {
  programs_.insert(question.program);
  ask(encode(question));
}

void Child::ask(const RunOnce& question) { ask(encode(question)); }

std::optional<Result<std::string>> Child::answer(int patience_ms) {
  MOTET_CHECK(unanswered_ > 0, "an answer to a question");
  for (std::string bytes;;) {
    switch (receive_packet(socket_, patience_ms, bytes)) {
      case Received::kNothing: return std::nullopt;
      case Received::kClosed: return Result<std::string>(ended());
      case Received::kMessage: break;
    }
    if (--unanswered_ == 0) return Result<std::string>(std::move(bytes));
    // One of the questions before. Its failure makes the rest meaningless: the child is not asked again.
    if (auto failure = error_in(bytes)) {
      alive_ = false;
      return Result<std::string>(*failure);
    }
  }
}

bool Child::gone() const {
  pollfd end{socket_, POLLIN, 0};
  return poll(&end, 1, 0) != 0;
}

Error Child::ended() {
  alive_ = false;
  int status = 0;
  {
    std::lock_guard lock(reaping_);
    // It has closed its socket. One that is ending already ends as it would have; another is of no use.
    ::kill(pid_, SIGKILL);
    waitpid(pid_, &status, 0);
    collected_ = true;
  }
  std::string how = WIFSIGNALED(status) ? "was ended by signal " + std::to_string(WTERMSIG(status)) + " (" +
                                              strsignal(WTERMSIG(status)) + ")"
                                        : "ended with status " + std::to_string(WEXITSTATUS(status));
  return internal_error("the foreign child that ran the model " + how + "; the next query starts another");
}

Result<std::unique_ptr<Child>> Children::take(const std::vector<int>& cpus) {
  std::unique_ptr<Child> found, replaced;
  {
    std::lock_guard lock(mutex_);
    std::erase_if(idle_, [](const auto& child) { return child->gone(); });
    auto same = std::find_if(idle_.begin(), idle_.end(), [&](const auto& child) { return child->cpus() == cpus; });
    auto taken = same != idle_.end() ? same : idle_.begin();
    if (taken != idle_.end()) {
      (same != idle_.end() ? found : replaced) = std::move(*taken);
      idle_.erase(taken);
    }
  }
  if (found) return found;
  replaced.reset();
  return Child::start(options_, cpus);
}

bool Children::has(const std::vector<int>& cpus) {
  std::lock_guard lock(mutex_);
  return std::any_of(idle_.begin(), idle_.end(), [&](const auto& child) { return child->cpus() == cpus; });
}

void Children::give(std::unique_ptr<Child> child) {
  if (!child->alive()) return;
  std::lock_guard lock(mutex_);
  idle_.push_back(std::move(child));
}

}  // namespace motet::foreign
