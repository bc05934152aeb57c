// `motet infer`: sends one file to a served model by the recipe in its config and prints what the answer means. A
// client: any KServe v2 server will do. Returns the exit status: 0, 1 on an error (told on standard error), 2 on bad
// arguments.
#pragma once

namespace motet {

int infer_main(int argc, char** argv);

}  // namespace motet
