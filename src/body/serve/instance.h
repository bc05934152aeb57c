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
#include "body/serve/precision.h"
#include "brain/control/event.h"
#include "compute/engine/program.h"
#include "wire/api/api.h"
#include "wire/repo/repository.h"

namespace motet::serve {

struct ModelCounters;

// Input shapes without the batch extent, one per input in the model's order.
using BucketShapes = std::vector<Shape>;

// What queries that can be one batch have in common: shapes and precision. So a model changes its precision by sending
// its queries to other buckets, which the loop loads, charges and drops as it does any.
struct Route {
  brain::BucketId bucket = 0;
  engine::Precision precision = engine::Precision::kExact;
};

// The bucket's id: a hash of shapes and precision; never 0. Two with one id are told apart by Instance::add_bucket.
brain::BucketId bucket_id(const BucketShapes& shapes, engine::Precision precision = engine::Precision::kExact);

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
  std::unique_ptr<PrecisionState> precision;  // synchronises itself

  // ---- synchronised by the instance's lock ----
  // Where a query of these shapes goes: to the bucket of the present precision, or, while that has no programs, to one
  // of another that has.
  Route route(const BucketShapes& shapes) const;
  // Remembers what the bucket stands for. kInternal if another bucket has that id.
  Status add_bucket(const Route& route, const BucketShapes& shapes);
  BucketShapes bucket_shapes(brain::BucketId bucket) const;
  engine::Precision bucket_precision(brain::BucketId bucket) const;
  // The buckets of other precisions for the shapes of this one, as far as they have programs.
  std::vector<brain::BucketId> replaced_by(brain::BucketId bucket) const;
  // The shapes of buckets that have programs, but not of this precision.
  std::vector<BucketShapes> shapes_lacking(engine::Precision precision) const;
  // What its programs are, for those who look.
  struct Programs {
    std::string executor;  // "native"; several, with commas; "" before there is a program
    Nanos longest_step;    // of any of them
    int64_t slices = 0;    // of the one that has most
  };
  Programs programs_in_words() const;
  // Of a bucket, ascending by batch; empty if it has none.
  std::vector<engine::ProgramPtr> programs(brain::BucketId bucket) const;
  void set_programs(brain::BucketId bucket, std::map<int, engine::ProgramPtr> programs);
  // The same for a bucket that has programs; false, with nothing done, if it has none any more or the loop has let go
  // of it since it had done so `releases` times.
  bool renew_programs(brain::BucketId bucket, uint64_t releases, std::map<int, engine::ProgramPtr> programs);
  // How often the loop has let go of the bucket. What was begun for it before the last time is of no use any more: its
  // programs are dropped, though the loop may have asked for others since.
  uint64_t releases(brain::BucketId bucket) const;
  void note_release(brain::BucketId bucket);
  // The program of that bucket and batch; nullptr if it has none.
  engine::ProgramPtr program(brain::BucketId bucket, int batch) const;
  void drop_programs(brain::BucketId bucket);
  // Full input shapes of a bucket at a batch.
  std::vector<Shape> full_shapes(const BucketShapes& shapes, int batch) const;

 private:
  struct Bucket {
    BucketShapes shapes;
    engine::Precision precision = engine::Precision::kExact;
    std::map<int, engine::ProgramPtr> programs;
    uint64_t releases = 0;
  };
  mutable std::mutex mutex_;
  std::map<brain::BucketId, Bucket> buckets_;  // guarded by mutex_
};

using InstancePtr = std::shared_ptr<Instance>;

}  // namespace motet::serve
