// How many calls are under way, so that a client's end can wait for them. Synchronises itself.
#pragma once

#include <condition_variable>
#include <mutex>

namespace motet::client {

class CallCount {
 public:
  void begin() {
    std::lock_guard lock(mutex_);
    ++open_;
  }
  void end() {
    std::lock_guard lock(mutex_);
    if (--open_ == 0) none_.notify_all();  // under the lock: the waiter may free this object as soon as it can see 0
  }
  void wait_for_none() {
    std::unique_lock lock(mutex_);
    none_.wait(lock, [this] { return open_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable none_;
  int open_ = 0;  // guarded by mutex_
};

}  // namespace motet::client
