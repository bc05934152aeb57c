#include "compute/device/worker.h"

#include "compute/device/futex.h"
#include "compute/device/region.h"

namespace motet::device {

void Fork::run_share(int rank) const {
  for (int part = rank; part < parts; part += physical) {
    PartScope scope(part, parts);
    (*function)(part, parts);
  }
}

Mailbox::~Mailbox() { MOTET_CHECK(empty(), "a pool ends with no task queued"); }

void Mailbox::push(Task task) {
  auto* letter = new Letter{task, newest_.load(std::memory_order_relaxed)};
  while (!newest_.compare_exchange_weak(letter->next, letter, std::memory_order_release, std::memory_order_relaxed)) {
  }
}

bool Mailbox::pop(Task& task) {
  if (ordered_ == nullptr) {
    Letter* letter = newest_.exchange(nullptr, std::memory_order_acquire);
    while (letter != nullptr) {
      Letter* older = letter->next;
      letter->next = ordered_;
      ordered_ = letter;
      letter = older;
    }
  }
  if (ordered_ == nullptr) return false;
  std::unique_ptr<Letter> letter(ordered_);
  ordered_ = letter->next;
  task = letter->task;
  return true;
}

void Worker::notify() {
  // Sequentially consistent with wait_for_signal: either we see it asleep, or its futex_wait sees the new signal.
  signal.fetch_add(1, std::memory_order_seq_cst);
  if (asleep.load(std::memory_order_seq_cst)) futex_wake(signal, 1);
}

void Worker::wait_for_signal(uint32_t seen) {
  for (int pauses = 0; pauses < spin_pauses; ++pauses) {
    if (signal.load(std::memory_order_acquire) != seen) return;
    pause_cpu();
  }
  asleep.store(true, std::memory_order_seq_cst);
  if (signal.load(std::memory_order_seq_cst) == seen) futex_wait(signal, seen);
  asleep.store(false, std::memory_order_relaxed);
}

void Worker::loop() {
  ThreadState& state = this_thread();
  state.worker = this;
  state.compile_width = pool_size;
  for (;;) {
    uint32_t seen = signal.load(std::memory_order_acquire);
    Task task;
    if (const Share* share = help.exchange(nullptr, std::memory_order_acq_rel)) {
      Fork& given = *share->fork;
      given.run_share(share->rank);
      // From here on the leader may begin its next fork: only its two self-synchronising words are touched.
      if (given.pending.fetch_sub(1, std::memory_order_seq_cst) == 1 &&
          given.leader_asleep.load(std::memory_order_seq_cst)) {
        futex_wake(given.pending, 1);
      }
    } else if (mailbox.pop(task)) {
      task.run(task.argument);
    } else if (stopping.load(std::memory_order_acquire)) {
      return;
    } else {
      wait_for_signal(seen);
    }
  }
}

void Worker::wait_for_helpers() {
  for (int pauses = 0;; ++pauses) {
    uint32_t left = fork.pending.load(std::memory_order_acquire);
    if (left == 0) return;
    if (pauses < spin_pauses) {
      pause_cpu();
      continue;
    }
    fork.leader_asleep.store(true, std::memory_order_seq_cst);
    left = fork.pending.load(std::memory_order_seq_cst);
    if (left != 0) futex_wait(fork.pending, left);
    fork.leader_asleep.store(false, std::memory_order_relaxed);
  }
}

void Worker::lead(int parts, int physical, const PartFunction& f, const std::vector<Worker*>& helpers) {
  forking.store(true, std::memory_order_relaxed);
  fork.function = &f;
  fork.parts = parts;
  fork.physical = physical;
  fork.pending.store(static_cast<uint32_t>(physical - 1), std::memory_order_relaxed);
  for (int rank = 1; rank < physical; ++rank) {
    Worker& helper = *helpers[static_cast<size_t>(rank - 1)];
    MOTET_CHECK(!helper.forking.load(std::memory_order_relaxed), "a worker that leads a team helps no other");
    const Share* none = nullptr;
    bool free = helper.help.compare_exchange_strong(none, &shares[static_cast<size_t>(rank)], std::memory_order_acq_rel,
                                                    std::memory_order_relaxed);
    MOTET_CHECK(free, "teams that run at the same time have disjoint cores");
    helper.notify();
  }
  fork.run_share(0);
  for (int rank = 1; rank < physical; ++rank) {
    const Share* mine = &shares[static_cast<size_t>(rank)];
    std::atomic<const Share*>& slot = helpers[static_cast<size_t>(rank - 1)]->help;
    if (slot.load(std::memory_order_relaxed) == mine &&
        slot.compare_exchange_strong(mine, nullptr, std::memory_order_acq_rel, std::memory_order_relaxed)) {
      fork.run_share(rank);
      fork.pending.fetch_sub(1, std::memory_order_relaxed);
    }
  }
  wait_for_helpers();
  forking.store(false, std::memory_order_relaxed);
}

}  // namespace motet::device
