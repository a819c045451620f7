#include "text/sentencepiece_tokenizer.h"

#include <sentencepiece_processor.h>

#include <iterator>

#include "base/error.h"
#include "text/code_point.h"
#include "text/vocabulary.h"

// libsentencepiece and libtorch's libc10 each define a variable of this name, of 32 and of 4 bytes, and the dynamic linker
// makes one of the two. If it is c10's, which stands first, libsentencepiece writes beyond it when it is loaded: into the
// flag by which c10 aborts instead of throwing, so that a failed allocation ended the program. The executable's own comes
// before both. It is libsentencepiece's then, with room to grow; c10 would only set it from a command line that it is not
// given.
extern "C" {
extern unsigned char FLAGS_minloglevel[256];
alignas(16) unsigned char FLAGS_minloglevel[256] = {};
}

namespace ulmfit::text {

struct SentencePieceTokenizer::Impl {
  sentencepiece::SentencePieceProcessor model;

  void append_pieces(std::string_view text, std::vector<std::string>& tokens) const {
    if (text.empty()) return;
    std::vector<std::string> pieces;
    const auto status = model.Encode(text, &pieces);
    if (!status.ok())
      throw DataError(str("SentencePiece cannot encode a text of ", text.size(), " bytes: ", status.ToString()));
    std::move(pieces.begin(), pieces.end(), std::back_inserter(tokens));
  }
};

SentencePieceTokenizer::SentencePieceTokenizer(std::string_view model) {
  auto impl = std::make_unique<Impl>();
  const auto status = impl->model.LoadFromSerializedProto(model);
  if (!status.ok()) {
    throw DataError(str("cannot read a SentencePiece model from ", model.size(), " bytes: ", status.ToString(),
                        "; give the .model file that spm_train wrote"));
  }
  std::vector<std::string> probe;
  impl->append_pieces("a b", probe);
  for (const std::string& piece : probe) {
    if (piece.find(' ') == std::string::npos) continue;
    throw DataError(str("the SentencePiece model leaves blanks in its pieces (\"", piece,
                        "\"); tokens can't hold blanks: train it with --escape_whitespaces=true"));
  }
  impl_ = std::move(impl);
}

SentencePieceTokenizer::~SentencePieceTokenizer() = default;

void SentencePieceTokenizer::tokenize(std::string_view text, std::vector<std::string>& tokens) const {
  std::string plain;  // the words since the last special token
  split_at_blanks(text, [&](std::string_view word) {
    if (is_special_token(word)) {
      impl_->append_pieces(plain, tokens);
      plain.clear();
      tokens.emplace_back(word);
    } else {
      if (!plain.empty()) plain.push_back(' ');
      plain.append(word);
    }
  });
  impl_->append_pieces(plain, tokens);
}

}  // namespace ulmfit::text
