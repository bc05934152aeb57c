#include "wire/front/http/exchange.h"

#include "wire/front/http/json_text.h"

namespace motet::http {

HttpReply error_reply(int status, std::string_view message) {
  HttpReply reply;
  reply.status = status;
  reply.text = "{\"error\":";
  append_json_string(reply.text, message);
  reply.text += '}';
  return reply;
}

HttpReply error_reply(const Error& error) { return error_reply(http_status(error.code), error.message); }

int http_status(Code code) {
  switch (code) {
    case Code::kInvalidArgument:
    case Code::kAlreadyExists: return 400;
    case Code::kNotFound: return 404;
    case Code::kResourceExhausted: return 429;
    case Code::kCancelled: return 499;
    case Code::kInternal: return 500;
    case Code::kUnsupported: return 501;
    case Code::kUnavailable:
    case Code::kDeadlineExceeded: return 503;
  }
  return 500;
}

std::string_view http_reason(int status) {
  switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 413: return "Payload Too Large";
    case 417: return "Expectation Failed";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 499: return "Client Closed Request";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default: return "Error";
  }
}

}  // namespace motet::http
