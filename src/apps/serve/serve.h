// `motet serve`: the composition root of the server.
#pragma once

namespace motet {
// 0 after a clean drain, 1 for anything that kept it from serving, 2 for bad options.
int serve_main(int argc, char** argv);
}  // namespace motet
