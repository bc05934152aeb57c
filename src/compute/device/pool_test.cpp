#include "compute/device/pool.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <thread>
#include <vector>

#include "compute/device/test_pool.h"

namespace motet::device {
namespace {

TEST(Pool, TasksOfOneWorkerRunInOrderOfSubmission) {
  auto pool = make_test_pool(2);
  struct Note {
    std::vector<int>* order;
    int number;
  };
  std::vector<int> order;
  std::vector<Note> notes;
  for (int i = 0; i < 500; ++i) notes.push_back({&order, i});
  for (Note& note : notes) {
    pool->submit(1, {[](void* argument) {
                       auto* n = static_cast<Note*>(argument);
                       n->order->push_back(n->number);
                     },
                     &note});
  }
  pool.reset();  // a pool runs what is queued before it ends
  ASSERT_EQ(order.size(), 500u);
  for (int i = 0; i < 500; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
}

TEST(Pool, AnyThreadMaySubmit) {
  auto pool = make_test_pool(3, 0);
  std::atomic<int> ran{0};
  std::vector<std::thread> clients;
  for (int client = 0; client < 4; ++client) {
    clients.emplace_back([&, client] {
      for (int i = 0; i < 300; ++i) {
        pool->submit((client + i) % 3,
                     {[](void* counter) { static_cast<std::atomic<int>*>(counter)->fetch_add(1); }, &ran});
      }
    });
  }
  for (std::thread& client : clients) client.join();
  pool.reset();
  EXPECT_EQ(ran.load(), 1200);
}

TEST(Pool, ATaskMaySubmitToItsOwnWorker) {
  auto pool = make_test_pool(1);
  struct Chain {
    Pool* pool;
    int left;
    std::promise<void> done;
  } chain{pool.get(), 100, {}};
  auto ended = chain.done.get_future();
  void (*link)(void*) = nullptr;
  link = [](void* argument) {
    auto* c = static_cast<Chain*>(argument);
    if (c->left-- == 0) {
      c->done.set_value();
      return;
    }
    struct Again {
      static void run(void* a) {
        auto* again = static_cast<Chain*>(a);
        if (again->left-- == 0) {
          again->done.set_value();
        } else {
          again->pool->submit(0, {run, a});
        }
      }
    };
    c->pool->submit(0, {Again::run, c});
  };
  pool->submit(0, {link, &chain});
  ended.wait();
  EXPECT_EQ(chain.left, -1);
}

TEST(Pool, RefusesImpossibleSizes) {
  PoolOptions options;
  options.workers = -1;
  EXPECT_FALSE(Pool::create(options).ok());
  options.workers = CoreSet::kMaxCores + 1;
  EXPECT_FALSE(Pool::create(options).ok());
  options.workers = static_cast<int>(read_cpu_budget().cpus.size()) + 1;
  if (options.workers <= CoreSet::kMaxCores) {
    Result<std::unique_ptr<Pool>> pool = Pool::create(options);
    ASSERT_FALSE(pool.ok());
    EXPECT_NE(pool.error().message.find("may run on"), std::string::npos) << pool.error().message;
  }
  options.workers = 1;
  options.spin_pauses = -1;
  EXPECT_FALSE(Pool::create(options).ok());
}

TEST(Pool, OnlyOnePinnedPoolAtATime) {
  PoolOptions options;
  options.workers = 1;
  Result<std::unique_ptr<Pool>> first = Pool::create(options);
  ASSERT_TRUE(first.ok()) << first.error().message;
  Result<std::unique_ptr<Pool>> second = Pool::create(options);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, Code::kAlreadyExists);
  first.value().reset();
  EXPECT_TRUE(Pool::create(options).ok());
}

TEST(Pool, PinnedWorkersRunOnTheirCpuOnly) {
  Result<std::unique_ptr<Pool>> created = Pool::create({});
  ASSERT_TRUE(created.ok()) << created.error().message;
  Pool& pool = **created;
  EXPECT_EQ(pool.size(), read_cpu_budget().workers);
  for (int core = 0; core < pool.size(); ++core) {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    int ran_on = -1;
    {
      OnWorker look(pool, core, [&] {
        sched_getaffinity(0, sizeof allowed, &allowed);
        ran_on = sched_getcpu();
      });
    }
    EXPECT_EQ(CPU_COUNT(&allowed), 1);
    EXPECT_TRUE(CPU_ISSET(static_cast<size_t>(pool.cpu_of(core)), &allowed));
    EXPECT_EQ(ran_on, pool.cpu_of(core));
  }
}

TEST(Pool, CpuTimeIsChargedToTheWorkerThatUsedIt) {
  auto pool = make_test_pool(2, 0);
  int64_t idle_before = pool->busy_ns(1);
  int64_t busy_before = pool->busy_ns(0);
  {
    OnWorker burn(*pool, 0, [&] {
      // Until this thread's own clock has moved by 5 ms, however slow the machine.
      while (pool->busy_ns(0) - busy_before < 5'000'000) {
      }
    });
  }
  EXPECT_GE(pool->busy_ns(0) - busy_before, 5'000'000);
  EXPECT_LT(pool->busy_ns(1) - idle_before, 5'000'000);
}

}  // namespace
}  // namespace motet::device
