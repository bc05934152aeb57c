#include "wire/repo/field_lists.h"

#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <set>

#include "wire/proto/model_config.pb.h"
#include "wire/repo/config_text.h"

namespace motet::repo {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

bool ruled(const std::string& path) {
  for (const FieldRule& rule : field_rules())
    if (rule.field == path) return true;
  return false;
}

// Every leaf of the schema has a rule: its own or that of a message around it.
void expect_covered(const Descriptor& type, const std::string& prefix, bool around, std::set<std::string>& paths) {
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor* field = type.field(i);
    const std::string path = prefix + field->name();
    paths.insert(path);
    const bool covered = around || ruled(path);
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && !field->is_map() && path.size() < 120) {
      expect_covered(*field->message_type(), path + ".", covered, paths);
    } else {
      EXPECT_TRUE(covered) << "no rule for " << path;
    }
  }
}

TEST(FieldLists, EveryFieldOfTheSchemaIsInOneList) {
  std::set<std::string> paths;
  expect_covered(*inference::ModelConfig::descriptor(), "", false, paths);
  std::set<std::string_view> rules;
  for (const FieldRule& rule : field_rules()) {
    EXPECT_TRUE(paths.contains(std::string(rule.field))) << rule.field << " is not in the schema";
    EXPECT_TRUE(rules.insert(rule.field).second) << rule.field << " has two rules";
    EXPECT_FALSE(rule.note.empty());
  }
}

Result<std::vector<std::string>> check(const std::string& text) {
  inference::ModelConfig config;
  auto parsed = parse_config_text(text, "config.pbtxt", config);
  EXPECT_TRUE(parsed.ok()) << parsed.error().message;
  return check_fields(config);
}

TEST(FieldLists, HonouredFieldsPassWithoutHints) {
  auto hints = check(R"(
    name: "m" max_batch_size: 8 default_model_filename: "net.onnx" version_policy { specific { versions: [ 1, 3 ] } }
    input { name: "x" data_type: TYPE_FP32 dims: [ 3, -1 ] }
    output { name: "y" data_type: TYPE_FP32 dims: 10 label_filename: "labels.txt" }
    dynamic_batching {
      preferred_batch_size: [ 4, 8 ] max_queue_delay_microseconds: 100 preserve_ordering: true priority_levels: 3
      default_priority_level: 2
      default_queue_policy { max_queue_size: 5 default_timeout_microseconds: 9 allow_timeout_override: true timeout_action: REJECT }
    }
    parameters { key: "slo_ms" value { string_value: "5" } } parameters { key: "recipe" value { string_value: "photo" } })");
  ASSERT_TRUE(hints.ok()) << hints.error().message;
  EXPECT_TRUE(hints->empty()) << hints->front();
}

TEST(FieldLists, HintsSayWhatHappensInstead) {
  auto hints = check(R"(backend: "onnxruntime" instance_group [ { kind: KIND_CPU count: 2 }, { count: 1 } ]
    optimization { eager_batching: true } input { name: "x" format: FORMAT_NCHW })");
  ASSERT_TRUE(hints.ok());
  ASSERT_EQ(hints->size(), 5u);
  std::string all;
  for (const std::string& hint : *hints) all += hint + "\n";
  EXPECT_NE(all.find("backend is \"onnxruntime\", taken as a hint: "), all.npos) << all;
  EXPECT_NE(all.find("instance_group[0] is { count: 2 kind: KIND_CPU }"), all.npos) << all;
  EXPECT_NE(all.find("input[0].format is FORMAT_NCHW"), all.npos) << all;
}

