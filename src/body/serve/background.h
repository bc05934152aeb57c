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
  explicit Background(std::string name, AtEnd at_end = AtEnd::kDropTheRest);
  ~Background();
  void post(std::function<void()> job) { jobs_.put(std::move(job)); }

 private:
  void run(const std::string& name);

  const AtEnd at_end_;
  std::atomic<bool> stopping_{false};
  Mailbox<std::function<void()>> jobs_;  // synchronises itself
  std::thread thread_;
};

}  // namespace motet::serve
