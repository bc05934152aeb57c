#include "compute/prep/npy.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "base/random.h"
#include "compute/prep/file.h"
#include "compute/prep/npy_header.h"
#include "compute/prep/npz.h"

namespace motet::prep {
namespace {

std::shared_ptr<std::string> keep(std::string bytes) { return std::make_shared<std::string>(std::move(bytes)); }

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

// A version-1 file whose header is exactly `header`.
std::string npy(const std::string& header, const std::string& data) {
  std::string out("\x93NUMPY\x01\x00", 8);
  out += static_cast<char>(header.size() & 0xff);
  out += static_cast<char>(header.size() >> 8);
  return out + header + data;
}

TEST(Npy, EveryElementTypeComesBack) {
  for (DType dtype : {DType::kBool, DType::kU8, DType::kU16, DType::kU32, DType::kU64, DType::kI8, DType::kI16,
                      DType::kI32, DType::kI64, DType::kF16, DType::kBF16, DType::kF32, DType::kF64}) {
    for (const Shape& shape : {Shape{}, Shape{0}, Shape{5}, Shape{2, 0, 3}, Shape{2, 3, 4}}) {
      Tensor tensor = Tensor::zeros(dtype, shape);
      for (size_t i = 0; i < tensor.view().bytes(); ++i) {
        tensor.view().data[i] = dtype == DType::kBool ? std::byte(i % 2) : std::byte(i * 7);
      }
      auto file = keep(format_npy(tensor.view()));
      EXPECT_EQ(file->size() - tensor.view().bytes(), (file->size() - tensor.view().bytes()) / 64 * 64)
          << "the data are aligned";
      Result<Tensor> back = parse_npy(bytes_of(*file), file);
      ASSERT_TRUE(back.ok()) << back.error().message;
      EXPECT_EQ(back->dtype(), dtype);
      EXPECT_EQ(back->shape(), shape);
      EXPECT_EQ(std::string_view(reinterpret_cast<char*>(back->view().data), back->view().bytes()),
                std::string_view(reinterpret_cast<char*>(tensor.view().data), tensor.view().bytes()));
    }
  }
}

TEST(Npy, StringsComeBack) {
  std::vector<std::string_view> texts{"photo", "", "a longer one"};
  Tensor tensor = Tensor::of<std::string_view>({3}, texts);
  auto file = keep(format_npy(tensor.view()));
  Result<Tensor> back = parse_npy(bytes_of(*file), file);
  ASSERT_TRUE(back.ok()) << back.error().message;
  auto read = back->view().as<std::string_view>();
  EXPECT_EQ(std::vector<std::string_view>(read.begin(), read.end()), texts);
}

TEST(Npy, ReadsUnicodeAsUtf8) {
  std::string data;
  for (uint32_t c : {0x41U, 0xe9U, 0x20acU, 0x1f600U, 0U}) data.append(reinterpret_cast<char*>(&c), 4);
  auto file = keep(npy("{'descr': '<U5', 'fortran_order': False, 'shape': (1,), }\n", data));
  Result<Tensor> back = parse_npy(bytes_of(*file), file);
  ASSERT_TRUE(back.ok()) << back.error().message;
  EXPECT_EQ(back->view().as<std::string_view>()[0], "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
}

TEST(Npy, SwapsBigEndianAndTransposesFortranOrder) {
  std::string data("\x00\x01\x00\x02\x00\x03\x00\x04\x00\x05\x00\x06", 12);
  auto file = keep(npy("{'descr': '>u2', 'fortran_order': True, 'shape': (2, 3), }", data));
  Result<Tensor> back = parse_npy(bytes_of(*file), file);
  ASSERT_TRUE(back.ok()) << back.error().message;
  auto values = back->view().as<uint16_t>();
  EXPECT_EQ(std::vector<uint16_t>(values.begin(), values.end()), (std::vector<uint16_t>{1, 3, 5, 2, 4, 6}));
}

TEST(Npy, RefusesWithTheReason) {
  struct Case {
    std::string file;
    const char* says;
  };
  std::string good = "'fortran_order': False, 'shape': (2,), }";
  const std::vector<Case> cases{
      {"", "does not begin with"},
      {"\x93NUMPY", "cut off"},
      {std::string("\x93NUMPY\x09\x00\x00\x00\x00\x00", 12), "version 9"},
      {std::string("\x93NUMPY\x01\x00\xff\xff{", 11), "header of 65535 bytes"},
      {npy("[1, 2]", ""), "not a dictionary"},
      {npy("{'descr': '|O', " + good, "12345678"), "'|O'"},
      {npy("{'descr': '<c8', " + good, std::string(16, 'x')), "c8"},
      {npy("{'descr': [('a', '<f4')], " + good, std::string(16, 'x')), "structured"},
      {npy("{'descr': '<f4', " + good, "1234567"), "shape [2] needs more than the 7 bytes"},
      {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", "1234"), "bad extent"},
      {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 2), }", "1234"), "shape"},
      {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904,), }", "1234"), "too many elements"},
      {npy("{'descr': '|S0', 'fortran_order': False, 'shape': (1000000000000,), }", "1234"), "needs more than"},
      {npy("{'descr': '<U9223372036854775807', " + good, "1234"), "element type"},
      {npy("{'descr': '<f4', 'shape': (1,), }", "1234"), "without descr, fortran_order or shape"},
      {npy("{'descr': '<f4', 'surprise': 1, }", "1234"), "unknown key 'surprise'"},
      {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), } more", "1234"), "text after"},
      {npy("{'descr': '<U1', 'fortran_order': False, 'shape': (1,), }", "\xff\xff\xff\xff"), "outside Unicode"},
  };
  for (const Case& c : cases) {
    Result<Tensor> read = parse_npy(bytes_of(c.file), nullptr);
    ASSERT_FALSE(read.ok()) << c.says;
    EXPECT_NE(read.error().message.find(c.says), std::string::npos) << read.error().message;
  }
}

TEST(Npy, AnyBytesAreReadOrRefused) {
  Random random(1, "npy");
  std::string good = format_npy(Tensor::zeros(DType::kF32, {3, 4}).view());
  int accepted = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string file = good;
    for (uint64_t changes = random.between(1, 4); changes > 0; --changes)
      file[random.below(file.size())] = static_cast<char>(random.next());
    if (random.chance(0.3)) file.resize(random.below(file.size() + 1));
    auto kept = keep(file);
    Result<Tensor> read = parse_npy(bytes_of(*kept), kept);
    if (!read.ok()) continue;
    ++accepted;
    EXPECT_LE(read->view().bytes(), 16 * file.size());
  }
  EXPECT_GT(accepted, 0);
}

class NpzTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = std::filesystem::temp_directory_path() / ("motet-npz-" + std::to_string(std::random_device{}()));
  }
  void TearDown() override { std::filesystem::remove(path_); }
  std::filesystem::path path_;
};

TEST_F(NpzTest, TensorsComeBackInOrderAndBitForBit) {
  std::vector<float> values{1.5F, -0.0F, 3e-42F};
  std::vector<int64_t> ids{1, -2};
  std::vector<NamedTensor> tensors{{"z", Tensor::of<float>({3}, values)}, {"a/b", Tensor::of<int64_t>({2, 1}, ids)}};
  ASSERT_TRUE(write_npz(path_, tensors).ok());
  Result<std::vector<NamedTensor>> back = read_npz(path_);
  ASSERT_TRUE(back.ok()) << back.error().message;
  ASSERT_EQ(back->size(), 2u);
  EXPECT_EQ((*back)[0].name, "z");
  EXPECT_EQ((*back)[1].name, "a/b");
  EXPECT_EQ(std::memcmp((*back)[0].tensor.view().data, values.data(), 12), 0);
  EXPECT_EQ((*back)[1].tensor.shape(), (Shape{2, 1}));
}

TEST_F(NpzTest, NoArraysAreAnArchiveToo) {
  ASSERT_TRUE(write_npz(path_, {}).ok());
  Result<std::vector<NamedTensor>> back = read_npz(path_);
  ASSERT_TRUE(back.ok()) << back.error().message;
  EXPECT_TRUE(back->empty());
}

TEST_F(NpzTest, ReadsWhatNumpyWrote) {
  Result<std::vector<NamedTensor>> golden = read_npz("models/mobilenet_v2/golden/0/inputs.npz");
  ASSERT_TRUE(golden.ok()) << golden.error().message;
  ASSERT_EQ(golden->size(), 1u);
  EXPECT_EQ((*golden)[0].name, "input");
  EXPECT_EQ((*golden)[0].tensor.shape(), (Shape{1, 3, 224, 224}));
}

TEST_F(NpzTest, CutOffOrChangedFilesAreRefusedOrRead) {
  std::vector<float> values(100, 2.0F);
  ASSERT_TRUE(write_npz(path_, std::vector<NamedTensor>{{"x", Tensor::of<float>({100}, values)}}).ok());
  Result<FileBytes> file = read_file(path_);
  ASSERT_TRUE(file.ok());
  for (size_t length = 0; length < (*file)->size(); length += 7) {
    EXPECT_FALSE(parse_npz(std::span(**file).first(length), "cut.npz").ok()) << length;
  }
  Random random(2, "npz");
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::byte> changed = **file;
    changed[random.below(changed.size())] = std::byte(random.next());
    auto read = parse_npz(changed, "changed.npz");  // a checksum, a name or nothing that matters
    if (!read.ok()) {
      EXPECT_NE(read.error().message.find("changed.npz"), std::string::npos);
    }
  }
}

TEST_F(NpzTest, MissingFilesAndPlacesAreNamed) {
  auto missing = read_npz("/nowhere/in.npz");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, Code::kNotFound);
  EXPECT_NE(missing.error().message.find("/nowhere/in.npz"), std::string::npos);
  EXPECT_FALSE(write_npz("/nowhere/out.npz", {}).ok());
  EXPECT_FALSE(read_file("/").ok());
  auto limited = read_file("models/mobilenet_v2/golden/0/inputs.npz", 100);
  ASSERT_FALSE(limited.ok());
  EXPECT_EQ(limited.error().code, Code::kResourceExhausted);
}

}  // namespace
}  // namespace motet::prep
