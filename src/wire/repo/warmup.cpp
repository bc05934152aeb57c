#include "wire/repo/warmup.h"

#include <algorithm>
#include <limits>

#include "wire/proto/model_config.pb.h"
#include "wire/repo/files.h"

namespace motet::repo {
namespace {

constexpr int64_t kMaxSampleBytes = int64_t{256} << 20;
constexpr uint32_t kMaxRuns = 1'000'000;
constexpr int64_t kStringLengthBytes = 4;  // before each element of a serialised BYTES tensor

// Bytes of one element; 0 for TYPE_STRING, whose elements differ in length.
int64_t element_bytes(inference::DataType type) {
  switch (type) {
    case inference::TYPE_BOOL:
    case inference::TYPE_UINT8:
    case inference::TYPE_INT8: return 1;
    case inference::TYPE_UINT16:
    case inference::TYPE_INT16:
    case inference::TYPE_FP16:
    case inference::TYPE_BF16: return 2;
    case inference::TYPE_UINT32:
    case inference::TYPE_INT32:
    case inference::TYPE_FP32: return 4;
    case inference::TYPE_UINT64:
    case inference::TYPE_INT64:
    case inference::TYPE_FP64: return 8;
    default: return 0;
  }
}

template <class Extents>
std::string dims_text(const Extents& dims) {
  std::string out = "[";
  for (int64_t extent : dims) out += (out.size() > 1 ? "," : "") + std::to_string(extent);
  return out + "]";
}

// Reads one sample; `who` begins its errors.
class SampleReader {
 public:
  SampleReader(const std::filesystem::path& directory, const inference::ModelConfig& config,
               const inference::ModelWarmup& warmup)
      : folder_(directory / "warmup"),
        config_(config),
        warmup_(warmup),
        who_("config field model_warmup '" + warmup.name() + "'") {}

  Result<WarmupSample> read() {
    MOTET_RETURN_IF_ERROR(check());
    WarmupSample sample{warmup_.name(), static_cast<int>(std::max<uint32_t>(1, warmup_.count())), {}};
    for (const inference::ModelInput& input : config_.input()) {
      auto given = warmup_.inputs().find(input.name());
      if (given == warmup_.inputs().end())
        return invalid_argument(who_ + " lacks the input '" + input.name() + "'; a sample gives every input");
      MOTET_ASSIGN(WarmupInput read, read_input(input, given->second));
      sample.inputs.push_back(std::move(read));
    }
    return sample;
  }

 private:
  Status check() const {
    const auto most = static_cast<uint32_t>(std::max(1, config_.max_batch_size()));
    if (warmup_.batch_size() > most)
      return invalid_argument(who_ + " has batch_size " + std::to_string(warmup_.batch_size()) + "; accepted is 1 to " +
                              std::to_string(most) + ", or 0 to leave the sample out");
    if (warmup_.count() > kMaxRuns)
      return invalid_argument(who_ + " has count " + std::to_string(warmup_.count()) + "; accepted is 0 to " +
                              std::to_string(kMaxRuns));
    for (const auto& [name, given] : warmup_.inputs()) {
      bool known = std::any_of(config_.input().begin(), config_.input().end(),
                               [&, &n = name](const inference::ModelInput& input) { return input.name() == n; });
      if (!known) return invalid_argument(who_ + " has the input '" + name + "', which the model does not have");
    }
    return {};
  }

