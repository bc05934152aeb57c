#include "wire/repo/repository.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "wire/proto/model_config.pb.h"

namespace motet::repo {
namespace {

namespace fs = std::filesystem;

class RepositoryTest : public ::testing::Test {
 protected:
  RepositoryTest() {
    std::string pattern = (fs::temp_directory_path() / "motet-repo-XXXXXX").string();
    root_ = mkdtemp(pattern.data());
  }
  ~RepositoryTest() override { fs::remove_all(root_); }

  void write(const std::string& path, const std::string& text = "x") {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  Result<ModelSource> read(const std::string& model, std::string_view json = {}) {
    MOTET_ASSIGN(auto repository, Repository::open({(root_ / "a").string()}));
    MOTET_ASSIGN(auto directory, repository.find(model));
    return read_model(directory, json);
  }
  static std::vector<int64_t> numbers(const ModelSource& source) {
    std::vector<int64_t> out;
    for (const VersionSource& v : source.versions) out.push_back(v.version);
    return out;
  }

  fs::path root_;
};

TEST_F(RepositoryTest, FindsModelsAndIgnoresTheRest) {
  write("a/one/1/model.onnx");
  write("a/two/1/model.onnx");
  write("a/.git/1/model.onnx");
  write("a/readme.txt");
  write("b/three/1/model.onnx");
  auto repository = Repository::open({(root_ / "a").string(), (root_ / "b").string()});
  ASSERT_TRUE(repository.ok());
  auto listing = repository->list();
  ASSERT_TRUE(listing.ok());
  ASSERT_EQ(listing->models.size(), 3u);
  EXPECT_EQ(listing->models[0].name, "one");
  EXPECT_EQ(listing->models[1].name, "three");
  EXPECT_EQ(listing->models[2].name, "two");
  EXPECT_TRUE(listing->refused.empty());
  for (const char* name : {"", ".", "..", ".git", "a/one", "../a/one", "none", "readme.txt"})
    EXPECT_FALSE(repository->find(name).ok()) << name;
}

TEST_F(RepositoryTest, ANameInTwoRepositoriesIsRefused) {
  write("a/m/1/model.onnx");
  write("b/m/1/model.onnx");
  auto repository = Repository::open({(root_ / "a").string(), (root_ / "b").string()});
  ASSERT_TRUE(repository.ok());
  auto listing = repository->list();
  ASSERT_TRUE(listing.ok());
  EXPECT_TRUE(listing->models.empty());
  ASSERT_EQ(listing->refused.size(), 1u);
  EXPECT_EQ(listing->refused[0].error.code, Code::kAlreadyExists);
  EXPECT_EQ(repository->find("m").error().code, Code::kAlreadyExists);
}

TEST_F(RepositoryTest, RootsMustBeDirectoriesGivenOnce) {
  write("a/m/1/model.onnx");
  EXPECT_EQ(Repository::open({}).error().code, Code::kInvalidArgument);
  EXPECT_EQ(Repository::open({(root_ / "none").string()}).error().code, Code::kNotFound);
  EXPECT_EQ(Repository::open({(root_ / "a").string(), (root_ / "b/../a").string()}).error().code, Code::kNotFound);
  EXPECT_EQ(Repository::open({(root_ / "a").string(), (root_ / "a/.").string()}).error().code, Code::kAlreadyExists);
}

TEST_F(RepositoryTest, VersionsFollowThePolicy) {
  for (const char* version : {"1", "2", "10", "07", "0", "x3", "3x", "99999999999999999999"})
    write(std::string("a/m/") + version + "/model.onnx");
  auto source = read("m");
  ASSERT_TRUE(source.ok()) << source.error().message;
  EXPECT_FALSE(source->config_given);
  EXPECT_EQ(numbers(*source), (std::vector<int64_t>{10}));
  write("a/m/config.pbtxt", "version_policy { latest { num_versions: 2 } }");
  EXPECT_EQ(numbers(*read("m")), (std::vector<int64_t>{2, 10}));
  write("a/m/config.pbtxt", "version_policy { latest { num_versions: 9 } }");
  EXPECT_EQ(numbers(*read("m")), (std::vector<int64_t>{1, 2, 10}));
  write("a/m/config.pbtxt", "version_policy { all { } }");
  EXPECT_EQ(numbers(*read("m")), (std::vector<int64_t>{1, 2, 10}));
  write("a/m/config.pbtxt", "version_policy { specific { versions: [ 2, 1, 2 ] } }");
  EXPECT_EQ(numbers(*read("m")), (std::vector<int64_t>{1, 2}));
  write("a/m/config.pbtxt", "version_policy { specific { versions: [ 3 ] } }");
  EXPECT_EQ(read("m").error().message,
            "config field version_policy.specific.versions has 3; model 'm' has the versions 1, 2, 10");
}

TEST_F(RepositoryTest, FilesAreFoundInsideTheirVersion) {
  write("a/m/1/net.onnx");
  EXPECT_EQ(read("m").error().code, Code::kNotFound);
  write("a/m/config.pbtxt", "default_model_filename: 'net.onnx'");
  auto source = read("m");
  ASSERT_TRUE(source.ok()) << source.error().message;
  EXPECT_EQ(source->versions[0].file.filename(), "net.onnx");
  write("a/secret");
  for (const char* name : {"../../secret", "/etc/hostname", "..", "link"}) {
    std::error_code ignored;
    fs::create_symlink(root_ / "a/secret", root_ / "a/m/1/link", ignored);
    write("a/m/config.pbtxt", "default_model_filename: '" + std::string(name) + "'");
    EXPECT_FALSE(read("m").ok()) << name;
  }
  write("a/d/1/model.onnx/model.onnx");
  EXPECT_TRUE(read("d").ok());
  fs::create_directories(root_ / "a/empty");
  EXPECT_EQ(read("empty").error().code, Code::kNotFound);
}

TEST_F(RepositoryTest, WithoutANameTheFileIsTheFirstOfTheKnownOnes) {
  for (const char* name : {"pdmodel", "tflite", "pb", "graphdef", "savedmodel/saved_model.pb", "xml", "onnx"}) {
    write("a/m/1/model." + std::string(name));
    const std::string first = fs::path("model." + std::string(name)).begin()->string();
    auto source = read("m");
    ASSERT_TRUE(source.ok()) << source.error().message;
    EXPECT_EQ(source->versions[0].file.filename(), first);
    auto served = finish_config(*source, {});
    ASSERT_TRUE(served.ok()) << served.error().message;
    EXPECT_EQ(served->config->default_model_filename(), first);
  }
}

TEST_F(RepositoryTest, ConfigErrorsNameTheFile) {
  write("a/m/1/model.onnx");
  write("a/m/config.pbtxt", "name: 'm'\ninputs { }\n");
  const std::string message = read("m").error().message;
  EXPECT_NE(message.find("/a/m/config.pbtxt:2:8: "), message.npos) << message;
  EXPECT_NE(message.find("\"inputs\""), message.npos) << message;
  write("a/m/config.pbtxt", "backend: 'x' response_cache { enable: true }");
  EXPECT_EQ(read("m").error().code, Code::kUnsupported);
}

TEST_F(RepositoryTest, AnOverrideTakesThePlaceOfTheFile) {
  write("a/m/1/model.onnx");
  write("a/m/config.pbtxt", "max_batch_size: 8 backend: 'onnxruntime'");
  auto source = read("m", R"({"max_batch_size": 2})");
  ASSERT_TRUE(source.ok()) << source.error().message;
  EXPECT_EQ(source->config->max_batch_size(), 2);
  EXPECT_TRUE(source->hints.empty());
  EXPECT_FALSE(read("m", "{nope").ok());
}

TEST_F(RepositoryTest, FinishingReadsLabelsAndSettings) {
  write("a/m/1/model.onnx");
  write("a/m/labels.txt", "cat\r\ndog\n\nbird");
  write("a/m/config.pbtxt",
        "max_batch_size: 8 output { name: 'y' label_filename: 'labels.txt' } dynamic_batching { preferred_batch_size: "
        "8 }");
  const Signature signature{{{"x", inference::TYPE_FP32, {-1, 4}}}, {{"y", inference::TYPE_FP32, {-1, 4}}}, true};
  auto source = read("m");
  ASSERT_TRUE(source.ok());
  auto served = finish_config(*source, signature);
  ASSERT_TRUE(served.ok()) << served.error().message;
  EXPECT_EQ(served->labels.find("y")->second, (std::vector<std::string>{"cat", "dog", "", "bird"}));
  EXPECT_EQ(served->settings.max_batch, 8);
  EXPECT_EQ(served->config->input(0).name(), "x");
  EXPECT_TRUE(source->config->input().empty());
  write("a/m/config.pbtxt", "output { name: 'y' label_filename: '../../labels' }");
  EXPECT_FALSE(finish_config(*read("m"), signature).ok());
  write("a/m/config.pbtxt", "output { name: 'y' label_filename: 'none.txt' }");
  EXPECT_EQ(finish_config(*read("m"), signature).error().code, Code::kNotFound);
}

}  // namespace
}  // namespace motet::repo
