#include "wire/repo/config_text.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/json_util.h>

#include <string>

#include "wire/proto/model_config.pb.h"

namespace motet::repo {
namespace {

// Deeper than any config needs, shallow enough for any stack.
constexpr int kMaxDepth = 32;
constexpr size_t kMaxTextBytes = size_t{16} << 20;

// Keeps the first error; the parser goes on after some.
class FirstError final : public google::protobuf::io::ErrorCollector {
 public:
  explicit FirstError(std::string_view file) : file_(file) {}
  void AddError(int line, google::protobuf::io::ColumnNumber column, const std::string& message) override {
    if (!message_.empty()) return;
    message_ = file_;
    if (line >= 0) message_ += ":" + std::to_string(line + 1) + ":" + std::to_string(column + 1);
    message_ += ": " + message;
  }
  const std::string& message() const { return message_; }

 private:
  const std::string file_;
  std::string message_;
};

Status check_size(std::string_view text, std::string_view what) {
  if (text.size() <= kMaxTextBytes) return {};
  return resource_exhausted(std::string(what) + " has " + std::to_string(text.size()) + " bytes; at most " +
                            std::to_string(kMaxTextBytes) + " are read");
}

}  // namespace

Status parse_config_text(std::string_view text, std::string_view file, inference::ModelConfig& out) {
  MOTET_RETURN_IF_ERROR(check_size(text, file));
  FirstError errors(file);
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&errors);
  parser.SetRecursionLimit(kMaxDepth);
  google::protobuf::io::ArrayInputStream stream(text.data(), static_cast<int>(text.size()));
  if (parser.Parse(&stream, &out)) return {};
  return invalid_argument(errors.message().empty() ? std::string(file) + ": not a model config in protobuf text format"
                                                   : errors.message());
}

Status parse_config_json(std::string_view json, inference::ModelConfig& out) {
  MOTET_RETURN_IF_ERROR(check_size(json, "the config override"));
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = false;
  auto status = google::protobuf::util::JsonStringToMessage({json.data(), json.size()}, &out, options);
  if (status.ok()) return {};
  return invalid_argument("the config override is not a model config in JSON: " + std::string(status.message()));
}

}  // namespace motet::repo
