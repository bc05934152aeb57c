// TensorProto to Tensor: a view on the file where its bytes lie there as they are needed (raw_data or external data,
// aligned to the element), a decoded copy elsewhere. One thread at a time.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/tensor/tensor.h"
#include "compute/graph/file_map.h"
#include "compute/graph/onnx_records.h"

namespace motet::graph {

// Where a model's tensors may come from: the model's own bytes and files beside it.
class TensorSource {
 public:
  // `owner` keeps the bytes of every record alive. An empty `directory` refuses external data.
  TensorSource(std::shared_ptr<const void> owner, std::filesystem::path directory)
      : owner_(std::move(owner)), directory_(std::move(directory)) {}

  // An Error names the tensor, its place in the file and what does not fit.
  Result<Tensor> load(const TensorRecord& record);
  // Of the external files mapped so far.
  size_t external_bytes() const;
  std::vector<std::filesystem::path> external_files() const;

 private:
  Result<Tensor> load_external(const TensorRecord& record, DType dtype, size_t bytes);
  Result<std::shared_ptr<const FileMap>> map(const TensorRecord& record, std::string_view location);

  std::shared_ptr<const void> owner_;
  std::filesystem::path directory_;
  std::map<std::string, std::shared_ptr<const FileMap>, std::less<>> maps_;
};

}  // namespace motet::graph
