// Worker: one thread of the pool, its mailbox, and its part in fork-join. Internal to compute/device.
//
// A worker waits on one word, `signal`, for either of two things: a task in its mailbox (it then leads an execution),
// or a share in its `help` slot (another leader's parts). A leader that has done its own parts takes back the shares
// that nobody has begun: a helper that is asleep, descheduled or still leaving its last task delays nobody, and no
// cycle of waiting teams can arise.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "compute/device/pool.h"
#include "compute/device/team.h"

namespace motet::device {

struct Fork;

// Rank `rank` of a leader's fork: it runs parts rank, rank+physical, ...
struct Share {
  Fork* fork = nullptr;
  int rank = 0;
};

// The region that a leader is running. It outlives every helper's use of it: helpers touch it after the last part has
// ended.
struct Fork {
  const PartFunction* function = nullptr;
  int parts = 0;
  int physical = 0;
  alignas(64) std::atomic<uint32_t> pending{0};  // shares given away and not yet done
  std::atomic<bool> leader_asleep{false};

  void run_share(int rank) const;
};

// Tasks for one worker, in order. push() from any thread without locks, pop() by the worker.
class Mailbox {
 public:
  Mailbox() = default;
  ~Mailbox();
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  void push(Task task);
  bool pop(Task& task);
  // REQUIRES: called by the worker, or after it has ended.
  bool empty() const { return ordered_ == nullptr && newest_.load(std::memory_order_acquire) == nullptr; }

 private:
  struct Letter {
    Task task;
    Letter* next;
  };
  std::atomic<Letter*> newest_{nullptr};  // stack of letters not yet ordered
  Letter* ordered_ = nullptr;             // the worker's, oldest first
};

struct Worker {
  // Constant after the pool's construction.
  int core = 0;
  int cpu = -1;
  int spin_pauses = 0;
  int pool_size = 1;
  const Pool* pool = nullptr;
  std::vector<Share> shares;  // by rank; what this worker gives away when it leads
  std::thread thread;
  clockid_t cpu_clock = 0;

  // Synchronise themselves.
  Mailbox mailbox;
  alignas(64) std::atomic<uint32_t> signal{0};
  std::atomic<bool> asleep{false};
  std::atomic<bool> stopping{false};
  std::atomic<const Share*> help{nullptr};
  std::atomic<bool> forking{false};
  alignas(64) Fork fork;

  // Runs until stopping and without work. In the worker's own thread.
  void loop();
  // Announces that mailbox, help or stopping has changed. Any thread.
  void notify();
  // Runs `f` with helpers[0 .. physical-2] as ranks 1 .. physical-1. In this worker's own thread; not nested.
  void lead(int parts, int physical, const PartFunction& f, const std::vector<Worker*>& helpers);

 private:
  void wait_for_signal(uint32_t seen);
  void wait_for_helpers();
};

}  // namespace motet::device
