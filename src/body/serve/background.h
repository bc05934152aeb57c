// Background: one thread that runs jobs in order, off the loop's path: loading, compiling, planning. post() from any
// thread; the destructor waits for the job under way and drops the rest.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <thread>

#include "body/serve/mailbox.h"

namespace motet::serve {

class Background {
 public:
  // `name` is what the machine's tools show for the thread (15 characters at most).
  enum class AtEnd : uint8_t { kDropTheRest, kFinishAll };
  // Both yield to the workers: what is kLow also to what is kNormal.
  enum class Priority : uint8_t { kNormal, kLow };
  explicit Background(std::string name, AtEnd at_end = AtEnd::kDropTheRest, Priority priority = Priority::kNormal);
  ~Background();
  void post(std::function<void()> job) { jobs_.put(std::move(job)); }

 private:
  void run(const std::string& name);

  const AtEnd at_end_;
  const Priority priority_;
  std::atomic<bool> stopping_{false};
  Mailbox<std::function<void()>> jobs_;  // synchronises itself
  std::thread thread_;
};

}  // namespace motet::serve
