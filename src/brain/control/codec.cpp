// Every type lists its members once, in fields(); a Writer or a Reader is the archive that walks them.
#include "brain/control/codec.h"

#include <bit>
#include <concepts>
#include <limits>
#include <type_traits>
#include <utility>

namespace motet::brain {
namespace {

template <class T, class U>
concept Like = std::same_as<std::remove_const_t<T>, U>;

class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}
  template <class... T>
  void operator()(const T&... members) {
    (one(members), ...);
  }

 private:
  void one(bool v) { out_.u64(v ? 1 : 0); }
  void one(int v) { out_.i64(v); }
  void one(int64_t v) { out_.i64(v); }
  void one(uint64_t v) { out_.u64(v); }
  void one(double v) { out_.fixed64(std::bit_cast<uint64_t>(v)); }
  void one(Nanos v) { out_.i64(v.value); }
  void one(Bytes v) { out_.i64(v.value); }
  void one(const std::string& v) { out_.text(v); }
  void one(Code v) { out_.u64(static_cast<uint64_t>(v)); }
  void one(ShedReason v) { out_.u64(static_cast<uint64_t>(v)); }
  template <class Tag>
  void one(Id<Tag> v) {
    out_.u64(v.value);
  }
  void one(const CoreSet& v) {
    size_t used = CoreSet::kWords;
    while (used > 0 && v.words()[used - 1] == 0) --used;
    out_.u64(used);
    for (size_t i = 0; i < used; ++i) out_.u64(v.words()[i]);
  }
  template <class T>
  void one(const std::vector<T>& v) {
    out_.u64(v.size());
    for (const T& element : v) one(element);
  }
  template <class T>
  void one(const T& v) {
    fields(*this, v);
  }

  ByteWriter out_;
};

class Reader {
 public:
  explicit Reader(ByteReader& in) : in_(in) {}
  template <class... T>
  void operator()(T&... members) {
    (one(members), ...);
  }

 private:
  void one(bool& v) { v = in_.at_most(1, "a truth value") == 1; }
  void one(int& v) {
    int64_t wide = in_.i64();
    if (wide < std::numeric_limits<int>::min() || wide > std::numeric_limits<int>::max()) {
      in_.fail(std::to_string(wide) + " does not fit in 32 bits");
      wide = 0;
    }
    v = static_cast<int>(wide);
  }
  void one(int64_t& v) { v = in_.i64(); }
  void one(uint64_t& v) { v = in_.u64(); }
  void one(double& v) { v = std::bit_cast<double>(in_.fixed64()); }
  void one(Nanos& v) { v = Nanos(in_.i64()); }
  void one(Bytes& v) { v = Bytes(in_.i64()); }
  void one(std::string& v) { v = in_.text(); }
  void one(Code& v) { v = static_cast<Code>(in_.at_most(static_cast<uint64_t>(Code::kInternal), "an error code")); }
  void one(ShedReason& v) {
    v = static_cast<ShedReason>(in_.at_most(static_cast<uint64_t>(ShedReason::kNotReady), "a shed reason"));
  }
  template <class Tag>
  void one(Id<Tag>& v) {
    v.value = in_.u64();
  }
  void one(CoreSet& v) {
    std::array<uint64_t, CoreSet::kWords> words{};
    auto used = static_cast<size_t>(in_.at_most(CoreSet::kWords, "the length of a core set"));
    for (size_t i = 0; i < used; ++i) words[i] = in_.u64();
    v = CoreSet::from_words(words);
  }
  template <class T>
  void one(std::vector<T>& v) {
    size_t size = in_.list();
    v.clear();
    for (size_t i = 0; i < size && in_.ok(); ++i) one(v.emplace_back());
  }
  template <class T>
  void one(T& v) {
    fields(*this, v);
  }

  ByteReader& in_;
};

