#include "stages/generate.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "model/softmax_head.h"
#include "reports/number_format.h"
#include "stages/compute.h"
#include "stages/encode.h"
#include "stages/language_model_info.h"
#include "stages/stage_folder.h"
#include "text/readable.h"

namespace ulmfit::stages {
namespace {

// Words that a text may go on with. xxbos begins the next one.
std::vector<bool> allowed_words(const text::Vocabulary& vocabulary) {
  std::vector<bool> allowed;
  for (const std::string& token : vocabulary.tokens()) {
    allowed.push_back(token != "xxunk" && token != "xxpad" && token != "xxeos" && vocabulary.knows(token));
  }
  return allowed;
}

// What a language model goes on with behind a prompt, word by word. The texts are computed one by one, so that none depends
// on how many there are.
class Writer {
 public:
  Writer(const TrainedModel& model, const GenerateOptions& options, const std::vector<std::int64_t>& prompt)
      : model_(model),
        options_(options),
        weights_(model.encoder->batch_weights(0, nullptr)),
        allowed_(allowed_words(*model.vocabulary)),
        begin_(model.encoder->zero_state(1)) {
    constexpr std::size_t kWindow = 128;
    for (std::size_t first = 0; first < prompt.size(); first += kWindow) {
      const auto from = prompt.begin() + static_cast<std::ptrdiff_t>(first);
      logits_ = read({from, from + static_cast<std::ptrdiff_t>(std::min(kWindow, prompt.size() - first))}, begin_);
    }
  }

  std::vector<std::string> write(std::int64_t text) const {
    std::vector<std::string> tokens;
    model::LstmState state = begin_;
    at::Tensor logits = logits_;
    for (std::int64_t place = 0; place < options_.tokens; ++place) {
      const RandomKey key{static_cast<std::uint64_t>(options_.seed), Purpose::kGenerate, static_cast<std::uint64_t>(text)};
      const std::int64_t word =
          model::sample({logits.const_data_ptr<float>(), static_cast<std::size_t>(logits.numel())}, allowed_,
                        options_.sampling, random_uniform(key, static_cast<std::uint64_t>(place)));
      if (word == model_.vocabulary->bos()) break;
      tokens.push_back(model_.vocabulary->token(word));
      logits = read({word}, state);
    }
    return tokens;
  }

 private:
  // Logits [V] of the word behind `words`, which follow `state`; that is then behind them.
  at::Tensor read(const std::vector<std::int64_t>& words, model::LstmState& state) const {
    const at::Tensor x = at::tensor(words, at::kLong).unsqueeze(1).to(model_.encoder->device());
    model::EncoderOutput out = model_.encoder->forward(x, state, weights_, {}, nullptr);
    state = std::move(out.next);
    const auto& head = head_as<model::SoftmaxHead>(model_);
    return at::addmv(head.bias(), head.weight(), out.top[-1][0].to(at::kFloat)).cpu();
  }

  const TrainedModel& model_;
  const GenerateOptions& options_;
  std::vector<model::LstmWeights> weights_;
  std::vector<bool> allowed_;
  model::LstmState begin_;  // behind the prompt
  at::Tensor logits_;
};

// Without the marks that mark nothing, which a model may draw as any word.
std::vector<std::string> with_meaning(const std::vector<std::string>& tokens) {
  const auto is_word = [&](std::size_t i) { return i < tokens.size() && !text::is_special_token(tokens[i]); };
  const auto is_number = [&](std::size_t i) {
    return is_word(i) && tokens[i].find_first_not_of("0123456789") == std::string::npos;
  };
  std::vector<std::string> kept;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const std::string& token = tokens[i];
    const bool of_case = token == "xxmaj" || token == "xxup";
    const bool repeats = token == "xxrep" || token == "xxwrep";
    if ((of_case && !is_word(i + 1)) || (repeats && !(is_number(i + 1) && is_word(i + 2)))) continue;
    kept.push_back(token);
  }
  return kept;
}

}  // namespace

void GenerateOptions::declare(config::OptionSet& set) {
  set.add("model", model, "a finished stage of a language model");
  set.require("model");
  set.add("prompt", prompt, "text to go on with; for a model that reads backward, the end of the text");
  set.add("tokens", tokens, "most tokens to add", {.min = 1, .max = 1e6});
  set.add("texts", texts, "how many texts", {.min = 1, .max = 65536});
  set.add("temperature", sampling.temperature, "below 1: likelier words; 0: always the likeliest; above 1: bolder ones",
          {.min = 0, .max = 100});
  set.add("top-k", sampling.top_k, "draw among so many of the likeliest words; 0: among all", {.min = 0, .max = 1e9});
  set.add("seed", seed, "of the draws", {.min = 0});
  compute.declare(set);
}

std::vector<std::string> generate(const GenerateOptions& options, at::Device device) {
  const at::NoGradGuard no_grad;
  const TrainedModel model = read_stage(options.model, device);
  if (const HeadKind& kind = model.info.head->kind(); kind.name != LanguageModelInfo::kName) {
    throw CheckpointError(str("--model ", options.model, " is a ", kind.what,
                              "; generate needs a language model: the stage of pretrain or finetune-lm"));
  }
  if (const std::string note = note_of_softmax(model.info); !note.empty())
    log::warn("generate", str("the model was ", note));
  model.encoder->set_precision(use_precision(options.compute.precision, device));
  const EncodedText prompt = encode(model, options.prompt);
  if (prompt.unknown_share > 0) {
    log::warn("generate", str(reports::percent(prompt.unknown_share), " of the prompt's tokens are unknown to the model"));
  }
  const std::vector<std::string> given = model.text->tokenize(options.prompt);
  const Writer writer(model, options, prompt.ids);
  std::vector<std::string> texts;
  for (std::int64_t i = 0; i < options.texts; ++i) {
    std::vector<std::string> tokens = writer.write(i);
    if (model.info.backward) std::reverse(tokens.begin(), tokens.end());
    tokens.insert(model.info.backward ? tokens.end() : tokens.begin(), given.begin(), given.end());
    tokens = with_meaning(tokens);
    const std::size_t count = tokens.size();
    texts.push_back(text::readable_beginning(std::move(tokens), model.text->options().tokenizer, count));
  }
  return texts;
}

}  // namespace ulmfit::stages
