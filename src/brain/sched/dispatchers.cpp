#include <array>

#include "brain/sched/dispatcher.h"
#include "brain/sched/edf/edf.h"

namespace motet::brain {
namespace {

template <class T>
std::unique_ptr<Dispatcher> make() {
  return std::make_unique<T>();
}

constexpr std::array kDispatchers = {
    DispatcherEntry{"edf", "earliest deadline first, with batching and preemption", &make<EdfDispatcher>},
};

}  // namespace

std::span<const DispatcherEntry> dispatchers() { return kDispatchers; }

}  // namespace motet::brain
