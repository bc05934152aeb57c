#include "compute/foreign/protocol.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

namespace motet::foreign {
namespace {

TEST(Protocol, MessagesComeBackAsTheyWere) {
  auto load = decode_load(encode(Load{"/opt/openvino", "/models/a b/model.xml"}));
  ASSERT_TRUE(load.ok());
  EXPECT_EQ(load->library_directory, "/opt/openvino");
  EXPECT_EQ(load->path, "/models/a b/model.xml");
  auto compile = decode_compile(encode(Compile{7, {{1, 3}, {}}, engine::Precision::kBf16, true}));
  ASSERT_TRUE(compile.ok());
  EXPECT_EQ(compile->program, 7);
  EXPECT_EQ(compile->shapes, (std::vector<Shape>{{1, 3}, {}}));
  EXPECT_EQ(compile->precision, engine::Precision::kBf16);
  EXPECT_TRUE(compile->calibrate);
  auto run = decode_run(encode(RunOnce{7, 640, {{{2, 5}, 64}}, {{{-1}, -1}}}));
  ASSERT_TRUE(run.ok());
  EXPECT_EQ(run->memory, 640);
  EXPECT_EQ(run->inputs[0].shape, (Shape{2, 5}));
  EXPECT_EQ(run->inputs[0].offset, 64);
  EXPECT_EQ(run->outputs[0].offset, -1);
  EXPECT_EQ(question_of(encode(Load{})), Question::kLoad);
  EXPECT_EQ(question_of(encode(RunOnce{})), Question::kRun);
}

TEST(Protocol, AnswersAreValuesOrErrors) {
  auto measured = decode_measured(encode(Result<Measured>(Measured{Bytes(9)})));
  ASSERT_TRUE(measured.ok());
  EXPECT_EQ(measured->bytes, Bytes(9));
  std::string refusal = encode(Result<Ran>(unsupported("no such op")));
  auto refused = decode_ran(refusal);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error(), unsupported("no such op"));
  EXPECT_EQ(error_in(refusal), unsupported("no such op"));
  EXPECT_FALSE(error_in(encode(Status())).has_value());
}

TEST(Protocol, EveryCutIsRefused) {
  const std::string whole = encode(RunOnce{7, 640, {{{2, 5}, 64}}, {{{-1}, -1}}});
  for (size_t length = 0; length < whole.size(); ++length) {
    auto cut = decode_run(std::string_view(whole).substr(0, length));
    ASSERT_FALSE(cut.ok()) << length;
    EXPECT_EQ(cut.error().code, Code::kInternal);
  }
  EXPECT_FALSE(decode_run(whole + "x").ok());
  std::string huge = encode(Load{"a", "b"});
  std::memset(huge.data() + 8, 0x7f, 8);  // the first text's length
  EXPECT_FALSE(decode_load(huge).ok());
}

TEST(Protocol, BothSidesSeeTheMemoryGrow) {
  auto server = SharedMemory::create();
  ASSERT_TRUE(server.ok()) << server.error().message;
  SharedMemory child(dup(server->file()));
  ASSERT_TRUE(server->grow(100).ok());
  ASSERT_TRUE(child.follow(100).ok());
  std::memcpy(server->data(), "tensor", 7);
  EXPECT_STREQ(reinterpret_cast<const char*>(child.data()), "tensor");
  ASSERT_TRUE(child.grow(100'000).ok());
  std::memcpy(child.data() + 90'000, "result", 7);
  ASSERT_TRUE(server->follow(100'000).ok());
  EXPECT_STREQ(reinterpret_cast<const char*>(server->data() + 90'000), "result");
  EXPECT_FALSE(server->follow(1'000'000).ok()) << "announced, and not there";
  EXPECT_NE(ftruncate(server->file(), 10), 0) << "it cannot shrink under the other side's feet";
}

}  // namespace
}  // namespace motet::foreign
