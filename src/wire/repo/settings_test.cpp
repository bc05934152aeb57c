#include "wire/repo/settings.h"

#include <gtest/gtest.h>

#include "wire/proto/model_config.pb.h"
#include "wire/repo/config_text.h"

namespace motet::repo {
namespace {

Result<ServingSettings> settings(const std::string& text) {
  inference::ModelConfig config;
  EXPECT_TRUE(parse_config_text(text, "c", config).ok()) << text;
  return serving_settings(config);
}

std::string parameter(const std::string& key, const std::string& value) {
  return "parameters { key: '" + key + "' value { string_value: '" + value + "' } } ";
}

TEST(Settings, AnEmptyConfigPromisesNothing) {
  auto s = settings("");
  ASSERT_TRUE(s.ok());
  EXPECT_EQ(*s, ServingSettings{});
}

TEST(Settings, ReadsEverythingThatDecides) {
  auto s = settings(parameter("slo_ms", "12.5") + parameter("slo_attainment", "0.999") +
                    parameter("allow_padding", "true") + parameter("executor", "native") +
                    parameter("precision", "bf16") + parameter("precision_max_error", "0.02") +
                    parameter("recipe", "photo") + R"(max_batch_size: 8 dynamic_batching {
      preferred_batch_size: [ 8, 4, 8 ] max_queue_delay_microseconds: 100 preserve_ordering: true priority_levels: 3 default_priority_level: 2
      default_queue_policy { max_queue_size: 5 default_timeout_microseconds: 9 allow_timeout_override: true } })");
  ASSERT_TRUE(s.ok()) << s.error().message;
  ServingSettings expected;
  expected.max_batch = 8;
  expected.slo = Nanos(12'500'000);
  expected.slo_attainment = 0.999;
  expected.allow_padding = true;
  expected.executor = "native";
  expected.precision = PrecisionWish::kBf16;
  expected.precision_max_error = 0.02;
  expected.dynamic_batching = true;
  expected.max_queue_delay = Nanos(100'000);
  expected.preferred_batches = {4, 8};
  expected.preserve_ordering = true;
  expected.max_queue = 5;
  expected.priority_levels = 3;
  expected.default_priority = 2;
  expected.default_timeout = Nanos(9000);
  expected.allow_timeout_override = true;
  EXPECT_EQ(*s, expected);
}

TEST(Settings, ErrorsNameTheValueAndTheRange) {
  const std::tuple<std::string, const char*> cases[] = {
      {parameter("slo_ms", "0"), "slo_ms is \"0\"; accepted is a number of milliseconds above 0"},
      {parameter("slo_ms", "-3"), "slo_ms is \"-3\""},
      {parameter("slo_ms", "5ms"), "slo_ms is \"5ms\""},
      {parameter("slo_ms", ""), "slo_ms is \"\""},
      {parameter("slo_ms", "nan"), "slo_ms is \"nan\""},
      {parameter("slo_ms", "1e300"), "slo_ms is \"1e300\""},
      {parameter("slo_attainment", "1.01"), "slo_attainment is \"1.01\"; accepted is a share above 0 and at most 1"},
      {parameter("slo_attainment", "0"), "slo_attainment is \"0\""},
      {parameter("allow_padding", "yes"), "allow_padding is \"yes\"; accepted is \"true\" or \"false\""},
      {parameter("executor", "tvm"), "executor is \"tvm\"; accepted is \"auto\", \"native\" or \"openvino\""},
      {parameter("precision", "fp16"), "precision is \"fp16\"; accepted is \"exact\", \"bf16\", \"int8\" or \"auto\""},
      {parameter("precision_max_error", "2"), "precision_max_error is \"2\"; accepted is a share"},
      {"max_batch_size: -1", "max_batch_size is -1"},
      {"max_batch_size: 4 dynamic_batching { preferred_batch_size: 5 }",
       "has 5; accepted is 1 to max_batch_size, which is 4"},
      {"max_batch_size: 4 dynamic_batching { preferred_batch_size: 0 }", "has 0; accepted is 1"},
      {"dynamic_batching { priority_levels: 2 }",
       "default_priority_level is 0; accepted is 1 to priority_levels, which is 2"},
      {"dynamic_batching { priority_levels: 2 default_priority_level: 3 }", "default_priority_level is 3"},
      {"dynamic_batching { default_priority_level: 1 }", "default_priority_level is 1; accepted is 0"},
      {"dynamic_batching { priority_levels: 18446744073709551615 }", "priority_levels is 18446744073709551615"},
      {"dynamic_batching { default_queue_policy { max_queue_size: 4294967295 } }", "max_queue_size is 4294967295"},
  };
  for (const auto& [text, expected] : cases) {
    auto refused = settings(text);
    ASSERT_FALSE(refused.ok()) << text;
    EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
    EXPECT_NE(refused.error().message.find(expected), std::string::npos) << refused.error().message;
  }
}

TEST(Settings, LongTimesSaturate) {
  auto s = settings("dynamic_batching { max_queue_delay_microseconds: 18446744073709551615 }");
  ASSERT_TRUE(s.ok());
  EXPECT_EQ(s->max_queue_delay, kNever);
}

TEST(Settings, TheQueuePolicyDecidesWhoseTimeoutCounts) {
  ServingSettings s;
  EXPECT_EQ(effective_timeout(s, 0), kNever);
  EXPECT_EQ(effective_timeout(s, 5), Nanos(5000));
  s.default_timeout = Nanos(7000);
  EXPECT_EQ(effective_timeout(s, 0), Nanos(7000));
  EXPECT_EQ(effective_timeout(s, 5), Nanos(7000));
  s.allow_timeout_override = true;
  EXPECT_EQ(effective_timeout(s, 5), Nanos(5000));
  EXPECT_EQ(effective_timeout(s, 50), Nanos(7000));
}

}  // namespace
}  // namespace motet::repo
