// The parser behind parse_model and parse_tensor (onnx_records.h): one instance reads one file and counts what it
// makes, so that a small hostile file cannot ask for much memory. One thread at a time.
#pragma once

#include "compute/graph/onnx_records.h"
#include "compute/graph/wire.h"

namespace motet::graph {

inline constexpr size_t kMaxRank = 32;
inline constexpr int kMaxGraphDepth = 32;
// Nodes, attributes, tensors, inputs and outputs of one file together; a record takes a few hundred bytes of memory.
inline constexpr size_t kMaxRecords = 1'000'000;

inline std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

class Parser {
 public:
  Status model(Message m, ModelRecord& out);
  Status tensor(Message m, size_t offset, TensorRecord& out);

 private:
  Status graph(Message m, size_t offset, int depth, GraphRecord& out);
  Status node(Message m, size_t offset, int depth, NodeRecord& out);
  Status attribute(Message m, size_t offset, int depth, AttributeRecord& out);
  Status function(Message m, size_t offset, FunctionRecord& out);
  Status count(const Message& m, size_t offset);

  size_t records_ = 0;
};

}  // namespace motet::graph
