#include "compute/prep/image.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "base/random.h"
#include "compute/prep/file.h"
#include "compute/prep/resize.h"

namespace motet::prep {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

Image gradient(int width, int height, int channels = 3) {
  Image image{width, height, channels, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < channels; ++c) image.pixels.push_back(static_cast<uint8_t>((x * 3 + y * 5 + c * 40) % 256));
    }
  }
  return image;
}

Region whole(const Image& image) { return {0, 0, static_cast<double>(image.width), static_cast<double>(image.height)}; }

TEST(Png, ComesBackBitForBit) {
  Image image = gradient(17, 9);
  Result<std::string> file = encode_png(image);
  ASSERT_TRUE(file.ok()) << file.error().message;
  Result<Image> back = decode_image(bytes_of(*file), "a.png");
  ASSERT_TRUE(back.ok()) << back.error().message;
  EXPECT_EQ(back->width, 17);
  EXPECT_EQ(back->height, 9);
  EXPECT_EQ(back->pixels, image.pixels);
}

TEST(Png, GreyIsReadAsRgb) {
  Result<std::string> file = encode_png(gradient(5, 4, 1));
  ASSERT_TRUE(file.ok());
  Result<Image> back = decode_image(bytes_of(*file), "a.png");
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->channels, 3);
  EXPECT_EQ(back->at(3, 2)[0], back->at(3, 2)[2]);
  EXPECT_EQ(back->at(3, 2)[0], 3 * 3 + 2 * 5);
}

TEST(Jpeg, APhotoIsRead) {
  Result<FileBytes> file = read_file("demo/media/photos/zebra.jpeg");
  ASSERT_TRUE(file.ok()) << file.error().message;
  Result<Image> photo = decode_image(**file, "zebra.jpeg");
  ASSERT_TRUE(photo.ok()) << photo.error().message;
  EXPECT_EQ(photo->pixels.size(), static_cast<size_t>(photo->width) * photo->height * 3);
  double mean =
      std::accumulate(photo->pixels.begin(), photo->pixels.end(), 0.0) / static_cast<double>(photo->pixels.size());
  EXPECT_GT(mean, 40);
  EXPECT_LT(mean, 215);
}

TEST(Decode, OtherFilesAreRefusedByName) {
  Result<Image> text = decode_image(bytes_of("hello"), "notes.txt");
  ASSERT_FALSE(text.ok());
  EXPECT_NE(text.error().message.find("notes.txt is neither a JPEG nor a PNG"), std::string::npos);
  EXPECT_FALSE(decode_image({}, "empty").ok());
}

TEST(Decode, GiantsAreRefusedBeforeMemoryIsTaken) {
  std::string png = *encode_png(gradient(4, 4));
  // IHDR's width and height, with a new checksum over type and data (PNG 1.2, section 3.4).
  png[16] = 0x00, png[17] = 0x0f, png[18] = 0x42, png[19] = 0x40;
  png[20] = 0x00, png[21] = 0x0f, png[22] = 0x42, png[23] = 0x40;
  uint32_t crc = 0xffffffff;
  for (size_t i = 12; i < 29; ++i) {
    crc ^= static_cast<unsigned char>(png[i]);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb88320 : 0);
  }
  crc = ~crc;
  for (size_t i = 0; i < 4; ++i) png[29 + i] = static_cast<char>(crc >> (24 - 8 * i));
  Result<Image> giant = decode_image(bytes_of(png), "giant.png");
  ASSERT_FALSE(giant.ok());
  EXPECT_NE(giant.error().message.find("giant.png"), std::string::npos) << giant.error().message;
}

TEST(Decode, CutOffAndChangedFilesNeverCrash) {
  Result<FileBytes> jpeg = read_file("demo/media/photos/golden_retriever.jpeg");
  ASSERT_TRUE(jpeg.ok());
  std::string png = *encode_png(gradient(40, 30));
  std::vector<std::byte> png_bytes(bytes_of(png).begin(), bytes_of(png).end());
  Random random(5, "photos");
  int refused = 0;
  for (const std::vector<std::byte>& good : {**jpeg, png_bytes}) {
    for (int round = 0; round < 60; ++round) {
      std::vector<std::byte> bad = good;
      if (round % 2 == 0) {
        bad.resize(random.below(bad.size()));
      } else {
        for (int change = 0; change < 10; ++change) bad[random.below(bad.size())] = std::byte(random.next());
      }
      Result<Image> image = decode_image(bad, "bad.file");
      if (image.ok()) continue;
      ++refused;
      EXPECT_NE(image.error().message.find("bad.file"), std::string::npos);
    }
  }
  EXPECT_GT(refused, 60) << "every cut-off file, at least";
}

TEST(Resize, SameSizeIsTheSameImage) {
  Image image = gradient(23, 11);
  for (Filter filter : {Filter::kNearest, Filter::kPlain, Filter::kBilinear, Filter::kBicubic}) {
    EXPECT_EQ(resize(image, whole(image), 23, 11, filter).pixels, image.pixels);
  }
}

TEST(Resize, AFlatImageStaysFlat) {
  Image image{30, 20, 3, std::vector<uint8_t>(1800, 77)};
  for (Filter filter : {Filter::kNearest, Filter::kPlain, Filter::kBilinear, Filter::kBicubic}) {
    for (auto [width, height] : {std::pair(7, 5), std::pair(64, 91), std::pair(1, 1)}) {
      Image out = resize(image, whole(image), width, height, filter);
      EXPECT_EQ(out.pixels, std::vector<uint8_t>(static_cast<size_t>(width * height * 3), 77));
    }
  }
}

// A checkerboard of single pixels averages out only if the filter widens when it shrinks.
TEST(Resize, BilinearDoesNotAlias) {
  Image image{64, 64, 1, {}};
  for (int y = 0; y < 64; ++y) {
    for (int x = 0; x < 64; ++x) image.pixels.push_back((x + y) % 2 == 0 ? 0 : 254);
  }
  Image out = resize(image, whole(image), 8, 8, Filter::kBilinear);
  for (int y = 1; y < 7; ++y) {
    for (int x = 1; x < 7; ++x) EXPECT_NEAR(*out.at(x, y), 127, 2);
  }
}

// torch.nn.functional.interpolate([0, 100], size=4, mode="bilinear", align_corners=False): 0, 25, 75, 100.
TEST(Resize, PlainEnlargesAsTorchDoes) {
  Image image{2, 1, 1, {0, 100}};
  EXPECT_EQ(resize(image, whole(image), 4, 1, Filter::kPlain).pixels, (std::vector<uint8_t>{0, 25, 75, 100}));
}

// PIL: Image.fromarray([[0, 60, 120, 180]]).resize((2, 1), BILINEAR): weights 3/8 3/8 1/4 (renormalised at the edge).
TEST(Resize, BilinearShrinksAsPillowDoes) {
  Image image{4, 1, 1, {0, 60, 120, 180}};
  std::vector<uint8_t> out = resize(image, whole(image), 2, 1, Filter::kBilinear).pixels;
  EXPECT_EQ(out, (std::vector<uint8_t>{43, 137}));
}

TEST(Resize, ARegionIsWhatItShows) {
  Image image = gradient(20, 20);
  Image out = resize(image, {4, 6, 8, 5}, 8, 5, Filter::kPlain);
  for (int y = 0; y < 5; ++y) {
    for (int x = 0; x < 8; ++x) EXPECT_EQ(out.at(x, y)[1], image.at(x + 4, y + 6)[1]);
  }
}

}  // namespace
}  // namespace motet::prep
