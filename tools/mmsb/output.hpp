/// output: what the command line prints: buffered text on a file descriptor, colours, JSON.
#pragma once

#include <mmsb/types.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace mmsb::tool {

using Json = nlohmann::ordered_json;

/// Whoever read the output has closed it. Not an error to tell anybody.
struct ReaderGone {};

enum class Style : std::uint8_t { plain, strong, faint, added, removed, changed };
enum class When : std::uint8_t { automatic, always, never };

class Output {
public:
    /// Colours on a terminal, unless NO_COLOR is set and not empty.
    explicit Output(int file, When colours = When::automatic);
    [[nodiscard]] bool colours() const noexcept { return colours_; }
    void set_colours(When when);

    /// Throws ReaderGone or Io, here or later.
    void write(std::string_view text);
    template <class... A>
    void print(fmt::format_string<A...> format, A&&... arguments) {
        write(fmt::format(format, std::forward<A>(arguments)...));
    }
    /// One object, on one line. Bytes that are not UTF-8 become U+FFFD.
    void json(const Json& object);
    void flush();
    /// `text` with the codes of a style around it, where there are colours.
    [[nodiscard]] std::string paint(Style style, std::string_view text) const;

private:
    int file_;
    bool terminal_;
    bool colours_ = false;
    std::string buffer_{};
};

/// For people: control characters and what is not UTF-8 as \xNN, so that a name or a label can
/// neither forge lines nor command the terminal.
[[nodiscard]] std::string printable(std::string_view text);
/// A line on stderr, "mmsb: " in front. Where that cannot be written there is nobody to tell.
void say(std::string_view text) noexcept;
/// "4711 bytes", "1.2 MiB".
[[nodiscard]] std::string size_text(std::uint64_t bytes);
/// "1 page", "2 pages".
[[nodiscard]] std::string counted(std::uint64_t count, std::string_view noun);
/// To the second; UTC.
[[nodiscard]] std::string time_text(Time time);

}  // namespace mmsb::tool
