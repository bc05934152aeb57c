// What a served model is, beside its tensors: precision and its error, what executes it, how long it cannot be
// interrupted. The same facts for the metadata endpoint, for /metrics and for the log. Any thread.
#pragma once

#include <string>

#include "base/observe/metrics.h"
#include "body/serve/instance.h"
#include "wire/api/api.h"

namespace motet::serve {

// REQUIRES, of all three: the instance is read.
api::Parameters model_facts(const Instance& instance);
void publish_facts(const Instance& instance, observe::Registry& registry);
// "precision bf16 with an error of 0.0031 on 2 samples of model_warmup, within the bound of 0.05", or why it is exact.
std::string precision_in_words(const PrecisionReport& report);

// Adds to an answer what precision it was computed in, if the model asks for less than exact.
void note_precision(const Instance& instance, engine::Precision precision, api::Parameters& parameters);

}  // namespace motet::serve
