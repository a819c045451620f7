// Tokens as people read them.
#pragma once

#include <string>
#include <vector>

namespace ulmfit::text {

// The marks of the text rules carried out (xxmaj, xxup, xxrep, xxwrep; xxbos and xxfld left out), blanks between words but
// not in front of closing marks and English endings, nor behind opening ones. What rules and tokenizer dropped does not
// come back, and a repeat within a word stands apart ("sooo": "s ooo").
std::string readable_text(const std::vector<std::string>& tokens);

}  // namespace ulmfit::text