  Result<WarmupInput> read_input(const inference::ModelInput& input, const inference::ModelWarmup::Input& given) {
    const std::string whose = who_ + " input '" + input.name() + "'";
    WarmupInput out{input.name(), input.data_type(), {}, WarmupData::kZero, {}};
    if (given.data_type() != input.data_type()) {
      return invalid_argument(whose + " has data_type " + inference::DataType_Name(given.data_type()) +
                              "; the model's is " + inference::DataType_Name(input.data_type()));
    }
    bool same = given.dims_size() == input.dims_size();
    for (int i = 0; same && i < given.dims_size(); ++i)
      same = given.dims(i) > 0 && (input.dims(i) < 0 || input.dims(i) == given.dims(i));
    if (!same) {
      return invalid_argument(whose + " has dims " + dims_text(given.dims()) + "; the model's are " +
                              dims_text(input.dims()) + ", where -1 stands for any extent above 0");
    }
    out.shape.assign(given.dims().begin(), given.dims().end());
    if (config_.max_batch_size() > 0) out.shape.insert(out.shape.begin(), warmup_.batch_size());
    if (int64_t bytes = sample_bytes(out); bytes > kMaxSampleBytes) {
      return resource_exhausted(whose + " has " + std::to_string(bytes) + " bytes; at most " +
                                std::to_string(kMaxSampleBytes) + " are accepted");
    }
    switch (given.input_data_type_case()) {
      case inference::ModelWarmup::Input::kZeroData: return out;
      case inference::ModelWarmup::Input::kRandomData: out.data = WarmupData::kRandom; return out;
      case inference::ModelWarmup::Input::kInputDataFile: break;
      case inference::ModelWarmup::Input::INPUT_DATA_TYPE_NOT_SET:
        return invalid_argument(whose + " says no data; give zero_data, random_data or input_data_file");
    }
    MOTET_RETURN_IF_ERROR(read_data(given.input_data_file(), whose, out));
    return out;
  }

  // Of the whole shape; saturates. A string counts its length alone.
  static int64_t sample_bytes(const WarmupInput& input) {
    int64_t bytes = element_bytes(input.data_type) > 0 ? element_bytes(input.data_type) : kStringLengthBytes;
    for (int64_t extent : input.shape)
      if (__builtin_mul_overflow(bytes, extent, &bytes)) return std::numeric_limits<int64_t>::max();
    return bytes;
  }

  Status read_data(const std::string& file, const std::string& whose, WarmupInput& out) {
    out.data = WarmupData::kFile;
    MOTET_ASSIGN(auto path, path_inside(folder_, file, whose + " input_data_file"));
    MOTET_ASSIGN(out.bytes, read_file(path, kMaxSampleBytes));
    const bool batched = config_.max_batch_size() > 0;
    const int64_t rows = batched ? out.shape.front() : 1;
    if (element_bytes(out.data_type) > 0) {
      const int64_t whole = sample_bytes(out);
      const auto got = static_cast<int64_t>(out.bytes.size());
      if (got == whole) return {};
      if (got != whole / rows) {
        return invalid_argument(whose + " is read from " + path.string() + ", which has " + std::to_string(got) +
                                " bytes; accepted are " + std::to_string(whole / rows) + " for one row" +
                                (rows > 1 ? " or " + std::to_string(whole) + " for all" : ""));
      }
    } else if (string_elements(out.bytes) == row_elements(out) * rows) {
      return {};
    }
    const std::string row = out.bytes;
    for (int64_t r = 1; r < rows; ++r) out.bytes += row;
    return {};
  }

  int64_t row_elements(const WarmupInput& input) const {
    int64_t count = 1;
    for (size_t d = config_.max_batch_size() > 0 ? 1 : 0; d < input.shape.size(); ++d) count *= input.shape[d];
    return count;
  }

  // Elements of a serialised BYTES tensor, as far as it is sound.
  static int64_t string_elements(const std::string& bytes) {
    int64_t count = 0;
    for (size_t at = 0; at + 4 <= bytes.size(); ++count) {
      uint32_t length = 0;
      for (size_t i = 0; i < 4; ++i) length |= static_cast<uint32_t>(static_cast<uint8_t>(bytes[at + i])) << (8 * i);
      at += 4 + size_t{length};
    }
    return count;
  }

  const std::filesystem::path folder_;
  const inference::ModelConfig& config_;
  const inference::ModelWarmup& warmup_;
  const std::string who_;
};

}  // namespace

bool WarmupSample::holds_data() const {
  return std::any_of(inputs.begin(), inputs.end(),
                     [](const WarmupInput& input) { return input.data == WarmupData::kFile; });
}

Result<std::vector<WarmupSample>> read_warmup(const std::filesystem::path& model_directory,
                                              const inference::ModelConfig& config) {
  std::vector<WarmupSample> samples;
  for (const inference::ModelWarmup& warmup : config.model_warmup()) {
    if (warmup.batch_size() == 0) continue;
    MOTET_ASSIGN(WarmupSample sample, SampleReader(model_directory, config, warmup).read());
    samples.push_back(std::move(sample));
  }
  return samples;
}

}  // namespace motet::repo
