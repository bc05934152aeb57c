// The flags of `motet serve`. Triton's flags keep their names; every one of them is in one of three lists, printed by
// --help-flags: honoured; taken as a hint (logged once with what Motet does instead); refused, naming flag and value.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "body/serve/server.h"

namespace motet {

struct ServeFlags {
  serve::ServerOptions server;
  std::string http_address = "0.0.0.0";
  std::string grpc_address = "0.0.0.0";
  std::string metrics_address = "0.0.0.0";
  int http_port = 8000;
  int grpc_port = 8001;
  int metrics_port = 8002;
  bool allow_http = true;
  bool allow_grpc = true;
  bool allow_metrics = true;
  int http_threads = 1;
  int64_t http_max_input_size = int64_t{64} << 20;
  int exit_timeout_secs = 30;
  bool exit_on_error = true;
  int log_verbose = 0;
  std::string openvino_dir;
  std::vector<std::string> hints;  // one log line each
};

// What the command line asks for. `exit_code` is set when the process should end at once (help, bad options: a message
// has been printed).
struct ParsedFlags {
  ServeFlags flags;
  int exit_code = -1;
};
ParsedFlags parse_serve_flags(int argc, char** argv);

}  // namespace motet
