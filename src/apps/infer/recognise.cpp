#include "apps/infer/recognise.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "apps/term/progress.h"

namespace motet {

Result<Recognised> recognise(const prep::Recipe& recipe, std::string_view name, std::span<const std::byte> bytes,
                             std::span<const prep::InputSpec> inputs, const Clock& clock, const Ask& ask) {
  MOTET_ASSIGN(prep::Prepared prepared, prep::prepare(recipe, name, bytes, inputs));
  Recognised recognised;
  std::vector<std::vector<NamedTensor>> answers;
  term::Progress progress("asking", static_cast<int64_t>(prepared.calls.size()));
  for (std::vector<NamedTensor>& call : prepared.calls) {
    if (!answers.empty()) MOTET_RETURN_IF_ERROR(prep::carry_state(prepared, answers.back(), call));
    Nanos begin = clock.now();
    MOTET_ASSIGN(std::vector<NamedTensor> answer, ask(std::move(call)));
    recognised.latencies.push_back(clock.now() - begin);
    answers.push_back(std::move(answer));
    progress.advance();
  }
  MOTET_ASSIGN(recognised.findings, prep::interpret(recipe, prepared.context, answers));
  return recognised;
}

std::string describe_latency(std::vector<Nanos> latencies) {
  std::array<char, 128> text{};
  if (latencies.size() == 1) {
    std::snprintf(text.data(), text.size(), "%.2f ms", latencies[0].millis());
    return text.data();
  }
  Nanos sum;
  for (Nanos latency : latencies) sum += latency;
  std::sort(latencies.begin(), latencies.end());
  double median = latencies.empty() ? 0 : latencies[latencies.size() / 2].millis();
  std::snprintf(text.data(), text.size(), "%zu calls, %.2f ms each (median), %.2f s in all", latencies.size(), median,
                sum.seconds());
  return text.data();
}

}  // namespace motet
