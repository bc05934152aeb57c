#include "wire/repo/warmup.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "wire/proto/model_config.pb.h"
#include "wire/repo/config_text.h"

namespace motet::repo {
namespace {

namespace fs = std::filesystem;

constexpr char kConfig[] = R"(name: "m" max_batch_size: 4
input [ { name: "image" data_type: TYPE_FP32 dims: [ 2, -1 ] }, { name: "words" data_type: TYPE_STRING dims: [ 1 ] } ] )";

std::string sample(const std::string& image, const std::string& words, const std::string& rest = "batch_size: 2") {
  return "model_warmup { name: 'first' " + rest + " inputs { key: 'image' value { " + image +
         " } } inputs { key: 'words' value { " + words + " } } }";
}
const std::string kImage = "data_type: TYPE_FP32 dims: [ 2, 3 ] ";
const std::string kWords = "data_type: TYPE_STRING dims: [ 1 ] ";

class Warmup : public ::testing::Test {
 protected:
  Warmup() {
    std::string pattern = (fs::temp_directory_path() / "motet-warmup-XXXXXX").string();
    root_ = mkdtemp(pattern.data());
    fs::create_directory(root_ / "warmup");
  }
  ~Warmup() override { fs::remove_all(root_); }

  void write(const std::string& file, const std::string& bytes) {
    std::ofstream(root_ / "warmup" / file, std::ios::binary) << bytes;
  }
  Result<std::vector<WarmupSample>> read(const std::string& text) {
    inference::ModelConfig config;
    EXPECT_TRUE(parse_config_text(kConfig + text, "c", config).ok()) << text;
    return read_warmup(root_, config);
  }

  fs::path root_;
};

TEST_F(Warmup, ReadsEveryKindOfDataInTheConfigsOrder) {
  write("row", std::string(24, 'r'));
  auto samples = read(sample(kImage + "input_data_file: 'row'", kWords + "zero_data: true", "batch_size: 2 count: 3") +
                      sample(kImage + "random_data: true", kWords + "zero_data: true"));
  ASSERT_TRUE(samples.ok()) << samples.error().message;
  ASSERT_EQ(samples->size(), 2u);
  const WarmupSample& first = (*samples)[0];
  EXPECT_EQ(first.name, "first");
  EXPECT_EQ(first.runs, 3);
  EXPECT_TRUE(first.holds_data());
  ASSERT_EQ(first.inputs.size(), 2u);
  EXPECT_EQ(first.inputs[0].name, "image");
  EXPECT_EQ(first.inputs[0].shape, (std::vector<int64_t>{2, 2, 3}));
  EXPECT_EQ(first.inputs[0].bytes, std::string(48, 'r')) << "one row, repeated";
  EXPECT_EQ(first.inputs[1].data, WarmupData::kZero);
  EXPECT_EQ((*samples)[1].runs, 1) << "a count of 0 is one run";
  EXPECT_EQ((*samples)[1].inputs[0].data, WarmupData::kRandom);
  EXPECT_FALSE((*samples)[1].holds_data()) << "random numbers are not like what will be asked";
}

TEST_F(Warmup, AFileMayHoldAllRows) {
  write("rows", std::string(24, 'a') + std::string(24, 'b'));
  const std::string two = std::string("\1\0\0\0a", 5) + std::string("\2\0\0\0bc", 6);
  write("words", two);
  write("word", two.substr(0, 5));
  auto samples = read(sample(kImage + "input_data_file: 'rows'", kWords + "input_data_file: 'words'") +
                      sample(kImage + "input_data_file: 'rows'", kWords + "input_data_file: 'word'"));
  ASSERT_TRUE(samples.ok()) << samples.error().message;
  EXPECT_EQ((*samples)[0].inputs[0].bytes, std::string(24, 'a') + std::string(24, 'b'));
  EXPECT_EQ((*samples)[0].inputs[1].bytes, two);
  EXPECT_EQ((*samples)[1].inputs[1].bytes, two.substr(0, 5) + two.substr(0, 5));
}

TEST_F(Warmup, ABatchOfZeroIsLeftOut) {
  auto samples = read(sample(kImage + "zero_data: true", kWords + "zero_data: true", ""));
  ASSERT_TRUE(samples.ok());
  EXPECT_TRUE(samples->empty());
}

TEST_F(Warmup, ErrorsNameTheSampleAndTheInput) {
  write("short", "abc");
  const std::string zero = "zero_data: true";
  const std::pair<std::string, const char*> cases[] = {
      {sample(kImage + zero, kWords + zero, "batch_size: 5"), "batch_size 5; accepted is 1 to 4"},
      {sample(kImage + zero, kWords + zero, "batch_size: 1 count: 4000000000"), "count 4000000000"},
      {"model_warmup { name: 'first' batch_size: 1 inputs { key: 'image' value { " + kImage + zero + " } } }",
       "lacks the input 'words'"},
      {sample(kImage + zero, kWords + zero, "batch_size: 1 inputs { key: 'sound' value { } }"),
       "has the input 'sound', which the model does not have"},
      {sample("data_type: TYPE_FP64 dims: [ 2, 3 ] " + zero, kWords + zero), "TYPE_FP64; the model's is TYPE_FP32"},
      {sample("data_type: TYPE_FP32 dims: [ 3, 3 ] " + zero, kWords + zero), "has dims [3,3]; the model's are [2,-1]"},
      {sample("data_type: TYPE_FP32 dims: [ 2, -1 ] " + zero, kWords + zero), "has dims [2,-1]"},
      {sample("data_type: TYPE_FP32 dims: [ 2, 4611686018427387904 ] " + zero, kWords + zero), "at most 268435456"},
      {sample(kImage, kWords + zero), "says no data; give zero_data, random_data or input_data_file"},
      {sample(kImage + "input_data_file: 'short'", kWords + zero), "has 3 bytes; accepted are 24 for one row or 48"},
      {sample(kImage + "input_data_file: '../short'", kWords + zero), "'../short'; accepted is a file inside"},
      {sample(kImage + "input_data_file: 'absent'", kWords + zero), "'absent', and there is no such file"},
  };
  for (const auto& [text, expected] : cases) {
    auto refused = read(text);
    ASSERT_FALSE(refused.ok()) << text;
    EXPECT_NE(refused.error().message.find("model_warmup 'first'"), std::string::npos) << refused.error().message;
    EXPECT_NE(refused.error().message.find(expected), std::string::npos) << refused.error().message;
  }
}

}  // namespace
}  // namespace motet::repo
