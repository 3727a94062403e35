// A page of an earlier commit by its own records, and the structure by those that change it, beside
// the same from all of the log: over segments, checkpoints, with and without indexes, and damaged.
#include "state/page_at.hpp"
#include "base/checksum.hpp"
#include "state/cursor.hpp"
#include "state/past.hpp"
#include "state/seek.hpp"
#include "state/structure_at.hpp"
#include "support/raises.hpp"
#include "support/sanitizers.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <sstream>
#include <tuple>

namespace mmsb::test {
namespace {

state::Attachment& attachment(const State& bus) {
    return detail::Bus::get(detail::Bus::handle_of(bus)).at();
}

std::vector<fs::path> files(const fs::path& folder, const char* extension) {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(folder))
        if (entry.path().extension() == extension) found.push_back(entry.path());
    std::ranges::sort(found);
    return found;
}

auto fields(const PageInfo& page) {
    return std::tuple(page.id, page.name, page.size, page.location, page.epoch, page.metadata,
                      page.derived, page.stale);
}

std::string all_in(const Record& record) {
    std::ostringstream out;
    out << number(record.sequence) << ' ' << record.time.time_since_epoch().count() << ' '
        << record.source << ' ' << record.label << ' ' << record.tag << ' ' << record.process;
    for (const auto type : record.types) out << " type " << static_cast<int>(type);
    for (const auto& delta : record.deltas) {
        out << " delta " << number(delta.page()) << ' ' << number(delta.epoch());
        for (const auto& run : delta.runs())
            out << ' ' << run.offset << ' ' << run.bytes.size() << ' '
                << base::crc32c(0, run.bytes);
    }
    for (const auto& page : record.pages) {
        out << " page " << number(page.id) << ' ' << page.name << ' ' << page.size << ' '
            << number(page.epoch) << ' ' << page.derived << page.stale;
        for (const auto& [key, value] : page.metadata) out << ' ' << key << '=' << value;
    }
    for (const auto& edges : {record.edges_added, record.edges_removed})
        for (const auto& edge : edges)
            out << " edge " << number(edge.parent) << ' ' << number(edge.child) << ' '
                << static_cast<int>(edge.type);
    return out.str();
}

bool is_structural(const Record& record) {
    using enum RecordType;
    return std::ranges::any_of(record.types, [](RecordType type) {
        return type != commit && type != page_stale && type != page_fresh;
    });
}

void flip(const fs::path& path, std::size_t at) {
    auto bytes = read_file(path);
    bytes[at] = static_cast<char>(bytes[at] ^ 1);
    write_file(path, bytes);
}
// Every kind of change of five pages, one page or several a commit.
class Changed : public testing::TestWithParam<unsigned> {
protected:
    Changed() {
        for (auto& page : pages_) page = make();
    }
    void step() {
        auto& page = pages_[random_() % pages_.size()];
        const auto seed = ++seed_;
        switch (random_() % 40) {
            case 0:
                bus_->checkpoint();
                break;
            case 1:
                bus_->delete_page(page);
                page = make();
                break;
            case 2:
                page.resize(1 + random_() % 4000);
                break;
            case 3:
                page.rename(random_() % 3 == 0 ? "" : "name" + std::to_string(seed));
                break;
            case 4:
                page.set_metadata("key" + std::to_string(random_() % 3), std::to_string(seed % 4));
                break;
            case 5: {  // its record has its entries in a blob
                auto change = bus_->transaction();
                for (const auto& each : pages_) change.update(each, pattern(each.size(), seed));
                change.create_page(70'000, {.contents = pattern(70'000, seed)});
                change.commit();
                break;
            }
            case 6: {
                auto change = bus_->transaction();
                for (const auto& each : pages_)
                    if (random_() % 2 == 0) change.write(each, 0, pattern(1, seed));
                change.update(page, pattern(page.size(), seed));
                change.commit({.source = "x"});
                break;
            }
            case 7:
                derived_ = bus_->create_page(4, {.name = "derived" + std::to_string(seed)});
                bus_->graph().derive(derived_, {page}, formula::checksum());
                break;
            case 8:
                bus_->graph().add_dependency(page, make(), EdgeType::control);
                break;
            default:
                page.write(random_() % page.size(), pattern(1, seed));
                if (random_() % 2 == 0) page.update(pattern(page.size(), seed));
        }
    }
    void steps(int count) {
        while (count-- != 0) step();
        bus_->wait_durable(bus_->sequence());
    }
    Page make() { return bus_->create_page(1 + random_() % 3000); }
    // Of any pages and commits.
    void expect_the_same(const State& bus, int count = cases(30, 10)) {
        auto& at = attachment(bus);
        const auto oldest = number(bus.oldest()), now = number(bus.sequence());
        const auto behind_last = attachment(bus).words().next_page.load() + 1;
        while (count-- != 0) {
            const Sequence then{oldest + random_() % (now - oldest + 1)};
            const auto all = state::image_at(at, then, {});
            expect_structure(*state::structure_at(at, then), all);
            const auto view = bus.at(then);
            EXPECT_EQ(view.time(), Time(std::chrono::nanoseconds(all.time_ns())));
            if (number(then) > oldest) {
                const auto record = state::record_at(at, state::start_of(at, then));
                EXPECT_EQ(record.record().kind, log::RecordKind::commit);
                EXPECT_EQ(record.record().sequence, then);
            }
            expect_pages(bus.at(then), all);
            for (int n = 0; n != 5; ++n)
                expect_page(bus, view, PageId{1 + random_() % behind_last}, all);
        }
    }
    static void expect_page(const State& bus, const View& view, PageId id,
                            const replay::Image& all) {
        const auto alone = state::page_at(attachment(bus), view.sequence(), id);
        ASSERT_TRUE(alone);
        const auto *expected = all.find(id), *found = alone->find(id);
        ASSERT_EQ(found != nullptr, expected != nullptr) << number(id);
        ASSERT_EQ(alone->pages().size(), found == nullptr ? 0 : 1);
        if (found == nullptr) {
            thrown<PageNotFound>([&] { static_cast<void>(view.bytes(id)); });
            thrown<PageNotFound>([&] { static_cast<void>(view.info(id)); });
            return;
        }
        EXPECT_EQ(found->lsn, expected->lsn);
        EXPECT_EQ(found->line, expected->line);
        replay::Image left, right;
        ASSERT_TRUE(left.insert(id, *found) && right.insert(id, *expected));
        const auto differs = replay::first_difference(left, right);
        ASSERT_FALSE(differs) << number(view.sequence()) << ": " << differs->what;
        EXPECT_TRUE(std::ranges::equal(view.bytes(id), expected->bytes));
        EXPECT_EQ(fields(view.info(id)), fields(all.info(id, *expected)));
        if (!expected->name.empty()) {
            EXPECT_EQ(view.find_page(expected->name)->id, id);
        }
    }
    static void expect_pages(const View& view, const replay::Image& all) {
        const auto pages = view.pages();
        ASSERT_EQ(pages.size(), all.pages().size());
        auto found = pages.begin();
        for (const auto& [id, page] : all.pages())
            EXPECT_EQ(fields(*found++), fields(all.info(id, page)));
    }
    static void expect_structure(const replay::Structure& found, const replay::Image& all) {
        EXPECT_EQ(found.dependencies, all.dependencies());
        ASSERT_EQ(found.pages.size(), all.pages().size());
        for (const auto& [id, page] : all.pages()) {
            const auto there = found.pages.find(id);
            ASSERT_NE(there, found.pages.end());
            EXPECT_EQ(there->second.line, page.line);
            EXPECT_EQ(there->second.name, page.name);
            EXPECT_EQ(there->second.metadata, page.metadata);
            EXPECT_EQ(there->second.location, page.location);
        }
    }
    void reopen() {
        bus_.reset();
        bus_ = start_with(at(folder_));
        for (auto& page : pages_) page = bus_->page(page.id());
    }

    std::mt19937 random_{GetParam()};
    TempFolder folder_{};
    std::optional<State> bus_{start_with(at(folder_))};
    std::array<Page, 5> pages_{};
    Page derived_{};
    unsigned seed_ = 0;
};

