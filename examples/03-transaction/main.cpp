// Many pages, one commit. Look for: the sum never changes, whoever looks and whenever.
#include <mmsb/mmsb.hpp>

#include <iostream>
#include <thread>

int main() {
    const auto bus = mmsb::start();
    const auto from = bus.create<std::int64_t>({.name = "from"}),
               to = bus.create<std::int64_t>({.name = "to"});
    from.update(1'000);

    // Nothing is locked while the function runs. It runs again if something that it read has
    // changed before the commit, so it only computes.
    const auto transfer = [&](std::int64_t amount) {
        return bus.transact(
            [&](mmsb::Transaction& tx) {
                tx.update(from, tx.read(from) - amount);
                tx.update(to, tx.read(to) + amount);
            },
            {.label = "transfer"});
    };

    {
        std::jthread one([&] {
            for (int i = 0; i < 300; ++i) transfer(2);
        });
        std::jthread two([&] {
            for (int i = 0; i < 300; ++i) transfer(-1);
        });
        for (std::uint64_t n = 100; n <= 500; n += 100) {
            while (bus.sequence() < mmsb::Sequence{n}) std::this_thread::yield();
            const auto both = bus.snapshot({from, to});  // two pages as of one sequence
            std::cout << "at " << both.sequence() << ": " << both.get(from) << " + " << both.get(to)
                      << " = " << both.get(from) + both.get(to) << '\n';
        }
    }
    std::cout << "at the end: " << from.read() << " + " << to.read() << '\n';

    // The same by hand: a conflict is a value here, not an exception.
    auto tx = bus.transaction();
    tx.update(from, tx.read(from) - 50);
    transfer(1);  // comes between
    const auto outcome = tx.try_commit();
    if (outcome.status == mmsb::CommitStatus::conflict)
        std::cout << "page " << outcome.page
                  << " has changed since it was read: nothing was committed\n";
}
