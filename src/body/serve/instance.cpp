#include "body/serve/instance.h"

#include "base/check.h"

namespace motet::serve {

brain::BucketId bucket_id(const BucketShapes& shapes) {
  uint64_t hash = 0xCBF29CE484222325u;  // FNV-1a over ranks and extents
  auto mix = [&](uint64_t word) {
    for (int i = 0; i < 8; ++i) hash = (hash ^ ((word >> (8 * i)) & 0xFF)) * 0x100000001B3u;
  };
  for (const Shape& shape : shapes) {
    mix(shape.size());
    for (int64_t extent : shape) mix(static_cast<uint64_t>(extent));
  }
  return hash != 0 ? hash : 1;
}

Status Instance::add_bucket(brain::BucketId bucket, const BucketShapes& shapes) {
  std::lock_guard lock(mutex_);
  auto [at, fresh] = buckets_.try_emplace(bucket);
  if (fresh) at->second.shapes = shapes;
  if (at->second.shapes != shapes)
    return internal_error("two input shapes of model '" + name + "' have one bucket id; send the query again later");
  return {};
}

BucketShapes Instance::bucket_shapes(brain::BucketId bucket) const {
  std::lock_guard lock(mutex_);
  auto found = buckets_.find(bucket);
  MOTET_CHECK(found != buckets_.end(), "a bucket is registered before it is loaded");
  return found->second.shapes;
}

void Instance::set_programs(brain::BucketId bucket, std::map<int, engine::ProgramPtr> programs) {
  std::lock_guard lock(mutex_);
  buckets_[bucket].programs = std::move(programs);
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
