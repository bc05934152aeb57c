#include "body/serve/background.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

namespace motet::serve {
namespace {
// Below the workers: a load must not slow what is being served.
constexpr int kNiceness = 10;
constexpr int kLowNiceness = 19;
}  // namespace

Background::Background(std::string name, AtEnd at_end, Priority priority)
    : at_end_(at_end), priority_(priority), thread_([this, name = std::move(name)] { run(name); }) {}

Background::~Background() {
  stopping_ = true;
  jobs_.put([] {});
  thread_.join();
}

void Background::run(const std::string& name) {
  pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
  setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()),
              priority_ == Priority::kLow ? kLowNiceness : kNiceness);  // of this thread alone, on Linux
  std::vector<std::function<void()>> jobs;
  while (!stopping_) {
    jobs_.take(jobs, kNever);
    for (auto& job : jobs) {
      if (stopping_ && at_end_ == AtEnd::kDropTheRest) return;
      job();
    }
  }
}

}  // namespace motet::serve
