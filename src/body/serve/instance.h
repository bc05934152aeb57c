// Instance: a model version as this process serves it: its config, its loaded model and the programs of each shape
// bucket. Made by the catalog, filled by the loader, used by the loop's thread; the parts that change are guarded by
// its own lock.
#pragma once

#include <atomic>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/id.h"
#include "brain/control/event.h"
#include "compute/engine/program.h"
#include "wire/api/api.h"
#include "wire/repo/repository.h"

namespace motet::serve {

struct ModelCounters;

// Input shapes without the batch extent, one per input in the model's order.
using BucketShapes = std::vector<Shape>;

// The bucket's id: a hash of the shapes; never 0. Two shapes with one id are told apart by Instance::add_bucket.
brain::BucketId bucket_id(const BucketShapes& shapes);

class Instance {
 public:
  // Constant after construction.
  InstanceId id;
  std::string name;
  int64_t version = 0;
  repo::ModelSource source;
  std::filesystem::path model_file;
  Bytes expected_bytes;  // of weights, by the file's size

  // Synchronises itself: false once nobody wants the instance any more.
  std::atomic<bool> wanted{true};

  // Set once by the loader, before the instance is announced as loaded; read-only afterwards.
  std::shared_ptr<engine::Model> model;
  std::shared_ptr<const inference::ModelConfig> config;  // completed
  bool batched = false;                                  // max_batch_size > 0
  repo::ServingSettings serving;
  repo::Labels labels;
  api::ModelMetadata metadata;
  std::vector<size_t> input_order;   // position in the model of each of the config's inputs
  std::vector<size_t> output_order;  // position in the model of each of the config's outputs
  std::shared_ptr<ModelCounters> counters;

  // ---- synchronised by the instance's lock ----
  // Remembers what the bucket stands for. kInternal if another bucket has that id.
  Status add_bucket(brain::BucketId bucket, const BucketShapes& shapes);
  BucketShapes bucket_shapes(brain::BucketId bucket) const;
  void set_programs(brain::BucketId bucket, std::map<int, engine::ProgramPtr> programs);
  // The program of that bucket and batch; nullptr if it has none.
  engine::ProgramPtr program(brain::BucketId bucket, int batch) const;
  void drop_programs(brain::BucketId bucket);
  // Full input shapes of a bucket at a batch.
  std::vector<Shape> full_shapes(const BucketShapes& shapes, int batch) const;

 private:
  struct Bucket {
    BucketShapes shapes;
    std::map<int, engine::ProgramPtr> programs;
  };
  mutable std::mutex mutex_;
  std::map<brain::BucketId, Bucket> buckets_;  // guarded by mutex_
};

using InstancePtr = std::shared_ptr<Instance>;

}  // namespace motet::serve
