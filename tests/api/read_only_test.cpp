// A State that may not write says so, and changes nothing.
#include "support/raises.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

namespace mmsb::test {
namespace {

TEST(ReadOnlyError, EveryCallThatWouldWrite) {
    const TempFolder folder;
    auto writer = start(at(folder));
    writer.create_page(8, {.name = "p", .contents = bytes_of("abc")});
    const auto bus = start({.path = folder.path(), .open = Open::read_only});
    const auto page = bus.page("p");
    const auto refused = [&](auto call) {
        const auto e = raises<ReadOnly>(bus, call);
        ASSERT_TRUE(e);
        EXPECT_EQ(e->code(), ErrorCode::read_only);
    };
    refused([&] { page.write(0, bytes_of("x")); });
    refused([&] { page.update(Bytes(8)); });
    refused([&] { page.update([](std::span<std::byte>) {}); });
    refused([&] { page.resize(9); });
    refused([&] { page.rename("q"); });
    refused([&] { page.set_metadata("k", "v"); });
    refused([&] { static_cast<void>(page.clone()); });
    refused([&] { bus.create_page(1); });
    refused([&] { bus.open_page("q", 1); });
    refused([&] { bus.delete_page(page); });
    refused([&] { bus.transact([](Transaction&) {}); });
    refused([&] { bus.transaction().create_page(1); });
    refused([&] { bus.reset_stats(); });
    refused([&] {
        auto tx = bus.transaction();
        tx.write(page, 0, bytes_of("x"));
        tx.commit();
    });
    // It reads what the writer does.
    writer.page("p").write(0, bytes_of("new"));
    EXPECT_EQ(text_of(page.read()), "new");
    EXPECT_EQ(text_of(bus.at(Sequence{1}).bytes(page)), "abc");
    EXPECT_TRUE(bus.verify().good);
}

}  // namespace
}  // namespace mmsb::test