TEST_P(Changed, PagesAreByTheirOwnRecordsWhatTheyAreByAll) {
    for (int round = 0; round != 4; ++round) {
        steps(250);
        expect_the_same(*bus_);
        if (round == 1) reopen();
    }
    ASSERT_GT(files(folder_ / "log", ".idx").size(), 1U);
    for (const auto& index : files(folder_ / "log", ".idx")) fs::remove(index);
    expect_the_same(*bus_);
}

TEST_P(Changed, PagesAreTheSameWhereThePastIsNoLongerKept) {
    steps(400);
    bus_->checkpoint();
    steps(100);
    expect_the_same(*bus_, cases(20, 10));
    bus_->compact(Sequence{number(bus_->sequence()) / 2});
    ASSERT_GT(number(bus_->oldest()), 0U);
    expect_the_same(*bus_);
    const Sequence dropped{number(bus_->oldest()) - 1};
    thrown<HistoryDropped>(
        [&] { static_cast<void>(state::page_at(attachment(*bus_), dropped, pages_[0].id())); });
    thrown<InvalidArgument>([&] {
        static_cast<void>(state::page_at(attachment(*bus_), bus_->sequence() + 1, pages_[0].id()));
    });
}

TEST_P(Changed, PagesAreTheSameBehindADamagedCheckpoint) {
    steps(100);
    bus_->checkpoint();
    steps(300);
    bus_->checkpoint();
    steps(30);
    const auto newest = files(folder_ / "checkpoints", ".chk").back();
    flip(newest, read_file(newest).size() / 2);
    expect_the_same(*bus_);
    for (const auto& index : files(folder_ / "log", ".idx")) fs::remove(index);
    expect_the_same(*bus_);
}

