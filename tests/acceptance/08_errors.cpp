// What can go wrong, what each error knows, and what still works afterwards.
#include <mmsb/mmsb.hpp>

#include <iostream>

int main() try {
    auto bus = mmsb::start({.path = "errors.bus", .lock_timeout = std::chrono::milliseconds(200)});

    if (!bus.find_page("missing")) std::cout << "no such page: an answer, not an error\n";
    try {
        std::cout << bus.page("missing").size();
    } catch (const mmsb::PageNotFound& e) {
        std::cout << e.what()
                  << '\n';  // page "missing" is not there; sequence 12; did you mean ...
    }

    auto a = bus.open_page("a", 64), b = bus.open_page("b", 64);
    bus.graph().add_dependency(a, b, mmsb::EdgeType::control);
    try {
        bus.graph().add_dependency(b, a, mmsb::EdgeType::control);
    } catch (const mmsb::GraphCycle& e) {
        for (auto id : e.cycle()) std::cout << id << " -> ";  // the graph is as it was
        std::cout << "a cycle\n";
    }

    try {
        bus.create_page(std::size_t{1} << 40U);
    } catch (const mmsb::OutOfSpace& e) {
        std::cout << e.where() << ": needed " << e.needed() << ", free " << e.available() << '\n';
    }

    mmsb::Transaction tx = bus.transaction();
    if (tx.read(a) != tx.read(b)) tx.update(b, tx.read(a));
    switch (const auto outcome = tx.try_commit(); outcome.status) {  // no exception: values
        case mmsb::CommitStatus::committed:
            std::cout << outcome.committed.sequence << '\n';
            break;
        case mmsb::CommitStatus::unchanged:
            std::cout << "nothing to do\n";
            break;
        case mmsb::CommitStatus::conflict:
            std::cout << outcome.page << " changed meanwhile\n";
            break;
        case mmsb::CommitStatus::busy:
            std::cout << "a stopped process holds the lock\n";
            break;
    }

    try {
        a.write(0, mmsb::bytes_of("precious"), {.durability = mmsb::Durability::sync});
    } catch (const mmsb::Poisoned& e) {  // a sync failed: reading goes on, writing does not
        std::cout << "safe up to " << e.durable() << "; " << e.errno_name()
                  << "; reopen to recover\n";
        std::cout << mmsb::text_of(a.read()) << '\n';
    }
    mmsb::stop(std::move(bus));
    std::cout << a.read().size();  // throws BusClosed: handles outlive the bus safely
} catch (const mmsb::Corrupt& e) {
    std::cerr << e.file() << " at " << e.offset() << ": expected " << e.expected() << ", found "
              << e.found() << "; good up to sequence " << e.good_until() << " (mmsb doctor)\n";
    return 2;
} catch (const mmsb::Error& e) {
    std::cerr << "error " << mmsb::to_string(e.code()) << ": " << e.what() << '\n';
    return 1;
}
