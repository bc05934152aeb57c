#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "base/log.h"
#include "base/random.h"
#include "compute/engine/cache/blob_store.h"
#include "compute/engine/cache/model_cache.h"

namespace motet::engine {
namespace {

namespace fs = std::filesystem;

std::vector<std::string>& log_lines() {
  static std::vector<std::string> lines;
  return lines;
}

// A directory of its own, gone at the end.
class CacheTest : public ::testing::Test {
 protected:
  CacheTest() {
    std::string pattern = (fs::temp_directory_path() / "motet-cache-XXXXXX").native();
    root_ = mkdtemp(pattern.data());
    log_lines().clear();
    set_log_sink([](LogLevel, std::string_view line) { log_lines().emplace_back(line); });
  }
  ~CacheTest() override {
    set_log_sink(nullptr);
    fs::remove_all(root_);
  }

  fs::path root_;
};

std::vector<std::byte> some_bytes(size_t count, uint64_t seed = 1) {
  std::vector<std::byte> bytes(count);
  Random random(seed, "blob");
  for (std::byte& b : bytes) b = static_cast<std::byte>(random.below(256));
  return bytes;
}

bool equal(const std::optional<Blob>& blob, const std::vector<std::byte>& bytes) {
  return blob && std::equal(blob->bytes.begin(), blob->bytes.end(), bytes.begin(), bytes.end());
}

std::vector<fs::path> files_in(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) files.push_back(entry.path());
  return files;
}

void write_file(const fs::path& file, std::string_view text) {
  std::ofstream(file, std::ios::binary | std::ios::trunc) << text;
}

TEST_F(CacheTest, KeepsBlobsByKeyAndScope) {
  BlobStore store(root_, "model");
  auto a = some_bytes(100'000, 1);
  auto b = some_bytes(7, 2);
  EXPECT_FALSE(store.get("a"));
  EXPECT_TRUE(store.put("a", a));
  EXPECT_TRUE(store.put("b", b));
  EXPECT_TRUE(store.put("empty", {}));
  BlobStore again(root_, "model");  // as another process would
  EXPECT_TRUE(equal(again.get("a"), a));
  EXPECT_TRUE(equal(again.get("b"), b));
  EXPECT_TRUE(equal(again.get("empty"), {}));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(again.get("a")->bytes.data()) % 64, 0u);
  EXPECT_FALSE(BlobStore(root_, "another").get("a"));
  EXPECT_TRUE(store.put("a", b));
  EXPECT_TRUE(equal(again.get("a"), b));
  EXPECT_TRUE(log_lines().empty());
}

TEST_F(CacheTest, ABlobOutlivesItsFile) {
  BlobStore store(root_, "model");
  auto bytes = some_bytes(10'000);
  ASSERT_TRUE(store.put("a", bytes));
  auto blob = store.get("a");
  fs::remove_all(store.folder());
  EXPECT_TRUE(equal(blob, bytes));
}

TEST_F(CacheTest, EveryDamageIsFoundAndTheFileRemoved) {
  BlobStore store(root_, "model");
  auto bytes = some_bytes(5'000);
  for (int kind = 0; kind < 6; ++kind) {
    ASSERT_TRUE(store.put("a", bytes));
    fs::path file = files_in(store.folder()).at(0);
    auto size = static_cast<long>(fs::file_size(file));
    switch (kind) {
      case 0: fs::resize_file(file, static_cast<uintmax_t>(size - 1)); break;
      case 1: fs::resize_file(file, 10); break;
      case 2: fs::resize_file(file, 0); break;
      case 3: std::ofstream(file, std::ios::app) << 'x'; break;
      default: {  // one byte turned: of the header, of the payload
        std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
        long at = kind == 4 ? 20 : size - 100;
        stream.seekg(at);
        char c = static_cast<char>(stream.get());
        stream.seekp(at);
        stream.put(static_cast<char>(c ^ 4));
      }
    }
    EXPECT_FALSE(store.get("a")) << kind;
    // An empty file cannot be mapped and is replaced by the next writer.
    if (kind != 2) EXPECT_FALSE(fs::exists(file)) << kind;
  }
  ASSERT_TRUE(store.put("a", bytes));
  EXPECT_TRUE(equal(store.get("a"), bytes));
  ASSERT_FALSE(log_lines().empty());
  EXPECT_NE(log_lines()[0].find("is damaged"), std::string::npos);
}

// A file's checksum is looked at once, but not when the file is another by then.
TEST_F(CacheTest, DamageDoneAfterABlobWasReadIsFound) {
  BlobStore store(root_, "model");
  auto bytes = some_bytes(5'000);
  ASSERT_TRUE(store.put("a", bytes));
  ASSERT_TRUE(equal(store.get("a"), bytes));
  ASSERT_TRUE(equal(store.get("a"), bytes));
  fs::path file = files_in(store.folder()).at(0);
  const auto written = fs::last_write_time(file);
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekp(3'000);
  stream.put(static_cast<char>(~static_cast<int>(bytes[3'000 - 64])));
  stream.close();
  fs::last_write_time(file, written + std::chrono::seconds(1));  // clocks of file systems are coarse
  EXPECT_FALSE(store.get("a"));
  EXPECT_FALSE(fs::exists(file));
}

TEST_F(CacheTest, HasGrownUntilItIsTrimmed) {
  BlobStore store(root_, "model");
  EXPECT_FALSE(grown(root_));
  ASSERT_TRUE(store.put("a", some_bytes(10)));
  EXPECT_TRUE(grown(root_));
  EXPECT_FALSE(grown(root_ / "model"));
  trim(root_, Bytes(1'000));
  EXPECT_TRUE(store.get("a"));
  EXPECT_FALSE(grown(root_));
}

TEST_F(CacheTest, AFileUnderAnotherKeysNameIsNotTaken) {
  BlobStore store(root_, "model");
  ASSERT_TRUE(store.put("a", some_bytes(100, 1)));
  fs::path a = files_in(store.folder()).at(0);
  ASSERT_TRUE(store.put("b", some_bytes(100, 2)));
  fs::path b;
  for (const fs::path& file : files_in(store.folder()))
    if (file != a) b = file;
  fs::copy_file(a, b, fs::copy_options::overwrite_existing);
  EXPECT_FALSE(store.get("b"));
  EXPECT_TRUE(store.get("a"));
}

TEST_F(CacheTest, ADirectoryThatCannotBeMadeCostsOneLogLine) {
  write_file(root_ / "file", "");
  BlobStore store(root_ / "file" / "below", "model");
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(store.put("a", some_bytes(100)));
  EXPECT_FALSE(store.get("a"));
  EXPECT_EQ(log_lines().size(), 1u);
}

TEST_F(CacheTest, AFullDiskCostsOneLogLineAndLeavesNothingBehind) {
  BlobStore store(root_ / "full", "model");
  ASSERT_TRUE(store.put("before", some_bytes(100)));
  // The kernel refuses to let files grow beyond 64 KB, as a full disk would.
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small{65536, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  bool first = store.put("large", some_bytes(200'000));
  bool second = store.put("small", some_bytes(10));
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_FALSE(first);
  EXPECT_FALSE(second);  // nothing more is tried
  EXPECT_FALSE(store.get("large"));
  EXPECT_TRUE(store.get("before"));
  EXPECT_EQ(files_in(root_).size(), 1u);
  ASSERT_EQ(log_lines().size(), 1u);
  EXPECT_NE(log_lines()[0].find("is not written"), std::string::npos);
}

// Processes and threads write one key with different blobs, and read it: what is read is always whole.
TEST_F(CacheTest, ConcurrentWritersNeverShowAMixture) {
  constexpr int kProcesses = 2, kThreads = 2, kRounds = 40;
  auto work = [&](uint64_t seed) {
    BlobStore store(root_, "model");
    std::vector<std::vector<std::byte>> all;
    for (uint64_t s = 0; s < kProcesses * kThreads; ++s) all.push_back(some_bytes(20'000 + 1000 * s, s));
    bool sound = true;
    for (int round = 0; round < kRounds; ++round) {
      sound = store.put("a", all[seed]) && sound;
      auto blob = store.get("a");
      bool one = false;
      for (const auto& bytes : all) one = one || equal(blob, bytes);
      sound = sound && one;
    }
    return sound;
  };
  auto process = [&](uint64_t first) {
    bool a = false, b = false;
    std::thread other([&] { b = work(first + 1); });
    a = work(first);
    other.join();
    return a && b;
  };
  pid_t child = fork();
  if (child == 0) _exit(process(kThreads) ? 0 : 1);
  EXPECT_TRUE(process(0));
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_EQ(files_in(root_).size(), 1u);
  EXPECT_TRUE(log_lines().empty());
}

TEST_F(CacheTest, TrimRemovesWhatWentUnusedLongest) {
  auto now = fs::file_time_type::clock::now();
  for (int i = 0; i < 4; ++i) {
    BlobStore store(root_, "model" + std::to_string(i));
    ASSERT_TRUE(store.put("a", some_bytes(10'000)));
    fs::last_write_time(store.folder(), now - std::chrono::hours(10 - i));
  }
  BlobStore(root_, "model0").touch();
  fs::path dead = root_ / "model0" / "x.1.1.tmp";
  write_file(dead, std::string(500, 'x'));
  fs::last_write_time(dead, now - std::chrono::hours(2));
  EXPECT_GE(trim(root_, Bytes(25'000)).value, 20'500);
  EXPECT_FALSE(fs::exists(dead));
  EXPECT_TRUE(BlobStore(root_, "model0").get("a"));
  EXPECT_FALSE(BlobStore(root_, "model1").get("a"));
  EXPECT_FALSE(BlobStore(root_, "model2").get("a"));
  EXPECT_TRUE(BlobStore(root_, "model3").get("a"));
  EXPECT_EQ(trim(root_, Bytes(25'000)).value, 0);
}

TEST_F(CacheTest, TuningsAndWeightsComeBackForTheSameContentOnly) {
  fs::path file = root_ / "model.onnx";
  write_file(file, "the model");
  fs::path root = root_ / "cache";
  auto weights = some_bytes(1'000);
  {
    ModelCache cache(root, {file});
    EXPECT_FALSE(cache.known());
    cache.tune("8x3", "nchw");
    EXPECT_EQ(cache.tuned("8x3"), "nchw");
    EXPECT_FALSE(cache.put_packed("w", weights));
    EXPECT_TRUE(cache.persist());
    EXPECT_TRUE(cache.put_packed("w", weights));
    cache.tune("1x3", "nhwc");
  }
  {
    ModelCache cache(root, {file});
    EXPECT_TRUE(cache.known());
    EXPECT_EQ(cache.tuned("8x3"), "nchw");
    EXPECT_EQ(cache.tuned("1x3"), "nhwc");
    EXPECT_FALSE(cache.tuned("2x3"));
    EXPECT_TRUE(equal(cache.packed("w"), weights));
  }
  fs::path copy = root_ / "copy.onnx";  // another file, the same content
  fs::copy_file(file, copy);
  ModelCache same(root, {copy});
  EXPECT_FALSE(same.known());
  EXPECT_TRUE(same.persist());
  EXPECT_EQ(same.tuned("8x3"), "nchw");

  write_file(file, "the model, rewritten");
  ModelCache other(root, {file});
  EXPECT_TRUE(other.persist());
  EXPECT_FALSE(other.tuned("8x3"));
  EXPECT_FALSE(other.packed("w"));
}

TEST_F(CacheTest, WithoutADirectoryTuningsLiveInMemory) {
  write_file(root_ / "model.onnx", "the model");
  ModelCache cache({}, {root_ / "model.onnx"});
  cache.tune("a", "b");
  EXPECT_EQ(cache.tuned("a"), "b");
  EXPECT_FALSE(cache.persist());
  EXPECT_FALSE(cache.packed("w"));
  EXPECT_TRUE(log_lines().empty());
}

TEST_F(CacheTest, AFileThatChangedAfterLoadingIsNotRemembered) {
  fs::path file = root_ / "model.onnx";
  write_file(file, "the model");
  ModelCache cache(root_ / "cache", {file});
  write_file(file, "another model");
  EXPECT_FALSE(cache.persist());
}

}  // namespace
}  // namespace motet::engine
