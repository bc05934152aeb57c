// The part of OpenVINO's C API (openvino/c/*.h, Apache-2.0) that Motet calls, declared here so that building needs no
// OpenVINO: the library is opened at run time. A test holds every signature against the headers of an installed one.
// The API's functions may be called from any thread, but one infer request by one thread at a time. Private to
// compute/foreign.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "base/result.h"

namespace motet::foreign::ov {

// NOLINTBEGIN(readability-identifier-naming): the API's own names
using ov_status_e = int;        // an enum in C; 0 is success
using ov_element_type_e = int;  // an enum in C: kElementTypes in network.cpp
struct ov_core_t;
struct ov_model_t;
struct ov_compiled_model_t;
struct ov_infer_request_t;
struct ov_tensor_t;
struct ov_output_const_port_t;
struct ov_version_t {
  const char* buildNumber;
  const char* description;
};
struct ov_shape_t {
  int64_t rank;
  int64_t* dims;
};
struct ov_dimension_t {
  int64_t min;
  int64_t max;
};
using ov_rank_t = ov_dimension_t;
struct ov_partial_shape_t {
  ov_rank_t rank;
  ov_dimension_t* dims;
};
struct ov_property_t {
  const char* key;
  const void* value;
};
// NOLINTEND(readability-identifier-naming)

// X(name, result, parameters), each as the headers write it.
#define MOTET_OPENVINO_FUNCTIONS(X)                                                                                  \
  X(ov_get_openvino_version, ov_status_e, (ov_version_t * version))                                                  \
  X(ov_version_free, void, (ov_version_t * version))                                                                 \
  X(ov_get_last_err_msg, const char*, ())                                                                            \
  X(ov_free, void, (const char* content))                                                                            \
  X(ov_core_create, ov_status_e, (ov_core_t * *core))                                                                \
  X(ov_core_free, void, (ov_core_t * core))                                                                          \
  X(ov_core_read_model, ov_status_e,                                                                                 \
    (const ov_core_t* core, const char* model_path, const char* bin_path, ov_model_t** model))                       \
  X(ov_core_compile_model_props, ov_status_e,                                                                        \
    (const ov_core_t* core, const ov_model_t* model, const char* device_name, const size_t num_properties,           \
     const ov_property_t* properties, ov_compiled_model_t** compiled_model))                                         \
  X(ov_model_free, void, (ov_model_t * model))                                                                       \
  X(ov_model_inputs_size, ov_status_e, (const ov_model_t* model, size_t* input_size))                                \
  X(ov_model_outputs_size, ov_status_e, (const ov_model_t* model, size_t* output_size))                              \
  X(ov_model_const_input_by_index, ov_status_e,                                                                      \
    (const ov_model_t* model, const size_t index, ov_output_const_port_t** input_port))                              \
  X(ov_model_const_input_by_name, ov_status_e,                                                                       \
    (const ov_model_t* model, const char* tensor_name, ov_output_const_port_t** input_port))                         \
  X(ov_model_const_output_by_index, ov_status_e,                                                                     \
    (const ov_model_t* model, const size_t index, ov_output_const_port_t** output_port))                             \
  X(ov_model_reshape_by_port_indexes, ov_status_e,                                                                   \
    (const ov_model_t* model, const size_t* port_indexes, const ov_partial_shape_t* partial_shape, size_t size))     \
  X(ov_port_get_any_name, ov_status_e, (const ov_output_const_port_t* port, char** tensor_name))                     \
  X(ov_port_get_partial_shape, ov_status_e, (const ov_output_const_port_t* port, ov_partial_shape_t* partial_shape)) \
  X(ov_port_get_element_type, ov_status_e, (const ov_output_const_port_t* port, ov_element_type_e* tensor_type))     \
  X(ov_output_const_port_free, void, (ov_output_const_port_t * port))                                                \
  X(ov_partial_shape_free, void, (ov_partial_shape_t * partial_shape))                                               \
  X(ov_shape_free, ov_status_e, (ov_shape_t * shape))                                                                \
  X(ov_compiled_model_create_infer_request, ov_status_e,                                                             \
    (const ov_compiled_model_t* compiled_model, ov_infer_request_t** infer_request))                                 \
  X(ov_compiled_model_free, void, (ov_compiled_model_t * compiled_model))                                            \
  X(ov_infer_request_set_input_tensor_by_index, ov_status_e,                                                         \
    (ov_infer_request_t * infer_request, const size_t idx, const ov_tensor_t* tensor))                               \
  X(ov_infer_request_set_output_tensor_by_index, ov_status_e,                                                        \
    (ov_infer_request_t * infer_request, const size_t idx, const ov_tensor_t* tensor))                               \
  X(ov_infer_request_get_output_tensor_by_index, ov_status_e,                                                        \
    (const ov_infer_request_t* infer_request, const size_t idx, ov_tensor_t** tensor))                               \
  X(ov_infer_request_infer, ov_status_e, (ov_infer_request_t * infer_request))                                       \
  X(ov_infer_request_cancel, ov_status_e, (ov_infer_request_t * infer_request))                                      \
  X(ov_infer_request_free, void, (ov_infer_request_t * infer_request))                                               \
  X(ov_tensor_create_from_host_ptr, ov_status_e,                                                                     \
    (const ov_element_type_e type, const ov_shape_t shape, void* host_ptr, ov_tensor_t** tensor))                    \
  X(ov_tensor_get_shape, ov_status_e, (const ov_tensor_t* tensor, ov_shape_t* shape))                                \
  X(ov_tensor_data, ov_status_e, (const ov_tensor_t* tensor, void** data))                                           \
  X(ov_tensor_free, void, (ov_tensor_t * tensor))

struct Api {
#define MOTET_OPENVINO_MEMBER(name, result, parameters) result(*name) parameters = nullptr;
  MOTET_OPENVINO_FUNCTIONS(MOTET_OPENVINO_MEMBER)
#undef MOTET_OPENVINO_MEMBER

  // What the last failed call on this thread said, in one line: where in OpenVINO it was thrown is left out.
  std::string last_error() const;
  // Success, or kUnsupported with `what` and OpenVINO's own words.
  Status check(ov_status_e status, const std::string& what) const;
};

// The library file. `directory` is where OpenVINO lies ("" for well-known places): the wheel's folder, its libs/, or an
// archive's runtime/lib. An Error lists where it was looked for.
Result<std::filesystem::path> find_library(const std::filesystem::path& directory);

// Opens the library for the rest of the process's life.
Result<Api> load_api(const std::filesystem::path& library);

}  // namespace motet::foreign::ov
