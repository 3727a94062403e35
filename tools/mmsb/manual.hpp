/// manual: manual pages and shell completions, made from the declared commands.
#pragma once

#include "command.hpp"

#include <string>

namespace mmsb::tool {

/// mmsb(1), in roff.
[[nodiscard]] std::string manual_page(const Program& program);
/// mmsb-NAME(1).
[[nodiscard]] std::string manual_page(const Program& program, const CommandText& text);
/// REQUIRES shell is bash, zsh or fish.
[[nodiscard]] std::string completion_script(const Program& program, std::string_view shell);

}  // namespace mmsb::tool