TEST_P(Changed, TheLogIsTheSameFromAnywhereAndOfAnyPages) {
    steps(400);
    bus_->checkpoint();
    steps(100);
    const auto expect = [&](const LogFilter& filter) {
        const auto is_asked = [&](const Record& record) {
            const auto names = [&](const auto& all, auto id_of) {
                return std::ranges::any_of(all, [&](const auto& each) {
                    return std::ranges::find(filter.pages, id_of(each)) != filter.pages.end();
                });
            };
            return record.sequence >= filter.from && record.sequence <= filter.to &&
                   (filter.source.empty() || record.source == filter.source) &&
                   (!filter.structure || is_structural(record)) &&
                   (filter.pages.empty() ||
                    names(record.deltas, [](auto& d) { return d.page(); }) ||
                    names(record.pages, [](auto& page) { return page.id; }));
        };
        auto found = bus_->tlog(filter);
        auto next = found.begin();
        for (const auto& record : bus_->tlog()) {
            if (!is_asked(record)) continue;
            ASSERT_TRUE(next != found.end());
            ASSERT_EQ(all_in(*next), all_in(record));
            ++next;
        }
        ASSERT_TRUE(next == found.end());
    };
    const auto pages_there = attachment(*bus_).words().next_page.load();
    for (int round = 0; round != 12; ++round) {
        const auto oldest = number(bus_->oldest()), now = number(bus_->sequence());
        LogFilter filter;
        for (auto count = random_() % 3; count != 0; --count)
            filter.pages.push_back(PageId{1 + random_() % pages_there});
        if (random_() % 3 != 0 || filter.pages.empty())
            filter.from = Sequence{oldest + 1 + random_() % (now - oldest)};
        if (random_() % 2 == 0) filter.to = Sequence{oldest + 1 + random_() % (now - oldest)};
        if (random_() % 3 == 0) filter.source = "x";
        filter.structure = random_() % 3 == 0;
        expect(filter);
        if (HasFatalFailure()) return;
        if (round == 8) bus_->compact(Sequence{now / 2});
    }
}

// What all pages of both moments say.
TEST_P(Changed, TheDifferenceIsThatOfAllPages) {
    steps(300);
    bus_->checkpoint();
    steps(100);
    auto& at = attachment(*bus_);
    const auto now = number(bus_->sequence());
    for (int round = 0; round != 20; ++round) {
        const auto one = random_() % (now + 1);
        const auto other =
            std::min<std::uint64_t>(now, one + random_() % (round % 2 != 0 ? 10 : 200));
        const auto [from, to] = round % 3 == 0 ? std::pair(other, one) : std::pair(one, other);
        const auto found = diff(bus_->at(Sequence{from}), bus_->at(Sequence{to}));
        const auto before = state::image_at(at, Sequence{from}, {});
        const auto after = state::image_at(at, Sequence{to}, {});
        std::map<PageId, Bytes> pages;
        for (const auto& [id, page] : before.pages()) pages[id] = page.bytes;
        for (const auto& page : found.removed) {
            EXPECT_EQ(fields(page), fields(before.info(page.id, *before.find(page.id))));
            EXPECT_EQ(pages.erase(page.id), 1U);
        }
        for (const auto& page : found.added) {
            EXPECT_EQ(fields(page), fields(after.info(page.id, *after.find(page.id))));
            EXPECT_TRUE(pages.try_emplace(page.id, page.size).second);
        }
        for (const auto& delta : found.changed) {
            auto& bytes = pages.at(delta.page());
            bytes.resize(delta.page_size());
            delta.apply_to(bytes);
            EXPECT_EQ(delta.epoch(), after.find(delta.page())->epoch);
        }
        ASSERT_EQ(pages.size(), after.pages().size());
        for (const auto& [id, page] : after.pages()) ASSERT_EQ(pages[id], page.bytes);
    }
}

