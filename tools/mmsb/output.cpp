#include "output.hpp"

#include "os_stream.hpp"

#include <mmsb/error.hpp>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace mmsb::tool {
namespace {

constexpr std::size_t flush_at = std::size_t{64} * 1024;

// The length of the well-formed UTF-8 character at the start of `text`, or 0.
std::size_t utf8_length(std::string_view text) {
    const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char first = at(0);
    if (first < 0x80) return 1;
    const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || text.size() < length) return 0;
    for (std::size_t i = 1; i < length; ++i) {
        if ((at(i) & 0xC0U) != 0x80) return 0;
    }
    const unsigned char second = at(1);
    if (first == 0xE0 && second < 0xA0) return 0;
    if (first == 0xED && second > 0x9F) return 0;
    if (first == 0xF0 && second < 0x90) return 0;
    if (first == 0xF4 && second > 0x8F) return 0;
    return length;
}

// Of a well-formed character: C0, DEL or C1.
bool is_control(std::string_view character) {
    const auto first = static_cast<unsigned char>(character[0]);
    if (character.size() == 1) return first < 0x20 || first == 0x7F;
    return first == 0xC2 && static_cast<unsigned char>(character[1]) < 0xA0;
}

}  // namespace

Output::Output(int file, When colours) : file_(file), terminal_(is_terminal(file)) {
    set_colours(colours);
}

void Output::set_colours(When when) {
    const char* const refused = std::getenv("NO_COLOR");
    const bool wanted = terminal_ && (refused == nullptr || *refused == '\0');
    colours_ = when == When::always || (when == When::automatic && wanted);
}

void Output::write(std::string_view text) {
    buffer_ += text;
    if (buffer_.size() >= flush_at || (terminal_ && text.ends_with('\n'))) flush();
}

void Output::json(const Json& object) {
    write(object.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n');
}

void Output::flush() {
    const std::string text = std::exchange(buffer_, {});
    const int error = write_to(file_, text);
    if (error == EPIPE) throw ReaderGone{};
    if (error != 0)
        throw Io(ErrorCode::io, fmt::format("cannot write the output: {}", std::strerror(error)),
                 {.system = error});
}

std::string Output::paint(Style style, std::string_view text) const {
    static constexpr std::array<std::string_view, 6> codes{"", "1", "2", "32", "31", "33"};
    if (!colours_ || style == Style::plain) return std::string(text);
    return fmt::format("\x1b[{}m{}\x1b[0m", codes.at(static_cast<std::size_t>(style)), text);
}

std::string printable(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        const std::size_t length = utf8_length(text);
        if (length != 0 && !is_control(text.substr(0, length))) {
            out += text.substr(0, length);
        } else {
            for (const char c : text.substr(0, length == 0 ? 1 : length))
                out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
        }
        text.remove_prefix(length == 0 ? 1 : length);
    }
    return out;
}

std::string size_text(std::uint64_t bytes) {
    static constexpr std::array<std::string_view, 6> units{"KiB", "MiB", "GiB",
                                                           "TiB", "PiB", "EiB"};
    if (bytes < 10'000) return counted(bytes, "byte");
    double value = static_cast<double>(bytes) / 1024;
    std::size_t unit = 0;
    while (value >= 1000 && unit + 1 < units.size()) {
        value /= 1024;
        ++unit;
    }
    return fmt::format("{:.1f} {}", value, units.at(unit));
}

void say(std::string_view text) noexcept {
    try {
        static_cast<void>(write_to(standard_error, fmt::format("mmsb: {}\n", printable(text))));
    } catch (const std::exception&) {  // no memory for it
    }
}

std::string counted(std::uint64_t count, std::string_view noun) {
    return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::string time_text(Time time) {
    const std::string full = to_string(time);
    return full.substr(0, full.find('.')) + (full.find('.') == std::string::npos ? "" : "Z");
}

}  // namespace mmsb::tool
