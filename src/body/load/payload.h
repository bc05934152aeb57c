// Requests with random content, made from what a server says of a model. Pure and seeded; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/result.h"
#include "wire/client/client.h"

namespace motet::load {

struct PayloadOptions {
  int64_t batch = 1;                    // rows, where the model has a batch extent
  bool has_batch_extent = true;         // the first extent of each input is the batch, when it is -1
  std::map<std::string, Shape> shapes;  // by input: its whole shape, for extents that are -1
  uint64_t seed = 1;
};

// Floats in [0, 1), integers in [0, 8) (small, so that they serve as indices too), words of eight letters. Extents of
// -1 other than the batch's become 1 unless `shapes` has the input. An Error tells a shape that does not fit the
// model's, an input that the model does not have, a batch that the model cannot take.
Result<client::Request> random_request(const client::ModelMetadata& model, const PayloadOptions& options);

}  // namespace motet::load
