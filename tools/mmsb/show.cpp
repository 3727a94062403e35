#include "command.hpp"
#include "exit_code.hpp"
#include "parse.hpp"
#include "progress.hpp"

#include <algorithm>

namespace mmsb::tool {
namespace {

constexpr CommandText text{
    .name = "show",
    .summary = "A page's bytes, and what its last commit changed.",
    .usage = "[OPTIONS] BUS PAGE",
    .description =
        "Prints the page as of now or of --at as a hex dump. In [brackets] (and coloured on a\n"
        "terminal) stand the bytes that the last commit until then changed. Lines that repeat the\n"
        "one above and hold no change are shown as one *. PAGE is a name or, where no page has\n"
        "that name, an id: 12 or '#12'.",
    .example =
        "$ mmsb show demo.bus notes.txt --at 12\n"
        "notes.txt, 16 bytes, epoch 4, as of sequence 12; last changed by 9\n"
        "00000000  68 65 6c 6c 6f 20[77 6f] 72 6c 64 0a 00 00 00 00  |hello world.....|\n"
        "$ mmsb show demo.bus notes.txt --at 9 --raw > notes.then",
    .json =
        "  sequence, page: {id, name, size, epoch}, last_change (null: none): {sequence, time,\n"
        "  source, process, label, tag, runs: [{offset, size}]}, bytes (in hexadecimal)",
};

constexpr std::size_t row_size = 16;

struct Options {
    std::string bus{}, page{};
    Sequence at = Sequence::newest;
    bool raw = false;
    bool changes = false;
};

std::optional<Record> last_change(const State& bus, PageId page, Sequence until) {
    if (const auto there = bus.find_page(page)) {
        const Sequence newest = there->read_into({}).sequence;
        if (newest <= bus.oldest()) return std::nullopt;
        if (newest <= until) return bus.tlog({.from = newest, .to = newest}).next(Timeout::zero());
    }
    std::optional<Record> last;
    for (const Record& record : bus.tlog({.to = until, .pages = {page}})) last = record;
    return last;
}

std::vector<Delta::Run> runs_of(const std::optional<Record>& record, PageId page) {
    if (!record) return {};
    const auto delta = std::ranges::find(record->deltas, page, &Delta::page);
    return delta == record->deltas.end() ? std::vector<Delta::Run>() : delta->runs();
}

/// The rows of one page.
class Dump {
public:
    Dump(Output& out, std::span<const std::byte> bytes, const std::vector<Delta::Run>& runs)
        : out_(out), bytes_(bytes), marked_(bytes.size()) {
        for (const Delta::Run& run : runs) {
            for (std::size_t i = 0; i < run.bytes.size() && run.offset + i < marked_.size(); ++i)
                marked_[run.offset + i] = true;
        }
    }

    void print(bool only_changes) {
        bool starred = false;
        for (std::size_t row = 0; row < bytes_.size(); row += row_size) {
            const bool changed = has_mark(row);
            if (only_changes && !changed) continue;
            if (!only_changes && repeats(row)) {
                if (!starred) out_.write("*\n");
                starred = true;
                continue;
            }
            starred = false;
            print_row(row);
        }
    }

private:
    [[nodiscard]] std::size_t end(std::size_t row) const {
        return std::min(row + row_size, bytes_.size());
    }
    [[nodiscard]] bool has_mark(std::size_t row) const {
        for (std::size_t i = row; i < end(row); ++i) {
            if (marked_[i]) return true;
        }
        return false;
    }
    [[nodiscard]] bool repeats(std::size_t row) const {
        if (row == 0 || row + row_size >= bytes_.size()) return false;  // The last one is shown.
        return !has_mark(row) && !has_mark(row - row_size) &&
               std::ranges::equal(bytes_.subspan(row, row_size),
                                  bytes_.subspan(row - row_size, row_size));
    }
    [[nodiscard]] std::string styled(std::size_t i, std::string_view shown) const {
        return out_.paint(marked_[i] ? Style::changed : Style::plain, shown);
    }
    void print_row(std::size_t row) {
        std::string hex = out_.paint(Style::faint, fmt::format("{:08x}", row)) + ' ';
        std::string shown;
        for (std::size_t i = row; i < row + row_size; ++i) {
            const bool before = i > row && i - 1 < bytes_.size() && marked_[i - 1];
            const bool here = i < bytes_.size() && marked_[i];
            hex += before == here ? ' ' : here ? '[' : ']';
            if (i >= bytes_.size()) {
                hex += "  ";
                continue;
            }
            const auto byte = std::to_integer<unsigned char>(bytes_[i]);
            hex += styled(i, fmt::format("{:02x}", byte));
            const bool visible = byte >= 0x20 && byte < 0x7F;
            shown += styled(i, std::string(1, visible ? static_cast<char>(byte) : '.'));
        }
        const std::size_t last = row + row_size - 1;
        hex += last < bytes_.size() && marked_[last] ? ']' : ' ';
        out_.print("{} |{}|\n", hex, shown);
    }

