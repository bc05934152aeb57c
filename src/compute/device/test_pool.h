// For this room's tests: a pool that is not pinned, and a way to run a function on one of its workers and wait for it.
#pragma once

#include <future>
#include <memory>

#include "compute/device/pool.h"

namespace motet::device {

inline std::unique_ptr<Pool> make_test_pool(int workers, int spin_pauses = 100) {
  PoolOptions options;
  options.workers = workers;
  options.pin = false;
  options.spin_pauses = spin_pauses;
  Result<std::unique_ptr<Pool>> pool = Pool::create(options);
  MOTET_CHECK(pool.ok(), "a test's pool starts");
  return std::move(pool).value();
}

// Starts `f` as a task of worker `core`; the future is ready when it has ended. `f` must stay alive until then.
template <class F>
class OnWorker {
 public:
  OnWorker(Pool& pool, int core, F f) : f_(std::move(f)), ended_(done_.get_future()) {
    pool.submit(core, {[](void* self) {
                         auto* me = static_cast<OnWorker*>(self);
                         me->f_();
                         me->done_.set_value();
                       },
                       this});
  }
  ~OnWorker() { ended_.wait(); }
  OnWorker(const OnWorker&) = delete;
  OnWorker& operator=(const OnWorker&) = delete;

 private:
  F f_;
  std::promise<void> done_;
  std::future<void> ended_;
};

}  // namespace motet::device
