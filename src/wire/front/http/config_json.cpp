#include "wire/front/http/config_json.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include "wire/front/http/json_text.h"
#include "wire/proto/model_config.pb.h"

namespace motet::http {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

void append_message(std::string& out, const Message& message);

// The value of a field; `index` < 0 for a field that is not repeated.
void append_value(std::string& out, const Message& m, const Reflection& r, const FieldDescriptor* f, int index) {
  bool one = index < 0;
  switch (f->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return append_json_int(out, one ? r.GetInt32(m, f) : r.GetRepeatedInt32(m, f, index));
    case FieldDescriptor::CPPTYPE_INT64:
      return append_json_int(out, one ? r.GetInt64(m, f) : r.GetRepeatedInt64(m, f, index));
    case FieldDescriptor::CPPTYPE_UINT32:
      return append_json_int(out, one ? r.GetUInt32(m, f) : r.GetRepeatedUInt32(m, f, index));
    case FieldDescriptor::CPPTYPE_UINT64:
      return append_json_int(out, one ? r.GetUInt64(m, f) : r.GetRepeatedUInt64(m, f, index));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return append_json_float(out, one ? r.GetDouble(m, f) : r.GetRepeatedDouble(m, f, index));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return append_json_float(out, one ? r.GetFloat(m, f) : r.GetRepeatedFloat(m, f, index));
    case FieldDescriptor::CPPTYPE_BOOL:
      out += (one ? r.GetBool(m, f) : r.GetRepeatedBool(m, f, index)) ? "true" : "false";
      return;
    case FieldDescriptor::CPPTYPE_ENUM: {
      int number = one ? r.GetEnumValue(m, f) : r.GetRepeatedEnumValue(m, f, index);
      const auto* named = f->enum_type()->FindValueByNumber(number);
      return named != nullptr ? append_json_string(out, named->name()) : append_json_int(out, number);
    }
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string scratch;
      return append_json_string(
          out, one ? r.GetStringReference(m, f, &scratch) : r.GetRepeatedStringReference(m, f, index, &scratch));
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return append_message(out, one ? r.GetMessage(m, f) : r.GetRepeatedMessage(m, f, index));
  }
}

// A map's entries are messages with a key and a value; JSON keys are strings, whatever the map's are.
void append_map(std::string& out, const Message& message, const Reflection& reflection, const FieldDescriptor* field) {
  const FieldDescriptor* key = field->message_type()->FindFieldByNumber(1);
  const FieldDescriptor* value = field->message_type()->FindFieldByNumber(2);
  // In key order: a map has none of its own.
  std::map<std::string, std::string> entries;
  for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
    const Message& entry = reflection.GetRepeatedMessage(message, field, i);
    std::string name;
    append_value(name, entry, *entry.GetReflection(), key, -1);
    if (name.empty() || name[0] != '"') name = '"' + name + '"';
    append_value(entries[name], entry, *entry.GetReflection(), value, -1);
  }
  out += '{';
  bool first = true;
  for (const auto& [name, text] : entries) {
    out.append(first ? "" : ",").append(name).append(":").append(text);
    first = false;
  }
  out += '}';
}

void append_field(std::string& out, const Message& message, const FieldDescriptor* field) {
  const Reflection& reflection = *message.GetReflection();
  if (field->is_map()) return append_map(out, message, reflection, field);
  if (!field->is_repeated()) return append_value(out, message, reflection, field, -1);
  out += '[';
  for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
    if (i > 0) out += ',';
    append_value(out, message, reflection, field, i);
  }
  out += ']';
}

void append_message(std::string& out, const Message& message) {
  const auto* type = message.GetDescriptor();
  out += '{';
  bool first = true;
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    bool singular_message = !field->is_repeated() && field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    bool optional = singular_message || field->containing_oneof() != nullptr;
    if (optional && !message.GetReflection()->HasField(message, field)) continue;
    if (!first) out += ',';
    first = false;
    append_json_string(out, field->name());
    out += ':';
    append_field(out, message, field);
  }
  out += '}';
}

}  // namespace

std::string config_json(const inference::ModelConfig& config) {
  std::string out;
  append_message(out, config);
  return out;
}

}  // namespace motet::http
