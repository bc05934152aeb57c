// The libgomp entry points that Debian's libdnnl.so.2 imports (nm -D), defined here so that its parallel regions run on
// the calling execution's Team instead of libgomp's own threads. An executable that links motet_device exports them,
// and the dynamic linker prefers the executable's definitions to libgomp.so.1's. Semantics: OpenMP 4.5, one level of
// parallelism.
#include "compute/device/region.h"

namespace motet::device {

namespace {

int max_threads() {
  int width = this_thread().compile_width;
  return width > 0 ? width : 1;
}

// A region of `parts` on the team bound to this thread, or on this thread alone.
void run_region(void (*function)(void*), void* data, int parts) {
  ThreadState& state = this_thread();
  if (parts <= 1 || state.in_region) {
    PartScope scope(0, 1);
    function(data);
    return;
  }
  Team& team = state.team != nullptr ? *state.team : Team::serial();
  RegionBarrier barrier(parts);
  RegionBarrier* usable = team.concurrent(parts) ? &barrier : nullptr;
  auto body = [function, data, usable](int part, int count) {
    PartScope scope(part, count, usable);
    function(data);
  };
  team.run(parts, PartFunction(body));
}

void barrier_in_region() {
  ThreadState& state = this_thread();
  if (state.parts <= 1) return;
  ++state.barriers;
  if (state.pass_barriers) return;
  MOTET_CHECK(state.barrier != nullptr,
              "a oneDNN region met a barrier while its parts share threads: run this primitive as wide as it was made");
  state.barrier->arrive_and_wait();
}

}  // namespace
}  // namespace motet::device

extern "C" {
// NOLINTBEGIN(readability-identifier-naming): names fixed by libgomp
void GOMP_parallel(void (*function)(void*), void* data, unsigned threads, unsigned /*flags*/) {
  int parts = threads != 0 ? static_cast<int>(threads) : motet::device::max_threads();
  motet::device::run_region(function, data, parts);
}
void GOMP_barrier() { motet::device::barrier_in_region(); }
int omp_get_max_threads() { return motet::device::max_threads(); }
int omp_get_num_threads() { return motet::device::this_thread().parts; }
int omp_get_thread_num() { return motet::device::this_thread().part; }
int omp_in_parallel() { return motet::device::this_thread().in_region ? 1 : 0; }
void omp_set_num_threads(int width) {
  if (width >= 1) motet::device::set_compile_width(width);
}
// NOLINTEND(readability-identifier-naming)
}
