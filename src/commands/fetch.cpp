// fetch NAME: a published model by its name.
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

std::string_view recipe_of(const std::string& name) {
  if (const auto recipe = value_in(kModels, name)) return *recipe;
  std::vector<std::string> names;
  for (const auto& model : kModels) names.emplace_back(model.name);
  throw ConfigError(str("there is no recipe for a model '", name, "'; did you mean ", config::nearest(name, names),
                        "? (all: ", list_names(kModels, ", "), "; another one is fetched by --address)"));
}

class Fetch : public Command {
 public:
  void take_words(Arguments& arguments) override {
    if (!arguments.empty() && !arguments[0].starts_with('-')) arguments[0].insert(0, "--model=");
  }
  void declare(config::OptionSet& set) override {
    set.add("model", model_, "a name of the list above; also as first argument: ulmfit fetch NAME");
    options_.declare(set);
    text_.declare(set);
  }
  std::string_view introduction() const override { return kIntroduction; }
  Outcome run(const config::OptionSet& set, comm::Communicator& /*comm*/) override {
    if (!model_.empty()) take_recipe(set);
    return outcome(stages::fetch_model(options_, text::TextPipeline(text_.resolved()), set));
  }

 private:
  inline static const std::string kIntroduction = str(
      "Downloads a published language model of fastai (with curl), checks it and makes a stage of it, as import does:\n\n"
      "  ulmfit fetch wikitext-103-forward --accept-foreign-tokens --output wt103\n\nModels: ",
      list_names(kModels, ", "),
      ". The recipes are in configs/models; --address,\n"
      "--sha256, --direction, --rules fetch another one. Prints a JSON line.");

  // What was not given is what the recipe says. Of another address it says neither license nor note.
  void take_recipe(const config::OptionSet& set) {
    config::OptionSet recipe("fetch");
    options_.declare(recipe);
    text_.declare(recipe);
    Arguments values = {"--output=" + options_.output};
    for (const auto& section : config::read_ini(std::string(recipe_of(model_)), model_)) {
      for (const auto& [key, value] : section.values) {
        const bool of_the_file = key == "license" || key == "note" || key == "sha256";
        if (!set.given(key) && !(of_the_file && set.given("address"))) values.push_back(str("--", key, "=", value));
      }
    }
    recipe.parse(values);
  }

  std::string model_;
  stages::FetchOptions options_;
  TextArguments text_;
};

}  // namespace

std::unique_ptr<Command> fetch() { return std::make_unique<Fetch>(); }

}  // namespace ulmfit::commands
