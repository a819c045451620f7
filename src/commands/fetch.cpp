// fetch NAME: a published model by its name.
#include <algorithm>
#include <string_view>

#include "base/named_values.h"
#include "commands/call.h"
#include "commands/embedded.h"
#include "commands/text_options.h"
#include "config/ini.h"
#include "stages/fetch.h"

namespace ulmfit::commands {
namespace {

// The recipes of configs/models.
constexpr Named<std::string_view> kModels[] = {{kWikitext103ForwardCfg, "wikitext-103-forward"},
                                               {kWikitext103BackwardCfg, "wikitext-103-backward"}};

bool gives(const Arguments& arguments, const std::string& key) {
  return std::any_of(arguments.begin(), arguments.end(),
                     [&](const std::string& a) { return a == "--" + key || a.starts_with(str("--", key, "=")); });
}

std::string_view recipe_of(const std::string& name) {
  if (const auto recipe = value_in(kModels, name)) return *recipe;
  std::vector<std::string> names;
  for (const auto& model : kModels) names.emplace_back(model.name);
  throw ConfigError(str("there is no recipe for a model '", name, "'; did you mean ", config::nearest(name, names),
                        "? (all: ", list_names(kModels, ", "), "; another one is fetched by --address)"));
}

class Fetch : public Command {
 public:
  // A recipe says what its file would say by --config, but is in the program.
  void take_words(Arguments& arguments) override {
    constexpr std::string_view kModel = "--model=";
    if (!arguments.empty() && !arguments[0].starts_with("--")) arguments[0].insert(0, kModel);
    const auto model =
        std::find_if(arguments.begin(), arguments.end(), [&](const auto& a) { return a.starts_with(kModel); });
    if (model == arguments.end()) return;
    const std::string name = model->substr(kModel.size());
    for (const auto& section : config::read_ini(std::string(recipe_of(name)), name)) {
      for (const auto& [key, value] : section.values) {
        if (!gives(arguments, key)) arguments.push_back(str("--", key, "=", value));
      }
    }
  }
  void declare(config::OptionSet& set) override {
    set.add("model", model_, "a name of the list above; also as first argument: ulmfit fetch NAME");
    options_.declare(set);
    text_.declare(set);
  }
  std::string_view introduction() const override { return kIntroduction; }
  Outcome run(const config::OptionSet& set, comm::Communicator& /*comm*/) override {
    return outcome(stages::fetch_model(options_, text::TextPipeline(text_.resolved()), set));
  }

 private:
  inline static const std::string kIntroduction = str(
      "Downloads a published language model of fastai (with curl), checks it and makes a stage of it, as import does:\n\n"
      "  ulmfit fetch wikitext-103-forward --accept-foreign-tokens --output wt103\n\nModels: ",
      list_names(kModels, ", "),
      ". The recipes are in configs/models; --address,\n"
      "--sha256, --direction, --rules fetch another one. Prints a JSON line.");

  std::string model_;
  stages::FetchOptions options_;
  TextArguments text_;
};

}  // namespace

std::unique_ptr<Command> fetch() { return std::make_unique<Fetch>(); }

}  // namespace ulmfit::commands
