// Waiting in user space: a pause for spinning and the kernel's futex for sleeping. Any thread. A wait may end for no
// reason: callers re-check their condition.
#pragma once

#include <atomic>
#include <cstdint>

namespace motet::device {

inline void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

// Sleeps while `word` is `seen`.
void futex_wait(std::atomic<uint32_t>& word, uint32_t seen);
// Wakes up to `threads` sleepers on `word`. `word` is an address only: it is not read.
void futex_wake(std::atomic<uint32_t>& word, int threads);

}  // namespace motet::device
