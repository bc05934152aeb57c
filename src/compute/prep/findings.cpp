#include "compute/prep/findings.h"

#include <array>
#include <cmath>
#include <cstdio>

namespace motet::prep {

namespace {

template <class... Args>
std::string format(const char* pattern, Args... args) {
  std::array<char, 256> text{};
  int length = std::snprintf(text.data(), text.size(), pattern, args...);
  return {text.data(), static_cast<size_t>(std::min<int>(length, text.size() - 1))};
}

std::string number(double value) { return std::isfinite(value) ? format("%.6g", value) : "null"; }

// Length of the well-formed UTF-8 sequence that `text` begins with, or 0 (RFC 3629).
size_t utf8_length(std::string_view text) {
  auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  unsigned lead = byte(0);
  size_t length = lead < 0x80                   ? 1
                  : lead >= 0xc2 && lead < 0xe0 ? 2
                  : lead >= 0xe0 && lead < 0xf0 ? 3
                  : lead >= 0xf0 && lead < 0xf5 ? 4
                                                : 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  bool overlong = (lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xf0 && byte(1) < 0x90);
  bool surrogate = lead == 0xed && byte(1) >= 0xa0;
  bool beyond = lead == 0xf4 && byte(1) >= 0x90;
  return overlong || surrogate || beyond ? 0 : length;
}

template <class T, class F>
std::string join(const std::vector<T>& items, F&& text_of) {
  std::string out = "[";
  for (const T& item : items) out += (out.size() > 1 ? "," : "") + text_of(item);
  return out + "]";
}

std::string label_json(const Label& label) {
  return "\"index\":" + std::to_string(label.index) + ",\"label\":" + json_string(label.name) +
         ",\"score\":" + number(label.score);
}

// Element i as text: a JSON value.
std::string element(const TensorView& view, size_t i) {
  switch (view.dtype) {
    case DType::kBool: return view.as<bool>()[i] ? "true" : "false";
    case DType::kU8: return std::to_string(view.as<uint8_t>()[i]);
    case DType::kU16: return std::to_string(view.as<uint16_t>()[i]);
    case DType::kU32: return std::to_string(view.as<uint32_t>()[i]);
    case DType::kU64: return std::to_string(view.as<uint64_t>()[i]);
    case DType::kI8: return std::to_string(view.as<int8_t>()[i]);
    case DType::kI16: return std::to_string(view.as<int16_t>()[i]);
    case DType::kI32: return std::to_string(view.as<int32_t>()[i]);
    case DType::kI64: return std::to_string(view.as<int64_t>()[i]);
    case DType::kF16: return number(f16_to_float(view.as<uint16_t>()[i]));
    case DType::kBF16: return number(bf16_to_float(view.as<uint16_t>()[i]));
    case DType::kF32: return number(view.as<float>()[i]);
    case DType::kF64: return number(view.as<double>()[i]);
    case DType::kString: return json_string(view.as<std::string_view>()[i]);
  }
  return "null";
}

std::string tensor_json(const NamedTensor& named) {
  const TensorView& view = named.tensor.view();
  std::string out = "{\"name\":" + json_string(named.name) + ",\"datatype\":\"" +
                    std::string(dtype_kserve_name(view.dtype)) + "\",\"shape\":" + shape_to_string(view.shape);
  constexpr int64_t kMostElements = 1000;
  if (view.elements() <= kMostElements) {
    out += ",\"data\":[";
    for (size_t i = 0; i < static_cast<size_t>(view.elements()); ++i) out += (i > 0 ? "," : "") + element(view, i);
    out += "]";
  }
  return out + "}";
}

std::string tensor_text(const NamedTensor& named) {
  const TensorView& view = named.tensor.view();
  std::string out =
      named.name + "  " + std::string(dtype_kserve_name(view.dtype)) + " " + shape_to_string(view.shape) + "  ";
  constexpr int64_t kShown = 8;
  for (size_t i = 0; i < static_cast<size_t>(std::min(view.elements(), kShown)); ++i)
    out += (i > 0 ? " " : "") + element(view, i);
  return out + (view.elements() > kShown ? " ...\n" : "\n");
}

std::string boxes_text(const std::vector<Box>& boxes) {
  if (boxes.empty()) return "nothing found\n";
  std::string out;
  for (const Box& box : boxes) {
    out += box.label.name + format("  %.3f  x %.0f to %.0f, y %.0f to %.0f\n", box.label.score, box.left, box.right,
                                   box.top, box.bottom);
  }
  return out;
}

}  // namespace

std::string json_string(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    char c = text[0];
    size_t length = utf8_length(text);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += format("\\u%04x", static_cast<unsigned>(c));
    } else if (length == 0) {
      out += "\xef\xbf\xbd";
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return out + "\"";
}

std::string to_text(const Findings& f) {
  std::string out;
  switch (f.kind) {
    case OutputKind::kClasses:
      for (const Label& label : f.labels) out += format("%.4f  ", label.score) + label.name + "\n";
      return out;
    case OutputKind::kSsdBoxes:
    case OutputKind::kFastestDet: return boxes_text(f.boxes);
    case OutputKind::kSpeech:
      for (const Segment& s : f.speech) out += format("speech  %.2f s to %.2f s\n", s.begin_s, s.end_s);
      return out.empty() ? "no speech\n" : out;
    case OutputKind::kScore:
      for (double score : f.scores) out += format("%.6g\n", score);
      return out;
    case OutputKind::kImageYcbcr:
      return f.image ? format("an image of %d x %d pixels\n", f.image->width, f.image->height) : "no image\n";
    case OutputKind::kTensors:
      for (const NamedTensor& tensor : f.tensors) out += tensor_text(tensor);
      return out;
  }
  return out;
}

std::string to_json(const Findings& f) {
  switch (f.kind) {
    case OutputKind::kClasses:
      return "{\"labels\":" + join(f.labels, [](const Label& l) { return "{" + label_json(l) + "}"; }) + "}";
    case OutputKind::kSsdBoxes:
    case OutputKind::kFastestDet:
      return "{\"boxes\":" +
             join(f.boxes,
                  [](const Box& b) {
                    return "{" + label_json(b.label) + ",\"box\":[" + number(b.left) + "," + number(b.top) + "," +
                           number(b.right) + "," + number(b.bottom) + "]}";
                  }) +
             "}";
    case OutputKind::kSpeech:
      return "{\"speech\":" +
             join(f.speech,
                  [](const Segment& s) {
                    return "{\"begin_s\":" + number(s.begin_s) + ",\"end_s\":" + number(s.end_s) + "}";
                  }) +
             "}";
    case OutputKind::kScore: return "{\"scores\":" + join(f.scores, number) + "}";
    case OutputKind::kImageYcbcr:
      return f.image ? format("{\"image\":{\"width\":%d,\"height\":%d}}", f.image->width, f.image->height)
                     : "{\"image\":null}";
    case OutputKind::kTensors: return "{\"tensors\":" + join(f.tensors, tensor_json) + "}";
  }
  return "{}";
}

}  // namespace motet::prep
