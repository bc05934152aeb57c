#include "compute/prep/interpret.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "compute/prep/outputs.h"

namespace motet::prep {
namespace {

NamedTensor floats(std::string name, Shape shape, std::vector<float> values) {
  return {std::move(name), Tensor::of<float>(std::move(shape), values)};
}

Findings findings_of(const Recipe& recipe, const Context& context, std::vector<NamedTensor> outputs) {
  std::vector<std::vector<NamedTensor>> answers{std::move(outputs)};
  Result<Findings> findings = interpret(recipe, context, answers);
  EXPECT_TRUE(findings.ok()) << findings.error().message;
  return std::move(findings).value();
}

Context photo(int width, int height) {
  Context context;
  context.photo = {width, height, 3, std::vector<uint8_t>(static_cast<size_t>(width * height * 3), 100)};
  context.region = {0, 0, static_cast<double>(width), static_cast<double>(height)};
  return context;
}

TEST(Classes, BestFirstAsProbabilities) {
  Recipe recipe;
  recipe.output.kind = OutputKind::kClasses;
  recipe.output.top = 2;
  recipe.output.labels = {"cat", "dog"};
  Findings f = findings_of(recipe, {}, {floats("logits", {1, 3}, {0, std::log(2.0F), std::log(5.0F)})});
  ASSERT_EQ(f.labels.size(), 2u);
  EXPECT_EQ(f.labels[0].index, 2);
  EXPECT_EQ(f.labels[0].name, "class 2");
  EXPECT_NEAR(f.labels[0].score, 5.0 / 8, 1e-6);
  EXPECT_EQ(f.labels[1].name, "dog");
  EXPECT_EQ(to_text(f), "0.6250  class 2\n0.2500  dog\n");
  EXPECT_EQ(to_json(f),
            R"({"labels":[{"index":2,"label":"class 2","score":0.625},{"index":1,"label":"dog","score":0.25}]})");
}

TEST(Classes, SurviveValuesThatAreNoNumbers) {
  Recipe recipe;
  recipe.output.kind = OutputKind::kClasses;
  recipe.output.softmax = false;
  float nan = std::numeric_limits<float>::quiet_NaN();
  Findings f = findings_of(recipe, {}, {floats("y", {3}, {nan, 1, 2})});
  EXPECT_EQ(f.labels[0].index, 2);
  EXPECT_EQ(f.labels[2].index, 0);
}

TEST(Boxes, AreSuppressedAndPlacedOnThePhoto) {
  Recipe recipe;
  recipe.output.kind = OutputKind::kSsdBoxes;
  recipe.output.background = 0;
  recipe.output.threshold = 0.7;
  recipe.output.iou = 0.3;
  recipe.output.labels = {"background", "face"};
  Findings f =
      findings_of(recipe, photo(200, 100),
                  {floats("scores", {1, 4, 2}, {0.9F, 0.1F, 0.05F, 0.95F, 0.2F, 0.8F, 0.1F, 0.9F}),
                   floats("boxes", {1, 4, 4},
                          {0, 0, 1, 1, 0.1F, 0.1F, 0.5F, 0.5F, 0.12F, 0.1F, 0.5F, 0.5F, 0.6F, 0.6F, 1.2F, 0.9F})});
  ASSERT_EQ(f.boxes.size(), 2u);
  EXPECT_EQ(f.boxes[0].label.name, "face");
  EXPECT_NEAR(f.boxes[0].label.score, 0.95, 1e-6);
  EXPECT_NEAR(f.boxes[0].left, 20, 1e-4);
  EXPECT_NEAR(f.boxes[0].bottom, 50, 1e-4);
  EXPECT_NEAR(f.boxes[1].right, 200, 1e-4) << "kept within the photo";
  ASSERT_TRUE(f.image.has_value());
  EXPECT_EQ(f.image->at(20, 30)[1], 220) << "the outline is drawn";
  EXPECT_EQ(f.image->at(60, 30)[1], 100) << "the inside is left alone";
}

TEST(Boxes, OfAnotherClassOrFarAwayStay) {
  std::vector<Box> boxes{{{0, "a", 0.9}, 0, 0, 10, 10},
                         {{1, "b", 0.8}, 0, 0, 10, 10},
                         {{0, "a", 0.7}, 20, 0, 30, 10},
                         {{0, "a", 0.6}, 1, 0, 11, 10}};
  EXPECT_EQ(suppress(boxes, 0.5).size(), 3u);
  EXPECT_NEAR(intersection_over_union(boxes[0], boxes[3]), 9.0 / 11, 1e-12);
  EXPECT_EQ(intersection_over_union(boxes[0], boxes[2]), 0);
}

TEST(FastestDet, ReadsTheGrid) {
  Recipe recipe;
  recipe.output.kind = OutputKind::kFastestDet;
  recipe.output.labels = {"person", "bicycle"};
  // One cell of 2 x 2 says: object 1, centre of the cell's corner, half the photo wide and high, class 1.
  std::vector<float> out(7 * 4, 0);
  out[0 * 4 + 3] = 1;
  out[6 * 4 + 3] = 1;
  Findings f = findings_of(recipe, photo(80, 40), {floats("758", {1, 7, 2, 2}, out)});
  ASSERT_EQ(f.boxes.size(), 1u);
  EXPECT_EQ(f.boxes[0].label.name, "bicycle");
  EXPECT_NEAR(f.boxes[0].left, 20, 1e-9);
  EXPECT_NEAR(f.boxes[0].right, 60, 1e-9);
  EXPECT_NEAR(f.boxes[0].top, 10, 1e-9);
  EXPECT_EQ(to_text(f), "bicycle  1.000  x 20 to 60, y 10 to 30\n");
}

TEST(Speech, SegmentsBeginEndAndArePadded) {
  OutputRecipe recipe;
  std::vector<float> p(200, 0.0F);
  std::fill(p.begin() + 20, p.begin() + 60, 0.9F);
  p[40] = 0.1F;                                       // a gap shorter than min_silence
  std::fill(p.begin() + 100, p.begin() + 103, 0.9F);  // shorter than min_speech
  std::fill(p.begin() + 150, p.end(), 0.9F);          // until the end
  std::vector<Segment> segments = find_segments(recipe, p, 0.032, 6.4);
  ASSERT_EQ(segments.size(), 2u);
  EXPECT_NEAR(segments[0].begin_s, 20 * 0.032 - 0.03, 1e-9);
  EXPECT_NEAR(segments[0].end_s, 60 * 0.032 + 0.03, 1e-9);
  EXPECT_NEAR(segments[1].begin_s, 150 * 0.032 - 0.03, 1e-9);
  EXPECT_NEAR(segments[1].end_s, 6.4, 1e-9);
  EXPECT_TRUE(find_segments(recipe, std::vector<float>(50, 0.4F), 0.032, 1.6).empty());
}

TEST(Picture, NewLumaWithThePhotosColours) {
  Recipe recipe;
  recipe.output.kind = OutputKind::kImageYcbcr;
  Context context = photo(2, 2);
  for (size_t i = 0; i < 12; i += 3) context.photo.pixels[i] = 200;  // reddish
  Findings f = findings_of(recipe, context, {floats("y", {1, 1, 4, 4}, std::vector<float>(16, 0.5F))});
  ASSERT_TRUE(f.image.has_value());
  EXPECT_EQ(f.image->width, 4);
  const uint8_t* rgb = f.image->at(2, 2);
  EXPECT_NEAR(0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2], 127.5, 1);
  EXPECT_NEAR(rgb[0] - rgb[1], 100, 2);
}

TEST(Tensors, ArePrinted) {
  Findings f = findings_of({}, {}, {floats("y", {2, 1}, {1.5F, std::numeric_limits<float>::infinity()})});
  EXPECT_EQ(to_text(f), "y  FP32 [2,1]  1.5 null\n");
  EXPECT_EQ(to_json(f), R"({"tensors":[{"name":"y","datatype":"FP32","shape":[2,1],"data":[1.5,null]}]})");
}

TEST(Interpret, AnswersOfAnotherShapeAreRefused) {
  struct Case {
    OutputKind kind;
    std::vector<NamedTensor> outputs;
    const char* says;
  };
  const std::vector<Case> cases{
      {OutputKind::kClasses, {}, "no outputs"},
      {OutputKind::kClasses, {floats("y", {2, 3}, std::vector<float>(6))}, "[2,3]"},
      {OutputKind::kClasses, {floats("y", {0}, {})}, "no classes"},
      {OutputKind::kSsdBoxes, {floats("scores", {1, 2, 2}, std::vector<float>(4))}, "'boxes'; the answer has scores"},
      {OutputKind::kSsdBoxes,
       {floats("scores", {1, 2, 2}, std::vector<float>(4)), floats("boxes", {1, 1, 4}, std::vector<float>(4))},
       "[1,1,4]"},
      {OutputKind::kFastestDet, {floats("y", {1, 4, 2, 2}, std::vector<float>(16))}, "[1,4,2,2]"},
      {OutputKind::kSpeech, {floats("y", {1, 2}, {0, 0})}, "one probability"},
      {OutputKind::kImageYcbcr, {floats("y", {1, 3, 2, 2}, std::vector<float>(12))}, "one plane"},
      {OutputKind::kScore, {{"y", Tensor::zeros(DType::kString, {1})}}, "BYTES"},
  };
  for (const Case& c : cases) {
    Recipe recipe;
    recipe.output.kind = c.kind;
    std::vector<std::vector<NamedTensor>> answers{c.outputs};
    Result<Findings> findings = interpret(recipe, photo(4, 4), answers);
    ASSERT_FALSE(findings.ok()) << c.says;
    EXPECT_NE(findings.error().message.find(c.says), std::string::npos) << findings.error().message;
  }
}

TEST(Json, StringsAreEscapedAndWellFormed) {
  EXPECT_EQ(json_string("a\"b\\c\n\x01"), R"("a\"b\\c\u000a\u0001")");
  EXPECT_EQ(json_string("caf\xc3\xa9"), "\"caf\xc3\xa9\"");
  EXPECT_EQ(json_string("\xc0\xaf\xff"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
  EXPECT_EQ(json_string("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

}  // namespace
}  // namespace motet::prep
