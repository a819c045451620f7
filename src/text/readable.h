// Tokens as people read them.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace ulmfit::text {

// The marks of the text rules carried out (xxmaj, xxup, xxrep, xxwrep; xxbos and xxfld left out), blanks between words but
// not in front of closing marks and English endings, nor behind opening ones. What rules and tokenizer dropped does not
// come back, and a repeat within a word stands apart ("sooo": "s ooo").
std::string readable_text(const std::vector<std::string>& tokens);

// The same of tokens that a tokenizer of that kind gave; of more than `most`, the first ones and " ...".
std::string readable_beginning(std::vector<std::string> tokens, TokenizerKind tokenizer, std::size_t most);

// The words that SentencePiece's pieces are parts of: one begins with each U+2581.
std::vector<std::string> joined_pieces(const std::vector<std::string>& pieces);

}  // namespace ulmfit::text
