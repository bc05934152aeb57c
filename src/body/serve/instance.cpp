#include "body/serve/instance.h"

#include <algorithm>
#include <set>

#include "base/check.h"

namespace motet::serve {

brain::BucketId bucket_id(const BucketShapes& shapes, engine::Precision precision) {
  uint64_t hash = 0xCBF29CE484222325u;  // FNV-1a over ranks and extents, and what is not exact
  auto mix = [&](uint64_t word) {
    for (int i = 0; i < 8; ++i) hash = (hash ^ ((word >> (8 * i)) & 0xFF)) * 0x100000001B3u;
  };
  for (const Shape& shape : shapes) {
    mix(shape.size());
    for (int64_t extent : shape) mix(static_cast<uint64_t>(extent));
  }
  if (precision != engine::Precision::kExact) mix(static_cast<uint64_t>(precision));
  return hash != 0 ? hash : 1;
}

Route Instance::route(const BucketShapes& shapes) const {
  const engine::Precision wanted = precision->current();
  const Route target{bucket_id(shapes, wanted), wanted};
  if (!precision->reduced()) return target;
  std::lock_guard lock(mutex_);
  auto has_programs = [&](brain::BucketId bucket) {
    auto found = buckets_.find(bucket);
    return found != buckets_.end() && !found->second.programs.empty();
  };
  if (has_programs(target.bucket)) return target;
  for (engine::Precision other : {engine::Precision::kExact, engine::Precision::kBf16, engine::Precision::kInt8})
    if (const Route route{bucket_id(shapes, other), other}; has_programs(route.bucket)) return route;
  return target;
}

Status Instance::add_bucket(const Route& route, const BucketShapes& shapes) {
  std::lock_guard lock(mutex_);
  auto [at, fresh] = buckets_.try_emplace(route.bucket);
  if (fresh) {
    at->second.shapes = shapes;
    at->second.precision = route.precision;
  }
  if (at->second.shapes != shapes || at->second.precision != route.precision)
    return internal_error("two input shapes of model '" + name + "' have one bucket id; send the query again later");
  return {};
}

BucketShapes Instance::bucket_shapes(brain::BucketId bucket) const {
  std::lock_guard lock(mutex_);
  auto found = buckets_.find(bucket);
  MOTET_CHECK(found != buckets_.end(), "a bucket is registered before it is loaded");
  return found->second.shapes;
}

engine::Precision Instance::bucket_precision(brain::BucketId bucket) const {
  std::lock_guard lock(mutex_);
  auto found = buckets_.find(bucket);
  MOTET_CHECK(found != buckets_.end(), "a bucket is registered before it is loaded");
  return found->second.precision;
}

std::vector<brain::BucketId> Instance::replaced_by(brain::BucketId bucket) const {
  std::lock_guard lock(mutex_);
  std::vector<brain::BucketId> replaced;
  auto found = buckets_.find(bucket);
  if (found == buckets_.end() || found->second.programs.empty()) return replaced;
  for (const auto& [id, other] : buckets_)
    if (id != bucket && other.shapes == found->second.shapes && !other.programs.empty()) replaced.push_back(id);
  return replaced;
}

std::vector<BucketShapes> Instance::shapes_lacking(engine::Precision precision) const {
  std::lock_guard lock(mutex_);
  std::set<BucketShapes> others, own;
  for (const auto& [id, bucket] : buckets_)
    if (!bucket.programs.empty()) (bucket.precision == precision ? own : others).insert(bucket.shapes);
  std::vector<BucketShapes> lacking;
  std::set_difference(others.begin(), others.end(), own.begin(), own.end(), std::back_inserter(lacking));
  return lacking;
}

Instance::Programs Instance::programs_in_words() const {
  std::lock_guard lock(mutex_);
  Programs words;
  std::set<std::string> executors;
  for (const auto& [id, bucket] : buckets_) {
    for (const auto& [batch, program] : bucket.programs) {
      executors.insert(program->executor());
      words.longest_step = std::max(words.longest_step, program->longest_step());
      int64_t slices = 0;
      for (const engine::StepInfo& step : program->steps()) slices += step.slices;
      words.slices = std::max(words.slices, slices);
    }
  }
  for (const std::string& executor : executors) words.executor += (words.executor.empty() ? "" : ", ") + executor;
  return words;
}

std::vector<engine::ProgramPtr> Instance::programs(brain::BucketId bucket) const {
  std::lock_guard lock(mutex_);
  std::vector<engine::ProgramPtr> programs;
  auto found = buckets_.find(bucket);
  if (found == buckets_.end()) return programs;
  for (const auto& [batch, program] : found->second.programs) programs.push_back(program);
  return programs;
}

void Instance::set_programs(brain::BucketId bucket, std::map<int, engine::ProgramPtr> programs) {
  std::lock_guard lock(mutex_);
  buckets_[bucket].programs = std::move(programs);
}

bool Instance::renew_programs(brain::BucketId bucket, uint64_t releases, std::map<int, engine::ProgramPtr> programs) {
  std::lock_guard lock(mutex_);
  auto found = buckets_.find(bucket);
  if (found == buckets_.end() || found->second.programs.empty() || found->second.releases != releases) return false;
  found->second.programs.swap(programs);  // the old ones go without the lock
  return true;
}

uint64_t Instance::releases(brain::BucketId bucket) const {
  std::lock_guard lock(mutex_);
  auto found = buckets_.find(bucket);
  return found == buckets_.end() ? 0 : found->second.releases;
}

void Instance::note_release(brain::BucketId bucket) {
  std::lock_guard lock(mutex_);
  if (auto found = buckets_.find(bucket); found != buckets_.end()) ++found->second.releases;
}

engine::ProgramPtr Instance::program(brain::BucketId bucket, int batch) const {
  std::lock_guard lock(mutex_);
  auto found = buckets_.find(bucket);
  if (found == buckets_.end()) return nullptr;
  auto program = found->second.programs.find(batch);
  return program == found->second.programs.end() ? nullptr : program->second;
}

void Instance::drop_programs(brain::BucketId bucket) {
  std::vector<std::vector<Shape>> dropped;
  {
    std::lock_guard lock(mutex_);
    auto found = buckets_.find(bucket);
    if (found == buckets_.end()) return;
    for (const auto& [batch, program] : found->second.programs)
      dropped.push_back(full_shapes(found->second.shapes, batch));
    found->second.programs.clear();
  }
  for (const auto& shapes : dropped) model->drop(shapes);
}

std::vector<Shape> Instance::full_shapes(const BucketShapes& shapes, int batch) const {
  std::vector<Shape> full = shapes;
  if (batched)
    for (Shape& shape : full) shape.insert(shape.begin(), batch);
  return full;
}

}  // namespace motet::serve