TEST(FieldLists, RefusesWhatItDoesNotActOn) {
  const std::pair<const char*, const char*> cases[] = {
      {"input { name: 'x' reshape { shape: [ 1, 2 ] } }", "input[0].reshape is { shape: 1 shape: 2 }"},
      {"input { name: 'w' } input { name: 'x' allow_ragged_batch: true }", "input[1].allow_ragged_batch is true"},
      {"input { name: 'x' is_shape_tensor: true }", "input[0].is_shape_tensor is true"},
      {"input { name: 'x' optional: true }", "input[0].optional is true"},
      {"output { name: 'x' reshape { } }", "output[0].reshape is { }"},
      {"sequence_batching { }", "sequence_batching is { }"},
      {"ensemble_scheduling { step { model_name: 'a' } }", "ensemble_scheduling is { step { model_name: \"a\" } }"},
      {"model_transaction_policy { decoupled: true }", "model_transaction_policy.decoupled is true"},
      {"response_cache { enable: true }", "response_cache.enable is true"},
      {"cc_model_filenames { key: '7.0' value: 'm' }", "cc_model_filenames is"},
      {"batch_input { kind: BATCH_ITEM_SHAPE }", "batch_input[0] is"},
      {"batch_output { target_name: 'y' }", "batch_output[0] is"},
      {"model_operations { op_library_filename: 'a.so' }", "model_operations is"},
      {"model_repository_agents { agents { name: 'checksum' } }", "model_repository_agents is"},
      {"dynamic_batching { default_queue_policy { timeout_action: DELAY } }",
       "dynamic_batching.default_queue_policy.timeout_action is DELAY"},
      {"dynamic_batching { priority_queue_policy { key: 1 value { max_queue_size: 1 } } }",
       "dynamic_batching.priority_queue_policy is"},
  };
  for (const auto& [text, expected] : cases) {
    auto refused = check(text);
    ASSERT_FALSE(refused.ok()) << text;
    EXPECT_EQ(refused.error().code, Code::kUnsupported);
    EXPECT_NE(refused.error().message.find(expected), std::string::npos) << refused.error().message;
  }
}

TEST(FieldLists, AFieldThatIsOffIsNotRefused) {
  for (const char* text :
       {"model_transaction_policy { decoupled: false }", "response_cache { enable: false }", "response_cache { }",
        "input { name: 'x' optional: false allow_ragged_batch: false is_shape_tensor: false }"}) {
    auto hints = check(text);
    ASSERT_TRUE(hints.ok()) << hints.error().message;
    EXPECT_TRUE(hints->empty());
  }
}

TEST(FieldLists, ThePageShowsEveryRule) {
  const std::string page = describe_field_lists();
  for (const FieldRule& rule : field_rules())
    EXPECT_NE(page.find("| `" + std::string(rule.field) + "` |"), page.npos) << rule.field;
  EXPECT_NE(page.find("slo_attainment"), page.npos);
}

TEST(ConfigText, ErrorsNameFileLineAndField) {
  const std::pair<const char*, const char*> cases[] = {
      {"name: 'm'\nmax_batch: 8\n",
       "c.pbtxt:2:10: Message type \"inference.ModelConfig\" has no field named \"max_batch\"."},
      {"input {\n  data_type: TYPE_FP33 }",
       "c.pbtxt:2:24: Unknown enumeration value of \"TYPE_FP33\" for field \"data_type\"."},
      {"max_batch_size: 'x'", "c.pbtxt:1:17: "},
      {"max_batch_size: 99999999999", "c.pbtxt:1:17: Integer out of range"},
      {"input {", "c.pbtxt:1:8: "},
      {"name: 'a' name: 'b'", "\"name\" is specified multiple times"},
      {"dynamic_batching { } sequence_batching { }", "c.pbtxt:1:"},
      {"\xff\xfe", "c.pbtxt:1:1: "},
  };
  for (const auto& [text, expected] : cases) {
    inference::ModelConfig config;
    auto refused = parse_config_text(text, "c.pbtxt", config);
    ASSERT_FALSE(refused.ok()) << text;
    EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
    EXPECT_NE(refused.error().message.find(expected), std::string::npos) << refused.error().message;
  }
}

TEST(ConfigText, NestingAndSizeAreBounded) {
  std::string deep;
  for (int i = 0; i < 5000; ++i) deep += "input { reshape { ";
  inference::ModelConfig config;
  EXPECT_FALSE(parse_config_text(deep, "c", config).ok());
  EXPECT_EQ(parse_config_text(std::string(17 << 20, ' '), "c", config).error().code, Code::kResourceExhausted);
  EXPECT_FALSE(parse_config_json(std::string(100000, '['), config).ok());
}

TEST(ConfigJson, TakesTheNamesOfTheSchema) {
  inference::ModelConfig config;
  ASSERT_TRUE(
      parse_config_json(R"({"name":"m","max_batch_size":2,"input":[{"name":"x","data_type":"TYPE_FP32","dims":[4]}],
    "parameters":{"slo_ms":{"string_value":"5"}},"dynamic_batching":{}})",
                        config)
          .ok());
  EXPECT_EQ(config.max_batch_size(), 2);
  EXPECT_EQ(config.input(0).dims(0), 4);
  EXPECT_TRUE(config.has_dynamic_batching());
  for (const char* bad : {"{nope", R"({"max_batch":2})", R"({"max_batch_size":"x"})", "[]", "3"}) {
    inference::ModelConfig out;
    EXPECT_FALSE(parse_config_json(bad, out).ok()) << bad;
  }
}

}  // namespace
}  // namespace motet::repo
