// import and export: models of fastai, and for fastai.
#include "commands/call.h"
#include "commands/text_options.h"
#include "stages/fastai_bridge.h"

namespace ulmfit::commands {
namespace {

class Import : public Command {
 public:
  void declare(config::OptionSet& set) override {
    options_.declare(set);
    text_.declare(set);
  }
  std::string_view introduction() const override {
    return "Makes a stage of a language model, encoder or classifier that fastai has saved, v1 (from 1.0.40 on) or v2:\n\n"
           "  ulmfit import --weights lstm_wt103.pth --vocab itos_wt103.pkl --accept-foreign-tokens --output wt103\n\n"
           "The file is read as data: nothing in it is run. finetune-lm and train-classifier take the stage by --from,\n"
           "prepare-corpus and prepare-labelled its words by --vocab. Prints a JSON line.";
  }
  Outcome run(const config::OptionSet& set, comm::Communicator& /*comm*/) override {
    return outcome(stages::import_fastai(options_, text::TextPipeline(text_.resolved()), set.to_config()));
  }

 private:
  stages::ImportOptions options_;
  TextArguments text_;
};

class Export : public Command {
 public:
  void declare(config::OptionSet& set) override { options_.declare(set); }
  std::string_view introduction() const override {
    return "Writes a stage as files that fastai v2 loads: model.pth for learn.load (or load_encoder), vocab.pkl for the\n"
           "data loaders. With --bundle, one zip file for people who have ulmfit: unzip it and give the folder by --from "
           "or\n"
           "--model. Prints a JSON line.";
  }
  Outcome run(const config::OptionSet& /*set*/, comm::Communicator& /*comm*/) override {
    return outcome(stages::export_fastai(options_));
  }

 private:
  stages::ExportOptions options_;
};

}  // namespace

std::unique_ptr<Command> import_model() { return std::make_unique<Import>(); }
std::unique_ptr<Command> export_model() { return std::make_unique<Export>(); }

}  // namespace ulmfit::commands
