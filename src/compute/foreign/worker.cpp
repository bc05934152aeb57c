#include "compute/foreign/worker.h"

#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "compute/foreign/network.h"
#include "compute/foreign/protocol.h"

namespace motet::foreign {
namespace {

constexpr int64_t kAlignment = 64;

std::vector<int> parse_cpus(std::string_view text) {
  std::vector<int> cpus;
  while (!text.empty()) {
    int cpu = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), cpu);
    if (error != std::errc() || cpu < 0) return {};
    cpus.push_back(cpu);
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    if (!text.empty() && text[0] != ',') return {};
    if (!text.empty()) text.remove_prefix(1);
  }
  return cpus;
}

// Confines this thread, and the threads that it will start.
bool move_to(const std::vector<int>& cpus) {
  size_t count = static_cast<size_t>(*std::max_element(cpus.begin(), cpus.end())) + 1;
  cpu_set_t* set = CPU_ALLOC(count);
  size_t bytes = CPU_ALLOC_SIZE(count);
  CPU_ZERO_S(bytes, set);
  for (int cpu : cpus) CPU_SET_S(static_cast<size_t>(cpu), bytes, set);
  bool moved = sched_setaffinity(0, bytes, set) == 0;
  CPU_FREE(set);
  return moved;
}

// Ends the process when the server has gone, also in the middle of a run.
void end_with_the_server() {
  std::thread([] {
    pollfd server{kChildSocket, POLLRDHUP, 0};
    while (poll(&server, 1, -1) < 0 && errno == EINTR) {
    }
    _exit(0);
  }).detach();
}

class Worker {
 public:
  explicit Worker(int threads) : threads_(threads), memory_(kChildMemory) {}

  // The answer to one question.
  std::string answer(std::string_view question) {
    switch (question_of(question).value_or(Question::kRun)) {
      case Question::kLoad: return encode(load(question));
      case Question::kCompile: return encode(compile(question));
      case Question::kRun: return encode(run(question));
    }
    return {};
  }

 private:
  Status load(std::string_view question) {
    MOTET_ASSIGN(Load message, decode_load(question));
    MOTET_ASSIGN(library_, Library::open(message.library_directory, Threads::kItsOwn));
    MOTET_ASSIGN(network_, Network::read(library_, message.path));
    return {};
  }

  Result<Measured> compile(std::string_view question) {
    MOTET_ASSIGN(Compile message, decode_compile(question));
    if (!network_) return internal_error("a model is compiled before it is read");
    Bytes before = resident_bytes();
    MOTET_ASSIGN(auto compiled, network_->compile(message.shapes, threads_, message.precision));
    Measured measured;
    if (message.calibrate) MOTET_RETURN_IF_ERROR(compiled->infer_zeros());
    measured.bytes = std::max(Bytes(0), resident_bytes() - before);
    programs_[message.program] = std::move(compiled);
    return measured;
  }

  Result<Ran> run(std::string_view question) {
    MOTET_ASSIGN(RunOnce message, decode_run(question));
    auto program = programs_.find(message.program);
    if (program == programs_.end()) return internal_error("a program is run before it is compiled");
    MOTET_RETURN_IF_ERROR(memory_.follow(message.memory));
    Compiled& compiled = *program->second;
    std::vector<TensorView> inputs = views(message.inputs, compiled.inputs());
    std::vector<TensorView> outputs = views(message.outputs, compiled.outputs());
    MOTET_RETURN_IF_ERROR(compiled.infer(inputs, outputs));
    Ran ran{0, message.outputs};
    for (size_t o = 0; o < outputs.size(); ++o)
      if (message.outputs[o].offset < 0) MOTET_RETURN_IF_ERROR(place(compiled, o, ran.outputs[o], message));
    ran.memory = memory_.bytes();
    return ran;
  }

  std::vector<TensorView> views(const std::vector<Placed>& tensors, const std::vector<engine::Port>& ports) {
    std::vector<TensorView> list;
    for (size_t i = 0; i < tensors.size() && i < ports.size(); ++i)
      list.push_back(
          {ports[i].dtype, tensors[i].shape, tensors[i].offset < 0 ? nullptr : memory_.data() + tensors[i].offset});
    return list;
  }

  // An output whose extents only the run told: behind all that the memory holds.
  Status place(const Compiled& compiled, size_t port, Placed& placed, RunOnce& message) {
    MOTET_ASSIGN(Tensor result, compiled.output(port));
    placed.shape = result.shape();
    placed.offset = (std::max(message.memory, int64_t{1}) + kAlignment - 1) / kAlignment * kAlignment;
    message.memory = placed.offset + static_cast<int64_t>(result.view().bytes());
    MOTET_RETURN_IF_ERROR(memory_.grow(message.memory));
    if (result.view().bytes() > 0)
      std::memcpy(memory_.data() + placed.offset, result.view().data, result.view().bytes());
    return {};
  }

  const int threads_;
  SharedMemory memory_;
  std::shared_ptr<Library> library_;
  std::unique_ptr<Network> network_;
  std::map<int64_t, std::unique_ptr<Compiled>> programs_;
};

}  // namespace

int foreign_worker_main(int argc, char** argv) {
  std::vector<int> cpus = argc > 1 ? parse_cpus(argv[argc - 1]) : std::vector<int>();
  if (cpus.empty() || !move_to(cpus)) {
    std::fprintf(stderr, "motet %s: started by a server only, with the CPUs to run on\n", kWorkerCommand);
    return 2;
  }
  // The thread that started this process may be one of low priority.
  (void)setpriority(PRIO_PROCESS, 0, 0);
  std::signal(SIGPIPE, SIG_IGN);
  end_with_the_server();
  Worker worker(static_cast<int>(cpus.size()));
  for (std::string question;;) {
    switch (receive_packet(kChildSocket, -1, question)) {
      case Received::kNothing: continue;
      case Received::kClosed: _exit(0);
      case Received::kMessage: break;
    }
    if (!send_packet(kChildSocket, worker.answer(question))) _exit(0);
  }
}

}  // namespace motet::foreign