template <class A>
void fields(A& a, Like<Error> auto& v) {
  a(v.code, v.message);
}
template <class A>
void fields(A& a, Like<ModelSettings> auto& v) {
  a(v.name, v.version, v.max_batch, v.slo, v.slo_attainment, v.allow_padding, v.dynamic_batching, v.max_queue_delay,
    v.preferred_batches, v.preserve_ordering, v.max_queue, v.priority_levels, v.default_priority, v.on_demand);
}
template <class A>
void fields(A& a, Like<ProgramFeatures> auto& v) {
  a(v.batch, v.arena, v.predicted, v.longest_step);
}
template <class A>
void fields(A& a, Like<Arrived> auto& v) {
  a(v.query, v.instance, v.bucket, v.rows, v.bytes, v.arrived_at, v.deadline, v.priority, v.tenant);
}
template <class A>
void fields(A& a, Like<Cancelled> auto& v) {
  a(v.query);
}
template <class A>
void fields(A& a, Like<Progress> auto& v) {
  a(v.execution, v.steps_done, v.steps_total, v.paused);
}
template <class A>
void fields(A& a, Like<Finished> auto& v) {
  a(v.execution, v.busy);
}
template <class A>
void fields(A& a, Like<Failed> auto& v) {
  a(v.execution, v.instance, v.bucket, v.error);
}
template <class A>
void fields(A& a, Like<Loaded> auto& v) {
  a(v.instance, v.bucket, v.bytes, v.programs);
}
template <class A>
void fields(A& a, Like<Unloaded> auto& v) {
  a(v.instance);
}
template <class A>
void fields(A& a, Like<PlanShare> auto& v) {
  a(v.instance, v.cores, v.max_batch);
}
template <class A>
void fields(A& a, Like<PlanReady> auto& v) {
  a(v.epoch, v.shares);
}
template <class A>
void fields(A&, Like<Tick> auto&) {}
template <class A>
void fields(A& a, Like<ConfigChanged> auto& v) {
  a(v.instance, v.wanted, v.settings, v.expected_bytes);
}
template <class A>
void fields(A& a, Like<Retired> auto& v) {
  a(v.instance, v.bucket);
}
template <class A>
void fields(A& a, Like<StartPart> auto& v) {
  a(v.batch, v.rows);
}
template <class A>
void fields(A& a, Like<Start> auto& v) {
  a(v.execution, v.instance, v.bucket, v.queries, v.parts, v.cores);
}
template <class A>
void fields(A& a, Like<Yield> auto& v) {
  a(v.execution);
}
template <class A>
void fields(A& a, Like<Resume> auto& v) {
  a(v.execution, v.cores);
}
template <class A>
void fields(A& a, Like<Resize> auto& v) {
  a(v.execution, v.cores);
}
template <class A>
void fields(A& a, Like<Kill> auto& v) {
  a(v.execution);
}
template <class A>
void fields(A& a, Like<Reply> auto& v) {
  a(v.query, v.execution, v.ok, v.error);
}
template <class A>
void fields(A& a, Like<Shed> auto& v) {
  a(v.query, v.reason, v.error);
}
template <class A>
void fields(A& a, Like<Load> auto& v) {
  a(v.instance, v.bucket);
}
template <class A>
void fields(A& a, Like<Unload> auto& v) {
  a(v.instance, v.bucket);
}
template <class A>
void fields(A& a, Like<Plan> auto& v) {
  a(v.epoch);
}
template <class A>
void fields(A& a, Like<WakeAt> auto& v) {
  a(v.at);
}
template <class A>
void fields(A& a, Like<LoopOptions> auto& v) {
  a(v.cores, v.memory_budget, v.dispatcher, v.planner, v.max_buckets, v.lateness_factor, v.lateness_slack, v.load_bound,
    v.max_loads);
}

template <class Variant>
void write_variant(ByteWriter& out, std::string& bytes, const Variant& value) {
  out.u64(value.index());
  Writer writer(bytes);
  std::visit([&](const auto& alternative) { writer(alternative); }, value);
}

// Reads the alternative numbered `index` into `value`.
template <class Variant, size_t... I>
void read_alternative(Reader& reader, Variant& value, size_t index, std::index_sequence<I...>) {
  ((index == I ? reader(value.template emplace<I>()) : void()), ...);
}

template <class Variant>
void read_variant(ByteReader& in, Variant& value, std::string_view what) {
  constexpr size_t kCount = std::variant_size_v<Variant>;
  auto index = static_cast<size_t>(in.at_most(kCount - 1, what));
  Reader reader(in);
  if (in.ok()) read_alternative(reader, value, index, std::make_index_sequence<kCount>{});
}

template <class T>
Result<T> finish(const ByteReader& in, T value) {
  if (!in.ok()) return in.error();
  return value;
}

template <class T>
Result<T> exactly_one(std::string_view bytes, Result<T> (*read)(ByteReader&)) {
  ByteReader in(bytes);
  MOTET_ASSIGN(T value, read(in));
  if (!in.at_end()) {
    return invalid_argument("byte " + std::to_string(in.position()) + ": " +
                            std::to_string(bytes.size() - in.position()) + " bytes follow where none are accepted");
  }
  return value;
}

}  // namespace

void append_event(std::string& out, Nanos now, const Event& event) {
  ByteWriter writer(out);
  writer.i64(now.value);
  write_variant(writer, out, event);
}

void append_action(std::string& out, const Action& action) {
  ByteWriter writer(out);
  write_variant(writer, out, action);
}

void append_options(std::string& out, const LoopOptions& options) {
  Writer writer(out);
  writer(options);
}

Result<TimedEvent> read_event(ByteReader& in) {
  TimedEvent timed;
  timed.now = Nanos(in.i64());
  read_variant(in, timed.event, "the kind of an event");
  return finish(in, std::move(timed));
}

Result<Action> read_action(ByteReader& in) {
  Action action;
  read_variant(in, action, "the kind of an action");
  return finish(in, std::move(action));
}

Result<LoopOptions> read_options(ByteReader& in) {
  LoopOptions options;
  Reader reader(in);
  reader(options);
  return finish(in, std::move(options));
}

Result<TimedEvent> decode_event(std::string_view bytes) { return exactly_one(bytes, &read_event); }
Result<Action> decode_action(std::string_view bytes) { return exactly_one(bytes, &read_action); }

}  // namespace motet::brain
