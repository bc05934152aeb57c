#include <array>

#include "wire/repo/field_lists.h"

namespace motet::repo {
namespace {

constexpr Treatment kHonoured = Treatment::kHonoured;
constexpr Treatment kHint = Treatment::kHint;
constexpr Treatment kRefused = Treatment::kRefused;

constexpr auto kRules = std::to_array<FieldRule>({
    {"name", kHonoured, "must be the name of the model's directory; taken from it when absent"},
    {"default_model_filename", kHonoured,
     "the model's file inside a version's directory; when absent the first there of `model.onnx` and, which need "
     "OpenVINO, `model.xml` (its IR), `model.savedmodel`, `model.graphdef`, `model.pb` (TensorFlow), `model.tflite`, "
     "`model.pdmodel` (Paddle)"},
    {"version_policy", kHonoured, "`latest { num_versions }` (the default, with 1), `all`, or `specific { versions }`"},
    {"max_batch_size", kHonoured,
     "rows one batch may have; 0: the model has no batch extent. When inputs or outputs are left out and the model can "
     "be batched, 0 "
     "becomes 4 with dynamic batching"},
    {"input.name", kHonoured, "an input of the model"},
    {"input.data_type", kHonoured, "must be the model's; taken from it when absent"},
    {"input.dims", kHonoured,
     "without the batch extent when max_batch_size > 0; -1 where variable; taken from the model when absent"},
    {"output.name", kHonoured, "an output of the model; those left out are not served"},
    {"output.data_type", kHonoured, "must be the model's; taken from it when absent"},
    {"output.dims", kHonoured, "as for inputs"},
    {"output.label_filename", kHonoured,
     "a file inside the model's directory with one label a line, for classification"},
    {"dynamic_batching", kHonoured, "queries of different clients may share a batch"},
    {"dynamic_batching.preferred_batch_size", kHonoured, "sizes at which a waiting batch starts at once"},
    {"dynamic_batching.max_queue_delay_microseconds", kHonoured,
     "how long a batch may wait to grow when cores are free"},
    {"dynamic_batching.preserve_ordering", kHonoured, "answers leave in the order in which their requests came"},
    {"dynamic_batching.priority_levels", kHonoured, "1 (highest) to this may be a request's `priority`"},
    {"dynamic_batching.default_priority_level", kHonoured, "for requests that name none; from 1 to priority_levels"},
    {"dynamic_batching.default_queue_policy.default_timeout_microseconds", kHonoured,
     "the `timeout` of requests that state none"},
    {"dynamic_batching.default_queue_policy.allow_timeout_override", kHonoured,
     "a request may shorten default_timeout_microseconds; without it a request's `timeout` counts only where there is "
     "no default"},
    {"dynamic_batching.default_queue_policy.max_queue_size", kHonoured, "requests that may wait; 0: no limit"},
    {"parameters", kHonoured, "those listed below steer the server; others are kept for the client's recipes"},
    {"model_warmup", kHonoured,
     "samples that are run before the model is ready, `count` times each, and by which its programs are compiled. "
     "Those with an input_data_file also measure the error of a reduced precision; zeros and random numbers do not. A "
     "file may hold one row, repeated for batch_size, or all of them. With --load-on-demand, where nothing is compiled "
     "before it is asked for, they are checked and not run"},

    {"backend", kHint, "Motet's own engine runs ONNX files, and OpenVINO, where installed, what it refuses"},
    {"platform", kHint, "Motet's own engine runs ONNX files, and OpenVINO, where installed, what it refuses"},
    {"runtime", kHint, "Motet's own engine runs ONNX files, and OpenVINO, where installed, what it refuses"},
    {"instance_group", kHint, "Motet decides where and how widely a model runs; it keeps one copy of the weights"},
    {"optimization", kHint, "Motet chooses its own passes, kernels and memory plan"},
    {"input.format", kHint, "dims are taken as they stand, whatever the layout is called"},
    {"metric_tags", kHint, "metrics carry the labels model and version only"},
    {"model_metrics", kHint, "histograms have Motet's own buckets"},

    {"input.reshape", kRefused, "inputs reach the model as they are sent; give the model's own dims"},
    {"input.is_shape_tensor", kRefused, "inputs that state shapes cannot be batched; export the model without them"},
    {"input.allow_ragged_batch", kRefused, "inputs of one batch must have one shape"},
    {"input.optional", kRefused, "every input must be sent"},
    {"input.is_non_linear_format_io", kRefused, "tensors travel in row-major order only"},
    {"output.reshape", kRefused, "outputs leave as the model gives them; give the model's own dims"},
    {"output.is_shape_tensor", kRefused, "outputs that state shapes cannot be batched"},
    {"output.is_non_linear_format_io", kRefused, "tensors travel in row-major order only"},
    {"batch_input", kRefused, "inputs made by the batcher do not exist here; every input comes from the request"},
    {"batch_output", kRefused, "a batch is cut by rows only"},
    {"dynamic_batching.default_queue_policy.timeout_action", kRefused,
     "a request past its timeout is refused, never served late; the value accepted is REJECT"},
    {"dynamic_batching.priority_queue_policy", kRefused, "all priority levels share default_queue_policy"},
    {"sequence_batching", kRefused, "requests do not share state; each is answered on its own"},
    {"ensemble_scheduling", kRefused, "a model is one ONNX file; call the steps one after another"},
    {"cc_model_filenames", kRefused, "one file serves every device; name it in default_model_filename"},
    {"model_operations", kRefused, "operators from libraries are not loaded"},
    {"model_transaction_policy.decoupled", kRefused, "each request has exactly one answer"},
    {"model_repository_agents", kRefused,
     "nothing stands between the repository and the loader, so nothing would check or change the files"},
    {"response_cache.enable", kRefused, "answers are computed, never remembered"},
});

}  // namespace

std::span<const FieldRule> field_rules() { return kRules; }

}  // namespace motet::repo
