// What a program's static objects do with a bus as they are destroyed: after its threads' objects
// are gone, the main thread's too. It is a program of its own, since it shows in how that ends.
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <thread>

namespace mmsb::test {
namespace {

struct Application {
    State bus = start({.max_tlog_records = 10});
    Page page = bus.create_page(64), derived = bus.create_page(64);
    Transaction open = bus.transaction();

    Application() { bus.graph().derive(derived, {page}, formula::copy()); }
    void work(unsigned n) {
        bus.transact([&](Transaction& tx) { tx.write(page, 0, pattern(64, n)); });
        page.write(3, bytes_of("written"), {.source = "source " + std::to_string(n)});
        open.write(page, 5, pattern(40, n));
    }
    [[nodiscard]] bool is_good() const {
        const auto view = bus.at(bus.sequence());
        return bus.verify().good && view.bytes(page).size() == 64 &&
               std::ranges::equal(view.bytes(derived), page.read());
    }
    ~Application() {
        open.commit();
        for (unsigned n = 0; n < 30; ++n) work(n);
        if (is_good()) return;
        std::puts("wrong at the end");
        std::_Exit(1);
    }
    Application(const Application&) = delete;
    Application& operator=(const Application&) = delete;
};

TEST(AStaticObject, UsesABusWhileItIsDestroyed) {
    static Application application;
    for (unsigned n = 0; n < 30; ++n) application.work(n);
    EXPECT_TRUE(application.is_good());
}

TEST(ATransaction, OutlivesTheThreadThatBeganIt) {
    static std::optional<Transaction> late;
    static const auto bus = start();
    static const auto page = bus.create_page(8);
    std::thread([] {
        late = bus.transaction();
        late->write(page, 0, bytes_of("x"));
        thread_local std::optional<Transaction> later;
        later = bus.transaction();
        later->write(page, 1, bytes_of("y"));
    }).join();
    late->commit();
    EXPECT_EQ(text_of(page.read()), "x");
    late->write(page, 2, bytes_of("z"));
}

}  // namespace
}  // namespace mmsb::test
