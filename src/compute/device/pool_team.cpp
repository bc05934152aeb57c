#include <algorithm>
#include <vector>

#include "compute/device/region.h"
#include "compute/device/team.h"
#include "compute/device/worker.h"
#include "compute/device/worker_pool.h"

namespace motet::device {

namespace {

class WorkerTeam final : public PoolTeam {
 public:
  WorkerTeam(WorkerPool& pool, Worker& leader) : pool_(pool), leader_(leader) {}

  int width() const override { return 1 + static_cast<int>(helpers_.size()); }
  const CoreSet& cores() const override { return cores_; }

  void resize(const CoreSet& cores) override {
    MOTET_CHECK(cores.contains(leader_.core), "a team keeps its leader");
    MOTET_CHECK(pool_.cores().includes(cores), "a team's cores are the pool's");
    MOTET_CHECK(!this_thread().in_region, "a team is resized between steps");
    cores_ = cores;
    helpers_.clear();
    for (int core = cores.next(0); core >= 0; core = cores.next(core + 1)) {
      if (core != leader_.core) helpers_.push_back(&pool_.worker(core));
    }
  }

  void run(int parts, PartFunction f) override {
    int physical = std::min(parts, width());
    bool nested = this_thread().in_region;
    if (physical <= 1 || nested) {
      run_serially(parts, f);
      return;
    }
    MOTET_CHECK(this_thread().worker == &leader_, "a team is run by its leader");
    leader_.lead(parts, physical, f, helpers_);
  }

  std::vector<int> cpus() const override {
    std::vector<int> list;
    for (int core = cores_.next(0); core >= 0; core = cores_.next(core + 1))
      if (int cpu = pool_.worker(core).cpu; cpu >= 0) list.push_back(cpu);
    return list;
  }

  bool concurrent(int parts) const override { return parts <= width() && !this_thread().in_region; }

 private:
  WorkerPool& pool_;
  Worker& leader_;
  CoreSet cores_;
  std::vector<Worker*> helpers_;  // cores_ without the leader, ascending
};

}  // namespace

std::unique_ptr<PoolTeam> PoolTeam::create(Pool& pool, int leader, const CoreSet& cores) {
  auto* workers = dynamic_cast<WorkerPool*>(&pool);
  MOTET_CHECK(workers != nullptr, "a PoolTeam needs a pool of real workers; device/fake has its own team");
  Worker& worker = workers->worker(leader);
  MOTET_CHECK(this_thread().worker == &worker, "a team is created by its leader");
  auto team = std::make_unique<WorkerTeam>(*workers, worker);
  team->resize(cores);
  return team;
}

}  // namespace motet::device
