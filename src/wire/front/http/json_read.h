// Reading JSON with simdjson On-Demand: the errors of this room in words, and strict access. Internal to this room; the
// text must have kBodyPadding readable bytes behind it. One thread a document.
#pragma once

#include <simdjson.h>

#include <string>
#include <string_view>

#include "base/result.h"
#include "wire/front/http/body.h"

namespace motet::http {

namespace ondemand = simdjson::ondemand;

static_assert(kBodyPadding >= simdjson::SIMDJSON_PADDING, "a Body's padding serves simdjson");

// "Unable to parse 'shape': it must be ..." or, for broken JSON, where the text breaks.
inline Error json_error(std::string_view what, simdjson::error_code code, std::string_view expected) {
  std::string message = "Unable to parse '" + std::string(what) + "': ";
  if (code == simdjson::INCORRECT_TYPE || code == simdjson::NUMBER_ERROR || code == simdjson::NUMBER_OUT_OF_RANGE) {
    message += "it must be " + std::string(expected);
  } else {
    message += simdjson::error_message(code);
  }
  return invalid_argument(std::move(message));
}

template <class T>
Result<T> json_get(ondemand::value value, std::string_view what, std::string_view expected) {
  T out;
  if (auto code = value.get(out)) return json_error(what, code, expected);
  return out;
}

// Calls visit(key, value) -> Status for each member, in the text's order.
template <class Visit>
Status each_member(ondemand::object object, std::string_view what, Visit visit) {
  for (auto step : object) {
    ondemand::field field;
    if (auto code = std::move(step).get(field)) return json_error(what, code, "an object");
    std::string_view key;
    if (auto code = field.unescaped_key().get(key)) return json_error(what, code, "an object");
    MOTET_RETURN_IF_ERROR(visit(key, field.value()));
  }
  return {};
}

template <class Visit>
Status each_element(ondemand::array array, std::string_view what, Visit visit) {
  for (auto step : array) {
    ondemand::value element;
    if (auto code = std::move(step).get(element)) return json_error(what, code, "an array");
    MOTET_RETURN_IF_ERROR(visit(element));
  }
  return {};
}

// A whole text that is one object: visits its members, and refuses what follows it. `text` is followed by kBodyPadding
// readable bytes.
template <class Visit>
Status each_member_of_text(ondemand::parser& parser, std::string_view text, Visit visit) {
  ondemand::document document;
  if (auto code = parser.iterate(text.data(), text.size(), text.size() + kBodyPadding).get(document)) {
    return invalid_argument(std::string("failed to parse the request JSON: ") + simdjson::error_message(code));
  }
  ondemand::object root;
  if (auto code = document.get_object().get(root)) {
    return invalid_argument(std::string("failed to parse the request JSON, which must be one object: ") +
                            simdjson::error_message(code));
  }
  MOTET_RETURN_IF_ERROR(each_member(root, "the request", visit));
  const char* rest = nullptr;
  if (document.current_location().get(rest) == simdjson::SUCCESS)
    return invalid_argument("failed to parse the request JSON: something follows its object");
  return {};
}

}  // namespace motet::http
