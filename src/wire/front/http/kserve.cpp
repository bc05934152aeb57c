#include "wire/front/http/kserve.h"

#include <charconv>

#include "wire/front/http/admin_json.h"
#include "wire/front/http/compression.h"
#include "wire/front/http/config_json.h"
#include "wire/front/http/infer_reply.h"
#include "wire/front/http/infer_request.h"

namespace motet::http {
namespace {

HttpReply json_reply(std::string text) {
  HttpReply reply;
  reply.text = std::move(text);
  return reply;
}

HttpReply empty_reply() { return {}; }

// Readiness is 200 or, as Triton has it, 400.
HttpReply readiness(bool yes, std::string_view no) { return yes ? empty_reply() : error_reply(400, no); }

HttpReply later(std::string_view what) {
  return error_reply(501, std::string(what) + " is not supported by this server");
}

}  // namespace

std::shared_ptr<api::Call> KserveHandler::handle(HttpRequest request, ReplyDone done) {
  auto now = [&done](HttpReply reply) { done([reply = std::move(reply)] { return reply; }); };
  auto route = find_route(request.target);
  if (!route) {
    now(error_reply(404, "Not Found"));
    return nullptr;
  }
  std::string_view allowed = allowed_methods(route->verb);
  bool known = request.method == "GET" || request.method == "POST";
  if (!known || allowed.find(request.method) == std::string_view::npos) {
    HttpReply reply = error_reply(405, "Method Not Allowed");
    reply.allow = allowed;
    now(std::move(reply));
    return nullptr;
  }
  if (route->verb == Verb::kInfer) return infer(*route, std::move(request), done);
  if (route->verb == Verb::kLoad || route->verb == Verb::kUnload) {
    load_or_unload(*route, request, done);
    return nullptr;
  }
  now(answer(*route, request));
  return nullptr;
}

HttpReply KserveHandler::answer(const Route& route, const HttpRequest& request) const {
  switch (route.verb) {
    case Verb::kServerMetadata: return json_reply(server_metadata_json(api_.server_metadata()));
    case Verb::kLive: return readiness(api_.live(), "Server not live");
    case Verb::kReady: return readiness(api_.ready(), "Server not ready");
    case Verb::kIndex: {
      if (!route.repository.empty()) return error_reply(501, "'repository_name' specification is not supported");
      auto body = plain_body(request);
      if (!body.ok()) return error_reply(body.error());
      auto ready_only = parse_index(**body);
      if (!ready_only.ok()) return error_reply(ready_only.error());
      auto entries = api_.index(*ready_only);
      return entries.ok() ? json_reply(index_json(*entries)) : error_reply(entries.error());
    }
    case Verb::kSharedMemoryStatus:
      if (!route.model.empty()) return error_reply(404, "Unable to find shared memory region: '" + route.model + "'");
      return json_reply("[]");
    case Verb::kSharedMemoryRegister:
    case Verb::kSharedMemoryUnregister: return later("shared memory between client and server");
    case Verb::kGenerate:
    case Verb::kGenerateStream: return later("the generate extension");
    case Verb::kTraceSetting: return later("the trace extension");
    case Verb::kLogging: return later("the logging extension");
    default: return model_answer(route);
  }
}

HttpReply KserveHandler::model_answer(const Route& route) const {
  switch (route.verb) {
    case Verb::kModelReady: {
      auto ready = api_.model_ready(route.model, route.version);
      return readiness(ready.ok() && *ready, "Model version not ready");
    }
    case Verb::kModelMetadata: {
      auto metadata = api_.model_metadata(route.model, route.version);
      return metadata.ok() ? json_reply(model_metadata_json(*metadata)) : error_reply(metadata.error());
    }
    case Verb::kModelConfig: {
      auto config = api_.model_config(route.model, route.version);
      return config.ok() ? json_reply(config_json(**config)) : error_reply(config.error());
    }
    case Verb::kModelStatistics:
    case Verb::kAllStatistics: {
      auto statistics = api_.statistics(route.model, route.version);
      if (statistics.ok()) return json_reply(statistics_json(*statistics));
      // Triton's status here for a model it does not have.
      bool unknown = statistics.error().code == Code::kNotFound;
      return unknown ? error_reply(400, statistics.error().message) : error_reply(statistics.error());
    }
    default: return error_reply(404, "Not Found");
  }
}

Result<std::shared_ptr<const Body>> KserveHandler::plain_body(const HttpRequest& request) const {
  MOTET_ASSIGN(Encoding encoding, content_encoding(request.content_encoding));
  if (encoding == Encoding::kIdentity) return request.body;
  size_t json_bytes = 0;
  if (request.json_length)
    std::from_chars(request.json_length->data(), request.json_length->data() + request.json_length->size(), json_bytes);
  auto body = inflate_body(*request.body, max_body_bytes_, json_bytes);
  return body;
}

std::shared_ptr<api::Call> KserveHandler::infer(const Route& route, HttpRequest request, const ReplyDone& done) {
  auto refuse = [&done](HttpReply reply) {
    done([reply = std::move(reply)] { return reply; });
    return nullptr;
  };
  auto body = plain_body(request);
  if (!body.ok()) {
    bool too_large = body.error().code == Code::kResourceExhausted;
    return refuse(too_large ? error_reply(413, body.error().message) : error_reply(body.error()));
  }
  auto parsed = parse_infer(*body, request.json_length);
  if (!parsed.ok()) return refuse(error_reply(parsed.error()));
  api::InferRequest& query = parsed->request;
  query.model = route.model;
  query.version = route.version;
  query.arrived_at = request.arrived_at;
  auto format = std::make_shared<OutputFormat>(std::move(parsed->format));
  Encoding encoding = preferred_encoding(request.accept_encoding);
  return api_.infer(std::move(query), [done, format, encoding](Result<api::InferResponse> result) {
    auto answer = std::make_shared<Result<api::InferResponse>>(std::move(result));
    done([answer, format, encoding] {
      if (!answer->ok()) return error_reply(answer->error());
      HttpReply reply = infer_reply(**answer, *format);
      if (reply.status == 200) deflate_reply(reply, encoding);
      return reply;
    });
  });
}

void KserveHandler::load_or_unload(const Route& route, const HttpRequest& request, const ReplyDone& done) {
  auto refuse = [&done](const HttpReply& reply) { done([reply] { return reply; }); };
  if (!route.repository.empty()) return refuse(error_reply(501, "'repository_name' specification is not supported"));
  auto body = plain_body(request);
  if (!body.ok()) return refuse(error_reply(body.error()));
  api::StatusDone answer = [done](Status status) {
    HttpReply reply = status.ok() ? empty_reply() : error_reply(status.error());
    done([reply = std::move(reply)] { return reply; });
  };
  if (route.verb == Verb::kLoad) {
    auto config = parse_load(**body);
    if (!config.ok()) return refuse(error_reply(config.error()));
    return api_.load(route.model, *config, api::Principal{}, std::move(answer));
  }
  auto dependents = parse_unload(**body);
  if (!dependents.ok()) return refuse(error_reply(dependents.error()));
  api_.unload(route.model, *dependents, api::Principal{}, std::move(answer));
}

}  // namespace motet::http
