#include "body/load/pacer.h"

#include <sys/prctl.h>

#include <chrono>
#include <thread>

namespace motet::load {
namespace {
std::chrono::steady_clock::time_point instant(Nanos at) {
  return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(at.value));
}
}  // namespace

// The default slack of 50 us would be part of every latency.
SteadyPacer::SteadyPacer() { ::prctl(PR_SET_TIMERSLACK, 1); }

void SteadyPacer::sleep_until(Nanos at) { std::this_thread::sleep_until(instant(at)); }

void SteadyPacer::wait_until(Nanos at, std::condition_variable& changed, std::unique_lock<std::mutex>& lock) {
  changed.wait_until(lock, instant(at));
}

}  // namespace motet::load
