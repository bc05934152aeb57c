#include "body/load/generator.h"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>

namespace motet::load {
namespace {

constexpr Nanos kProgressPeriod = Nanos::from_millis(200);
constexpr Nanos kAnswerPoll = Nanos::from_millis(5);

uint64_t request_bytes(const client::Request& request) {
  uint64_t bytes = 0;
  for (const NamedTensor& input : request.inputs) bytes += input.tensor.view().bytes();
  return bytes;
}

Status check(std::span<const Stream> streams) {
  if (streams.empty()) return invalid_argument("a load needs at least one stream");
  for (const Stream& stream : streams) {
    if (stream.requests.empty())
      return invalid_argument("the stream for model '" + stream.model + "' has no request to send");
  }
  return {};
}

// One stream under way.
struct Lane {
  Lane(const Stream& s, std::optional<brain::Arrivals> a)
      : stream(s), arrivals(std::move(a)), recorder(s.model, s.slo, s.rows_per_query) {}
  const Stream& stream;
  std::optional<brain::Arrivals> arrivals;
  std::optional<Nanos> next;  // since the start
  size_t turn = 0;
  Recorder recorder;
};

class Run {
 public:
  Run(client::Client& client, const Options& options, Pacer& pacer)
      : client_(client), options_(options), pacer_(pacer), start_(pacer.now()) {}

  // Sends the lane's next request as one that was meant for `intended` (since the start). `after` runs when it is
  // answered.
  void send(Lane& lane, Nanos intended, const std::function<void()>& after = nullptr) {
    const client::Request& request = lane.stream.requests[lane.turn++ % lane.stream.requests.size()];
    uint64_t bytes = request_bytes(request);
    open_.fetch_add(1);
    open_bytes_.fetch_add(bytes);
    lane.recorder.sent(elapsed() - intended);
    client_.infer_async(request, [this, &lane, intended, bytes, after](const Result<client::Response>& response) {
      Nanos at = elapsed();
      lane.recorder.answered(response.ok() ? Status() : Status(response.error()), at - intended, at);
      if (after) after();
      open_bytes_.fetch_sub(bytes);
      open_.fetch_sub(1);  // last: the run may end as soon as this is 0
    });
  }

  bool full() const { return open_.load() >= options_.max_open || open_bytes_.load() >= options_.max_open_bytes; }
  Nanos start() const { return start_; }
  Nanos elapsed() const { return pacer_.now() - start_; }

  // Sleeps until `at` since the start, showing progress.
  void wait_until(Nanos at) {
    for (Nanos now = elapsed(); now < at; now = elapsed()) {
      pacer_.sleep_until(start_ + std::min(at, now + kProgressPeriod));
      progress();
    }
  }

  void wait_for_answers() {
    while (open_.load() > 0) {
      pacer_.sleep_until(pacer_.now() + kAnswerPoll);
      progress();
    }
  }

  void progress() {
    Nanos now = elapsed();
    if (!options_.on_progress || now < shown_ + kProgressPeriod) return;
    shown_ = now;
    options_.on_progress(now);
  }

 private:
  client::Client& client_;
  const Options& options_;
  Pacer& pacer_;
  const Nanos start_;
  Nanos shown_;
  std::atomic<uint64_t> open_{0};
  std::atomic<uint64_t> open_bytes_{0};
};

Report finish(std::deque<Lane>& lanes, const Options& options, bool closed_loop) {
  Report report;
  report.duration = options.duration;
  report.closed_loop = closed_loop;
  for (Lane& lane : lanes) report.streams.push_back(lane.recorder.finish());
  return report;
}

}  // namespace

Result<Report> run_open_loop(client::Client& client, std::span<const Stream> streams, const Options& options,
                             Pacer& pacer) {
  MOTET_RETURN_IF_ERROR(check(streams));
  std::deque<Lane> lanes;  // a Lane stays where it is
  for (size_t i = 0; i < streams.size(); ++i) {
    // The position keeps two streams of one model apart.
    MOTET_ASSIGN(auto arrivals, brain::Arrivals::create(streams[i].arrivals, options.seed,
                                                        "load/" + std::to_string(i) + "/" + streams[i].model));
    lanes.emplace_back(streams[i], std::move(arrivals));
    lanes.back().next = lanes.back().arrivals->next_arrival();
  }
  Run run(client, options, pacer);
  while (true) {
    Lane* due = nullptr;
    for (Lane& lane : lanes) {
      if (lane.next && *lane.next < options.duration && (due == nullptr || *lane.next < *due->next)) due = &lane;
    }
    if (due == nullptr) break;
    Nanos intended = *due->next;
    due->next = due->arrivals->next_arrival();
    run.wait_until(intended);
    due->recorder.intended();
    if (run.full())
      due->recorder.unsent();
    else
      run.send(*due, intended);
  }
  run.wait_for_answers();
  return finish(lanes, options, false);
}

Result<Report> run_closed_loop(client::Client& client, std::span<const Stream> streams, int concurrency,
                               const Options& options, Pacer& pacer) {
  MOTET_RETURN_IF_ERROR(check(streams));
  if (concurrency < 1)
    return invalid_argument("a closed loop keeps at least 1 query open, not " + std::to_string(concurrency));
  std::deque<Lane> lanes;
  for (const Stream& stream : streams) lanes.emplace_back(stream, std::nullopt);
  Run run(client, options, pacer);
  // Answers ask for the next query; this thread sends it, so that a client's thread never sends from within its own
  // call.
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Lane*> wanted;
  for (Lane& lane : lanes) wanted.insert(wanted.end(), static_cast<size_t>(concurrency), &lane);
  std::unique_lock lock(mutex);
  while (run.elapsed() < options.duration) {
    run.progress();
    if (wanted.empty()) {
      pacer.wait_until(run.start() + std::min(options.duration, run.elapsed() + kProgressPeriod), changed, lock);
      continue;
    }
    Lane* lane = wanted.front();
    wanted.pop_front();
    lock.unlock();
    lane->recorder.intended();
    run.send(*lane, run.elapsed(), [&mutex, &changed, &wanted, lane] {
      std::lock_guard answered(mutex);
      wanted.push_back(lane);
      changed.notify_one();
    });
    lock.lock();
  }
  lock.unlock();
  run.wait_for_answers();
  return finish(lanes, options, true);
}

}  // namespace motet::load
