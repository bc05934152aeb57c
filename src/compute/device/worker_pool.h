// WorkerPool: the Pool of real threads. Internal to compute/device; pool.h says what it promises.
#pragma once

#include <memory>
#include <vector>

#include "compute/device/pool.h"

namespace motet::device {

struct Worker;

class WorkerPool final : public Pool {
 public:
  explicit WorkerPool(bool pinned);
  ~WorkerPool() override;

  // Starts `count` workers, pinned to the first of `cpus` if the pool is pinned.
  Status start(int count, int spin_pauses, const std::vector<int>& cpus);
  // REQUIRES: 0 <= core < size().
  Worker& worker(int core) const;

  int size() const override;
  int cpu_of(int core) const override;
  void submit(int leader, Task task) override;
  int64_t busy_ns(int core) const override;

 private:
  // Constant after start(); each Worker synchronises itself.
  const bool pinned_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace motet::device
