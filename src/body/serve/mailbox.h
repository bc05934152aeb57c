// Mailbox: how any thread tells the loop's thread something. Messages leave in the order in which they came. put() may
// be called from any thread and never blocks for long; take() from the one thread that owns the mailbox.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>
#include <vector>

#include "base/units.h"

namespace motet::serve {

template <class Message>
class Mailbox {
 public:
  void put(Message message) {
    bool wake = false;
    {
      std::lock_guard lock(mutex_);
      wake = messages_.empty();
      messages_.push_back(std::move(message));
    }
    if (wake) ready_.notify_one();
  }

  // Moves all messages into `out` (emptied first), waiting until there is one or the SteadyClock reads `until`.
  void take(std::vector<Message>& out, Nanos until) {
    out.clear();
    std::unique_lock lock(mutex_);
    auto some = [&] { return !messages_.empty(); };
    if (until == kNever) {
      ready_.wait(lock, some);
    } else {
      ready_.wait_until(lock, std::chrono::steady_clock::time_point(std::chrono::nanoseconds(until.value)), some);
    }
    out.swap(messages_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable ready_;
  std::vector<Message> messages_;  // guarded by mutex_
};

}  // namespace motet::serve
