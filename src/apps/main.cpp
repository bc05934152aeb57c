// The motet command: picks the subcommand. Each lives in a folder of its own beside this file.
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "apps/bench/bench.h"
#include "apps/infer/infer.h"
#include "apps/perf/perf.h"
#include "apps/serve/serve.h"
#include "compute/foreign/worker.h"
#include "compute/graph/file_map.h"

namespace {

struct Command {
  std::string_view name;
  std::string_view what;
  int (*main)(int argc, char** argv);
};

constexpr Command kCommands[] = {
    {"serve", "serve a model repository over HTTP and gRPC (KServe v2, as Triton speaks it)", &motet::serve_main},
    {"infer", "send a photo, a sound or any file to a served model and print what it recognised", &motet::infer_main},
    {"bench", "load a KServe v2 server open-loop and print latencies and attainment", &motet::bench_main},
    {"run", "run a model on tensors from an npz file", &motet::run_main},
    {"perf", "time a model in this process", &motet::perf_main},
    {"inspect", "show what runs a model and what it compiles to: ops, steps, memory", &motet::inspect_main},
};

void print_help(std::FILE* out) {
  std::fputs("motet: a deep-learning inference server\n\nusage: motet COMMAND [options]\n\ncommands:\n", out);
  for (const Command& command : kCommands) {
    std::fprintf(out, "  %-9.*s%.*s\n", static_cast<int>(command.name.size()), command.name.data(),
                 static_cast<int>(command.what.size()), command.what.data());
  }
  std::fputs("\n`motet COMMAND --help` explains each; `motet --version` prints the version.\n", out);
}

// The exit status of a command that ended with `status`: not 0 if what it printed is not all written, as on a full disk.
// A reader that closed its pipe has what it wanted.
int printed(int status) {
  const int error = std::fflush(stdout) != 0 ? errno : 0;
  if (error == 0 && std::ferror(stdout) == 0) return status;
  pollfd out{.fd = STDOUT_FILENO, .events = POLLOUT, .revents = 0};
  if (error == EPIPE || (::poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0)) return status;
  std::fprintf(stderr, "motet: the output could not be written in full%s%s\n", error != 0 ? ": " : "",
               error != 0 ? std::strerror(error) : "");
  return status == 0 ? 1 : status;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  motet::graph::FileMap::explain_cut_files();
  std::string_view name = argc > 1 ? argv[1] : "";
  if (name == "--help" || name == "-h" || name == "help") {
    print_help(stdout);
    return 0;
  }
  if (name == "--version") {
    std::puts("motet " MOTET_VERSION);
    return 0;
  }
  // Not for people: how a server starts a child for a foreign executor.
  if (name == motet::foreign::kWorkerCommand) return motet::foreign::foreign_worker_main(argc - 1, argv + 1);
  for (const Command& command : kCommands) {
    if (name == command.name) return printed(command.main(argc - 1, argv + 1));
  }
  if (!name.empty()) std::fprintf(stderr, "motet: no command '%s'\n\n", argv[1]);
  print_help(stderr);
  return 2;
}
