// `motet bench`: loads any KServe v2 server, over HTTP or gRPC, and prints what it answered. Returns the process's exit
// status: 0 the load ran and something was served, 1 it could not run or nothing was served, 2 bad options.
#pragma once

namespace motet {

int bench_main(int argc, char** argv);

}  // namespace motet
