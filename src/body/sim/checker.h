// Checker: the judge of a loop. It watches every event that the loop is given and every action that it answers, keeps
// books of its own (books.h), asks the device for the truth, and names the first rule that the loop breaks. It never
// asks the loop what the loop believes, but for charged() and status(), which it compares with its books.
//
// The rules, by name: "answered once", "true answer", "prompt answer", "reason" (of a refusal), "order", "priority",
// "starvation", "start" (what may be in a batch), "parts" (compiled sizes, padding), "partition", "memory", "late",
// "expired", "idle", "gives up", "lifecycle", "wake", "rest", "serves again". One thread at a time.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>

#include "body/sim/books.h"
#include "body/sim/device.h"
#include "body/sim/scenario.h"
#include "brain/control/loop.h"

namespace motet::sim {

struct Violation {
  std::string rule;
  std::string words;  // what was done, which value, what would have been right
  Nanos at;
};

struct AnswerCounts {
  uint64_t ok = 0, failed = 0, cancelled = 0;
  std::array<uint64_t, 5> shed{};  // by ShedReason
};

class Checker {
 public:
  // Both are borrowed and outlive the checker.
  Checker(const Scenario& scenario, const Device& device);

  // Before the loop hears an event, and after it has answered, before the device acts.
  void hears(const brain::Event& event, Nanos now);
  void answers(std::span<const brain::Action> actions, const brain::Loop& loop, Nanos now);

  // Whether nothing is left to do: every query answered, every execution reported, nothing loading or draining.
  bool at_rest() const;
  // REQUIRES: the trial has waited as long as it will. What still moves, and what the loop's books say against ours.
  void rests(const brain::Loop& loop, Nanos now);
  // The probe query, sent to a ready instance at rest on a healed device, must have been served.
  void served(QueryId probe, Nanos now);

  const std::optional<Violation>& violation() const { return violation_; }
  const Books& books() const { return books_; }
  const AnswerCounts& counts() const { return counts_; }

 private:
  void breaks(std::string rule, std::string words);

  // checker.cpp: what the loop is told
  void hear(const brain::Arrived& e);
  void hear(const brain::Cancelled& e);
  void hear(const brain::Progress& e);
  void hear(const brain::Finished& e);
  void hear(const brain::Failed& e);
  void hear(const brain::Loaded& e);
  void hear(const brain::Unloaded& e);
  void hear(const brain::PlanReady& e);
  void hear(const brain::Tick&) {}
  void hear(const brain::ConfigChanged& e);
  void hear(const brain::Retired&) {}
  void hear_end(ExecutionId id, bool well);

  // checker_start.cpp: executions
  void act(const brain::Start& a);
  void act(const brain::Yield& a);
  void act(const brain::Resume& a);
  void act(const brain::Resize& a);
  void act(const brain::Kill& a);
  bool check_batch(const brain::Start& a, const InstanceBook& instance);
  bool check_parts(const brain::Start& a, const InstanceBook& instance, const BucketBook& bucket, int rows);
  bool check_cores(ExecutionId self, InstanceId instance, const CoreSet& cores);
  bool check_precedence(const brain::Start& a, const InstanceBook& instance);
  Nanos due(const QueryBook& query) const;

  // checker_answers.cpp: answers
  void act(const brain::Reply& a);
  void act(const brain::Shed& a);
  bool check_ok_reply(const brain::Reply& a, const QueryBook& query);
  bool explained(const brain::Reply& a, const QueryBook& query);
  bool check_tries(const QueryBook& query, const std::string& what);
  bool check_shed(const brain::Shed& a, const QueryBook& query);
  void answered(QueryBook& query);
  void check_prompt();

  // checker.cpp: the rest
  void act(const brain::Load& a);
  void act(const brain::Unload& a);
  void act(const brain::Plan& a);
  void act(const brain::WakeAt& a);

  // checker_state.cpp: at the end of each step
  void check_memory(const brain::Loop& loop, bool grew);
  void check_time();
  void check_idle();
  void check_status(const brain::Loop& loop);
  bool perhaps_decided(const InstanceBook& instance, QueryId id) const;
  bool held_to_grow(const InstanceBook& instance, const QueryBook& query) const;
  bool can_run_alone(const InstanceBook& instance, const BucketBook& bucket, const QueryBook& query) const;
  bool wakes_in_vain() const { return wakes_at_once_ > 1'000; }

  const Scenario& scenario_;
  const Device& device_;
  Nanos starvation_bound_ = kNever;  // that the policy promises
  Books books_;
  AnswerCounts counts_;
  std::optional<Violation> violation_;

  Nanos now_;
  QueryId arriving_;          // of this step
  QueryId cancelling_;        // of this step, and it was queued
  ExecutionId ended_;         // of this step
  bool over_budget_ = false;  // a load brought more bytes than it had announced
  Bytes charged_before_;      // what the loop said at the end of the last step
  uint64_t steps_ = 0;
  int wakes_at_once_ = 0;
};

}  // namespace motet::sim
