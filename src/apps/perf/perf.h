// `motet perf`, `motet run` and `motet inspect`: a model in this process, without a server. Each returns the
// process's exit status: 0 done, 1 the model or its inputs were refused, 2 bad options.
#pragma once

namespace motet {

int perf_main(int argc, char** argv);
int run_main(int argc, char** argv);
int inspect_main(int argc, char** argv);

}  // namespace motet
