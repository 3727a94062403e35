// A page's history beside a model, over several segments: forwards and backwards, narrowed in every
// way.
#include "support/raises.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <random>

namespace mmsb::test {
namespace {

struct Known {
    Sequence sequence = Sequence::zero;
    Time time{};
    std::string source{};
};

// Four pages; now and then one is deleted and another made, or a checkpoint.
class Changing {
public:
    explicit Changing(State bus, unsigned seed) : bus_(std::move(bus)), random_(seed) {
        for (auto& page : pages_) page = make();
    }
    State& bus() noexcept { return bus_; }
    [[nodiscard]] const auto& known() const noexcept { return known_; }

    void step() {
        auto& page = pages_[random_() % pages_.size()];
        switch (random_() % 60) {
            case 0:
                if (!bus_.config().path.empty()) bus_.checkpoint();
                break;
            case 1:
                bus_.delete_page(page);
                page = make();
                break;
            default: {
                const std::string source = random_() % 2 == 0 ? "x" : "y";
                page.update(pattern(size, ++writes_), {.source = source});
                note(page, source);
            }
        }
    }
    std::uint64_t any(std::uint64_t limit) { return random_() % limit; }

private:
    static constexpr std::size_t size = 2000;  // so that there are several segments

    Page make() {
        auto page = bus_.create_page(size);
        note(page);
        return page;
    }
    void note(PageId page, const std::string& source = {}) {
        const auto sequence = bus_.sequence();
        known_[page].push_back(
            {sequence, bus_.at(sequence).time(), source.empty() ? bus_.config().source : source});
    }

    State bus_;
    std::mt19937 random_;
    std::array<Page, 4> pages_{};
    unsigned writes_ = 0;
    std::map<PageId, std::vector<Known>> known_{};
};

std::vector<Sequence> sequences_of(History history) {
    std::vector<Sequence> all;
    for (const auto& change : history) all.push_back(change.sequence);
    return all;
}

std::vector<Sequence> expected(const std::vector<Known>& all, const HistoryOptions& options) {
    std::vector<Sequence> wanted;
    for (const auto& one : all)
        if (one.sequence >= options.from && one.sequence <= options.to &&
            (!options.since || one.time >= *options.since) &&
            (!options.until || one.time <= *options.until) &&
            (options.source.empty() || one.source == options.source))
            wanted.push_back(one.sequence);
    if (options.newest_first) std::ranges::reverse(wanted);
    return wanted;
}

void check(Changing& changing) {
    const auto now = number(changing.bus().sequence());
    const auto any = [&] { return Sequence{1 + changing.any(now)}; };
    for (const auto& [id, all] : changing.known()) {
        const auto page = changing.bus().find_page(id);
        if (!page) continue;  // deleted
        for (int round = 0; round != 40; ++round) {
            HistoryOptions options;
            options.newest_first = round % 2 == 0;
            if (changing.any(2) == 0) options.from = any();
            if (changing.any(2) == 0) options.to = any();
            if (changing.any(3) == 0) options.since = changing.bus().at(any()).time();
            if (changing.any(3) == 0) options.until = changing.bus().at(any()).time();
            if (changing.any(3) == 0) options.source = "x";
            ASSERT_EQ(sequences_of(page->history(options)), expected(all, options));
        }
    }
}

std::vector<fs::path> indexes(const TempFolder& folder) {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(folder / "log"))
        if (entry.path().extension() == ".idx") found.push_back(entry.path());
    return found;
}

TEST(APagesHistory, IsThatOfAModel) {
    for (unsigned seed = 1; seed <= 3; ++seed) {
        const TempFolder folder;
        Changing changing(start_with(at(folder)), seed);
        for (int i = 0; i != 300; ++i) changing.step();
        check(changing);  // reads the segments, and makes their indexes
        const auto made = indexes(folder).size();
        ASSERT_GT(made, 1U);
        check(changing);
        for (int i = 0; i != 300; ++i) changing.step();
        check(changing);
        ASSERT_GT(indexes(folder).size(), made);
    }
    Changing changing(start({}), 4);
    for (int i = 0; i != 300; ++i) changing.step();
    check(changing);
}

// What is older is not read: here it is damaged.
TEST(APagesHistory, FromTheNewestOnReadsOneSegmentAfterTheOther) {
    const TempFolder folder;
    auto bus = start_with(at(folder));
    const auto page = bus.create_page(1000, {.name = "p"});
    for (unsigned i = 0; i != 500; ++i) page.update(pattern(1000, i));
    page.update(pattern(1000, 501), {.durability = Durability::sync});
    auto log = fs::path(folder.path()) / "log";
    const auto first = std::ranges::min(fs::directory_iterator(log), {}, [](const auto& entry) {
                           return entry.path();
                       }).path();
    auto bytes = read_file(first);
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
    write_file(first, bytes);
    auto history = page.history({.newest_first = true});
    auto next = history.begin();
    for (unsigned i = 0; i != 200; ++i, ++next) ASSERT_EQ(next->sequence, bus.sequence() - i);
    raises<Corrupt>(bus, [&] {
        for (int i = 0; i != 300; ++i) ++next;
    });
    raises<Corrupt>(bus, [&] { static_cast<void>(sequences_of(page.history())); });
    EXPECT_EQ(sequences_of(page.history({.from = bus.sequence()})), std::vector{bus.sequence()});
}

}  // namespace
}  // namespace mmsb::test
