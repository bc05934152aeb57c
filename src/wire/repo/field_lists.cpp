#include "wire/repo/field_lists.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/text_format.h>

#include "base/check.h"
#include "wire/proto/model_config.pb.h"

namespace motet::repo {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::TextFormat;

constexpr size_t kShownValueBytes = 120;

const FieldRule* find_rule(std::string_view field) {
  for (const FieldRule& rule : field_rules())
    if (rule.field == field) return &rule;
  return nullptr;
}

bool has_rules_inside(std::string_view field) {
  for (const FieldRule& rule : field_rules())
    if (rule.field.size() > field.size() && rule.field.starts_with(field) && rule.field[field.size()] == '.')
      return true;
  return false;
}

// Element `index` of a repeated field, or the field itself for -1.
std::string value_text(const Message& message, const FieldDescriptor* field, int index) {
  std::string text;
  TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  printer.PrintFieldValueToString(message, field, index, &text);
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) text = text.empty() ? "{ }" : "{ " + text + "}";
  if (text.size() > kShownValueBytes) text = text.substr(0, kShownValueBytes) + " ...";
  return text;
}

class Walk {
 public:
  // `rule_path` leaves out the indices that `shown_path` has.
  Status visit(const Message& message, const std::string& rule_path, const std::string& shown_path) {
    std::vector<const FieldDescriptor*> set;
    message.GetReflection()->ListFields(message, &set);
    for (const FieldDescriptor* field : set) {
      const std::string rule_name = rule_path + field->name();
      const int count = field->is_repeated() ? message.GetReflection()->FieldSize(message, field) : 1;
      const FieldRule* rule = find_rule(rule_name);
      if (rule != nullptr && rule->treatment == Treatment::kHonoured && !has_rules_inside(rule_name)) continue;
      for (int i = 0; i < count; ++i) {
        const int index = field->is_repeated() ? i : -1;
        std::string shown = shown_path + field->name();
        if (field->is_repeated() && !field->is_map()) shown += "[" + std::to_string(i) + "]";
        MOTET_RETURN_IF_ERROR(judge(message, field, index, rule, rule_name, shown));
      }
    }
    return {};
  }

  std::vector<std::string> hints;

 private:
  Status judge(const Message& message, const FieldDescriptor* field, int index, const FieldRule* rule,
               const std::string& rule_name, const std::string& shown) {
    if (rule != nullptr && rule->treatment == Treatment::kRefused) {
      return unsupported("config field " + shown + " is " + value_text(message, field, index) +
                         ", and Motet does not act on it: " + std::string(rule->note));
    }
    if (rule != nullptr && rule->treatment == Treatment::kHint) {
      hints.push_back("config field " + shown + " is " + value_text(message, field, index) +
                      ", taken as a hint: " + std::string(rule->note));
      return {};
    }
    MOTET_CHECK(field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE, "a config field without a rule");
    const Reflection* reflection = message.GetReflection();
    const Message& child =
        index < 0 ? reflection->GetMessage(message, field) : reflection->GetRepeatedMessage(message, field, index);
    return visit(child, rule_name + ".", shown + ".");
  }
};

void append_list(std::string& out, Treatment treatment) {
  out += "\n| field | |\n|---|---|\n";
  for (const FieldRule& rule : field_rules())
    if (rule.treatment == treatment) out += "| `" + std::string(rule.field) + "` | " + std::string(rule.note) + " |\n";
}

}  // namespace

Result<std::vector<std::string>> check_fields(const inference::ModelConfig& config) {
  Walk walk;
  MOTET_RETURN_IF_ERROR(walk.visit(config, "", ""));
  return std::move(walk.hints);
}

std::string describe_field_lists() {
  std::string out =
      "# config.pbtxt\n\n"
      "A model's `config.pbtxt` is Triton's, in protobuf text format. It may be left out: inputs, outputs and batching "
      "then come from\n"
      "the ONNX file. Each field is in one of three lists; a field that is not in the schema, or that holds a value of "
      "the wrong kind,\n"
      "is an error naming file, line and field. This page is printed by the server from the lists it acts on.\n\n"
      "## Honoured\n";
  append_list(out, Treatment::kHonoured);
  out += "\n## Taken as a hint\n\nLogged once when the model is loaded, with what Motet does instead.\n";
  append_list(out, Treatment::kHint);
  out +=
      "\n## Refused\n\nThe model is not loaded while one of these is set; the reason names the field and its value.\n";
  append_list(out, Treatment::kRefused);
  out +=
      "\n## Parameters that the server reads\n\n"
      "| parameter | default | accepted | |\n|---|---|---|---|\n"
      "| `slo_ms` | none | above 0, at most 86400000 | the promised latency, from the arrival of a request; without it "
      "nothing is shed for "
      "time |\n"
      "| `slo_attainment` | 0.99 | above 0, at most 1 | the share of requests promised within it |\n"
      "| `allow_padding` | false | true, false | a batch may be filled up to a compiled size |\n"
      "| `executor` | auto | auto, native, openvino | what runs the model; auto: the native engine, and an installed "
      "OpenVINO for what it refuses; see foreign.md |\n"
      "| `precision` | `--precision`, exact | exact, bf16, int8, auto | how far answers may depart from fp32; see "
      "precision.md |\n"
      "| `precision_max_error` | `--precision-max-error`, 0.05 | above 0, at most 1 | the measured error above which "
      "a precision is refused, as a share of an output's largest magnitude |\n\n"
      "```\nparameters { key: \"slo_ms\" value { string_value: \"50\" } }\n```\n";
  return out;
}

}  // namespace motet::repo
