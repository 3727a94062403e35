// The whole bus as one file, and a bus made from it. Look for: the copy goes on where the file
// ends.
#include <mmsb/mmsb.hpp>

#include <iostream>

int main() {
    auto game = mmsb::start({.path = "game.bus"});
    const auto score = game.open<std::uint64_t>("score");
    for (int i = 0; i < 5; ++i) score.update([](std::uint64_t& s) { s += 10; });
    std::cout << "game: score " << score.read() << " at sequence " << game.sequence() << '\n';
    mmsb::stop(std::move(game), "game.checkpoint");  // flushes, writes the file, closes

    // Elsewhere, or a year later: one file is enough. With a path the copy would be a bus on disk.
    const auto copy = mmsb::start({.from_checkpoint = "game.checkpoint"});
    const auto theirs = copy.page<std::uint64_t>("score");
    std::cout << "copy: score " << theirs.read() << " at sequence " << copy.sequence() << '\n';
    theirs.update(7);
    std::cout << "copy: score " << theirs.read() << " at sequence " << copy.sequence() << '\n';

    // The checkpoint is where its past begins: what was before stayed with the original.
    try {
        static_cast<void>(copy.at(mmsb::Sequence{1}));
    } catch (const mmsb::HistoryDropped& e) {
        std::cout << "copy: the past begins at sequence " << e.oldest() << '\n';
    }
    const auto original = mmsb::start({.path = "game.bus", .open = mmsb::Open::read_only});
    std::cout << "game: score " << original.page<std::uint64_t>("score").read()
              << ", and its past begins at sequence "
              << original.at(mmsb::Sequence::zero).sequence() << '\n';

    const bool agree = original.verify().good && copy.verify().good;
    std::cout << "log and pages " << (agree ? "agree" : "differ") << " on both\n";
}
