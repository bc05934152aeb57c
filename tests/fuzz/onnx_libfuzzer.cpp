// For clang's libFuzzer: build/tests/fuzz/fuzz_onnx CORPUS_FOLDER. Not part of `make test`, which runs
// onnx_mutation_test.
#include <cstdint>

#include "onnx_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  motet::fuzz::read_infer_and_rewrite({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
