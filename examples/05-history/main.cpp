// The past. Look for: nothing is lost by going back, because going back is a commit too.
#include <mmsb/mmsb.hpp>

#include <iostream>

int main() {
    const auto bus = mmsb::start();
    const auto text = bus.create_page(32, {.name = "text"});

    const auto draft = text.write(0, mmsb::bytes_of("a first draft"), {.label = "write", .tag = 1});
    text.write(2, mmsb::bytes_of("worst"), {.source = "vandal", .tag = 2});
    bus.create_page(8, {.name = "notes"});

    // A View is the bus as of one sequence. It may be kept: what is past does not change.
    const auto then = bus.at(draft.sequence), now = bus.snapshot();
    std::cout << "at " << then.sequence() << ": " << mmsb::text_of(then.bytes(text)) << '\n'
              << "at " << now.sequence() << ": " << mmsb::text_of(now.bytes(text)) << '\n';

    const auto difference = mmsb::diff(then, now);
    for (const auto& page : difference.added)
        std::cout << "  added: page " << page.id << ", " << page.name << '\n';
    for (const auto& delta : difference.changed)
        for (const auto& run : delta.runs())
            std::cout << "  page " << delta.page() << " at " << run.offset << ": "
                      << mmsb::text_of(run.bytes) << '\n';

    bus.restore(then, {text}, {.label = "undo the vandal"});
    std::cout << "restored: " << mmsb::text_of(text.read()) << '\n';

    std::cout << "who changed the text, newest first:\n";
    for (const auto& change : text.history({.newest_first = true}))
        std::cout << "  " << change << '\n';

    std::cout << "the log, as far as the vandal wrote it:\n";
    for (const auto& record : bus.tlog({.source = "vandal"}))
        std::cout << "  sequence " << record.sequence << ", tag " << record.tag << ", "
                  << record.deltas.at(0).changed_bytes() << " bytes\n";
}