    Output& out_;
    std::span<const std::byte> bytes_;
    std::vector<bool> marked_;
};

std::string hex_of(std::span<const std::byte> bytes) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string hex;
    hex.reserve(bytes.size() * 2);
    for (const std::byte b : bytes) {
        hex += digits[std::to_integer<std::size_t>(b >> 4U)];
        hex += digits[std::to_integer<std::size_t>(b & std::byte{15})];
    }
    return hex;
}

Json change_json(const Record& record, const std::vector<Delta::Run>& runs) {
    return {{"sequence", number(record.sequence)},
            {"time", to_string(record.time)},
            {"source", record.source},
            {"process", record.process},
            {"label", record.label},
            {"tag", record.tag},
            {"runs", runs_json(runs)}};
}

int run(const Options& options, Context& context) {
    const State bus = open_to_read(options.bus);
    auto progress = std::make_unique<Progress>("rebuilding the page");
    const View view = view_at(bus, options.at);
    const PageInfo page = page_in(view, options.page);
    const std::span<const std::byte> bytes = view.bytes(page.id);
    if (options.raw) {
        progress.reset();
        context.out.write({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
        return exit_ok;
    }
    const std::optional<Record> last = last_change(bus, page.id, view.sequence());
    const std::vector<Delta::Run> runs = runs_of(last, page.id);
    progress.reset();
    if (context.json) {
        context.out.json({{"sequence", number(view.sequence())},
                          {"page", page_json(page)},
                          {"last_change", last ? change_json(*last, runs) : Json(nullptr)},
                          {"bytes", hex_of(bytes)}});
        return exit_ok;
    }
    std::string head = fmt::format(
        "{}, {}, epoch {}, as of sequence {}", context.out.paint(Style::strong, title(page)),
        counted(page.size, "byte"), number(page.epoch), number(view.sequence()));
    if (last) {
        head += fmt::format("; last changed by {}", number(last->sequence));
        if (!last->label.empty()) head += fmt::format(" ({})", printable(last->label));
    }
    context.out.write(head + '\n');
    Dump(context.out, bytes, runs).print(options.changes);
    return exit_ok;
}

}  // namespace

void add_show(Program& program) {
    auto options = std::make_shared<Options>();
    Command command =
        program.add(text, [options](Context& context) { return run(*options, context); });
    command.bus(options->bus);
    command.argument("PAGE", options->page, "The page: its name, or its id.");
    command.option(
        "--at", "SEQUENCE", [options](const std::string& t) { options->at = parse_sequence(t); },
        "As of this sequence.");
    command.flag("--raw", options->raw, "The bytes themselves, to stdout.");
    command.flag("--changes", options->changes, "Only the lines that hold a change.");
    command.not_both("--raw", "--json");
}

}  // namespace mmsb::tool
