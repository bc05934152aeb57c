// The child's side: reads the model that the server names, compiles and runs it on its own CPUs, until the server
// closes the socket. See child.h. Its descriptors are those of protocol.h.
#pragma once

namespace motet::foreign {

// The hidden command's name, and its main: `argv[argc-1]` lists the CPUs to run on ("0,3"). Returns the exit status.
inline constexpr const char* kWorkerCommand = "foreign-worker";
int foreign_worker_main(int argc, char** argv);

}  // namespace motet::foreign