TEST_P(Changed, ALogFromWhatIsNotCommittedYetWaitsForThat) {
    steps(50);
    auto log = bus_->tlog({.from = bus_->sequence() + 2});
    EXPECT_TRUE(log.begin() == log.end());
    for (unsigned i = 0; i != 3; ++i) pages_[0].update(pattern(pages_[0].size(), 5000 + i));
    const auto next = log.next(Timeout::zero());
    ASSERT_TRUE(next);
    EXPECT_EQ(next->sequence, bus_->sequence() - 1);
}

TEST_P(Changed, PagesAreTheSameToAViewer) {
    steps(300);
    auto config = at(folder_);
    config.open = Open::read_only;
    bus_.reset();  // else they would share what this process has open
    const auto viewer = start(config);
    expect_the_same(viewer, 20);
    EXPECT_TRUE(files(folder_ / "log", ".idx").empty());
}

INSTANTIATE_TEST_SUITE_P(Randomly, Changed, testing::Range(1U, 4U));

// What is of other pages, and a checkpoint that is not needed, are damaged here.
TEST(APageOfThePast, NeedsNothingButItsOwnRecords) {
    const TempFolder folder;
    const auto bus = start_with(at(folder));
    const auto page = bus.create_page(100), other = bus.create_page(1000);
    page.update(pattern(100, 1));
    for (unsigned i = 0; i != 600; ++i) other.update(pattern(1000, i));
    bus.checkpoint();
    page.update(pattern(100, 2));
    bus.wait_durable(bus.sequence());
    const auto end = bus.sequence();
    const auto changes = std::ranges::distance(page.history());  // makes the indexes
    EXPECT_EQ(changes, 3);
    const auto segment = files(folder / "log", ".seg").front();
    flip(segment, read_file(segment).size() / 2);
    const auto checkpoint = files(folder / "checkpoints", ".chk").back();
    flip(checkpoint, read_file(checkpoint).size() / 2);
    EXPECT_EQ(bus.at(end).bytes(page), pattern(100, 2));
    EXPECT_EQ(bus.at(end - 1).bytes(page), pattern(100, 1));
    EXPECT_EQ(bus.at(Sequence{2}).bytes(page), Bytes(100));
    EXPECT_EQ(bus.at(end - 1).bytes(other), pattern(1000, 599));  // as it is
    const auto error = thrown<Corrupt>([&] { static_cast<void>(bus.at(end - 3).bytes(other)); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->file(), segment.string());
}

TEST(AViewOfThePast, GivesManyPagesAsItGivesFew) {
    const TempFolder folder;
    const auto bus = start_with(at(folder));
    std::vector<Page> pages;
    for (unsigned i = 0; i != 200; ++i)
        pages.push_back(bus.create_page(64, {.contents = pattern(64, i)}));
    const auto then = bus.sequence();
    for (unsigned i = 0; i != 200; ++i) pages[i].update(pattern(64, 1000 + i));
    const auto view = bus.at(then);
    std::vector<std::span<const std::byte>> all;
    for (const auto& page : pages) all.push_back(view.bytes(page));
    for (unsigned i = 0; i != 200; ++i) {
        EXPECT_TRUE(std::ranges::equal(all[i], pattern(64, i))) << i;
        EXPECT_EQ(view.bytes(pages[i]).data(), all[i].data()) << i;  // still where it was
    }
    thrown<PageNotFound>([&] { static_cast<void>(view.bytes(PageId{1000})); });
}

}  // namespace
}  // namespace mmsb::test
