// What the shape promises, as checks.
#include <mmsb/mmsb.hpp>

#include <functional>
#include <iostream>
#include <thread>
#include <vector>

int failures = 0;
void check(bool good, const char* what) {
    std::cout << (good ? "ok   " : "FAIL ") << what << '\n';
    failures += good ? 0 : 1;
}
template <class E, class F>
bool throws(F f) {
    try {
        f();
    } catch (const E&) {
        return true;
    } catch (...) {
    }
    return false;
}
void set_name(mmsb::Transaction& tx) { tx.create_page(1, {.name = "by a plain function"}); }

int main() {
    {
        const auto bus = mmsb::start();
        bus.transact(set_name);
        const std::function<void(mmsb::Transaction&)> again = [](mmsb::Transaction& tx) {
            tx.create_page(1);
        };
        bus.transact(again);
        check(bus.pages().size() == 2, "functions of every kind");
    }
    {
        const auto bus = mmsb::start();
        const auto counter = bus.create<std::uint64_t>({.name = "n"}),
                   other = bus.create<std::uint64_t>();
        std::vector<std::thread> threads;
        for (int i = 0; i < 4; ++i)
            threads.emplace_back([&] {
                for (int k = 0; k < 500; ++k) {
                    counter.update([](std::uint64_t& n) { ++n; });
                    bus.transact(
                        [&](mmsb::Transaction& tx) { tx.update(other, tx.read(other) + 1); });
                }
            });
        for (auto& t : threads) t.join();
        check(counter.read() == 2000 && other.read() == 2000, "no increment is lost");
        std::cout << "     conflicts run again: " << bus.get_stats().conflicts << '\n';

        auto tx = bus.transaction();
        tx.write(other, 0, mmsb::bytes_of("x"));
        counter.update(1);
        check(tx.try_commit().status == mmsb::CommitStatus::committed,
              "a blind write does not conflict");
        tx.update(counter, tx.read(counter) + 1);
        counter.update(7);
        const auto outcome = tx.try_commit();
        check(outcome.status == mmsb::CommitStatus::conflict && outcome.page == counter,
              "a read one does, and says on which page");
        check(throws<mmsb::WrongContext>(
                  [&] { bus.transact([&](mmsb::Transaction&) { counter.update(9); }); }),
              "a commit that goes past its transaction is refused");
        check(throws<mmsb::Conflict>([&] { counter.update(3, {.expected = mmsb::Epoch{1}}); }),
              "expected epoch");
        check(!counter.update(7).changed() && counter.update(8).changed(),
              "equal bytes commit nothing and say so");
        check(throws<mmsb::InvalidArgument>(
                  [&] { counter.update(9, {.durability = mmsb::Durability::sync}); }),
              "a private bus does not pretend to be durable");
    }
    {
        auto bus = mmsb::start();
        const auto page = bus.create<std::uint64_t>();
        mmsb::stop(std::move(bus));
        check(throws<mmsb::BusClosed>([&] { static_cast<void>(page.read()); }),
              "a handle outlives its bus");
    }
    {
        const auto bus = mmsb::start();
        const auto a = bus.create<double>(), b = bus.create<double>();
        bus.graph().derive(b, {a}, mmsb::formula::call("not.there"));
        check(b.page().info().stale, "a page whose function nobody has says that it is stale");
        check(throws<mmsb::GraphCycle>([&] { bus.graph().derive(a, {b}, mmsb::formula::copy()); }),
              "cycle");
    }
    return failures;
}
