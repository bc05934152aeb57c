#include "wire/api/parameters.h"

#include <gtest/gtest.h>

#include "wire/api/authoriser.h"
#include "wire/api/data_type.h"
#include "wire/proto/model_config.pb.h"

namespace motet::api {
namespace {

TEST(Parameters, TheirMeaningsFindTheirFields) {
  InferRequest request;
  EXPECT_TRUE(set_parameter(request, "priority", int64_t{3}).ok());
  EXPECT_TRUE(set_parameter(request, "timeout", int64_t{500}).ok());
  EXPECT_TRUE(set_parameter(request, "colour", std::string("red")).ok());
  EXPECT_EQ(request.priority, 3u);
  EXPECT_EQ(request.timeout_us, 500);
  EXPECT_EQ(request.parameters.size(), 1u);
  EXPECT_EQ(std::get<std::string>(request.parameters.at("colour")), "red");
}

TEST(Parameters, RefusalsNameKeyAndValue) {
  InferRequest request;
  request.model = "m";
  const std::tuple<const char*, Parameter, const char*> cases[] = {
      {"priority", int64_t{-1}, "'priority' is -1; accepted is a whole number"},
      {"priority", std::string("high"), "'priority' is \"high\""},
      {"timeout", 0.5, "'timeout' is 0.5"},
      {"sequence_id", int64_t{7}, "'sequence_id' is 7, and model 'm' keeps no state"},
      {"sequence_start", true, "'sequence_start' is true"},
      {"sequence_id", std::string("abc"), "'sequence_id' is \"abc\""},
      {"triton_x", true, "'triton_x' is reserved"},
      {"shared_memory_region", std::string("r"), "'shared_memory_region' is reserved"},
      {"triton_enable_empty_final_response", int64_t{1}, "is 1; accepted is true or false"},
  };
  for (const auto& [key, value, expected] : cases) {
    auto refused = set_parameter(request, key, value);
    ASSERT_FALSE(refused.ok()) << key;
    EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
    EXPECT_NE(refused.error().message.find(expected), std::string::npos) << refused.error().message;
  }
  EXPECT_TRUE(request.parameters.empty());
}

TEST(Parameters, ASequenceThatIsNoneIsTaken) {
  InferRequest request;
  EXPECT_TRUE(set_parameter(request, "sequence_id", int64_t{0}).ok());
  EXPECT_TRUE(set_parameter(request, "sequence_id", std::string()).ok());
  EXPECT_TRUE(set_parameter(request, "sequence_end", false).ok());
  EXPECT_TRUE(set_parameter(request, "triton_enable_empty_final_response", true).ok());
  EXPECT_TRUE(request.parameters.empty());
}

TEST(DataType, GoesThereAndBack) {
  for (int i = inference::DataType_MIN + 1; i <= inference::DataType_MAX; ++i) {
    auto dtype = dtype_of(static_cast<inference::DataType>(i));
    ASSERT_TRUE(dtype.has_value()) << i;
    EXPECT_EQ(data_type_of(*dtype), i);
  }
  EXPECT_FALSE(dtype_of(inference::TYPE_INVALID).has_value());
}

TEST(Authoriser, WithoutAuthenticationEveryoneMay) {
  auto all = allow_all();
  for (Verb verb :
       {Verb::kHealth, Verb::kDescribe, Verb::kStatistics, Verb::kIndex, Verb::kInfer, Verb::kLoad, Verb::kUnload}) {
    EXPECT_TRUE(all->authorise(Principal{}, verb, "m").ok());
    EXPECT_FALSE(verb_name(verb).empty());
  }
}

}  // namespace
}  // namespace motet::api
